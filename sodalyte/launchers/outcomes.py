"""What a finished job leaves in the database: its output, and what it asks of its launcher, in one document.

Imports no jobflow, so that who only looks after jobs starts at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypedDict

from pymongo import ReplaceOne
from pymongo.errors import ConnectionFailure, DuplicateKeyError

from sodalyte.database import Database, save_results
from sodalyte.database.store import BLOBS, OUTPUTS

OUTCOME = "outcome"


class Outcome(TypedDict):
    """What a finished job asks of its launcher, stored beside its output: jobflow's ``Response``, flows as JSON."""

    replace: str | None
    detour: str | None
    addition: str | None
    stop_children: bool
    stop_jobflow: bool


NOTHING = Outcome(replace=None, detour=None, addition=None, stop_children=False, stop_jobflow=False)
"""Of a job that only leaves its output."""


@dataclass
class Record:
    """All that a job wants to store: its output document, the large parts of it, its results.

    ``outcome`` is None for a job that ran although a parent had failed: it does not count as finished.
    """

    document: dict[str, Any]
    blobs: list[dict[str, Any]] = field(default_factory=list)
    outcome: Outcome | None = None

    def deliver(self, database: Database) -> Outcome | None:
        """Store everything, the output last; doing it again changes nothing.

        Returns
        -------
        Outcome or None
            The outcome in the store: of this record, or of who was first.
        """
        blobs = [ReplaceOne({"blob_uuid": blob["blob_uuid"]}, blob, upsert=True) for blob in self.blobs]
        if blobs:
            database.collection(BLOBS).bulk_write(blobs, ordered=False)
        output = self.document["output"]
        if self.outcome is not None and isinstance(output, dict) and output.get("results"):
            save_results(database, output["results"])
        outputs = database.collection(OUTPUTS)
        try:
            outputs.insert_one(self.document)
        except DuplicateKeyError:
            identity = {key: self.document[key] for key in ("uuid", "index")}
            unfinished = identity | {OUTCOME: {"$exists": False}}
            self.document.pop("_id", None)
            if not outputs.replace_one(unfinished, self.document).matched_count:
                stored: Outcome = outputs.find_one(identity, {OUTCOME: 1})[OUTCOME]
                return stored
        return self.outcome


def finished_outcomes(database: Database, uuids: list[str]) -> dict[tuple[str, int], Outcome]:
    """Return what the finished jobs among ``uuids`` asked of their launcher, by uuid and index."""
    found = stored(database, {"$in": uuids})
    return {(document["uuid"], document["index"]): document[OUTCOME] for document in found if OUTCOME in document}


def stored(database: Database, uuid: str | dict[str, list[str]]) -> Iterable[dict[str, Any]]:
    """Return which indices of a uuid, or of uuids, are in the store, with their outcomes if they are finished."""
    documents: Iterable[dict[str, Any]] = database.collection(OUTPUTS).find(
        {"uuid": uuid}, {"uuid": 1, "index": 1, OUTCOME: 1}
    )
    return documents


def is_away(error: BaseException) -> bool:
    """Tell whether an error, or what caused it, is that the database does not answer."""
    causes = (error, error.__cause__)
    return any(isinstance(cause, ConnectionFailure) or getattr(cause, "timeout", False) for cause in causes)
