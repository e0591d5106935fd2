"""What the end of one firework means for the others of its workflow.

The states in a workflow's own document decide: it is changed by one command at a time, so whichever of several parents
ends last sees all of them ended. Everything here may be done again, by anybody, and then changes nothing.

``fw_states`` there is kept up to date for what has ended (COMPLETED, FIZZLED, DEFUSED, PAUSED) only; whether a firework
that has not is WAITING, READY or RUNNING stands in the firework.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bson import ObjectId
from pymongo import UpdateMany

from sodalyte.database.store import insert_missing
from sodalyte.launchers.fireworks.documents import OWN, firework_document, key_of, link, now, reverse
from sodalyte.launchers.fireworks.records import COMPLETED, DEFUSED, FIZZLED, PAUSED, READY, RUNNING, WAITING, Claim

if TYPE_CHECKING:
    from jobflow import Flow

    from sodalyte.database import Database
    from sodalyte.launchers.outcomes import Outcome

LOCK_PATIENCE = 60.0
"""Seconds for which a lock that one of FireWorks' tools holds is respected; a tool that was killed never opens it."""

_LOCK_PAUSE = 0.05


class Collections:
    """FireWorks' collections in a database."""

    def __init__(self, database: Database) -> None:
        self.fireworks = database.collection("fireworks")
        self.workflows = database.collection("workflows")
        self.launches = database.collection("launches")
        self.numbers = database.collection("fw_id_assigner")

    def allocate(self, kind: str, count: int) -> int:
        """Return the first of ``count`` new numbers for fireworks (``fw``) or launches (``launch``)."""
        found = self.numbers.find_one_and_update({}, {"$inc": {f"next_{kind}_id": count}})
        return int(found[f"next_{kind}_id"])


@dataclass
class Expansion:
    """What a firework adds to its workflow while it ends: new fireworks, and which waits for which."""

    new: list[int] = field(default_factory=list)
    links: list[tuple[int, int]] = field(default_factory=list)

    def update(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the parts of the update of the workflow's document: what to set, and what to add to sets."""
        children, parents = defaultdict(list), defaultdict(list)
        for parent, child in dict.fromkeys(self.links):
            children[parent].append(child)
            parents[child].append(parent)
        new = set(self.new)
        fixed: dict[str, Any] = {f"fw_states.{number}": WAITING for number in self.new}
        fixed |= {f"links.{number}": children[number] for number in self.new}
        fixed |= {f"parent_links.{number}": parents[number] for number in self.new}
        grown = {f"links.{number}": found for number, found in children.items() if number not in new}
        grown |= {f"parent_links.{number}": found for number, found in parents.items() if number not in new}
        return fixed, {path: {"$each": numbers} for path, numbers in (grown | {"nodes": self.new}).items() if numbers}


def key_of_workflow(collections: Collections, claim: Claim) -> ObjectId:
    """Return the key of a claim's workflow."""
    if claim.workflow:
        return ObjectId(claim.workflow)
    key: ObjectId = collections.workflows.find_one({"nodes": claim.fw_id}, {"_id": 1})["_id"]
    return key


def record_success(collections: Collections, claim: Claim, outcome: Outcome) -> list[int] | None:
    """Write into the workflow that a firework is COMPLETED, with what it adds.

    Returns
    -------
    list of int or None
        The children that are READY now; None when the whole workflow has to be looked at, by :func:`settle`.
    """
    key = key_of_workflow(collections, claim)
    number = claim.fw_id
    expansion = Expansion()
    if any(outcome[kind] for kind in ("replace", "detour", "addition")):
        expansion = _expand(collections, key, claim, outcome)
    hint = claim.links
    fixed, grown = expansion.update()
    change: dict[str, Any] = {
        "$set": {f"fw_states.{number}": COMPLETED, "updated_on": now(), **fixed},
        "$inc": {"sodalyte.open": len(expansion.new) - 1},
    }
    if grown:
        change["$addToSet"] = grown
    elif claim.alone:
        change["$set"]["state"] = COMPLETED
    seen = {f"links.{number}": 1, "sodalyte": 1, "state": 1}
    for child, parents in (hint or {}).items():
        seen |= {f"parent_links.{child}": 1} | {f"fw_states.{parent}": 1 for parent in parents}
    document = _change(collections, key, number, change, seen)
    if outcome["stop_children"] or outcome["stop_jobflow"]:
        _stop(collections, key, number, everything=outcome["stop_jobflow"])
        return None
    if document is None or grown or hint is None:
        return None
    _note_progress(collections, key, document)
    return _ready_by_hint(document, number, hint)


def record_failure(collections: Collections, claim: Claim) -> None:
    """Write into the workflow that a firework is FIZZLED, and what follows from it."""
    key = key_of_workflow(collections, claim)
    change = {"$set": {f"fw_states.{claim.fw_id}": FIZZLED, "updated_on": now(), "sodalyte.failed": True}}
    _change(collections, key, claim.fw_id, change, {"_id": 1})
    settle(collections, key)


def _change(
    collections: Collections, key: ObjectId, number: int, change: dict[str, Any], seen: dict[str, int]
) -> dict[str, Any] | None:
    """Change a firework's state while no tool of FireWorks holds the lock; None if it is COMPLETED already."""
    query: dict[str, Any] = {"_id": key, f"fw_states.{number}": {"$ne": COMPLETED}, "locked": {"$exists": False}}
    deadline = time.monotonic() + LOCK_PATIENCE
    while True:
        found: dict[str, Any] | None = collections.workflows.find_one_and_update(
            query, change, projection=seen, return_document=True
        )
        if found is not None:
            return found
        locked = collections.workflows.find_one({"_id": key, f"fw_states.{number}": {"$ne": COMPLETED}}, {"locked": 1})
        if locked is None:
            return None
        if time.monotonic() > deadline:
            collections.workflows.update_one({"_id": key}, {"$unset": {"locked": True}})
        time.sleep(_LOCK_PAUSE)


def _ready_by_hint(document: dict[str, Any], number: int, hint: Mapping[int, list[int]]) -> list[int] | None:
    """Return the children that nothing blocks, if the hint still is what the workflow says."""
    links, states = document.get("links", {}), document.get("fw_states", {})
    parents = document.get("parent_links", {})
    if document.get("sodalyte", {}).get("failed", True) or sorted(links.get(str(number), ())) != sorted(hint):
        return None
    if any(sorted(parents.get(str(child), ())) != sorted(known) for child, known in hint.items()):
        return None
    return [child for child, known in hint.items() if all(states.get(str(parent)) == COMPLETED for parent in known)]


def _note_progress(collections: Collections, key: ObjectId, document: dict[str, Any]) -> None:
    """Keep the state of the whole workflow, where counting is enough to know it."""
    n_open = document.get("sodalyte", {}).get("open", -1)
    state = COMPLETED if n_open == 0 else RUNNING if n_open > 0 and document["state"] in (READY, WAITING) else None
    if state and state != document["state"]:
        collections.workflows.update_one({"_id": key, "sodalyte.open": n_open}, {"$set": {"state": state}})


def settle(collections: Collections, key: ObjectId) -> None:
    """Bring every firework of a workflow that waits into the state that follows from what has ended.

    A job whose parent failed is blocked: it goes on WAITING, with the reason in its spec. A job that tolerates missing
    references (``_allow_fizzled_parents``) runs once all its parents have ended or are blocked, and is marked
    ``incomplete``. Where a parent was DEFUSED, everything behind it is blocked.
    """
    workflow = collections.workflows.find_one({"_id": key})
    links = {int(number): children for number, children in workflow["links"].items()}
    states: dict[int, str] = {int(number): state for number, state in workflow["fw_states"].items()}
    parents = reverse(links)
    unfinished = [number for number, state in states.items() if state != COMPLETED]
    fields = {"fw_id": 1, "state": 1, "name": 1, "spec._allow_fizzled_parents": 1, f"spec.{OWN}.blocked": 1}
    found = collections.fireworks.find({"fw_id": {"$in": unfinished}}, fields)
    fireworks = {document["fw_id"]: document for document in found}
    blocked, ready, incomplete = _judge(fireworks, states, parents)
    requests = [
        UpdateMany(
            {"fw_id": {"$in": numbers}, "state": WAITING},
            {
                "$set": {"state": READY, "updated_on": now(), f"spec.{OWN}.incomplete": flag},
                "$unset": {f"spec.{OWN}.blocked": True},
            },
        )
        for numbers, flag in ((ready, False), (incomplete, True))
        if numbers
    ]
    before = {number: document["spec"].get(OWN, {}).get("blocked") for number, document in fireworks.items()}
    for number, reason in before.items():
        if reason != blocked.get(number) and number not in ready and number not in incomplete:
            path = f"spec.{OWN}.blocked"
            change = {"$set": {path: blocked[number]}} if number in blocked else {"$unset": {path: True}}
            requests.append(
                UpdateMany({"fw_id": number, "state": WAITING} if number in blocked else {"fw_id": number}, change)
            )
    if requests:
        collections.fireworks.bulk_write(requests)
    truth = {number: document["state"] for number, document in fireworks.items()}
    state = _state_of(links, {number: COMPLETED for number in states if number not in truth} | truth, set(blocked))
    found_out: dict[str, Any] = {"state": state, "sodalyte.open": len(unfinished)}
    found_out["sodalyte.failed"] = bool(blocked) or FIZZLED in states.values() or DEFUSED in states.values()
    collections.workflows.update_one({"_id": key, "updated_on": workflow["updated_on"]}, {"$set": found_out})


def _judge(
    fireworks: Mapping[int, dict[str, Any]], states: Mapping[int, str], parents: Mapping[int, list[int]]
) -> tuple[dict[int, str], list[int], list[int]]:
    """Return which fireworks are blocked, by what, and which may run, with all parents and with some."""
    blocked: dict[int, str] = {}
    ready: list[int] = []
    incomplete: list[int] = []
    for number in _in_order(fireworks, parents):
        document = fireworks[number]
        if document["state"] != WAITING:
            continue
        awaited = [parent for parent in parents.get(number, ()) if states.get(parent) != COMPLETED]
        stopped = [parent for parent in awaited if states.get(parent) == DEFUSED]
        failed = [parent for parent in awaited if states.get(parent) == FIZZLED or parent in blocked]
        tolerant = document["spec"].get("_allow_fizzled_parents", False)
        if stopped or (failed and not tolerant):
            name = fireworks.get((stopped or failed)[0], {}).get("name", "")
            blocked[number] = f"needs '{name}', which {'was stopped' if stopped else 'has no answer'}"
        elif len(failed) == len(awaited):
            (incomplete if failed else ready).append(number)
    return blocked, ready, incomplete


def _in_order(numbers: Iterable[int], parents: Mapping[int, list[int]]) -> list[int]:
    """Return the numbers, parents first."""
    wanted = set(numbers)
    ordered: dict[int, None] = {}
    for start in wanted:
        stack = [start]
        while stack:
            number = stack[-1]
            pending = [parent for parent in parents.get(number, ()) if parent in wanted and parent not in ordered]
            if pending:
                stack += pending
            else:
                ordered[stack.pop()] = None
    return list(ordered)


def _state_of(links: Mapping[int, list[int]], states: Mapping[int, str], blocked: set[int]) -> str:
    """Return the state of a workflow: FireWorks' rule, where what is blocked counts as FIZZLED."""
    values = set(states.values())
    if values == {COMPLETED} or all(states[number] == COMPLETED for number, children in links.items() if not children):
        return COMPLETED
    for state in (DEFUSED, PAUSED):
        if state in values:
            return state
    if (FIZZLED in values or blocked) and not any(
        states[number] in (READY, RUNNING) or (states[number] == WAITING and number not in blocked) for number in links
    ):
        return FIZZLED
    return RUNNING if values & {COMPLETED, RUNNING, FIZZLED} else READY


def _stop(collections: Collections, key: ObjectId, number: int, *, everything: bool) -> None:
    """Defuse the children of a firework, or all of its workflow that has not begun."""
    workflow = collections.workflows.find_one({"_id": key}, {"links": 1, "nodes": 1})
    chosen = workflow["nodes"] if everything else workflow["links"][str(number)]
    defuse(collections, key, [one for one in chosen if one != number], stopped=True)


def defuse(collections: Collections, key: ObjectId, numbers: list[int], *, stopped: bool = False) -> int:
    """Defuse those fireworks of a workflow that do not run and have no answer; return how many are defused.

    Parameters
    ----------
    stopped
        Whether a job of the workflow asked for it: then a retry leaves them alone.
    """
    idle = {"fw_id": {"$in": numbers}, "state": {"$in": [WAITING, READY, PAUSED, FIZZLED, DEFUSED]}}
    change = {"state": DEFUSED, "updated_on": now(), f"spec.{OWN}.stopped": stopped}
    collections.fireworks.update_many(idle, {"$set": change})
    found = collections.fireworks.find({"fw_id": {"$in": numbers}, "state": DEFUSED}, {"fw_id": 1})
    states = {f"fw_states.{document['fw_id']}": DEFUSED for document in found}
    if states:
        collections.workflows.update_one(
            {"_id": key}, {"$set": states | {"updated_on": now(), "sodalyte.failed": True}}
        )
    return len(states)


def _expand(collections: Collections, key: ObjectId, claim: Claim, outcome: Outcome) -> Expansion:
    """Insert the fireworks that a job asked for, which nobody can claim yet, and say how they are linked."""
    from jobflow import Flow

    workflow = collections.workflows.find_one({"_id": key}, {f"links.{claim.fw_id}": 1, "nodes": 1})
    children: list[int] = workflow["links"].get(str(claim.fw_id), [])
    expansion = Expansion()
    for kind in ("replace", "detour", "addition"):
        text = outcome[kind]
        if text is not None:
            flow = Flow.from_dict(json.loads(text))
            added = _insert(collections, key, claim, flow, expansion, workflow["nodes"])
            if kind != "addition":  # a child waits for all of it, not only for the last: if one fails, it fails too
                expansion.links += [(number, child) for number in added for child in children if number != child]
    return expansion


def _insert(
    collections: Collections, key: ObjectId, claim: Claim, flow: Flow, expansion: Expansion, nodes: list[int]
) -> list[int]:
    """Insert the fireworks of ``flow``, linked below the claimed one; return their numbers."""
    from sodalyte.launchers.identity import parents_first

    jobs = parents_first(flow)
    keys = {key_of(key, job.uuid, job.index): (job.uuid, job.index) for job, _ in jobs}
    found = collections.fireworks.find({"_id": {"$in": list(keys)}}, {"fw_id": 1})
    numbers = {keys[document["_id"]]: document["fw_id"] for document in found}
    missing = [identity for identity in keys.values() if identity not in numbers]
    if missing:
        first = collections.allocate("fw", len(missing))
        numbers |= {identity: first + position for position, identity in enumerate(missing)}
        inherited = {"material": claim.material, "stage": claim.stage}
        documents = [
            firework_document(
                job,
                numbers[job.uuid, job.index],
                workflow=key,
                campaign=claim.campaign,
                root=claim.root,
                shared=claim.shared,
                inherited=inherited,
            )
            for job, _ in jobs
            if (job.uuid, job.index) in missing
        ]
        insert_missing(collections.fireworks, documents)
        found = collections.fireworks.find({"_id": {"$in": list(keys)}}, {"fw_id": 1})
        numbers = {keys[document["_id"]]: document["fw_id"] for document in found}
    links = link(jobs, numbers)
    parents = reverse(links)
    present = set(nodes)
    outside = _outside(collections, jobs, nodes)
    for job, awaited in jobs:
        number = numbers[job.uuid, job.index]
        if number in present:
            continue
        expansion.new.append(number)
        others = {outside[uuid] for uuid in awaited if uuid in outside} - {claim.fw_id}
        roots = [] if number in parents else [claim.fw_id]
        expansion.links += [(parent, number) for parent in (*parents.get(number, ()), *sorted(others), *roots)]
    return list(links)


def _outside(collections: Collections, jobs: list[Any], nodes: list[int]) -> dict[str, int]:
    """Return the fireworks of the workflow on which the jobs depend besides each other, by uuid."""
    inside = {job.uuid for job, _ in jobs}
    uuids = {parent for _, parents in jobs for parent in parents} - inside
    if not uuids:
        return {}
    query = {"spec.job_uuid": {"$in": sorted(uuids)}, "fw_id": {"$in": nodes}}
    found = collections.fireworks.find(query, {"fw_id": 1, "spec.job_uuid": 1})
    return {document["spec"]["job_uuid"]: document["fw_id"] for document in found}
