"""The worker of a campaign: pulls fireworks and runs them, one after the other, until too little time is left.

Started as ``python -m sodalyte.launchers.fireworks.pilot SETTINGS``, where SETTINGS is a JSON file that only its owner
may read. Jobs run in a process of their own (:mod:`~sodalyte.launchers.fireworks.child`). SIGTERM and SIGUSR1, and the
approach of the deadline in the environment, end the pilot in order: the job that runs is asked to stop, and goes back
to the queue with what it has done.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sodalyte import interruption
from sodalyte.errors import DatabaseError, SodalyteError
from sodalyte.launchers.fireworks.child import Child
from sodalyte.launchers.fireworks.records import Pilot
from sodalyte.launchers.fireworks.settings import Settings
from sodalyte.launchers.memory import oom_kills
from sodalyte.launchers.orphans import OWNER, end_orphans
from sodalyte.launchers.policy import Room
from sodalyte.progress import read_progress

if TYPE_CHECKING:
    from sodalyte.database import Database
    from sodalyte.launchers.fireworks.launchpad import Launchpad
    from sodalyte.launchers.fireworks.records import Claim

Answer = TypeVar("Answer")

DELIVERY_TIMEOUT = 300.0
"""Seconds that storing what was kept on the disk may take."""

_FIRST_POLL, _SLOWEST_POLL = 0.05, 1.0
_HELD_FIRST, _HELD_LONGEST = 2.0, 60.0
_LOOK = 0.5
_NOTE_TIMEOUT = 3.0
_ESTIMATE_AGE = 300.0
_STOPPABLE = ("relax", "dynamics")
_MARGIN = 1.2
_HOURS_SPENT = 0.95
"""Part of the hours that a job asks for at which an allocation that has just begun still counts as long enough."""


class Work:
    """A pilot at work: claims fireworks, has its child run them, and records what becomes of them."""

    def __init__(self, settings: Settings, database: Database, child: Child, me: Pilot) -> None:
        from sodalyte.launchers.fireworks.launchpad import Launchpad

        self._settings = settings
        self._database = database
        self._launchpad: Launchpad = Launchpad(database)
        self._child = child
        self._me = me
        self._held: dict[int, tuple[float, float]] = {}
        self._needed: tuple[float, dict[str, float]] = (-_ESTIMATE_AGE, {})
        self._room = Room.here()
        self._oom_kills = 0
        self.finished = 0

    def run(self) -> None:
        """Work until there is nothing to do, too little time is left, or a stop is requested.

        Raises
        ------
        DatabaseError
            The database stayed away.
        """
        last_work = time.monotonic()
        pause = _FIRST_POLL
        while not interruption.stop_requested() and self._time_left() > self._settings.minimum:
            claim = self._claim()
            if claim is not None:
                self._fly(claim)
                last_work, pause = time.monotonic(), _FIRST_POLL
                continue
            if time.monotonic() - last_work > self._settings.idle:
                break
            time.sleep(min(pause, self._settings.idle))
            pause = min(2 * pause, _SLOWEST_POLL)

    def _time_left(self) -> float:
        return interruption.time_left() - self._settings.warning

    def _claim(self) -> Claim | None:
        now = time.monotonic()
        left = interruption.time_left()
        claims = self._persist(
            lambda: self._launchpad.claim(
                self._me,
                campaign=self._settings.campaign or None,
                avoid=[number for number, (until, _) in self._held.items() if until > now],
                stages=self._stages_too_long(),
                memory=self._room.memory,
                hours=None if left == float("inf") else left / 3600 / _HOURS_SPENT,
                root=str(self._settings.root),
            )
        )
        return claims[0] if claims else None

    def _stages_too_long(self) -> list[str]:
        """Return the stages whose jobs, judged by the last ones, would not end in time and cannot be stopped."""
        left = self._time_left()
        if left == float("inf"):
            return []
        if time.monotonic() - self._needed[0] > _ESTIMATE_AGE:
            self._needed = time.monotonic(), self._persist(self._launchpad.seconds_needed)
        needed = self._needed[1].items()
        return [stage for stage, seconds in needed if stage not in _STOPPABLE and _MARGIN * seconds > left]

    def _fly(self, claim: Claim) -> None:
        """Run a claimed job and record how it ended; one that is kept on the disk is delivered instead."""
        from sodalyte.launchers.fireworks import spool

        if spool.file_of(self._settings.root, *claim.identity).exists() and self._deliver(claim):
            return
        self._oom_kills = oom_kills()
        self._child.give(claim)
        answer = self._wait(claim)
        if answer is None:
            self._crashed(claim)
        elif "over" in answer:
            self._overdue(claim)
        elif "cancelled" in answer:
            self._child.end(grace=1.0)
            self._end_orphans(claim)
            self._restart()
        elif "outcome" in answer:
            outcome = answer["outcome"]
            self._persist(lambda: self._launchpad.complete(claim, outcome), claim)
            self.finished += 1
        elif "kept" in answer:
            if not self._deliver(claim):
                self._persist(lambda: self._launchpad.release(claim, "its kept output is damaged"), claim)
        elif "held" in answer:
            _, waited = self._held.get(claim.fw_id, (0.0, _HELD_FIRST / 2))
            pause = min(2 * waited, _HELD_LONGEST)
            self._held[claim.fw_id] = time.monotonic() + pause, pause
            self._persist(lambda: self._launchpad.release(claim, answer["held"]), claim)
        elif "stopped" in answer or "away" in answer:
            reason = answer.get("stopped") or answer["away"]
            self._persist(lambda: self._launchpad.release(claim, reason), claim)
        else:
            self._failed(claim, answer["cause"], answer["error"], stacktrace=answer["traceback"])

    def _failed(self, claim: Claim, cause: str, reason: str, *, stacktrace: str = "") -> None:
        deadline = self._me.deadline
        hours = (deadline - claim.started) / 3600 if deadline else 0.0
        self._persist(
            lambda: self._launchpad.fail(claim, cause, reason, room=self._room, hours=hours, stacktrace=stacktrace),
            claim,
        )

    def _crashed(self, claim: Claim) -> None:
        """Record that the child died, and replace it."""
        how = self._child.bury()
        self._end_orphans(claim)
        reason = f"its process ended with {how}" if how.startswith("exit") else f"its process was {how}"
        if oom_kills() > self._oom_kills:
            self._failed(claim, "OUT_OF_MEMORY", f"the kernel killed it for want of memory: {reason}")
        else:
            self._failed(claim, "CRASHED", reason)
        self._restart()

    def _restart(self) -> None:
        if not interruption.stop_requested():
            self._child.start()
            make_ready(self._child)

    def _wait(self, claim: Claim) -> dict[str, Any] | None:
        """Wait for the child's answer, or the last moment; note its progress, and ask it to stop when it must."""
        asked = 0.0
        noted = time.monotonic()
        while not self._child.link.poll(min(_LOOK, self._settings.heartbeat)):
            now = time.monotonic()
            if not asked and (interruption.stop_requested() or self._time_left() <= 0):
                asked = now
                self._child.request_stop()
            if interruption.time_left() < self._settings.kill:
                break
            if now - noted > self._settings.heartbeat:
                noted = now
                if not self._note_progress(claim):
                    return {"cancelled": True}
        else:
            return self._child.take()
        return {"over": True}

    def _overdue(self, claim: Claim) -> None:
        """Kill a job that did not stop; the pilot ends after it."""
        self._note_progress(claim)
        self._child.end(grace=2.0)
        interruption.request_stop()
        self._failed(claim, "TIMEOUT", "it did not stop before the time limit")
        self._end_orphans(claim)

    def _end_orphans(self, claim: Claim) -> None:
        """End the programs that a child which is dead left running in a job's folder."""
        folder = self._folder(claim)
        with suppress(OSError):
            end_orphans(folder, (folder / OWNER).read_text(errors="replace"), of=self._child.pid)

    def _folder(self, claim: Claim) -> Path:
        return self._settings.root / claim.uuid[:2] / f"{claim.uuid}-{claim.index}"

    def _note_progress(self, claim: Claim) -> bool:
        """Note how far a job is; False when somebody cancelled it."""
        import pymongo
        from pymongo.errors import PyMongoError

        progress = read_progress(self._folder(claim), seconds=time.time() - claim.started)
        try:
            with pymongo.timeout(_NOTE_TIMEOUT):
                return self._launchpad.progress(claim, progress) or not self._launchpad.is_cancelled(claim)
        except PyMongoError:
            return True  # the job goes on; the next note will do

    def _deliver(self, claim: Claim) -> bool:
        """Deliver what is kept on the disk; False if that does not end the claim."""
        from sodalyte.launchers.fireworks import spool
        from sodalyte.launchers.outcomes import finished_outcomes

        def deliver() -> bool:
            refused = dict(spool.deliver(self._database, self._settings.root).refused)
            outcome = finished_outcomes(self._database, [claim.uuid]).get(claim.identity)
            path = spool.file_of(self._settings.root, *claim.identity)
            if outcome is not None:
                self._launchpad.complete(claim, outcome)
            elif path in refused:
                self._launchpad.fail(claim, "ERROR", f"its output waits in {path}: {refused[path]}")
            return outcome is not None or not self._launchpad.progress(claim, {})

        ended = self._persist(deliver, claim, seconds=DELIVERY_TIMEOUT)
        self.finished += ended
        return ended

    def _persist(
        self, action: Callable[[], Answer], claim: Claim | None = None, *, seconds: float | None = None
    ) -> Answer:
        """Do something with the database, again and again while it is away.

        Raises
        ------
        DatabaseError
            It stayed away.
        """
        import pymongo

        from sodalyte.launchers.outcomes import is_away

        deadline = min(time.monotonic() + self._settings.patience, time.monotonic() + interruption.time_left())
        pause = _FIRST_POLL
        failed = seconds is not None  # what may take long is not tried before the database has answered
        while True:
            try:
                with self._database.answering():
                    if failed:
                        with pymongo.timeout(self._settings.answer):
                            self._launchpad.disown(self._me, claim)
                    with pymongo.timeout(seconds or self._settings.answer):
                        return action()
            except DatabaseError as error:
                if not is_away(error):
                    raise
                if time.monotonic() + pause > deadline or (interruption.stop_requested() and claim is None):
                    raise
                failed = True
                time.sleep(pause)
                pause = min(2 * pause, 5.0)


def make_ready(child: Child) -> None:
    """Wait until a child has started.

    Raises
    ------
    DatabaseError
        It cannot open the database, or it died.
    """
    answer = child.take()
    if answer is None:
        raise DatabaseError(f"the process for jobs died as it started ({child.bury()}); its log says why")
    if "unready" in answer:
        raise DatabaseError(answer["unready"])


def run(settings: Settings) -> int:
    """Be a pilot; return how many jobs were finished.

    Raises
    ------
    DatabaseError
        The database does not answer at the start, or stayed away later.
    """
    deadline = float(os.environ[interruption.DEADLINE]) if interruption.DEADLINE in os.environ else None
    me = Pilot.here(slot=int(os.environ.get("SLURM_PROCID", "0")), deadline=deadline)
    settings.root.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        log = settings.root / "pilots" / f"{me.uuid}.log"
        log.parent.mkdir(exist_ok=True)
        child = Child(
            database=settings.database,
            root=settings.root,
            log=log,
            threads=settings.threads,
            store_timeout=1.5 * settings.answer,
        )
        stack.callback(child.end)
        from sodalyte.database import open_database  # here, while the child imports what jobs need
        from sodalyte.launchers.fireworks import spool

        database = open_database(settings.database)
        stack.callback(_close, database, settings.answer)
        spool.deliver(database, settings.root)
        make_ready(child)
        work = Work(settings, database, child, me)
        work.run()
        return work.finished


def _close(database: Database, seconds: float) -> None:
    import pymongo

    with pymongo.timeout(seconds):  # it takes leave of the server, which may be away
        database.close()


def main() -> None:
    """Run a pilot from the command line."""
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, lambda *_: interruption.request_stop())
    try:
        run(Settings.read(Path(sys.argv[1])))
    except SodalyteError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(error.exit_code) from None


if __name__ == "__main__":
    main()
