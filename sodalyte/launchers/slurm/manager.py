"""The manager of a campaign on a cluster: keeps allocations queued, and Slurm's truth and the fireworks together.

It remembers nothing that Slurm and the database do not know. Killed at any moment and started again, it finds its
allocations by their names and goes on; without it, allocations that are queued do their work all the same.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from sodalyte.errors import ClusterError, DatabaseError
from sodalyte.launchers.fireworks import spool
from sodalyte.launchers.fireworks.records import FIZZLED, PAUSED, READY, RUNNING
from sodalyte.launchers.policy import POLICY
from sodalyte.launchers.slurm.allocations import Allocations
from sodalyte.launchers.slurm.causes import end_of_job
from sodalyte.launchers.slurm.queue import Queue, RefusedError, SlurmJob, UnreachableError
from sodalyte.launchers.slurm.reconcile import Lost, Reconciler
from sodalyte.launchers.slurm.refusals import Refusal, hopeless, refusal_of
from sodalyte.launchers.slurm.settings import LOCK, LOG, WORKERS, Settings, State, load_state, write_private

if TYPE_CHECKING:
    from sodalyte.database import Database

PAUSE = 10.0
"""Seconds between two passes."""

MAX_REFUSALS, MAX_PASSING_REFUSALS = 3, 60
"""How often a submission that was refused is tried again while no allocation is left; more often if that can pass."""

REFUSED_AGAIN = 600.0
"""Seconds after which a kept result that the database refused is offered to it again."""

MAX_FAILURES = 5
"""How many allocations may fail one after the other before no more are submitted."""

_LOCK_TRIES, _LOCK_PAUSE = 10, 0.1  # others who only ask hold the lock for an instant

ENDED = frozenset({"complete", "failed", "paused", "allocations fail"})
"""States in which nothing is left to manage."""


class ManagedError(ClusterError):
    """Another manager is at work on the campaign."""


class Manager:
    """Manages one campaign on one cluster.

    Parameters
    ----------
    database
        Open; it belongs to this thread.
    tell
        Called with a sentence for whatever a person should know.
    """

    def __init__(
        self, settings: Settings, database: Database, *, queue: Queue | None = None, tell: Callable[[str], None] = print
    ) -> None:
        from sodalyte.launchers.fireworks import Launchpad

        self.settings = settings
        self._launchpad = Launchpad(database)
        self._queue = queue or Queue()
        self._tell = tell
        self._allocations = Allocations(settings, self._queue, self._launchpad)
        self._reconciler = Reconciler(self._launchpad, self._queue, campaign=settings.campaign, folder=settings.folder)
        self._refused_files: dict[Path, float] = {}
        self._refused = 0
        self._most_refusals = MAX_REFUSALS
        self._failures = 0
        self._failure = ""
        self._reached = False
        self._said = ""
        self._slurm = ""

    def run(self, *, pause: float = PAUSE, show: Callable[[State], None] = lambda _: None) -> State:
        """Manage the campaign until it is over, or nothing can run any more, and return how it stands."""
        while True:
            state = self.step()
            show(state)
            if state.state in ENDED:
                return state
            if self._refused > self._most_refusals:
                with suppress(UnreachableError):
                    self._allocations.cancel_hopeless()
                return state
            in_vain = self._refused and self._most_refusals == MAX_REFUSALS
            time.sleep(min(pause, 1.0) if in_vain else pause)

    def step(self) -> State:
        """Look once at everything, and do what follows from it."""
        try:
            with self._launchpad.database.answering():
                state = self._step()
            self._reached = True
        except (UnreachableError, RefusedError, DatabaseError) as error:
            self._refused += not self._reached  # later it may come back: allocations work on meanwhile
            name = "the database does not answer" if isinstance(error, DatabaseError) else "Slurm does not answer"
            advice = (
                "" if self._reached else "; run this where it does ('sodalyte doctor --cluster' tells), or try later"
            )
            state = self._state(name, f"{error}{advice}")
        if state.message and state.message != self._said:
            self._tell(f"{state.state}: {state.message}")
        self._said = state.message
        state.save(self.settings.folder)
        return state

    def _step(self) -> State:
        self._slurm = self._queue.cluster
        self._deliver()
        for lost in self._reconciler.reconcile():
            self._tell(lost.sentence)
            self._note(lost)
        counts = self._launchpad.counts(self.settings.campaign)
        if not counts[READY] and not counts[RUNNING]:
            return self._finish(counts)
        self._count_failures()
        if self._failures >= MAX_FAILURES:
            message = f"{self._failures} one after the other; the last: {self._failure}"
            return self._state("allocations fail", message, self._allocations.current(), counts)
        refusal = None
        try:
            submitted = self._allocations.fill(counts[READY], running=self._reconciler.running, most=self._most())
        except RefusedError as error:
            refusal = refusal_of(str(error))
        else:
            if submitted:
                self._tell(f"allocations submitted to {self.settings.cluster_name}: {submitted}")
        return self._judge(refusal, counts)

    def _deliver(self) -> None:
        """Deliver what jobs kept while the database was away; say once what it does not take."""
        now = time.monotonic()
        tried = {path for path, since in self._refused_files.items() if now - since < REFUSED_AGAIN}
        delivered = spool.deliver(self._launchpad.database, self.settings.root, skip=tried)
        for path in delivered.damaged:
            self._tell(f"damaged, its job has to run again: {path}")
        for path, reason in delivered.refused:
            if path not in self._refused_files:
                self._tell(f"refused by the database ({reason}): {path}")
            self._refused_files[path] = now

    def _count_failures(self) -> None:
        """Count allocations that failed, or ended before they came to anything; back from 0 after one that did not."""
        for job in self._allocations.ended():
            end = end_of_job(job, job.id)
            if end is None:
                continue
            if end.cause == "FAILED" or (job.nodes and not self._allocations.has_begun(job)):
                self._failures += 1
                words = self._allocations.last_words(job) or "it wrote nothing"
                self._failure = f"{end.reason}: {words}"
            elif end.cause == "COMPLETED":
                self._failures = 0

    def _judge(self, refusal: Refusal | None, counts: dict[str, int]) -> State:
        """Say how the campaign stands, given what Slurm made of the last submission."""
        jobs = self._allocations.current()
        running = any(job.alive for job in jobs)
        stuck = [found for job in jobs if (found := hopeless(job)) is not None]
        waiting = [job for job in jobs if job.waiting]
        if refusal is None and stuck and len(stuck) == len(waiting):
            refusal = stuck[0]
        if running or (waiting and not stuck) or refusal is None:
            self._refused = 0
            sentence = refusal.sentence if refusal is not None and not refusal.passing else ""
            return self._state("running" if running else "waiting", sentence, jobs, counts)
        self._refused += 1
        self._most_refusals = MAX_PASSING_REFUSALS if refusal.passing else MAX_REFUSALS
        return self._state(refusal.name, refusal.sentence, jobs, counts)

    def _finish(self, counts: dict[str, int]) -> State:
        """Nothing runs and nothing can become ready: allocations that wait or idle are not needed any more."""
        jobs = self._allocations.current()
        self._queue.cancel(job.label for job in jobs if job.waiting)
        self._queue.warn(job.label for job in jobs if job.state == "RUNNING")
        if counts[PAUSED]:
            message = f"{counts[PAUSED]} jobs are held back; 'sodalyte resume' and 'sodalyte submit' let them run"
            return self._state("paused", message, jobs, counts)
        if counts[FIZZLED]:
            message = (
                f"{counts[FIZZLED]} jobs have no answer; 'sodalyte status' says why, 'sodalyte retry' and "
                "'sodalyte submit' try again"
            )
            return self._state("failed", message, jobs, counts)
        return self._state("complete", "", jobs, counts)

    def _note(self, lost: Lost) -> None:
        """Take a lost job into account: what it needs now, and which node new allocations should stay away from."""
        self._allocations.look_again()
        if POLICY[lost.end.cause].remedy == "another node" and lost.run.node:
            self._allocations.avoid(lost.run.node)

    def _most(self) -> int:
        """Return how many allocations are wanted at most; the command says so while a manager is at work."""
        try:
            wanted = int(json.loads((self.settings.folder / WORKERS).read_text()))
        except (FileNotFoundError, ValueError):
            wanted = self.settings.cluster.max_queued
        return min(wanted, self.settings.cluster.max_queued)

    def _state(
        self, state: str, message: str, jobs: Sequence[SlurmJob] = (), counts: Mapping[str, int] | None = None
    ) -> State:
        return State(
            state=state,
            message=message,
            allocations=dict(Counter(job.state for job in jobs)),
            pending=dict(Counter(job.reason for job in jobs if job.waiting and job.reason)),
            counts={name: number for name, number in (counts or {}).items() if number},
            updated=time.time(),
            host=socket.gethostname(),
            pid=os.getpid(),
            slurm=self._slurm,
        )


@contextmanager
def in_charge(settings: Settings) -> Iterator[None]:
    """Be the only manager of a campaign on a cluster.

    Raises
    ------
    ManagedError
        Another one is at work.
    """
    with _lock_file(settings) as file:
        for _ in range(_LOCK_TRIES):
            if _locked(file, fcntl.LOCK_EX):
                break
            time.sleep(_LOCK_PAUSE)
        else:
            state = load_state(settings.folder)
            where = f" (process {state.pid} on {state.host})" if state else ""
            raise ManagedError(
                f"campaign {settings.campaign} has a manager at work on {settings.cluster_name}{where}; "
                "let it, or end it"
            )
        yield


def is_managed(settings: Settings) -> bool:
    """Tell whether a manager is at work on a campaign."""
    with _lock_file(settings) as file:
        return not _locked(file, fcntl.LOCK_SH)


def _lock_file(settings: Settings) -> TextIO:
    settings.folder.mkdir(parents=True, exist_ok=True)
    return (settings.folder / LOCK).open("a+")


def _locked(file: TextIO, how: int) -> bool:
    try:
        fcntl.lockf(file, how | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def set_workers(settings: Settings, number: int | None) -> None:
    """Say how many allocations are wanted at most, to this campaign's next manager and to one at work."""
    path = settings.folder / WORKERS
    if number is None:
        path.unlink(missing_ok=True)
    else:
        settings.folder.mkdir(parents=True, exist_ok=True)
        write_private(path, number)


def detach(settings: Settings) -> int:
    """Start a manager that outlives this process and terminal; return its process id."""
    path = settings.save()
    with (settings.folder / LOG).open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - our own module, no shell
            [sys.executable, "-m", "sodalyte.launchers.slurm.manager", str(path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    return process.pid


def main() -> None:
    """Manage a campaign until it is over: ``python -m sodalyte.launchers.slurm.manager SETTINGS [PAUSE]``."""
    from sodalyte.database import open_database

    def tell(sentence: str) -> None:
        sys.stdout.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {sentence}\n")
        sys.stdout.flush()

    settings = Settings.load(Path(sys.argv[1]))
    try:
        with in_charge(settings), open_database(settings.database) as database:
            state = Manager(settings, database, tell=tell).run(pause=float(sys.argv[2]) if sys.argv[2:] else PAUSE)
    except (ClusterError, DatabaseError) as error:
        raise SystemExit(str(error)) from error
    tell(state.state)
    raise SystemExit(state.state != "complete")


if __name__ == "__main__":
    main()
