"""How a job's process came to its end, what to do about it, and how often: one table to read.

The ends are Slurm's own words where Slurm has one. ``CRASHED`` is a process that died while its allocation went on, and
``VANISHED`` a job of which nobody kept a record.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from sodalyte.launchers.slurm.queue import SlurmJob

Remedy = Literal["again", "more time", "more memory", "another node", "give up"]

MORE_TIME = 1.5
MORE_MEMORY = 2.0


@dataclass(frozen=True)
class Policy:
    """What to do with a job that came to one kind of end.

    Attributes
    ----------
    meaning
        The end in words.
    remedy
        What is changed before the job runs again.
    times
        How often it may run again after this end; then it has failed.
    """

    meaning: str
    remedy: Remedy
    times: int


POLICY: dict[str, Policy] = {
    # end             in words                                                        remedy          times
    "TIMEOUT": Policy("the allocation reached its time limit", "more time", 3),
    "DEADLINE": Policy("the allocation could not end before its deadline", "more time", 1),
    "OUT_OF_MEMORY": Policy("it needed more memory than it had", "more memory", 3),
    "NODE_FAIL": Policy("a node of the allocation failed", "another node", 10),
    "BOOT_FAIL": Policy("a node of the allocation did not start", "another node", 10),
    "PREEMPTED": Policy("the allocation made way for a job of higher priority", "again", 50),
    "CANCELLED": Policy("the allocation was cancelled", "again", 20),
    "CRASHED": Policy("its process died while the allocation went on", "again", 4),
    "FAILED": Policy("the allocation's script failed", "another node", 3),
    "COMPLETED": Policy("the allocation ended without a word about it", "again", 4),
    "VANISHED": Policy("neither Slurm nor the allocation kept a record of its end", "again", 4),
    "REQUEUED": Policy("Slurm put the allocation back into the queue", "again", 10),
}

_OUT_OF_MEMORY = re.compile(r"oom[-_ ]kill|out of memory|exceeded (job |step )?memory limit|OutOfMemory", re.IGNORECASE)
_DISK_FULL = re.compile(r"No space left on device|Disk quota exceeded|File too large", re.IGNORECASE)


@dataclass(frozen=True)
class End:
    """One end: its name in :data:`POLICY`, and a sentence that says why."""

    cause: str
    reason: str

    @property
    def policy(self) -> Policy:
        """What to do about it."""
        return POLICY[self.cause]


def end_of_job(job: SlurmJob | None, number: str) -> End | None:
    """Return how an allocation ended, or None while its processes may exist.

    Parameters
    ----------
    job
        What Slurm knows; None when it has forgotten the job.
    number
        The job's number, for the sentence.
    """
    if job is None:
        return End("VANISHED", f"{_capital(POLICY['VANISHED'].meaning)} (Slurm job {number})")
    if job.alive:
        return None
    cause = "REQUEUED" if job.waiting else job.state if job.state in POLICY else "FAILED"
    where = f" on {job.nodes}" if job.nodes else ""
    details = [f"Slurm job {job.label}{where}"]
    if job.signal:
        details.append(f"signal {job.signal}")
    elif job.exit_code:
        details.append(f"exit status {job.exit_code}")
    if job.reason and job.reason not in {job.state, "NonZeroExitCode", "TimeLimit", "NodeDown"}:
        details.append(f"Slurm says {job.reason}")
    return End(cause, f"{_capital(POLICY[cause].meaning)} ({', '.join(details)})")


def end_of_pilot(status: int, log: str, *, where: str) -> End:
    """Return how a pilot's step ended while its allocation went on.

    Parameters
    ----------
    status
        Exit status of its ``srun``; 128 and more is a signal.
    log
        The end of what the step and Slurm wrote: Slurm without cgroups tells of memory only there.
    where
        The step in words, for the sentence.
    """
    if _OUT_OF_MEMORY.search(log):
        return End("OUT_OF_MEMORY", f"It needed more memory than its slot had ({where})")
    if re.search(r"NODE FAILURE|Node failure", log):
        return End("NODE_FAIL", f"{_capital(POLICY['NODE_FAIL'].meaning)} ({where})")
    how = f"signal {status - 128}" if status > 128 else f"exit status {status}"
    full = "; its disk is full" if _DISK_FULL.search(log) else ""
    return End("CRASHED", f"Its process died with {how}{full} ({where})")


def remedy(
    end: End, *, earlier: int, hours: float, memory: int | None, most_hours: float, most_memory: float
) -> tuple[bool, dict[str, float]]:
    """Return whether a job runs again after an end, and what it then needs.

    Parameters
    ----------
    earlier
        How often it came to this end before.
    hours, memory
        What it had: the time until the limit, and MB of each node if that is known.
    most_hours, most_memory
        What the partition and its nodes have at most.

    Returns
    -------
    bool, dict
        The needs are ``hours`` and ``memory`` (MB); empty when nothing changes.
    """
    if earlier >= end.policy.times or end.policy.remedy == "give up":
        return False, {}
    match end.policy.remedy:
        case "more time" if hours < most_hours:
            return True, {"hours": min(hours * MORE_TIME, most_hours)}
        case "more memory" if memory is not None:
            wanted = min(memory * MORE_MEMORY, most_memory)
            return (True, {"memory": wanted}) if wanted > memory else (False, {})
    return True, {}


def _capital(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]
