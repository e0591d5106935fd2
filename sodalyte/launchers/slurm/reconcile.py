"""Slurm's truth about fireworks that are RUNNING: which have lost their process, why, and what follows.

The age of a heartbeat never decides. Slurm says whether an allocation and a pilot's step in it still exist, the
allocation's own records how a pilot died, and :data:`~sodalyte.launchers.policy.POLICY` what is done about it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sodalyte.launchers.fireworks.records import COMPLETED, READY
from sodalyte.launchers.policy import Room
from sodalyte.launchers.slurm.causes import End, end_of_job, end_of_pilot
from sodalyte.launchers.slurm.settings import ROOM_RECORD

if TYPE_CHECKING:
    from sodalyte.launchers.fireworks import Launchpad, Running
    from sodalyte.launchers.slurm.queue import Queue, SlurmJob

STEP_GRACE = 30.0
"""Seconds for which a step may be unknown to Slurm, which forgets the newest ones when its controller is restarted."""

_SLURMS_WORD = frozenset({"TIMEOUT", "DEADLINE", "NODE_FAIL", "BOOT_FAIL", "PREEMPTED", "CANCELLED", "OUT_OF_MEMORY"})


@dataclass(frozen=True)
class Lost:
    """A firework that had no process any more: how that came, and whether it runs again."""

    run: Running
    end: End
    again: bool

    @property
    def sentence(self) -> str:
        """What happened, for a log."""
        verb = "runs again" if self.again else "is given up"
        return f"{self.run.name} ({self.run.material or self.run.uuid}) {verb}: {self.end.cause}: {self.end.reason}"


class Reconciler:
    """Compares the fireworks of a campaign that are RUNNING on one cluster with what its Slurm knows.

    Parameters
    ----------
    folder
        Of the campaign's allocations there.

    Attributes
    ----------
    running
        How many there were when it looked last.
    """

    def __init__(self, launchpad: Launchpad, queue: Queue, *, campaign: str, folder: Path) -> None:
        self._launchpad = launchpad
        self._queue = queue
        self._campaign = campaign
        self._folder = folder
        self.running = 0
        self._unseen: dict[str, float] = {}

    def reconcile(self) -> list[Lost]:
        """Return the fireworks found without a process, which have been given back or given up.

        A job that is finished in the store counts as done, and is not returned.

        Raises
        ------
        UnreachableError
            Slurm did not answer: nothing was changed.
        """
        self._launchpad.repair()
        runs = [run for run in self._launchpad.running(**{"spec.campaign": self._campaign}) if run.slurm_job]
        runs = [run for run in runs if run.cluster == self._queue.cluster]  # another one numbers its jobs alike
        self.running = len(runs)
        if not runs:
            return []
        jobs = self._queue.find({run.slurm_job for run in runs})  # after the fireworks: a later claim is not among them
        steps = self._queue.steps()
        ended = [(run, end) for run in runs if (end := self._end(run, jobs.get(run.slurm_job), steps)) is not None]
        return [lost for run, end in ended if (lost := self._give_back(run, end)) is not None]

    def _end(self, run: Running, job: SlurmJob | None, steps: set[str]) -> End | None:
        """Return how the process of a firework ended, or None while it may live."""
        record = self._record(run)
        by_pilot = self._end_by_record(run, record)
        by_job = end_of_job(job, run.slurm_job)
        if by_job is not None:
            own_word = by_job.cause in _SLURMS_WORD and not (by_pilot and by_pilot.cause == "OUT_OF_MEMORY")
            return by_job if own_word else by_pilot or by_job
        if job is None or f"{job.label}.{run.slurm_step}" in steps:
            self._unseen.pop(run.pilot, None)
            return None
        if by_pilot is not None:
            return by_pilot
        unseen_since = self._unseen.setdefault(run.pilot, time.monotonic())
        if time.monotonic() - unseen_since < STEP_GRACE:
            return None
        reason = f"Slurm has no step {job.label}.{run.slurm_step} any more, on which it ran"
        return End("CRASHED", reason)

    def _record(self, run: Running) -> dict[str, Any] | None:
        try:
            record: dict[str, Any] = json.loads((self._folder / run.slurm_job / f"{run.pilot}.json").read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return record

    @staticmethod
    def _end_by_record(run: Running, record: Mapping[str, Any] | None) -> End | None:
        if record is None:
            return None
        where = f"Slurm job {run.slurm_job}, step {run.slurm_step} on {record['node']}"
        return end_of_pilot(record["status"], record["log"], where=where)

    def _give_back(self, run: Running, end: End) -> Lost | None:
        if not self._launchpad.lost(run, end.cause, end.reason, room=self._room(run)):
            return None
        now = self._launchpad.collections.fireworks.find_one({"fw_id": run.fw_id}, {"state": 1})
        state = now["state"] if now else ""
        return None if state == COMPLETED else Lost(run, end, again=state == READY)

    def _room(self, run: Running) -> Room | None:
        """Return what the allocation noted of its slots, None if it never came to that."""
        try:
            return Room(**json.loads((self._folder / run.slurm_job / ROOM_RECORD).read_text()))
        except (FileNotFoundError, json.JSONDecodeError, TypeError):
            return None
