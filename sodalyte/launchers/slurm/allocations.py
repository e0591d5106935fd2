"""Submitting allocations: as many as are useful, never more than allowed, as arrays where there are several."""

from __future__ import annotations

import fcntl
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from sodalyte.launchers.fireworks.documents import OWN
from sodalyte.launchers.fireworks.records import READY
from sodalyte.launchers.slurm.queue import Queue, RefusedError, SlurmJob
from sodalyte.launchers.slurm.refusals import hopeless
from sodalyte.launchers.slurm.script import PREFIX, Need, allocation_script, side_by_side
from sodalyte.launchers.slurm.settings import ROOM_RECORD, SHORTEST, Settings, seconds_for_jobs

if TYPE_CHECKING:
    from sodalyte.launchers.fireworks import Launchpad

AVOIDED_FOR = 3600.0
"""Seconds for which a node that jobs came to grief on is kept out of new allocations."""

_NEED_AGE = 60.0
_MORE = "-more"


class Allocations:
    """The allocations of one campaign."""

    def __init__(self, settings: Settings, queue: Queue, launchpad: Launchpad) -> None:
        self._settings = settings
        self._cluster = settings.cluster
        self._queue = queue
        self._launchpad = launchpad
        self._avoided: dict[str, float] = {}
        self._seen: set[str] = set()
        self._seen_need: tuple[float, Need, int] | None = None

    def current(self) -> list[SlurmJob]:
        """Return the campaign's allocations that wait or run."""
        name = PREFIX + self._settings.job_name
        return [job for job in self._all() if job.name in (name, name + _MORE)]

    def cancel_hopeless(self) -> None:
        """Take back what waits in vain, so that it does not stand in the way of the next try."""
        self._queue.cancel(job.label for job in self.current() if hopeless(job) is not None)

    def ended(self) -> list[SlurmJob]:
        """Return the allocations that have ended since this was asked before."""
        present = {job.label for job in self.current()}
        gone, self._seen = self._seen - present, present
        return list(self._queue.find(gone).values()) if gone else []

    def has_begun(self, job: SlurmJob) -> bool:
        """Tell whether an allocation came as far as starting pilots."""
        return (self._settings.folder / job.id / ROOM_RECORD).exists()

    def last_words(self, job: SlurmJob) -> str:
        """Return the last line that an allocation's pilots, or else its script, have written."""
        folder = self._settings.folder
        for path in (*sorted((folder / job.id).glob("slot-*.log")), folder / f"slurm-{job.label}.out"):
            lines = path.read_text(errors="replace").split("\n") if path.exists() else []
            told = [line.strip() for line in lines if line.strip() and not line.startswith(("srun:", "slurmstepd"))]
            if told:
                return told[-1]
        return ""

    def _all(self) -> list[SlurmJob]:
        return self._queue.queued(prefix=PREFIX)

    def avoid(self, node: str) -> None:
        """Keep new allocations away from a node for some time."""
        self._avoided[node] = time.time() + AVOIDED_FOR

    def fill(self, ready: int, *, running: int, most: int) -> int:
        """Submit as many allocations as there is work for; return how many.

        Parameters
        ----------
        ready, running
            Fireworks of the campaign that could run, and those that run on this cluster.
        most
            Allocations of this campaign that wait or run, at most. Those of all campaigns together stay within
            ``max_queued``.

        Raises
        ------
        RefusedError
            Slurm does not take one.
        """
        with self._alone():
            return self._fill(ready, running, most)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep the managers of this workspace's other campaigns from submitting between our count and our own."""
        with (self._settings.folder.parent / "submission.lock").open("a") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            yield

    def _fill(self, ready: int, running: int, most: int) -> int:
        everyone = self._all()
        name = PREFIX + self._settings.job_name
        ordinary = [job for job in everyone if job.name == name]
        special = [job for job in everyone if job.name == name + _MORE]
        room = min(most - len(ordinary) - len(special), self._cluster.max_queued - len(everyone))
        need, demanding = self._need()
        submitted = 0
        if demanding and room > 0:
            wanted = math.ceil(demanding / side_by_side(self._cluster, need)) - len(special)
            submitted += self._submit(min(wanted, room), need, suffix=_MORE)
        useful = math.ceil((ready - demanding + running) / self._cluster.side_by_side)
        submitted += self._submit(min(useful - len(ordinary), room - submitted), Need())
        return submitted

    def look_again(self) -> None:
        """Forget what jobs need: some of it has changed."""
        self._seen_need = None

    def _need(self) -> tuple[Need, int]:
        """Return what those jobs need that ask for more than an ordinary slot has, and their number; a minute old."""
        if self._seen_need is None or time.monotonic() - self._seen_need[0] > _NEED_AGE:
            self._seen_need = time.monotonic(), *self._look_up_need()
        return self._seen_need[1:]

    def _look_up_need(self) -> tuple[Need, int]:
        overrides = f"spec.{OWN}.overrides"
        query = {"spec.campaign": self._settings.campaign, "state": READY, overrides: {"$exists": True}}
        needs = []
        for document in self._launchpad.collections.fireworks.find(query, {overrides: 1}):
            asked = document["spec"][OWN]["overrides"]
            hours, memory = asked.get("hours", 0.0), int(asked.get("memory", 0))
            if hours > seconds_for_jobs(self._cluster) / 3600 or memory > (self.slot_memory or math.inf):
                needs.append((hours, memory))
        if not needs:
            return Need(), 0
        hours, memory = (max(values) for values in zip(*needs, strict=True))
        with_start_up = min(hours + (SHORTEST + self._cluster.warning) / 3600, self.most_hours)
        return Need(hours=with_start_up, memory=memory), len(needs)

    @property
    def slot_memory(self) -> int | None:
        """MB of one ordinary slot on each of its nodes; None when the cluster's table does not say."""
        if self._cluster.memory is None:
            return None
        return self._cluster.memory // max(1, math.ceil(self._cluster.side_by_side / self._cluster.nodes))

    @cached_property
    def most_hours(self) -> float:
        """The longest walltime that the partition allows."""
        partitions = self._queue.partitions()
        default = next((name for name, row in partitions.items() if row.get("Default") == "YES"), "")
        return hours_of(partitions.get(self._cluster.partition or default, {}).get("MaxTime", ""))

    @cached_property
    def _array_limit(self) -> int:
        site = self._queue.configuration().get("MaxArraySize", "")
        return min(self._cluster.array_limit, max(int(site) - 1, 1) if site.isdigit() else self._cluster.array_limit)

    def _submit(self, number: int, need: Need, *, suffix: str = "") -> int:
        submitted = 0
        while submitted < number:
            size = min(number - submitted, self._array_limit)
            self._submit_one(size, need, suffix)
            submitted += size
        return submitted

    def _submit_one(self, size: int, need: Need, suffix: str) -> None:
        """Submit one array, or one job; keep away from suspicious nodes only if enough others are left."""
        settings = self._settings
        slots = side_by_side(self._cluster, need)
        path = settings.save(
            f"allocation{suffix}.json",
            side_by_side=slots,
            most_hours=self.most_hours if math.isfinite(self.most_hours) else None,
            most_memory=self._cluster.memory,
        )
        options = [f"--chdir={settings.folder}", f"--output=slurm-{'%A_%a' if size > 1 else '%j'}.out"]
        if size > 1:
            options.append(f"--array=0-{size - 1}")
        avoided = tuple(sorted(node for node, until in self._avoided.items() if until > time.time()))
        for exclude in dict.fromkeys([avoided, ()]):
            text = allocation_script(
                self._cluster,
                name=settings.job_name + suffix,
                python=settings.python,
                settings=path,
                need=Need(need.hours, need.memory, exclude),
            )
            (settings.folder / f"allocation{suffix}.sh").write_text(text)
            try:
                self._queue.submit(text, options=options)
            except RefusedError:
                if not exclude:
                    raise
            else:
                return


def hours_of(limit: str) -> float:
    """Return a time limit in Slurm's notation in hours: ``[DAYS-]HH:MM:SS``, or a word for none."""
    days, separator, clock = limit.rpartition("-")
    parts = clock.split(":")
    if not all(part.isdigit() for part in parts):
        return math.inf  # UNLIMITED, or not known
    seconds = 0
    for part in [*["0"] * (3 - len(parts)), *parts]:
        seconds = 60 * seconds + int(part)
    return (24 * int(days) if separator else 0) + seconds / 3600
