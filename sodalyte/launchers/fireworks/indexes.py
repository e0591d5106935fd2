"""Indexes and counters of the launchpad's collections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sodalyte.launchers.fireworks.documents import OWN

if TYPE_CHECKING:
    from sodalyte.database import Database

_INDEXES: dict[str, tuple[tuple[tuple[tuple[str, int], ...], bool], ...]] = {
    "fireworks": (
        ((("fw_id", 1),), True),
        ((("state", 1), ("spec._priority", -1), ("fw_id", 1)), False),
        ((("spec.job_uuid", 1),), False),
        ((("spec.campaign", 1), ("state", 1), ("updated_on", -1)), False),
        (((f"spec.{OWN}.blocked", 1),), False),
        ((("spec.campaign", 1), ("spec.material", 1), ("spec.stage", 1), ("state", 1)), False),
    ),
    "launches": (
        ((("launch_id", 1),), True),
        ((("fw_id", 1),), False),
        ((("sodalyte.stage", 1),), False),
        ((("sodalyte.campaign", 1), ("state", 1), ("time_end", 1), ("runtime_secs", 1)), False),
    ),
    "workflows": (((("nodes", 1),), False), ((("name", 1),), False)),
}


def prepare(database: Database) -> None:
    """Make the indexes and counters that are missing."""
    for name, indexes in _INDEXES.items():
        collection = database.collection(name)
        declared = {tuple(map(tuple, index["key"])) for index in collection.index_information().values()}
        for keys, unique in indexes:
            if keys not in declared:
                collection.create_index(list(keys), unique=unique)
    numbers = database.collection("fw_id_assigner")
    if numbers.find_one({}) is None:
        first = {"next_fw_id": 1, "next_launch_id": 1}
        numbers.update_one({"_id": -1}, {"$setOnInsert": first}, upsert=True)
