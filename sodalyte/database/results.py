"""Keeping results: each once, whoever saves it how often."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from sodalyte.analysis.results import Result
from sodalyte.database.query import ORDER, find
from sodalyte.database.store import OUTPUTS, Database


def save_results(database: Database, results: Iterable[Result | Mapping[str, Any]]) -> None:
    """Save results, or documents of results, under their keys; saving one again changes nothing.

    Beside the fields of the result a document holds its ``key``, also MongoDB's ``_id``, and ``created_at``, the UTC
    time in ISO format at which it was first saved.

    Raises
    ------
    DatabaseError
        The database does not answer.
    """
    from pymongo import UpdateOne

    now = datetime.now(UTC).isoformat(timespec="seconds")
    requests = []
    for result in map(Result.model_validate, results):
        document = result.model_dump(mode="json") | {"key": result.key()}
        change = {"$set": document, "$setOnInsert": {"created_at": now}}
        requests.append(UpdateOne({"_id": result.key()}, change, upsert=True))
    if requests:
        with database.answering():
            database.results.bulk_write(requests, ordered=False)


def load_results(database: Database, *terms: str) -> list[Result]:
    """Return the results that fulfil all terms (see :func:`sodalyte.database.query.find`), sorted.

    Raises
    ------
    QueryError
        A term cannot be understood.
    DatabaseError
        The database does not answer.
    """
    return [Result(**document) for document in find(database, terms, columns=list(Result.model_fields))]


def results_of(database: Database, uuids: Iterable[str]) -> list[Result]:
    """Return, sorted, the results that the outputs of jobs hold.

    Parameters
    ----------
    uuids
        Of the jobs.

    Raises
    ------
    DatabaseError
        The database does not answer.
    """
    criteria = {"uuid": {"$in": list(uuids)}, "output.results.0": {"$exists": True}}
    with database.answering():
        outputs = list(database.collection(OUTPUTS).find(criteria, {"output.results": 1}))
    results = [Result.model_validate(document) for output in outputs for document in output["output"]["results"]]
    return sorted({result.key(): result for result in results}.values(), key=_position)


def _position(result: Result) -> list[tuple[bool, Any]]:
    values = [getattr(result, field, None) for field in ORDER]
    return [(value is not None, value) for value in values]
