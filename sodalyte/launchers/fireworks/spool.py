"""Finished jobs whose output could not be stored because the database was away: one file each, complete and on disk.

A file holds the checksum of what follows, then BSON: everything that is to be stored, and which claim it was. It is
written to a temporary name, flushed to the disk and renamed. Whoever meets it delivers it; twice changes nothing.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bson.errors import BSONError

from sodalyte.database import Database
from sodalyte.errors import DatabaseError
from sodalyte.launchers.outcomes import NOTHING, OUTCOME, Outcome, Record, is_away

FOLDER = "spool"
_SUFFIX = ".bson"
_LENGTH = hashlib.sha256().digest_size
_DAMAGE = (ValueError, KeyError, TypeError, AttributeError, BSONError)


@dataclass(frozen=True)
class Delivered:
    """What a delivery did.

    Attributes
    ----------
    jobs
        How many were stored now.
    damaged
        Files that are damaged and were put aside.
    refused
        Files that the database refuses, with its reason; they stay.
    """

    jobs: int
    damaged: tuple[Path, ...] = ()
    refused: tuple[tuple[Path, str], ...] = ()


def keep(root: Path, record: Record, *, fw_id: int = 0, launch_id: int = 0) -> Path:
    """Write a finished job's record into the spool of ``root`` and return its file, which is on the disk then."""
    import bson

    folder = root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    document = record.document
    path = file_of(root, document["uuid"], document["index"])
    body = bson.encode(
        {
            "document": {key: value for key, value in document.items() if key != "_id"},
            "blobs": [{key: value for key, value in blob.items() if key != "_id"} for blob in record.blobs],
            "outcome": record.outcome,
            "fw_id": fw_id,
            "launch_id": launch_id,
        }
    )
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            file.write(hashlib.sha256(body).digest() + body)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return path


def file_of(root: Path, uuid: str, index: int) -> Path:
    """Return the file that keeps a job, if there is one."""
    return root / FOLDER / f"{uuid}-{index}{_SUFFIX}"


def waiting(root: Path) -> list[Path]:
    """Return the files that are to be delivered."""
    return sorted((root / FOLDER).glob(f"*{_SUFFIX}"))


def deliver(database: Database, root: Path, *, skip: Collection[Path] = ()) -> Delivered:
    """Store what the spool of ``root`` holds but for ``skip``, tell the launchpad, and remove the files.

    One file that cannot be delivered does not hold up the others.

    Raises
    ------
    DatabaseError
        The database does not answer; what was not delivered stays.
    """
    jobs = 0
    damaged = []
    refused = []
    for path in waiting(root):
        if path in skip:
            continue
        try:
            content = _read(path)
        except FileNotFoundError:
            continue  # somebody else delivered it
        except OSError as error:
            refused.append((path, str(error)))
            continue
        except _DAMAGE:
            with suppress(FileNotFoundError):
                damaged.append(path.replace(path.with_suffix(".damaged")))
            continue
        try:
            with database.answering():
                _deliver(database, content)
        except (DatabaseError, *_DAMAGE) as error:
            if is_away(error):
                raise
            refused.append((path, f"{type(error).__name__}: {error}"))
        else:
            path.unlink(missing_ok=True)
            jobs += 1
    return Delivered(jobs, tuple(damaged), tuple(refused))


def _read(path: Path) -> dict[str, Any]:
    """Return what a file holds.

    Raises
    ------
    ValueError
        It is damaged, or was not written by :func:`keep`.
    """
    import bson

    data = path.read_bytes()
    digest, body = data[:_LENGTH], data[_LENGTH:]
    if hashlib.sha256(body).digest() != digest:
        raise ValueError("the checksum differs")
    content = dict(bson.decode(body))
    document, outcome = content["document"], content["outcome"]
    kinds = ((document["uuid"], str), (document["index"], int), (content["fw_id"], int), (content["launch_id"], int))
    if not all(type(value) is kind for value, kind in kinds) or "output" not in document:
        raise ValueError("it is not a finished job")
    if path.name != f"{document['uuid']}-{document['index']}{_SUFFIX}":
        raise ValueError("it is another job's")
    if outcome is not None and set(outcome) != set(Outcome.__annotations__):
        raise ValueError("its outcome is not one")
    if any(type(blob["blob_uuid"]) is not str for blob in content["blobs"]):
        raise ValueError("its large parts are not named")
    return content


def _deliver(database: Database, content: dict[str, Any]) -> None:
    from sodalyte.database.store import OUTPUTS
    from sodalyte.launchers.fireworks.endings import as_claim
    from sodalyte.launchers.fireworks.launchpad import Launchpad

    document = content["document"]
    identity = {key: document[key] for key in ("uuid", "index")}
    stored = database.collection(OUTPUTS).find_one(identity | {OUTCOME: {"$exists": True}}, {OUTCOME: 1})
    record = Record(document, content["blobs"], content["outcome"])
    outcome: Outcome | None = stored[OUTCOME] if stored else record.deliver(database)
    if not content["fw_id"]:
        return
    launchpad = Launchpad(database)
    claimed = {"fw_id": content["fw_id"], "launches": content["launch_id"], "state": "RUNNING"}
    firework = launchpad.collections.fireworks.find_one(claimed)
    if firework is not None:
        launchpad.complete(as_claim(firework, content["launch_id"]), outcome or NOTHING)
