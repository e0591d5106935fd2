"""Putting the calculations that ship with sodalyte into a store, where runs find them as if they had made them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sodalyte.database.store import OUTPUTS
from sodalyte.inputs.reference import Calculation, shipped
from sodalyte.launchers.outcomes import NOTHING, OUTCOME, Record, finished_outcomes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobflow import Flow

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
) -> dict[str, dict[str, Any]]:
    """Return what came of the jobs that need not run: those in the store, and those about to be seeded there.

    Parameters
    ----------
    database
        None stands for one that has not been made. It is only read.
    calculations
        Instead of those that ship.

    Returns
    -------
    dict
        By uuid, as a resolved :func:`sodalyte.workflows.relaxation.outcome`; all None of what is no calculation.
    """
    from pymatgen.core import Structure

    wanted = set(uuids)
    ready = [each for each in (shipped() if calculations is None else calculations) if each.uuid in wanted]
    stored: dict[str, dict[str, Any]] = {}
    if database is not None:
        ready = _never_seeded(database, ready)
        query = {"uuid": {"$in": sorted(wanted)}, OUTCOME: {"$exists": True}}
        parts = ("structure", "state", "output.energy", "output.stress", "output.forces")
        for document in database.collection(OUTPUTS).find(query, {"uuid": 1} | {f"output.{part}": 1 for part in parts}):
            output = document.get("output") or {}
            cell, last = output.get("structure"), output.get("output") or {}
            stored[document["uuid"]] = {
                "structure": Structure.from_dict(cell) if cell else None,
                "state": output.get("state"),
                **{name: last.get(name) for name in ("energy", "stress", "forces")},
                "uuid": document["uuid"],
            }
    return {each.uuid: each.outcome() for each in ready} | stored


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
