"""Where the files of a campaign's allocations are, and what its manager, allocations and pilots have to know.

They lie in ``WORKSPACE/slurm/CLUSTER/CAMPAIGN``. ``settings.json`` holds the address of the database with its password:
only its owner may read it, and no command line, script or log repeats it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sodalyte.configuration import Cluster

SETTINGS, STATE, WORKERS, LOCK, LOG = "settings.json", "state.json", "workers", "manager.lock", "manager.log"
ROOM_RECORD = "room.json"
"""File in the folder of an allocation: what its slots offer, a :class:`~sodalyte.launchers.policy.Room`."""

SHORTEST = 120.0
"""Seconds that an allocation needs beside its warning: to start, and for a pilot to begin a job at all."""


@dataclass(frozen=True)
class Settings:
    """One campaign on one cluster.

    Attributes
    ----------
    campaign
        Its name.
    cluster_name, cluster
        The cluster's name and table.
    database
        Address, with a password if it needs one.
    root
        Folder of the runs on the disk that the nodes share.
    python
        Interpreter of the workers.
    vasp
        ``command``, ``gamma_command``, and ``ranks`` where VASP is a program that is not parallel.
    environment
        Variables of the pilots.
    """

    campaign: str
    cluster_name: str
    cluster: Cluster
    database: str = field(repr=False)
    root: Path
    python: Path
    vasp: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Folder of the campaign's allocations."""
        return clusters_folder(self.root) / self.cluster_name / self.campaign

    @property
    def job_name(self) -> str:
        """What tells its Slurm jobs from those of others: the campaign, and a hash of where it is kept."""
        where = f"{self.root}\n{self.campaign}"
        return f"{self.campaign}-{hashlib.sha256(where.encode()).hexdigest()[:8]}"

    def save(self, name: str = SETTINGS, **more: object) -> Path:
        """Write a settings file for allocations and return its path; ``more`` overrides what is in it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / name
        document = {
            "campaign": self.campaign,
            "cluster_name": self.cluster_name,
            "cluster": self.cluster.model_dump(mode="json", exclude_none=True),
            "database": self.database,
            "root": str(self.root),
            "python": str(self.python),
            "vasp": dict(self.vasp),
            "environment": dict(self.environment),
            "pilot": [str(self.python), "-m", "sodalyte.launchers.fireworks.pilot", str(path)],
            "cores": self.cluster.cores,
            "side_by_side": self.cluster.side_by_side,
            "warning": self.cluster.warning,
            **more,
        }
        write_private(path, document)
        return path

    @classmethod
    def load(cls, path: Path) -> Settings:
        """Read a settings file."""
        document = json.loads(path.read_text())
        return cls(
            campaign=document["campaign"],
            cluster_name=document["cluster_name"],
            cluster=Cluster.model_validate(document["cluster"]),
            database=document["database"],
            root=Path(document["root"]),
            python=Path(document["python"]),
            vasp=document["vasp"],
            environment=document["environment"],
        )


@dataclass(frozen=True)
class State:
    """What a campaign's manager last saw and did, for who looks at it from elsewhere.

    Attributes
    ----------
    state
        ``running``, ``waiting``, ``complete``, ``failed``, ``paused``, or why nothing can run: ``wrong account``,
        ``wrong partition``, ``Slurm does not answer`` ...
    message
        The reason, in the site's own words where they are known.
    allocations
        How many are in each of Slurm's states.
    pending
        Why allocations wait: Slurm's reasons and how many allocations each holds back.
    slurm
        The cluster's name as Slurm itself knows it.
    """

    state: str
    message: str = ""
    allocations: Mapping[str, int] = field(default_factory=dict)
    pending: Mapping[str, int] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    updated: float = 0.0
    host: str = ""
    pid: int = 0
    slurm: str = ""

    def save(self, folder: Path) -> None:
        """Write it into the campaign's folder."""
        write_private(folder / STATE, asdict(self))


def seconds_for_jobs(cluster: Cluster) -> float:
    """Return the seconds of an allocation in which jobs may begin: what start-up and warning leave of the walltime."""
    return cluster.walltime * 3600 - cluster.warning - SHORTEST


def clusters_folder(root: Path) -> Path:
    """Return the folder of all clusters' allocations, beside the folder ``root`` of the runs."""
    return root.parent / "slurm"


def load_all(root: Path, campaign: str) -> list[Settings]:
    """Return the settings of a campaign on every cluster to which it was submitted from this workspace."""
    return [Settings.load(path) for path in sorted(clusters_folder(root).glob(f"*/{campaign}/{SETTINGS}"))]


def load_state(folder: Path) -> State | None:
    """Return what a campaign's manager last wrote, or None if it never did."""
    try:
        return State(**json.loads((folder / STATE).read_text()))
    except (FileNotFoundError, json.JSONDecodeError, TypeError):
        return None


def write_private(path: Path, document: object) -> None:
    """Write a JSON file that only its owner may read, whole or not at all, and on the disk when this returns."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    with open(temporary, "x", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
