"""Moving results between databases in one file: gzipped JSON lines with a header, and a footer that proves them whole.

The header names the format; each further line is a result, a calculation (the output document of a job) or a large
part of one; the footer counts them and holds the SHA-256 of all lines before it. Of trajectories the index records
travel, inside their calculations; the segment files have to be copied. A document keeps its key, so that importing
twice changes nothing.

A file is read line by line and as if an enemy had written it: everything is checked before anything is written. Flows
that a job had asked for are not imported with it, and a calculation may name classes of the packages in ``TRUSTED``
only: both would be run or made when the calculation is used.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from sodalyte.analysis.results import Result
from sodalyte.database.query import COLUMNS, parse_terms
from sodalyte.database.store import BLOBS, OUTPUTS, RESULTS, insert_missing
from sodalyte.database.trajectories import Segment
from sodalyte.errors import DatabaseError

if TYPE_CHECKING:
    from sodalyte.database.store import Database

T = TypeVar("T")

FORMAT = {"format": "sodalyte export", "version": 1}

TRUSTED = frozenset(
    {"ase", "atomate2", "chgnet", "custodian", "emmet", "jobflow", "monty", "numpy", "pymatgen", "sevenn", "sodalyte"}
)
"""Packages whose objects a calculation may hold."""

MAX_LINE = 64_000_000
"""Bytes of one document: MongoDB's 16 MB, written as JSON."""

MAX_EXPANSION = 400
"""Times that a file may grow when it is unpacked; exports grow ten- to fortyfold, bombs a thousandfold."""

_KEYS = {RESULTS: ("_id",), OUTPUTS: ("uuid", "index"), BLOBS: ("blob_uuid",)}
_SEGMENT_FIELDS = frozenset({"path", "sha256", "first_step", "last_step"})
_BATCH = 500


@dataclass(frozen=True)
class Moved:
    """How many documents of each kind a file holds, and how many of them were new to the database they came to."""

    results: int
    calculations: int
    new_results: int = 0
    new_calculations: int = 0


def export_results(database: Database, path: Path, terms: Sequence[str] = (), *, calculations: bool = False) -> Moved:
    """Write the results that fulfil all terms to a file, which appears when it is complete.

    Parameters
    ----------
    path
        Of the file; one that is there is replaced.
    terms
        As in :func:`sodalyte.database.query.find`.
    calculations
        Export the calculations that the results rest on too.

    Raises
    ------
    QueryError
        A term cannot be understood.
    DatabaseError
        The database does not answer, or the file cannot be written.
    """
    criteria = parse_terms(terms)
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
        try:
            with os.fdopen(descriptor, "wb") as file:
                with gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as packed, database.answering():
                    moved = _write(packed, _documents(database, criteria, calculations=calculations))
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(0o644)
            Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise DatabaseError(f"{path} cannot be written ({error.strerror or error}); name another file") from error
    return moved


def import_results(database: Database, path: Path) -> Moved:
    """Add what a file holds and the database does not; nothing is written unless all of the file is sound.

    Raises
    ------
    DatabaseError
        The file cannot be read, is damaged, incomplete or not an export, or the database does not answer.
    """
    for _ in _read(path):
        pass
    found, new = dict.fromkeys(_KEYS, 0), dict.fromkeys(_KEYS, 0)
    with database.answering():
        for batch in _batches(_read(path)):
            for kind in _KEYS:
                documents = [document for name, document in batch if name == kind]
                found[kind] += len(documents)
                new[kind] += insert_missing(database.collection(kind), documents)
    return Moved(found[RESULTS], found[OUTPUTS], new[RESULTS], new[OUTPUTS])


def _documents(
    database: Database, criteria: dict[str, Any], *, calculations: bool
) -> Iterator[tuple[str, dict[str, Any]]]:
    uuids: dict[str, None] = {}
    projection = dict.fromkeys(COLUMNS, 1)
    for document in database.results.find(criteria, projection, sort=[("_id", 1)]):
        uuids.update(dict.fromkeys(document["calculations"]))
        yield RESULTS, document
    if calculations:
        for some in _batches(uuids):
            for kind, field in ((BLOBS, "job_uuid"), (OUTPUTS, "uuid")):
                for document in database.collection(kind).find({field: {"$in": list(some)}}, {"_id": 0}):
                    yield kind, document


def _write(packed: gzip.GzipFile, documents: Iterable[tuple[str, dict[str, Any]]]) -> Moved:
    from bson import json_util

    counts, digest = dict.fromkeys(_KEYS, 0), hashlib.sha256()

    def put(line: str) -> None:
        encoded = line.encode() + b"\n"
        digest.update(encoded)
        packed.write(encoded)

    put(json.dumps(FORMAT))
    for kind, document in documents:
        put(json_util.dumps({kind: document}, json_options=json_util.RELAXED_JSON_OPTIONS))
        counts[kind] += 1
    put(json.dumps({"end": counts, "sha256": digest.hexdigest()}))
    return Moved(counts[RESULTS], counts[OUTPUTS])


def _read(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the kind and content of each document; only after the last one is it certain that the file is whole."""
    counts, digest = dict.fromkeys(_KEYS, 0), hashlib.sha256()
    number = 0
    try:
        _require(path.is_file() or not path.exists(), "it is not a regular file")
        with path.open("rb") as file, gzip.GzipFile(fileobj=file, mode="rb") as packed:
            for number, line in enumerate(_lines(packed, path), start=1):
                entry = _parsed(line)
                if number == 1:
                    _require(entry == FORMAT, "it is not an export that this version of sodalyte reads")
                elif "end" in entry:
                    _require(entry.get("sha256") == digest.hexdigest(), "its checksum differs from its content")
                    _require(entry["end"] == counts, "it does not hold the documents that it counts")
                    _require(not packed.read(1), "something follows its end")
                    return
                else:
                    ((kind, document),) = entry.items()
                    yield kind, _checked(kind, document)
                    counts[kind] += 1
                digest.update(line)
        _require(False, "its end is missing")
    except (ValidationError, KeyError, TypeError, ValueError, RecursionError, EOFError, zlib.error) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error).partition("\n")[0]
        raise DatabaseError(
            f"{path} is not imported, line {number}: {reason[:200]}; export it again, from a source you trust"
        ) from error
    except OSError as error:
        raise DatabaseError(
            f"{path} cannot be read ({error.strerror or error}); name a file that 'sodalyte export' wrote"
        ) from error


def _lines(packed: gzip.GzipFile, path: Path) -> Iterator[bytes]:
    allowed = MAX_EXPANSION * path.stat().st_size
    while line := packed.readline(MAX_LINE):
        allowed -= len(line)
        _require(line.endswith(b"\n"), "a line is cut off or too long")
        _require(allowed >= 0, "it unpacks to far more than an export does")
        yield line


def _parsed(line: bytes) -> dict[str, Any]:
    from bson import json_util

    entry = json_util.loads(line.decode(), json_options=json_util.JSONOptions(tz_aware=False))
    _require(isinstance(entry, dict), "a line is not a document")
    return dict(entry)


def _checked(kind: str, document: dict[str, Any]) -> dict[str, Any]:
    if kind == RESULTS:
        return _checked_result(document)
    _require(kind in _KEYS, f"unknown kind of document {kind!r}")
    _require("_id" not in document, "a calculation carries a key of its own")
    _require(all(isinstance(document[field], (str, int)) for field in _KEYS[kind]), "a calculation has no uuid")
    for part in _parts(document):
        _require("@callable" not in part, "a calculation holds a job")
        package = str(part.get("@module", "sodalyte")).partition(".")[0]
        _require(package in TRUSTED, f"a calculation holds an object of the package {package!r}")
        if part.keys() >= _SEGMENT_FIELDS:
            Segment.model_validate(part)
    return _without_flows(document)


def _checked_result(document: dict[str, Any]) -> dict[str, Any]:
    fields = {name: document[name] for name in Result.model_fields if name in document}
    result = Result.model_validate(fields)
    unknown = document.keys() - {*COLUMNS, "_id"}
    _require(not unknown, f"a result has the unknown fields {sorted(unknown)}")
    _require(document["key"] == document["_id"] == result.key(), "a result has the key of another one")
    _require(isinstance(document.get("created_at"), str), "a result does not say when it was made")
    return {**result.model_dump(mode="json"), **{name: document[name] for name in ("_id", "key", "created_at")}}


def _without_flows(document: dict[str, Any]) -> dict[str, Any]:
    """Leave out what a job asked of its launcher if that holds jobs: the job then counts as not finished."""
    asked = document.get("outcome")
    if asked is None or not any(isinstance(value, str) for value in asked.values()):
        return document
    return {name: value for name, value in document.items() if name != "outcome"}


def _parts(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every document inside a document, itself among them."""
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield part
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)


def _batches(things: Iterable[T]) -> Iterator[list[T]]:
    remaining = iter(things)
    while batch := list(islice(remaining, _BATCH)):
        yield batch


def _require(sound: bool, complaint: str) -> None:
    if not sound:
        raise ValueError(complaint)
