"""The batch script of one allocation: what it asks Slurm for, the cluster's own lines, and the program that it becomes.

Nothing that a campaign names reaches the script: it holds what the cluster's table says, checked when it was read, and
paths, quoted. The address of the database with its password is in a file that only its owner may read.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sodalyte.configuration import Cluster
from sodalyte.errors import ClusterError

PREFIX = "sodalyte-"
"""How the names of sodalyte's Slurm jobs begin."""

_HOST = re.compile(r"[\w.-]+(\[[\d,-]+\])?[\w.-]*(,[\w.-]+(\[[\d,-]+\])?[\w.-]*)*")


@dataclass(frozen=True)
class Need:
    """What an allocation has to offer beyond the cluster's table, for jobs that came to grief with less.

    Attributes
    ----------
    hours
        Walltime; the cluster's if it is not longer.
    memory
        MB of one slot on each of its nodes.
    exclude
        Nodes to stay away from.
    """

    hours: float = 0.0
    memory: int = 0
    exclude: tuple[str, ...] = ()


def allocation_script(cluster: Cluster, *, name: str, python: Path, settings: Path, need: Need | None = None) -> str:
    """Return the batch script of an allocation.

    Parameters
    ----------
    cluster
        The cluster's table.
    name
        What the job is called after :data:`PREFIX`.
    python
        Interpreter that can import sodalyte on the nodes.
    settings
        File for :mod:`sodalyte.launchers.slurm.allocation`.
    need
        What the jobs that wait for this allocation ask for.

    Raises
    ------
    ClusterError
        A job needs more memory than a node of the cluster has.
    """
    if not re.fullmatch(r"[\w.-]+", name):
        raise ValueError(name)
    asked = [f"#SBATCH --{option}={value}" for option, value in _options(cluster, need or Need())]
    lines = [
        "#!/bin/bash -l",
        f"#SBATCH --job-name={PREFIX}{name}",
        *asked,
        "#SBATCH --no-requeue",
        "#SBATCH --no-kill",
        *cluster.environment,
        f"exec {shlex.join([str(python), '-m', 'sodalyte.launchers.slurm.allocation', str(settings)])}",
    ]
    return "\n".join(lines) + "\n"


def side_by_side(cluster: Cluster, need: Need) -> int:
    """Return how many slots an allocation has: fewer than the cluster's table says where jobs need more memory.

    Raises
    ------
    ClusterError
        One whole node has less memory than a job needs.
    """
    if not need.memory or cluster.memory is None:
        return cluster.side_by_side
    if need.memory > cluster.memory:
        raise ClusterError(
            f"a job needs {need.memory} MB of memory, and the cluster's table gives a node {cluster.memory}; "
            "raise 'memory' in the table, or give up the job"
        )
    on_a_node = cluster.memory // need.memory
    return min(cluster.side_by_side, on_a_node * cluster.nodes)


def _options(cluster: Cluster, need: Need) -> Iterable[tuple[str, object]]:
    for option in ("partition", "account", "qos", "constraint"):
        value = getattr(cluster, option)
        if value is not None:
            yield option, value
    yield "nodes", cluster.nodes
    yield "ntasks-per-node", cluster.cores
    yield "cpus-per-task", 1
    if cluster.memory is not None:
        yield "mem", cluster.memory
    yield "time", math.ceil(max(cluster.walltime, need.hours) * 60)
    yield "signal", f"B:USR1@{cluster.warning}"
    if need.exclude:
        nodes = ",".join(need.exclude)
        if not _HOST.fullmatch(nodes):
            raise ClusterError(f"Slurm named nodes in a way that is not understood: {nodes!r}")
        yield "exclude", nodes
