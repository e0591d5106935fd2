"""Which job of a flow may run when: jobflow's semantics, dynamic flows included, as bookkeeping without side effects.

A uuid is complete when its job has run and everything that the job put in its place (``replace``) or before its
children (``detour``) is complete as well. A job is ready when the uuids of all its parents are complete.
"""

from __future__ import annotations

import heapq
import itertools
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jobflow import Flow, Job
from jobflow.core.reference import OnMissing

from sodalyte.launchers.identity import INCOMPLETE, as_json, parents_first

if TYPE_CHECKING:
    from sodalyte.launchers.outcomes import Outcome


@dataclass
class Task:
    """One job as the launcher sees it.

    ``computes`` tells calculations, which are jobs of an engine's Makers, from steps that prepare or interpret them.
    """

    uuid: str
    index: int
    name: str
    priority: int
    tolerant: bool
    computes: bool
    document: bytes = field(repr=False)
    metadata: dict[str, object] = field(repr=False)
    tries: int = 0

    @classmethod
    def of(cls, job: Job) -> Task:
        """Serialise ``job``."""
        return cls(
            uuid=job.uuid,
            index=job.index,
            name=job.name,
            priority=job.metadata.get("priority", 0),
            tolerant=job.config.on_missing_references != OnMissing.ERROR,
            computes=job.maker is not None,
            document=as_json(job).encode(),
            metadata=job.metadata,
        )

    def mark_incomplete(self) -> None:
        """Note that the job runs although a parent failed: its output holds until the parent has succeeded."""
        document = json.loads(self.document)
        document["metadata"][INCOMPLETE] = True
        self.document = json.dumps(document).encode()


class Schedule:
    """The state of a flow that is being executed.

    Attributes
    ----------
    finished, total
        Number of tasks that are over, and that are known so far.
    not_run
        Number of tasks given up because a parent failed.
    """

    def __init__(self, flow: Flow | Job) -> None:
        self.finished = 0
        self.total = 0
        self.not_run = 0
        self._failed: set[str] = set()
        self._stopped: set[str] = set()
        self._seen: set[tuple[str, int]] = set()
        self._ready: list[tuple[int, bool, int, Task]] = []
        self._order = itertools.count()
        self._outstanding: dict[str, int] = defaultdict(int)
        self._children: dict[str, list[Task]] = defaultdict(list)
        self._followers: dict[str, list[str]] = defaultdict(list)
        self._blockers: dict[tuple[str, int], int] = {}
        self._parents: dict[tuple[str, int], list[str]] = {}
        self.add(flow)

    def add(self, flow: Flow | Job, *, before: str | None = None) -> None:
        """Add the jobs of ``flow``; the uuid ``before`` is then complete only after all of them."""
        tasks = [(Task.of(job), parents) for job, parents in parents_first(flow)]
        new = [(task, parents) for task, parents in tasks if (task.uuid, task.index) not in self._seen]
        for task, _ in new:
            self._seen.add((task.uuid, task.index))
            self._outstanding[task.uuid] += 1
            self.total += 1
        if before is not None:
            for uuid in {task.uuid for task, _ in tasks} - {before}:
                if self._outstanding[uuid]:
                    self._outstanding[before] += 1
                    self._followers[uuid].append(before)
        for task, parents in new:
            identity = (task.uuid, task.index)
            awaited = {uuid for uuid in parents if uuid != task.uuid and self._outstanding.get(uuid)}
            self._parents[identity] = parents
            self._blockers[identity] = len(awaited)
            for uuid in awaited:
                self._children[uuid].append(task)
            if not awaited and not self._admit(task):
                self._finish(task)

    def pop(self) -> Task | None:
        """Return the ready task of highest priority, or None; of equals, first what is no calculation: it is short."""
        return heapq.heappop(self._ready)[-1] if self._ready else None

    @property
    def n_ready(self) -> int:
        """Number of tasks that could run now."""
        return len(self._ready)

    def waiting(self, limit: int) -> list[str]:
        """Return the uuids of up to ``limit`` ready tasks, in no particular order."""
        return [task.uuid for *_, task in self._ready[:limit]]

    def put_back(self, task: Task) -> None:
        """Return a task that was popped but not run."""
        heapq.heappush(self._ready, (-task.priority, task.computes, next(self._order), task))

    @property
    def unfinished(self) -> bool:
        """Whether any task neither ran nor was given up."""
        return self.finished < self.total

    def succeed(self, task: Task, outcome: Outcome) -> None:
        """Record that ``task`` ran, and do what it asked for."""
        if outcome["stop_jobflow"]:
            self._ready.clear()
            self.total = self.finished = self.finished + 1
            return
        if outcome["stop_children"]:
            self._stopped.add(task.uuid)
        for kind in ("replace", "detour", "addition"):
            text = outcome[kind]
            if text is not None:
                self.add(Flow.from_dict(json.loads(text)), before=None if kind == "addition" else task.uuid)
        self._finish(task)

    def fail(self, task: Task) -> None:
        """Record that ``task`` failed; tasks that need its output are given up."""
        self._failed.add(task.uuid)
        self._finish(task)

    def _finish(self, task: Task) -> None:
        done = [task]
        while done:
            self.finished += 1
            done += [child for child in self._unblocked_by(done.pop()) if not self._admit(child)]

    def _unblocked_by(self, task: Task) -> Iterator[Task]:
        """Count one thing that ``task``'s uuid waited for as done; yield the tasks that nothing blocks any more."""
        uuids = [task.uuid]
        while uuids:
            uuid = uuids.pop()
            self._outstanding[uuid] -= 1
            if self._outstanding[uuid]:
                continue
            followers = self._followers.pop(uuid, [])
            if uuid in self._failed:
                self._failed.update(followers)
            uuids += followers
            for child in self._children.pop(uuid, ()):
                identity = (child.uuid, child.index)
                self._blockers[identity] -= 1
                if not self._blockers[identity]:
                    yield child

    def _admit(self, task: Task) -> bool:
        """Make an unblocked task ready, or give it up because of what happened to its parents."""
        parents = self._parents[task.uuid, task.index]
        if self._stopped.intersection(parents):
            self._stopped.add(task.uuid)
        elif not task.tolerant and self._failed.intersection(parents):
            self._failed.add(task.uuid)
            self.not_run += 1
        else:
            if self._failed.intersection(parents):
                task.mark_incomplete()
            self.put_back(task)
            return True
        return False
