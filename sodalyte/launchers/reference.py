"""Putting the calculations that ship with sodalyte into a store, where runs find them as if they had made them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sodalyte.database.store import OUTPUTS
from sodalyte.inputs.reference import Calculation, shipped
from sodalyte.launchers.outcomes import OUTCOME, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sodalyte.database import Database

_SEEDED = "seeded"
_NOTHING: Outcome = {
    "replace": None,
    "detour": None,
    "addition": None,
    "stop_children": False,
    "stop_jobflow": False,
}


def seed(database: Database, *, level: str, calculations: Iterable[Calculation] | None = None) -> int:
    """Put shipped calculations of a level of theory into the store, each once in the store's life.

    One that is deleted from the store afterwards is not put back: it is computed anew.

    Returns
    -------
    int
        How many were new.
    """
    wanted = {each.uuid: each for each in (shipped() if calculations is None else calculations) if each.level == level}
    if not wanted:
        return 0
    outputs, notes = database.collection(OUTPUTS), database.collection(_SEEDED)
    uuids = {"$in": list(wanted)}
    known = {note["_id"] for note in notes.find({"_id": uuids}, {"_id": 1})}
    known |= {document["uuid"] for document in outputs.find({"uuid": uuids}, {"uuid": 1})}
    new = [each for uuid, each in wanted.items() if uuid not in known]
    if new:
        now = datetime.now(UTC).isoformat()
        outputs.insert_many([_document(each, now) for each in new])
        notes.insert_many([{"_id": each.uuid, "at": now} for each in new])
    return len(new)


def _document(calculation: Calculation, now: str) -> dict[str, object]:
    return {
        "uuid": calculation.uuid,
        "index": 1,
        "output": calculation.task_document(),
        "completed_at": now,
        "metadata": {"shipped": True},
        "hosts": [],
        "name": calculation.name,
        OUTCOME: dict(_NOTHING),
    }
