"""Whether a cluster's table and the cluster agree, before anything is submitted: for ``sodalyte doctor --cluster``."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterator
from pathlib import Path

from sodalyte.configuration import Cluster
from sodalyte.diagnosis import Check, failed, ok, warning
from sodalyte.errors import ConfigurationError
from sodalyte.launchers.slurm.allocations import hours_of
from sodalyte.launchers.slurm.queue import Queue, RefusedError, UnreachableError
from sodalyte.launchers.slurm.refusals import refusal_of
from sodalyte.launchers.slurm.script import allocation_script
from sodalyte.launchers.slurm.settings import seconds_for_jobs
from sodalyte.machine import ask_python

_NEEDED = "import sodalyte.launchers.fireworks.pilot, sodalyte; print(sodalyte.__version__)"


def checks(cluster: Cluster, *, queue: Queue | None = None) -> list[Check]:
    """Ask Slurm about everything that the cluster's table names; nothing is submitted.

    Parameters
    ----------
    queue
        The Slurm to ask; that of this machine if not given.
    """
    return list(_checks(cluster, queue or Queue()))


def _checks(cluster: Cluster, queue: Queue) -> Iterator[Check]:
    try:
        site = queue.configuration()
        partitions = queue.partitions()
    except (UnreachableError, RefusedError) as error:
        yield failed("Slurm", str(error), "run this on a login node of the cluster, or ask whether Slurm is up")
        return
    yield ok("Slurm", f"{site.get('SLURM_VERSION', 'a version that it does not tell')}, {site.get('ClusterName', '')}")
    chosen = cluster.partition or next((name for name, row in partitions.items() if row.get("Default") == "YES"), None)
    if chosen is None or chosen not in partitions:
        seen = f"there is no partition {chosen}" if chosen else "the site has no default partition"
        yield failed("partition", seen, f"set 'partition' of the table to one of: {', '.join(sorted(partitions))}")
    else:
        yield from _check_partition(cluster, queue, chosen, partitions[chosen])
    yield from _check_account(cluster, queue)
    yield _check_submission(cluster, queue)
    yield from _check_limits(cluster, site)
    yield _check_python(cluster)


def _check_partition(cluster: Cluster, queue: Queue, name: str, row: dict[str, str]) -> Iterator[Check]:
    if row.get("State") != "UP":
        yield failed("partition", f"{name} is {row.get('State')}", "wait until it is up, or name another partition")
        return
    yield ok("partition", f"{name}, {row.get('TotalNodes')} nodes, at most {row.get('MaxTime')}")
    if cluster.walltime > hours_of(row.get("MaxTime", "")):
        seen = f"{cluster.walltime:g} h, the partition allows {row['MaxTime']}"
        yield failed("walltime", seen, "set 'walltime' of the table to no more than that")
    listing = queue.ask("sinfo", "--noheader", f"--partition={name}", "--exact", "--format=%D %c %m").splitlines()
    nodes = [tuple(int(word.rstrip("+")) for word in line.split()) for line in listing]
    fitting = sum(n for n, cores, memory in nodes if cores >= cluster.cores and memory >= (cluster.memory or 0))
    wanted = f"{cluster.nodes} of {cluster.cores} cores" + (f" and {cluster.memory} MB" if cluster.memory else "")
    if fitting < cluster.nodes:
        has = "; ".join(f"{n} of {cores} cores and {memory} MB" for n, cores, memory in nodes)
        yield failed("nodes", f"wanted {wanted}; the partition has {has}", "correct 'nodes', 'cores' and 'memory'")
    else:
        yield ok("nodes", f"{fitting} of the partition's nodes fit; an allocation asks for {wanted}")


def _check_account(cluster: Cluster, queue: Queue) -> Iterator[Check]:
    if not queue.has_accounting:
        if cluster.account or cluster.qos:
            advice = "leave 'account' and 'qos' out of the table; they mean nothing here"
            yield warning("account", "the site keeps no accounts", advice)
        return
    fields = "format=Account,QOS"
    try:
        answer = queue.ask("sacctmgr", "-n", "-P", "show", "associations", f"user={getpass.getuser()}", fields)
    except (UnreachableError, RefusedError) as error:
        yield warning("account", f"the accounting does not answer: {error}", "try again later")
        return
    rows = [line.split("|") for line in answer.splitlines() if line]
    accounts = {row[0] for row in rows}
    if cluster.account and cluster.account not in accounts:
        known = f"one of: {', '.join(sorted(accounts))}" if accounts else "none: ask the site for one"
        yield failed("account", f"this user has no account {cluster.account}", f"set 'account' to {known}")
    elif cluster.account:
        yield ok("account", cluster.account)
    allowed = {qos for row in rows if cluster.account in (None, row[0]) for qos in row[1].split(",")}
    if cluster.qos and cluster.qos not in allowed:
        yield failed("QOS", f"{cluster.qos} is not granted", f"set 'qos' to one of: {', '.join(sorted(allowed))}")


def _check_submission(cluster: Cluster, queue: Queue) -> Check:
    """Have Slurm judge the very script that would be submitted."""
    script = allocation_script(cluster, name="doctor", python=Path(sys.executable), settings=Path("settings.json"))
    try:
        queue.ask("sbatch", "--test-only", script=script)
    except RefusedError as error:
        refusal = refusal_of(str(error))
        return failed("submission", f"{refusal.name}: {refusal.message}", refusal.advice)
    except UnreachableError as error:
        return failed("submission", str(error), "try again later")
    return ok("submission", "Slurm would take an allocation (sbatch --test-only)")


def _check_limits(cluster: Cluster, site: dict[str, str]) -> Iterator[Check]:
    largest = site.get("MaxArraySize", "")
    if largest.isdigit() and cluster.array_limit >= int(largest):
        yield warning(
            "array_limit",
            f"{cluster.array_limit}, the site takes {int(largest) - 1}",
            "arrays are made no larger than the site takes; set 'array_limit' to that",
        )
    if seconds_for_jobs(cluster) <= 0:
        yield failed(
            "warning",
            f"{cluster.warning} s of a walltime of {cluster.walltime:g} h leave no time for a job",
            "lower 'warning' or raise 'walltime' of the table",
        )
    elif cluster.warning >= cluster.walltime * 3600 / 2:
        yield warning(
            "warning",
            f"{cluster.warning} s of a walltime of {cluster.walltime:g} h",
            "jobs are asked to stop before half of the time is over; lower 'warning' or raise 'walltime'",
        )
    grace = site.get("KillWait", "").partition(" ")[0]
    if grace.isdigit() and int(grace) < 10:
        yield warning(
            "KillWait", f"the site kills {grace} s after scancel", "jobs that are cancelled may lose their last step"
        )


def _check_python(cluster: Cluster) -> Check:
    python = cluster.python or Path(sys.executable)
    advice = "set 'python' of the table to an interpreter in whose environment sodalyte is installed"
    try:
        found = ask_python(str(python), _NEEDED)
    except ConfigurationError as error:
        return failed("python of the workers", str(error), advice)
    return ok("python of the workers", f"{python}, sodalyte {found}")
