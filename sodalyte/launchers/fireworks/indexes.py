"""Indexes and counters of the launchpad's collections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sodalyte.database.store import Indexes, declare_indexes
from sodalyte.launchers.fireworks.documents import OWN

if TYPE_CHECKING:
    from sodalyte.database import Database

_INDEXES: Indexes = {
    "fireworks": (
        (("fw_id",), True),
        (("state", "-spec._priority", "fw_id"), False),
        (("spec.job_uuid",), False),
        (("spec.campaign", "state", "-updated_on"), False),
        ((f"spec.{OWN}.blocked",), False),
        (("spec.campaign", "spec.material", "spec.stage", "state"), False),
    ),
    "launches": (
        (("launch_id",), True),
        (("fw_id",), False),
        (("sodalyte.stage",), False),
        (("sodalyte.campaign", "state", "time_end", "runtime_secs", "sodalyte.cores"), False),
    ),
    "workflows": ((("nodes",), False), (("name",), False)),
}


def prepare(database: Database) -> None:
    """Make the indexes and counters that are missing."""
    declare_indexes(database, _INDEXES)
    numbers = database.collection("fw_id_assigner")
    if numbers.find_one({}) is None:
        first = {"next_fw_id": 1, "next_launch_id": 1}
        numbers.update_one({"_id": -1}, {"$setOnInsert": first}, upsert=True)
