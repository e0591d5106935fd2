"""How launches end: completed, failed, released, lost. Each way begins with the one command that only one can win."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pymongo import UpdateMany, UpdateOne
from pymongo.errors import DuplicateKeyError

from sodalyte.launchers.fireworks.documents import OWN, action_document, launch_document, now
from sodalyte.launchers.fireworks.graph import Collections, key_of_workflow, record_failure, record_success, settle
from sodalyte.launchers.fireworks.records import (
    ARCHIVED,
    CANCELLED,
    COMPLETED,
    FIZZLED,
    READY,
    RELEASED,
    RUNNING,
    WAITING,
    Claim,
    Pilot,
    Running,
)
from sodalyte.launchers.outcomes import NOTHING, finished_outcomes
from sodalyte.launchers.policy import Room, remedy

if TYPE_CHECKING:
    from sodalyte.database import Database
    from sodalyte.launchers.outcomes import Outcome

_KEPT_ATTEMPTS = 20


@dataclass(frozen=True)
class Ending:
    """Why a launch ended without an answer, and what is to follow."""

    cause: str
    reason: str
    retry: bool
    overrides: dict[str, float] = field(default_factory=dict)
    stacktrace: str = ""

    @classmethod
    def by_policy(
        cls, claim: Claim, cause: str, reason: str, *, room: Room | None = None, hours: float = 0.0
    ) -> Ending:
        """Return the end of a claim with what :data:`~sodalyte.launchers.policy.POLICY` says is to follow."""
        again, needs = remedy(cause, ends=claim.ends, room=room, hours=hours)
        return cls(cause, reason, retry=again, overrides=needs)


def as_claim(document: dict[str, Any], launch_id: int) -> Claim:
    """Return a firework's document as the claim of a launch."""
    spec = document["spec"]
    own = spec.get(OWN, {})
    task = spec["_tasks"][0]
    links = own.get("links")
    return Claim(
        fw_id=document["fw_id"],
        launch_id=launch_id,
        name=document["name"],
        uuid=spec["job_uuid"],
        index=spec["job_index"],
        job=task["job"],
        workflow=own.get("workflow", ""),
        campaign=spec.get("campaign", ""),
        material=spec.get("material", ""),
        stage=spec.get("stage", ""),
        priority=spec.get("_priority", 0),
        ends=own.get("ends", {}),
        incomplete=bool(own.get("incomplete") or spec.get("_fizzled_parents")),
        shared=own.get("shared", False),
        alone=own.get("alone", False),
        root=task.get("root", ""),
        overrides=own.get("overrides", {}),
        links=None if links is None else {child: list(parents) for child, parents in links},
    )


def complete(collections: Collections, claim: Claim, outcome: Outcome) -> bool:
    """See :meth:`Launchpad.complete`."""
    action = action_document(defuse_children=outcome["stop_children"], defuse_workflow=outcome["stop_jobflow"])
    kept = outcome if claim.incomplete and any(outcome.values()) else None
    if not _end_launch(
        collections, claim.launch_id, COMPLETED, _lasted(claim) | {"action": action, "sodalyte.outcome": kept}
    ):
        state = _launch(collections, claim.launch_id).get("state")
        if state != COMPLETED:
            return False
    _follow_success(collections, claim, outcome)
    return True


def _follow_success(collections: Collections, claim: Claim, outcome: Outcome) -> None:
    ready = record_success(collections, claim, outcome)
    requests: list[UpdateMany | UpdateOne] = []
    if ready is None:
        settle(collections, key_of_workflow(collections, claim))
    elif ready:
        waiting = {"fw_id": {"$in": ready}, "state": WAITING}
        change = {"state": READY, "updated_on": now(), f"spec.{OWN}.incomplete": False}
        requests.append(UpdateMany(waiting, {"$set": change}))
    done = {"$set": {"state": COMPLETED, "updated_on": now()}, "$unset": {f"spec.{OWN}.claim": True}}
    requests.append(UpdateOne({"fw_id": claim.fw_id, "launches": claim.launch_id, "state": RUNNING}, done))
    collections.fireworks.bulk_write(requests)


def end(collections: Collections, claim: Claim, ending: Ending) -> bool:
    """End a claim without an answer; see :meth:`Launchpad.fail` and :meth:`Launchpad.release`."""
    state = ARCHIVED if ending.cause == RELEASED else FIZZLED
    changes = _lasted(claim) | {
        "action": action_document(reason=f"{ending.cause}: {ending.reason}", stacktrace=ending.stacktrace),
        "sodalyte.end": _as_document(ending),
    }
    if not _end_launch(collections, claim.launch_id, state, changes):
        _finish(collections, claim)
        return False
    _follow_failure(collections, claim, ending)
    return True


def _finish(collections: Collections, claim: Claim) -> None:
    """Do what is left to do where a launch ended without an answer and the connection failed before the rest."""
    launch = _launch(collections, claim.launch_id)
    known = launch.get("sodalyte", {}).get("end")
    current = {"fw_id": claim.fw_id, "launches": claim.launch_id, "state": RUNNING}
    if known and launch["state"] != COMPLETED and collections.fireworks.find_one(current, {"_id": 1}) is not None:
        _follow_failure(collections, claim, Ending(**known))


def _follow_failure(collections: Collections, claim: Claim, ending: Ending) -> None:
    launch = _launch(collections, claim.launch_id)
    seen = launch.get("sodalyte", {})
    attempt = {
        "cause": ending.cause,
        "reason": ending.reason,
        "when": now(),
        "launch_id": claim.launch_id,
        "slurm_job": seen.get("slurm_job", ""),
        "node": seen.get("node") or seen.get("host", ""),
    }
    attempts = {f"spec.{OWN}.attempts": {"$each": [attempt], "$slice": -_KEPT_ATTEMPTS}}
    change: dict[str, Any] = {
        "$set": {"state": READY if ending.retry else FIZZLED, "updated_on": now()},
        "$unset": {f"spec.{OWN}.claim": True},
        "$push": attempts,
    }
    if ending.cause != RELEASED:
        change["$inc"] = {f"spec.{OWN}.ends.{ending.cause}": 1}
    change["$set"] |= {f"spec.{OWN}.overrides.{name}": value for name, value in ending.overrides.items()}
    if progress := seen.get("progress"):
        change["$set"][f"spec.{OWN}.progress"] = progress
    if ending.retry:
        change["$push"]["archived_launches"] = claim.launch_id
        change["$pull"] = {"launches": claim.launch_id}
    else:
        record_failure(collections, claim)
    query = {"fw_id": claim.fw_id, "launches": claim.launch_id, "state": RUNNING}
    collections.fireworks.update_one(query, change)
    if not ending.retry:
        settle(collections, key_of_workflow(collections, claim))


def lost(
    collections: Collections, database: Database, run: Running, cause: str, reason: str, *, room: Room | None = None
) -> bool:
    """See :meth:`Launchpad.lost`."""
    claim = claim_of(collections, run)
    if claim is None:
        return False
    if not run.launch_state:
        _insert_launch(collections, run)
    outcome = finished_outcomes(database, [run.uuid]).get((run.uuid, run.index))
    if outcome is not None:
        return complete(collections, claim, outcome)
    if cause == RELEASED:
        return end(collections, claim, Ending(RELEASED, reason, retry=True))
    started = datetime.fromisoformat(run.started).timestamp() if run.started else 0.0
    hours = (run.deadline - started) / 3600 if run.deadline and started else 0.0
    return end(collections, claim, Ending.by_policy(claim, cause, reason, room=room, hours=hours))


def _insert_launch(collections: Collections, run: Running) -> None:
    """Insert the launch of a claim that was cut short; then its pilot cannot insert it any more, should it live on."""
    signed = {
        name: getattr(run, name)
        for name in ("slot", "host", "pid", "cluster", "slurm_job", "slurm_step", "node", "cores", "deadline")
    }
    pilot = Pilot(uuid=run.pilot, **signed)
    launch = launch_document(run.launch_id, run.fw_id, pilot, folder="", attempt=run.attempt)
    with suppress(DuplicateKeyError):
        collections.launches.insert_one(launch)


def repair(collections: Collections, database: Database) -> int:
    """See :meth:`Launchpad.repair`."""
    repaired = 0
    for run in running(collections, {}):
        if run.launch_state in (RUNNING, ""):
            continue
        launch = _launch(collections, run.launch_id).get("sodalyte")
        claim = claim_of(collections, run)
        if claim is None or launch is None:  # one without our mark is rlaunch's, which may be at work on it
            continue
        repaired += 1
        if run.launch_state == COMPLETED:
            kept = launch.get("outcome")
            outcome = kept or finished_outcomes(database, [run.uuid]).get((run.uuid, run.index)) or NOTHING
            _follow_success(collections, claim, outcome)
        else:
            known = launch.get("end") or {"cause": "crash", "reason": "ended by FireWorks", "retry": False}
            _follow_failure(collections, claim, Ending(**known))
    return repaired


def running(collections: Collections, query: dict[str, Any]) -> list[Running]:
    """See :meth:`Launchpad.running`."""
    fields = {"spec._tasks": 0, f"spec.{OWN}.links": 0}
    found = list(collections.fireworks.find({"state": RUNNING} | query, fields))
    numbers = [number for document in found for number in document["launches"][-1:]]
    launches = {
        launch["launch_id"]: launch
        for launch in collections.launches.find({"launch_id": {"$in": numbers}}, {"action": 0, "sodalyte.outcome": 0})
    }
    return [_running(document, launches) for document in found]


def _running(document: dict[str, Any], launches: dict[int, dict[str, Any]]) -> Running:
    number = (document["launches"] or [0])[-1]
    launch = launches.get(number, {})
    spec = document["spec"]
    own = spec.get(OWN, {})
    # the claim is older than a launch without our mark, which is rlaunch's
    signed = launch.get("sodalyte", {}) if launch else own.get("claim", {})
    return Running(
        fw_id=document["fw_id"],
        launch_id=number,
        name=document["name"],
        uuid=spec.get("job_uuid", ""),
        index=spec.get("job_index", 0),
        campaign=spec.get("campaign", ""),
        material=spec.get("material", ""),
        stage=spec.get("stage", ""),
        attempt=signed.get("attempt", 1),
        launch_state=launch.get("state", ""),
        pilot=signed.get("pilot", ""),
        host=signed.get("host") or launch.get("host", ""),
        pid=signed.get("pid", 0),
        slot=signed.get("slot", 0),
        cluster=signed.get("cluster", ""),
        slurm_job=signed.get("slurm_job", ""),
        slurm_step=signed.get("slurm_step", ""),
        node=signed.get("node", ""),
        cores=signed.get("cores"),
        deadline=signed.get("deadline"),
        started=signed.get("started") or str(document["updated_on"]),
        heartbeat=signed.get("heartbeat") or str(document["updated_on"]),
        progress=signed.get("progress", {}),
    )


def claim_of(collections: Collections, run: Running) -> Claim | None:
    """Return the claim of a running firework, or None if it does not run any more."""
    query = {"fw_id": run.fw_id, "launches": run.launch_id, "state": RUNNING}
    document = collections.fireworks.find_one(query)
    return None if document is None else as_claim(document, run.launch_id)


def _end_launch(collections: Collections, launch_id: int, state: str, changes: dict[str, Any]) -> bool:
    """Turn a launch from RUNNING into an end; False if it has ended already."""
    moment = datetime.now(UTC)
    change: dict[str, Any] = {
        "$set": {"state": state, "time_end": moment.isoformat(), **changes},
        "$push": {"state_history": {"state": state, "created_on": moment.isoformat()}},
    }
    query = {"launch_id": launch_id, "state": RUNNING}
    return bool(collections.launches.update_one(query, change).matched_count)


def _lasted(claim: Claim) -> dict[str, float]:
    return {"runtime_secs": max(round(time.time() - claim.started, 3), 0.0)}


def _launch(collections: Collections, launch_id: int) -> dict[str, Any]:
    found: dict[str, Any] | None = collections.launches.find_one({"launch_id": launch_id}, {"state": 1, "sodalyte": 1})
    return found or {}


def _as_document(ending: Ending) -> dict[str, Any]:
    return {
        "cause": ending.cause,
        "reason": ending.reason,
        "retry": ending.retry,
        "overrides": ending.overrides,
    }


def is_cancelled(collections: Collections, claim: Claim) -> bool:
    """Tell whether somebody cancelled a claim."""
    end_of_it: dict[str, Any] = _launch(collections, claim.launch_id).get("sodalyte", {}).get("end") or {}
    return end_of_it.get("cause") == CANCELLED
