"""Running one job so that it is finished whole or not at all, and never twice.

Every launcher runs its jobs through an :class:`Executor`.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pymongo
from jobflow import Flow, Job, JobStore
from jobflow.core.job import store_inputs
from maggma.stores import MongoStore
from monty.json import jsanitize
from pymongo.errors import PyMongoError

from sodalyte.database import Database
from sodalyte.database.trajectories import TRAJECTORY_ROOT
from sodalyte.errors import CalculationError, DatabaseError
from sodalyte.launchers.identity import INCOMPLETE, as_json, identify, is_identified
from sodalyte.launchers.orphans import OWNER, end_orphans, signature
from sodalyte.launchers.outcomes import OUTCOME, Outcome, Record, is_away, stored

if TYPE_CHECKING:
    from jobflow.core.schemas import JobStoreDocument


class HeldError(CalculationError):
    """Another process is running the job, or runs in its folder."""


class KeptError(DatabaseError):
    """A job is finished, but the database is away: ``path`` keeps all that it wants to store."""

    def __init__(self, path: Path, outcome: Outcome) -> None:
        super().__init__(f"the database is away; the output is kept in {path} and delivered later ('sodalyte sync')")
        self.path = path
        self.outcome = outcome


class Executor:
    """Runs jobs one at a time against a database; as a context manager it closes its files.

    Parameters
    ----------
    database
        Where references are resolved and outputs kept.
    root
        Folder of run folders, journal and locks, shared by all processes that could run the same jobs.
    keep
        Keeps a finished job's record on disk when the database is away, and says where.
    store_timeout
        Seconds that storing an output may take before it is kept on disk.
    """

    def __init__(
        self,
        database: Database,
        root: Path,
        *,
        keep: Callable[[Record], Path] | None = None,
        store_timeout: float = 15.0,
    ) -> None:
        self._database = database
        self._root = root
        self._keep = keep
        self._store_timeout = store_timeout
        self._recorder = _Recorder(database.job_store)
        root.mkdir(parents=True, exist_ok=True)
        self._locks = (root / ".locks").open("a")
        self._journal = (root / "journal.txt").open("a", buffering=1)
        os.environ[TRAJECTORY_ROOT] = str(root.parent / "trajectories")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._journal.close()
        self._locks.close()

    def run(self, job: Job, *, wait: bool = True) -> Outcome:
        """Run ``job`` in a folder of its own and store its output, unless it is finished already.

        The output, what the job asks of the launcher, and the mark that it is finished are one document, written at
        once; large parts and scientific results (an output's ``results``) are saved just before. A lock, which the
        system releases when the process dies, keeps a second process from running the same job at the same time. The
        name of the owner in the run folder is the second line: where a file system lost the lock and somebody else has
        begun, the output is refused, because the folder was shared.

        Parameters
        ----------
        wait
            For a process that is running the same job, until it has ended.

        Raises
        ------
        HeldError
            Somebody else runs the job and ``wait`` is false, or has taken it over meanwhile.
        KeptError
            The job is finished, the database is away.
        """
        with self._alone(job, wait=wait):
            found = {document["index"]: document.get(OUTCOME) for document in stored(self._database, job.uuid)}
            finished: Outcome | None = found.get(job.index)
            if finished is not None:
                return finished
            folder = run_folder(self._root, job.uuid, job.index)
            with _owned(folder) as still_owned:
                self._note("start", job)
                with chdir(folder):
                    response = job.run(self._recorder)
                outcome = Outcome(
                    replace=_as_json(response.replace, job),
                    detour=_as_json(response.detour, job),
                    addition=_as_json(response.addition, job),
                    stop_children=response.stop_children,
                    stop_jobflow=response.stop_jobflow,
                )
                record = self._recorder.record(None if job.metadata.get(INCOMPLETE) else outcome)
                if not still_owned():
                    raise HeldError(f"{folder} was taken over by another process; the output of this one is refused")
                outcome = self._store(record, outcome)
            self._note("end", job)
            return outcome

    def _store(self, record: Record, outcome: Outcome) -> Outcome:
        if self._keep is None:
            return record.deliver(self._database) or outcome
        try:
            with pymongo.timeout(self._store_timeout):
                return record.deliver(self._database) or outcome
        except (PyMongoError, DatabaseError) as error:
            if not is_away(error):
                raise
            raise KeptError(self._keep(record), outcome) from error

    def _note(self, event: str, job: Job) -> None:
        """Write a line to the journal of executions: time, event, uuid-index, process, name."""
        now = datetime.now(UTC).isoformat()
        self._journal.write(f"{now} {event} {job.uuid}-{job.index} {os.getpid()} {job.name}\n")

    @contextmanager
    def _alone(self, job: Job, *, wait: bool) -> Iterator[None]:
        """Hold the lock of ``job``: one byte of one file, at an offset that its uuid and index give."""
        where = (int(job.uuid.replace("-", "")[:14], 16) << 6) + job.index % 64
        try:
            fcntl.lockf(self._locks, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), 1, where)
        except BlockingIOError:
            raise HeldError(f"{job.name} is still running in another process") from None
        try:
            yield
        finally:
            fcntl.lockf(self._locks, fcntl.LOCK_UN, 1, where)


def run_folder(root: Path, uuid: str, index: int) -> Path:
    """Return the folder in which a job runs, which is made if it is not there."""
    folder = root / uuid[:2] / f"{uuid}-{index}"
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def _owned(folder: Path) -> Iterator[Callable[[], bool]]:
    """Sign a run folder; what a predecessor that was killed left running in it is ended first.

    Gives a function that tells whether the signature is still there.
    """
    path = folder / OWNER
    if path.exists():
        end_orphans(folder, path.read_text(errors="replace"))
    mine = signature()
    path.write_text(mine)

    def still_owned() -> bool:
        try:
            return path.read_text(errors="replace") == mine
        except FileNotFoundError:
            return False

    try:
        yield still_owned
    finally:
        if still_owned():
            path.unlink()


class _Captured(MongoStore):  # type: ignore[misc]
    """A store that is read as it is, and keeps what is to be written."""

    written: list[dict[str, Any]]

    def update(self, docs: list[dict[str, Any]], key: Any = None) -> None:  # noqa: ARG002
        self.written = docs


class _Recorder(JobStore):  # type: ignore[misc]
    """A job store that keeps what a job writes until everything about the job is known."""

    def __init__(self, store: JobStore) -> None:
        documents = _Captured.from_collection(store.docs_store._collection)
        blobs = {name: _Captured.from_collection(kept._collection) for name, kept in store.additional_stores.items()}
        super().__init__(documents, additional_stores=blobs, save=store.save, load=store.load)
        self._document: JobStoreDocument | None = None
        self._save: Any = None

    def update(self, docs: JobStoreDocument, key: Any = None, save: Any = None) -> None:  # noqa: ARG002
        self._document, self._save = docs, save

    def record(self, outcome: Outcome | None) -> Record:
        """Return what the job wrote, with its outcome; without one it does not count as finished."""
        document = jsanitize(self._document, strict=True, allow_bson=True)
        if outcome is not None:
            document[OUTCOME] = outcome
        blobs = self.additional_stores["data"]
        blobs.written = []
        super().update(document, save=self._save)
        return Record(self.docs_store.written[0], blobs.written, outcome)


def _as_json(flow: Flow | None, parent: Job) -> str | None:
    if flow is None:
        return None
    for job in flow.jobs:
        if job.uuid == parent.uuid and job.name == store_inputs.__name__:
            job.name = f"result of {parent.name}"
    return as_json(identify(flow, keep=parent.uuid) if is_identified(parent) else flow)
