"""Steering a campaign: pause, resume, cancel, retry. All act on fireworks that a query on their spec selects."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from bson import ObjectId

from sodalyte.launchers.fireworks.documents import OWN, now
from sodalyte.launchers.fireworks.endings import Ending, claim_of, end, running
from sodalyte.launchers.fireworks.graph import Collections, defuse, key_of_workflow, settle
from sodalyte.launchers.fireworks.records import CANCELLED, COMPLETED, DEFUSED, FIZZLED, PAUSED, READY, WAITING


def pause(collections: Collections, query: dict[str, Any]) -> int:
    """Hold back fireworks that have not begun; return how many."""
    paused = 0
    for key, numbers in _selected(collections, query, (WAITING, READY)).items():
        change = {"$set": {"state": PAUSED, "updated_on": now()}}
        chosen = {"fw_id": {"$in": numbers}, "state": {"$in": [WAITING, READY]}}
        paused += collections.fireworks.update_many(chosen, change).modified_count
        held = collections.fireworks.find({"fw_id": {"$in": numbers}, "state": PAUSED}, {"fw_id": 1})
        _write_states(collections, key, [document["fw_id"] for document in held], PAUSED)
        settle(collections, key)
    return paused


def resume(collections: Collections, query: dict[str, Any]) -> int:
    """Let paused fireworks go on; return how many."""
    return sum(_reopen(collections, key, numbers) for key, numbers in _selected(collections, query, (PAUSED,)).items())


def cancel(collections: Collections, query: dict[str, Any]) -> int:
    """Defuse fireworks that have no answer yet; return how many. The pilots of those that run end them soon."""
    cancelled = 0
    for key, numbers in _selected(collections, query, (WAITING, READY, PAUSED)).items():
        cancelled += defuse(collections, key, numbers)
        settle(collections, key)
    for run in running(collections, _on_spec(query)):
        claim = claim_of(collections, run)
        if claim is not None and end(collections, claim, Ending(CANCELLED, "cancelled by its user", retry=False)):
            defuse(collections, key_of_workflow(collections, claim), [run.fw_id])
            settle(collections, key_of_workflow(collections, claim))
            cancelled += 1
    return cancelled


def retry(collections: Collections, query: dict[str, Any]) -> int:
    """Put failed and cancelled fireworks back, with attempts to spare, and what ran without their output.

    Returns
    -------
    int
        How many failed or cancelled ones there were.
    """
    chosen = _selected(collections, query, (FIZZLED, DEFUSED))
    for key, numbers in chosen.items():
        incomplete = _below(collections, key, numbers)
        fields = {"fw_id": 1, "launches": 1}
        for document in collections.fireworks.find({"fw_id": {"$in": numbers + incomplete}}, fields):
            change: dict[str, Any] = {
                "$set": {"launches": [], f"spec.{OWN}.ends": {}},
                "$push": {"archived_launches": {"$each": document["launches"]}},
                "$unset": {f"spec.{OWN}.incomplete": True, "spec._fizzled_parents": True},
            }
            collections.fireworks.update_one({"fw_id": document["fw_id"]}, change)
        _reopen(collections, key, numbers + incomplete)
    return sum(map(len, chosen.values()))


def _reopen(collections: Collections, key: ObjectId, numbers: list[int]) -> int:
    chosen = {"fw_id": {"$in": numbers}, "state": {"$in": [FIZZLED, DEFUSED, PAUSED, COMPLETED]}}
    _write_states(collections, key, numbers, WAITING)
    change = {"$set": {"state": WAITING, "updated_on": now()}}
    count: int = collections.fireworks.update_many(chosen, change).modified_count
    settle(collections, key)
    return count


def _write_states(collections: Collections, key: ObjectId, numbers: Iterable[int], state: str) -> None:
    states = {f"fw_states.{number}": state for number in numbers}
    if not states:
        return
    collections.workflows.update_one({"_id": key}, {"$set": states | {"updated_on": now()}})


def _on_spec(query: dict[str, Any]) -> dict[str, Any]:
    return {f"spec.{name}": value for name, value in query.items()}


def _selected(collections: Collections, query: dict[str, Any], states: tuple[str, ...]) -> dict[ObjectId, list[int]]:
    """Return the fireworks in one of the states, by workflow."""
    chosen = _on_spec(query) | {"state": {"$in": list(states)}, f"spec.{OWN}.stopped": {"$ne": True}}
    groups: dict[ObjectId, list[int]] = defaultdict(list)
    for document in collections.fireworks.find(chosen, {"fw_id": 1, f"spec.{OWN}.workflow": 1}):
        key = document["spec"].get(OWN, {}).get("workflow")
        workflow = ObjectId(key) if key else collections.workflows.find_one({"nodes": document["fw_id"]})["_id"]
        groups[workflow].append(document["fw_id"])
    return dict(groups)


def _below(collections: Collections, key: ObjectId, numbers: list[int]) -> list[int]:
    """Return the fireworks below ``numbers`` that ran without all of their parents, or failed for want of them."""
    links = collections.workflows.find_one({"_id": key}, {"links": 1})["links"]
    reached: dict[int, None] = {}
    queue = list(numbers)
    while queue:
        for child in links.get(str(queue.pop()), ()):
            if child not in reached:
                reached[child] = None
                queue.append(child)
    query = {
        "fw_id": {"$in": [number for number in reached if number not in numbers]},
        "state": {"$in": [COMPLETED, FIZZLED]},
        f"spec.{OWN}.incomplete": True,
    }
    return [document["fw_id"] for document in collections.fireworks.find(query, {"fw_id": 1})]
