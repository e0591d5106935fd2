"""Finished jobs whose output could not be stored because the database was away: one file each, complete and on disk.

A file holds the checksum of what follows, then BSON: everything that is to be stored, and which claim it was. It is
written to a temporary name, flushed to the disk and renamed. Whoever meets it delivers it; twice changes nothing.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sodalyte.database import Database
from sodalyte.launchers.outcomes import OUTCOME, Outcome, Record

FOLDER = "spool"
_SUFFIX = ".bson"
_LENGTH = hashlib.sha256().digest_size


@dataclass(frozen=True)
class Delivered:
    """What a delivery did: jobs stored now, and files that are damaged and were put aside."""

    jobs: int
    damaged: tuple[Path, ...] = ()


def keep(root: Path, record: Record, *, fw_id: int = 0, launch_id: int = 0) -> Path:
    """Write a finished job's record into the spool of ``root`` and return its file, which is on the disk then."""
    import bson

    folder = root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    document = record.document
    path = folder / f"{document['uuid']}-{document['index']}{_SUFFIX}"
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
    with temporary.open("wb") as file:
        file.write(hashlib.sha256(body).digest() + body)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return path


def waiting(root: Path) -> list[Path]:
    """Return the files that are to be delivered."""
    return sorted((root / FOLDER).glob(f"*{_SUFFIX}"))


def deliver(database: Database, root: Path) -> Delivered:
    """Store what the spool of ``root`` holds, tell the launchpad, and remove the files.

    Raises
    ------
    DatabaseError
        The database does not answer; what was not delivered stays.
    """
    jobs = 0
    damaged = []
    for path in waiting(root):
        content = _read(path)
        if content is None:
            if path.exists():
                damaged.append(path.replace(path.with_suffix(".damaged")))
            continue
        with database.answering():
            _deliver(database, content)
        path.unlink(missing_ok=True)
        jobs += 1
    return Delivered(jobs, tuple(damaged))


def _read(path: Path) -> dict[str, Any] | None:
    """Return what a file holds, or None if it is damaged or gone."""
    import bson

    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    digest, body = data[:_LENGTH], data[_LENGTH:]
    return dict(bson.decode(body)) if hashlib.sha256(body).digest() == digest else None


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
        nothing = Outcome(replace=None, detour=None, addition=None, stop_children=False, stop_jobflow=False)
        launchpad.complete(as_claim(firework, content["launch_id"]), outcome or nothing)
