"""How a job's process came to its end, from what Slurm and the allocation's own records say."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sodalyte.launchers.policy import POLICY
from sodalyte.launchers.slurm.queue import SlurmJob

_OUT_OF_MEMORY = re.compile(r"oom[-_ ]kill|out of memory|exceeded (job |step )?memory limit|OutOfMemory", re.IGNORECASE)
_DISK_FULL = re.compile(r"No space left on device|Disk quota exceeded|File too large", re.IGNORECASE)


@dataclass(frozen=True)
class End:
    """One end: its name in :data:`~sodalyte.launchers.policy.POLICY`, and a sentence that says why."""

    cause: str
    reason: str


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


def _capital(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]
