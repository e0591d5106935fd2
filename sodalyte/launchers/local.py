"""The local launcher: a pool of worker processes executes a jobflow Flow on this machine.

Finished jobs are found in the store and not run again, so that a run that was killed goes on when it is started again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Literal

from jobflow import Flow, Job

from sodalyte.database import Database, open_database
from sodalyte.launchers.execution import run_folder
from sodalyte.launchers.outcomes import Outcome, finished_outcomes
from sodalyte.launchers.pool import Worker
from sodalyte.launchers.schedule import Schedule, Task
from sodalyte.progress import read_progress

_MAX_TRIES = 5
_LOOKUP = 500
_SHORT = 0.02
_RETRY = 1.0  # s, after which a task that another launcher is running is looked at again
_LOOK = 2.0  # s, after which it is seen again how far running tasks are


@dataclass(frozen=True)
class Event:
    """Something that happened to a job: for progress displays.

    ``seconds`` is the time a finished job took; ``error`` says in a line why one failed, or that another launcher is
    running it: it is then held; ``progress`` says how far a running one is (:mod:`sodalyte.progress`).
    """

    kind: Literal["reused", "started", "running", "finished", "failed", "retried", "held", "missing"]
    task: Task
    finished: int
    total: int
    seconds: float = 0.0
    error: str = ""
    progress: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """A job that failed, the reason in a line, and the file with the traceback."""

    name: str
    uuid: str
    error: str
    traceback: Path


@dataclass
class Summary:
    """How a run ended.

    ``uuids`` are those of all jobs whose outputs are in the store, run now or reused; ``missing`` are the names of
    calculations that were not to be computed.
    """

    ran: int = 0
    reused: int = 0
    not_run: int = 0
    failures: list[Failure] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    uuids: set[str] = field(default_factory=set)

    @property
    def succeeded(self) -> bool:
        """Whether every job ran."""
        return not (self.failures or self.missing or self.not_run)


def run(
    flow: Flow | Job,
    *,
    database: str,
    root: Path,
    workers: int = 2,
    threads: int = 1,
    compute: bool = True,
    on_event: Callable[[Event], None] = lambda _: None,
) -> Summary:
    """Execute ``flow`` with a pool of worker processes.

    Parameters
    ----------
    flow
        Any jobflow flow; what its jobs return as replace, detour or addition is executed too. Functions must be
        importable by name.
    database
        URI of the store (see :func:`sodalyte.database.open_database`).
    root
        Folder for run folders, worker logs and tracebacks.
    workers
        Processes. A worker that dies is replaced; a job whose worker dies five times has failed.
    threads
        Threads for numerical libraries in each worker.
    compute
        Without it only what is no calculation runs; calculations that are not finished in the store are missing.
    on_event
        Called for every job that is reused, starts, has made a step, finishes, fails, is retried, held by another
        launcher, or missing.

    Raises
    ------
    CalculationError
        No worker can be started.
    DatabaseError
        The store does not answer.
    """
    root.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        store = stack.enter_context(open_database(database))
        pool = [
            stack.enter_context(Worker(number, database=database, root=root, threads=threads))
            for number in range(max(workers, 1))
        ]
        return _Run(Schedule(flow), store, root, on_event, compute=compute).drive(pool)


class _Run:
    """One execution of a flow: hands tasks to workers and records what becomes of them."""

    def __init__(
        self, schedule: Schedule, store: Database, root: Path, on_event: Callable[[Event], None], *, compute: bool
    ) -> None:
        self._schedule = schedule
        self._store = store
        self._root = root
        self._on_event = on_event
        self._compute = compute
        self._summary = Summary()
        self._known: dict[tuple[str, int], Outcome] = {}
        self._looked_up: set[str] = set()
        self._held: list[Task] = []
        self._look_again = 0.0
        self._told: set[str] = set()
        self._next_look = 0.0
        self._seen: dict[str, tuple[float, dict[str, Any]]] = {}

    def drive(self, pool: list[Worker]) -> Summary:
        while True:
            self._take_up_held()
            for worker in pool:
                while self._wants_more(worker, len(pool)) and (task := self._next_task()) is not None:
                    worker.give(task)
                    if task.uuid not in self._told:
                        self._report("started", task)
            if not self._schedule.unfinished:
                break
            patience = min(_LOOK, max(0.0, self._look_again - time.monotonic())) if self._held else _LOOK
            for link in wait([worker.link for worker in pool], timeout=patience):
                self._attend(next(worker for worker in pool if worker.link is link))
            self._look_at_running(pool)
        self._summary.not_run = self._schedule.not_run
        return self._summary

    def _wants_more(self, worker: Worker, workers: int) -> bool:
        """Whether to give ``worker`` a task: also one ahead where tasks are short and there are enough for everyone."""
        ahead = worker.seconds < _SHORT and self._schedule.n_ready > workers
        return worker.ready and len(worker.tasks) <= ahead

    def _next_task(self) -> Task | None:
        """Return the next task that has to run; those that are finished in the store are passed over."""
        while (task := self._schedule.pop()) is not None:
            if task.uuid not in self._looked_up:
                batch = [uuid for uuid in self._schedule.waiting(_LOOKUP) if uuid not in self._looked_up]
                self._look_up([task.uuid, *batch])
            outcome = self._known.pop((task.uuid, task.index), None)
            if outcome is not None:
                self._summary.reused += 1
                self._succeed(task, outcome)
                self._report("reused", task)
            elif self._compute or not task.computes:
                return task
            else:
                self._summary.missing.append(task.name)
                self._schedule.fail(task)
                self._report("missing", task)
        return None

    def _look_up(self, uuids: list[str]) -> None:
        self._looked_up.update(uuids)
        self._known.update(finished_outcomes(self._store, uuids))

    def _attend(self, worker: Worker) -> None:
        """Deal with what ``worker`` says, or with its death."""
        reply = worker.take()
        if reply is None:
            self._bury(worker)
        elif not worker.ready:
            worker.ready = True
        else:
            task = worker.tasks.popleft()
            if "held" in reply:
                self._hold(task, reply["held"])
                return
            worker.seconds = reply["seconds"]
            if "error" in reply:
                self._fail(task, reply["error"], reply["traceback"])
            else:
                self._summary.ran += 1
                self._succeed(task, reply["outcome"])
                self._report("finished", task, seconds=worker.seconds)

    def _hold(self, task: Task, error: str) -> None:
        """Leave ``task`` to the launcher that is running it, for now."""
        if not self._held:
            self._look_again = time.monotonic() + _RETRY
        self._held.append(task)
        if task.uuid not in self._told:
            self._told.add(task.uuid)
            self._report("held", task, error=error)

    def _take_up_held(self) -> None:
        """Put held tasks back when it is time: the other launcher may have finished them, or died."""
        if time.monotonic() >= self._look_again:
            self._looked_up.difference_update(task.uuid for task in self._held)
            while self._held:
                self._schedule.put_back(self._held.pop(0))

    def _look_at_running(self, pool: list[Worker]) -> None:
        """Report the steps of running tasks that tell of them."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + _LOOK
        before, self._seen = self._seen, {}
        for task in (worker.tasks[0] for worker in pool if worker.tasks):
            began, told = before.get(task.uuid, (now, {}))
            progress = read_progress(run_folder(self._root, task.uuid, task.index), seconds=now - began)
            self._seen[task.uuid] = began, progress
            if progress.get("step") != told.get("step"):
                self._report("running", task, progress=progress)

    def _succeed(self, task: Task, outcome: Outcome) -> None:
        self._summary.uuids.add(task.uuid)
        self._schedule.succeed(task, outcome)

    def _bury(self, worker: Worker) -> None:
        """Replace a worker that died; its first task counts a try, others are simply given again."""
        worker.restart()
        tasks = list(worker.tasks)
        worker.tasks.clear()
        for task in tasks[1:]:
            self._schedule.put_back(task)
        for task in tasks[:1]:
            task.tries += 1
            if task.tries < _MAX_TRIES:
                self._schedule.put_back(task)
                self._report("retried", task, error=f"its worker was {worker.last_words}")
            else:
                self._fail(task, f"its worker died {_MAX_TRIES} times, last {worker.last_words}", "")

    def _fail(self, task: Task, error: str, trace: str) -> None:
        path = self._root / "failures" / f"{task.uuid}-{task.index}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(trace or error)
        self._summary.failures.append(Failure(task.name, task.uuid, error, path))
        self._schedule.fail(task)
        self._report("failed", task, error=error)

    def _report(self, kind: Any, task: Task, **more: Any) -> None:
        self._on_event(Event(kind, task, self._schedule.finished, self._schedule.total, **more))
