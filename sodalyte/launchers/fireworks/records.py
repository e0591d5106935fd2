"""The small value objects that pilots, the manager of allocations and the launchpad exchange."""

from __future__ import annotations

import os
import socket
import time
import uuid
from dataclasses import asdict, dataclass, field
from typing import Any

from sodalyte.launchers.policy import Room

RELEASED = "released"
"""The cause of an attempt that was given back in order: it counts for nothing."""

CANCELLED = "CANCELLED_BY_USER"
"""The cause of an attempt that somebody cancelled while it ran."""

PILOT = "SODALYTE_PILOT"
"""Environment variable: the name under which whoever started a pilot knows it."""

WAITING, READY, RUNNING, PAUSED = "WAITING", "READY", "RUNNING", "PAUSED"
COMPLETED, FIZZLED, DEFUSED, ARCHIVED = "COMPLETED", "FIZZLED", "DEFUSED", "ARCHIVED"
STATES = (WAITING, READY, RUNNING, PAUSED, COMPLETED, FIZZLED, DEFUSED)


@dataclass(frozen=True)
class Pilot:
    """A process that pulls fireworks, as it signs its claims.

    Attributes
    ----------
    slot
        Its number among the pilots of one allocation.
    cluster, slurm_job, slurm_step, node
        Where Slurm runs it, ``cluster`` by Slurm's own name for itself; empty without Slurm.
    cores
        Of its slot, if they are known.
    host, pid
        Of the process.
    deadline
        When it will be killed, seconds since the epoch, if that is known.
    """

    uuid: str
    host: str
    pid: int
    slot: int = 0
    cluster: str = ""
    slurm_job: str = ""
    slurm_step: str = ""
    node: str = ""
    cores: int | None = None
    deadline: float | None = None

    @classmethod
    def here(cls, *, slot: int = 0, deadline: float | None = None) -> Pilot:
        """Describe this process; what Slurm says about it is taken from the environment."""
        environment = os.environ
        return cls(
            uuid=environment.get(PILOT) or str(uuid.uuid4()),
            host=socket.gethostname(),
            pid=os.getpid(),
            slot=slot,
            cluster=environment.get("SLURM_CLUSTER_NAME", ""),
            slurm_job=environment.get("SLURM_JOB_ID", ""),
            slurm_step=environment.get("SLURM_STEP_ID", ""),
            node=environment.get("SLURMD_NODENAME", ""),
            cores=Room.here().cores,
            deadline=deadline,
        )

    def signature(self) -> dict[str, Any]:
        """Return what is written into fireworks and launches."""
        document = asdict(self)
        document["pilot"] = document.pop("uuid")
        return document


@dataclass(frozen=True)
class Claim:
    """A firework that a pilot has claimed: only while its launch is RUNNING may it be completed.

    Attributes
    ----------
    fw_id, launch_id
        FireWorks' numbers.
    workflow
        Key of the workflow's document, hexadecimal; empty if FireWorks itself added the firework.
    job
        The jobflow job as JSON.
    ends
        How often it came to which end before.
    incomplete
        Whether it runs although a parent failed.
    overrides
        What a retry asks for: ``hours``, ``memory`` (MB).
    shared
        Whether the same job stands in other workflows too.
    alone
        Whether its workflow has no other job.
    started
        Seconds since the epoch.
    links
        For each child its parents, as they were when the campaign was added: a hint that spares reading them.
    """

    fw_id: int
    launch_id: int
    name: str
    uuid: str
    index: int
    job: str = field(repr=False)
    workflow: str = ""
    campaign: str = ""
    material: str = ""
    stage: str = ""
    priority: float = 0
    ends: dict[str, int] = field(default_factory=dict)
    incomplete: bool = False
    shared: bool = False
    alone: bool = False
    root: str = ""
    started: float = field(default_factory=time.time)
    overrides: dict[str, float] = field(default_factory=dict)
    links: dict[int, list[int]] | None = field(default=None, repr=False)

    @property
    def identity(self) -> tuple[str, int]:
        """The job's uuid and index."""
        return self.uuid, self.index

    @property
    def attempt(self) -> int:
        """One for the first."""
        return 1 + sum(self.ends.values())


@dataclass(frozen=True)
class Running:
    """A firework in state RUNNING and what is known about its process.

    ``launch_state`` differs from RUNNING, or is empty, where a claim or a completion was cut short; see
    :meth:`~sodalyte.launchers.fireworks.launchpad.Launchpad.repair`. ``started`` and ``heartbeat`` are UTC, ISO format.
    """

    fw_id: int
    launch_id: int
    name: str
    uuid: str
    index: int
    campaign: str
    material: str
    stage: str
    attempt: int
    launch_state: str
    pilot: str
    host: str
    pid: int
    slot: int
    cluster: str
    slurm_job: str
    slurm_step: str
    node: str
    cores: int | None
    deadline: float | None
    started: str
    heartbeat: str
    progress: dict[str, Any]


@dataclass(frozen=True)
class Added:
    """What adding a campaign did: how many workflows and fireworks are new, and how many were there already."""

    workflows: int
    fireworks: int
    present: int
