"""Running one job so that it is finished whole or not at all, and never twice.

Every launcher runs its jobs through an :class:`Executor`.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import chdir, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from jobflow import Flow, Job, JobStore
from maggma.stores import MongoStore
from monty.json import jsanitize

from sodalyte.database import Database, save_results
from sodalyte.database.store import OUTPUTS
from sodalyte.database.trajectories import TRAJECTORY_ROOT
from sodalyte.launchers.identity import INCOMPLETE, as_json, identify, is_identified

if TYPE_CHECKING:
    from jobflow.core.schemas import JobStoreDocument

OUTCOME = "outcome"


class Outcome(TypedDict):
    """What a finished job asks of its launcher, stored beside its output: jobflow's ``Response``, flows as JSON."""

    replace: str | None
    detour: str | None
    addition: str | None
    stop_children: bool
    stop_jobflow: bool


class Executor:
    """Runs jobs one at a time against a database.

    Parameters
    ----------
    database
        Where references are resolved and outputs kept.
    root
        Folder of run folders, journal and locks, shared by all processes that could run the same jobs.
    """

    def __init__(self, database: Database, root: Path) -> None:
        self._database = database
        self._root = root
        self._recorder = _Recorder(database.job_store)
        root.mkdir(parents=True, exist_ok=True)
        self._locks = (root / ".locks").open("a")
        self._journal = (root / "journal.txt").open("a", buffering=1)
        os.environ[TRAJECTORY_ROOT] = str(root.parent / "trajectories")

    def run(self, job: Job) -> Outcome:
        """Run ``job`` in a folder of its own and store its output, unless it is finished already.

        The output, what the job asks of the launcher, and the mark that it is finished are one document, written at
        once; scientific results (an output's ``results``) are saved just before. A lock, which the system releases when
        the process dies, keeps a second process from running the same job at the same time.
        """
        with self._alone(job):
            stored = {document["index"]: document.get(OUTCOME) for document in _stored(self._database, job.uuid)}
            finished: Outcome | None = stored.get(job.index)
            if finished is not None:
                return finished
            self._note("start", job)
            with chdir(run_folder(self._root, job.uuid, job.index)):
                response = job.run(self._recorder)
            outcome = Outcome(
                replace=_as_json(response.replace, job),
                detour=_as_json(response.detour, job),
                addition=_as_json(response.addition, job),
                stop_children=response.stop_children,
                stop_jobflow=response.stop_jobflow,
            )
            if job.index in stored:
                self._recorder.remove_docs({"uuid": job.uuid, "index": job.index})
            self._recorder.commit(self._database, None if job.metadata.get(INCOMPLETE) else outcome)
            self._note("end", job)
            return outcome

    def _note(self, event: str, job: Job) -> None:
        """Write a line to the journal of executions: time, event, uuid-index, process, name."""
        now = datetime.now(UTC).isoformat()
        self._journal.write(f"{now} {event} {job.uuid}-{job.index} {os.getpid()} {job.name}\n")

    @contextmanager
    def _alone(self, job: Job) -> Iterator[None]:
        """Hold the lock of ``job``: one byte of one file, at an offset that its uuid and index give."""
        where = (int(job.uuid.replace("-", "")[:14], 16) << 6) + job.index % 64
        fcntl.lockf(self._locks, fcntl.LOCK_EX, 1, where)
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


def finished_outcomes(database: Database, uuids: list[str]) -> dict[tuple[str, int], Outcome]:
    """Return what the finished jobs among ``uuids`` asked of their launcher, by uuid and index."""
    found = _stored(database, {"$in": uuids})
    return {(document["uuid"], document["index"]): document[OUTCOME] for document in found if OUTCOME in document}


def _stored(database: Database, uuid: str | dict[str, list[str]]) -> Iterable[dict[str, Any]]:
    """Return which indices of a uuid are in the store, with their outcomes if they are finished."""
    documents: Iterable[dict[str, Any]] = database.collection(OUTPUTS).find(
        {"uuid": uuid}, {"uuid": 1, "index": 1, OUTCOME: 1}
    )
    return documents


class _NewDocuments(MongoStore):  # type: ignore[misc]
    """The documents' store, for documents that are not there yet: one insertion instead of a search and a write."""

    def update(self, docs: list[dict[str, Any]], key: Any = None) -> None:  # noqa: ARG002
        self._collection.insert_many(docs)


class _Recorder(JobStore):  # type: ignore[misc]
    """A job store that keeps what a job writes until everything about the job is known."""

    def __init__(self, store: JobStore) -> None:
        documents = _NewDocuments.from_collection(store.docs_store._collection)
        super().__init__(documents, additional_stores=store.additional_stores, save=store.save, load=store.load)
        self._document: JobStoreDocument | None = None
        self._save: Any = None

    def update(self, docs: JobStoreDocument, key: Any = None, save: Any = None) -> None:  # noqa: ARG002
        self._document, self._save = docs, save

    def commit(self, database: Database, outcome: Outcome | None) -> None:
        """Store what the job wrote, with its outcome; without one it does not count as finished."""
        document = jsanitize(self._document, strict=True, allow_bson=True)
        if outcome is not None:
            document[OUTCOME] = outcome
            output = document["output"]
            if isinstance(output, dict) and output.get("results"):
                save_results(database, output["results"])
        super().update(document, save=self._save)


def _as_json(flow: Flow | None, parent: Job) -> str | None:
    if flow is None:
        return None
    return as_json(identify(flow, keep=parent.uuid) if is_identified(parent) else flow)
