"""Putting the calculations that ship with sodalyte into a store, where runs find them as if they had made them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sodalyte.database.store import OUTPUTS
from sodalyte.inputs.reference import Calculation, shipped
from sodalyte.launchers.outcomes import NOTHING, OUTCOME, Record, finished_outcomes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobflow import Flow
    from pymatgen.core import Structure

    from sodalyte.database import Database

_SEEDED = "seeded"


def seed(database: Database, flow: Flow, *, calculations: Iterable[Calculation] | None = None) -> int:
    """Put shipped calculations into the store before a flow is launched, each once in the store's life.

    They are all those of the levels of theory at which the flow has a shipped job: its jobs ask for more while they
    run. One that is deleted from the store afterwards is not put back: it is computed anew.

    Parameters
    ----------
    flow
        Identified (:func:`sodalyte.launchers.identity.identify`).
    calculations
        Instead of those that ship.

    Returns
    -------
    int
        How many were new.
    """
    known = tuple(shipped() if calculations is None else calculations)
    uuids = set(flow.all_uuids)
    levels = {each.level for each in known if each.uuid in uuids}
    unknown = _never_seeded(database, [each for each in known if each.level in levels])
    present = {uuid for uuid, _ in finished_outcomes(database, [each.uuid for each in unknown])}
    new = [each for each in unknown if each.uuid not in present]
    now = datetime.now(UTC).isoformat()
    for calculation in new:
        Record(_document(calculation, now), outcome=NOTHING).deliver(database)
    for calculation in unknown:  # last: who is killed before it delivers once more, which changes nothing
        note = {"$setOnInsert": {"at": now}}
        database.collection(_SEEDED).update_one({"_id": calculation.uuid}, note, upsert=True)
    return len(new)


def finished(
    uuids: Iterable[str], database: Database | None, *, calculations: Iterable[Calculation] | None = None
) -> dict[str, Structure | None]:
    """Return which calculations need not run, with the cells they ended in: in the store, or about to be seeded there.

    Parameters
    ----------
    database
        None stands for one that has not been made. It is only read.
    calculations
        Instead of those that ship.
    """
    from pymatgen.core import Structure

    wanted = set(uuids)
    ready = [each for each in (shipped() if calculations is None else calculations) if each.uuid in wanted]
    cells: dict[str, Structure | None] = {}
    if database is not None:
        ready = _never_seeded(database, ready)
        query = {"uuid": {"$in": sorted(wanted)}, OUTCOME: {"$exists": True}}
        for document in database.collection(OUTPUTS).find(query, {"uuid": 1, "output.structure": 1}):
            cell = (document.get("output") or {}).get("structure")
            cells[document["uuid"]] = Structure.from_dict(cell) if cell else None
    return {each.uuid: each.structure() for each in ready} | cells


def _never_seeded(database: Database, calculations: list[Calculation]) -> list[Calculation]:
    uuids = [each.uuid for each in calculations]
    noted = {note["_id"] for note in database.collection(_SEEDED).find({"_id": {"$in": uuids}}, {"_id": 1})}
    return [each for each in calculations if each.uuid not in noted]


def _document(calculation: Calculation, now: str) -> dict[str, object]:
    return {
        "uuid": calculation.uuid,
        "index": 1,
        "output": calculation.task_document(),
        "completed_at": now,
        "metadata": {"shipped": True},
        "hosts": [],
        "name": calculation.name,
        OUTCOME: NOTHING,
    }
