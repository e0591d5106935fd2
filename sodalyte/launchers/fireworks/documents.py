"""FireWorks' documents for jobflow's jobs, and how a campaign is cut into workflows.

A workflow is one MongoDB document, which must not exceed 16 MB and is rewritten at every change. Jobs that depend on
each other share a workflow; one that would be too large is cut by material, where a job that several materials need
(the relaxation of Na2S) stands in each of their workflows: it is computed once, the others find it finished.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bson import ObjectId

from sodalyte.errors import CampaignError
from sodalyte.launchers.fireworks.records import READY, RUNNING, WAITING, Pilot

if TYPE_CHECKING:
    from jobflow import Flow, Job

TASK = "{{sodalyte.launchers.fireworks.task.RunJob}}"
OWN = "_sodalyte"
"""Key in a firework's spec under which sodalyte keeps what FireWorks has no place for."""

MAX_SHARED = 1000
"""Jobs from which on a workflow is cut by material."""

MAX_JOBS = 20_000
"""Jobs in one workflow, at most: its document then has about 3 MB, and room to grow."""

_MAX_HINT = 200


@dataclass(frozen=True)
class Piece:
    """The jobs of one workflow with the uuids of their parents, parents first.

    ``shared`` are the uuids that stand in an earlier workflow too.
    """

    jobs: list[tuple[Job, list[str]]]
    shared: frozenset[str] = frozenset()

    def digest(self) -> str:
        """Return a hash of which jobs these are."""
        text = "\n".join(f"{job.uuid}-{job.index}" for job, _ in self.jobs)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def material(self) -> str:
        """The material if there is only one."""
        labels = {str(job.metadata["material"]) for job, _ in self.jobs if job.metadata.get("material")}
        return labels.pop() if len(labels) == 1 else ""


def now() -> str:
    """Return the time as FireWorks writes it."""
    return datetime.now(UTC).isoformat()


def key_of(*parts: object) -> ObjectId:
    """Return a document's key that depends on nothing but its content."""
    return ObjectId(hashlib.sha256("\n".join(map(str, parts)).encode()).digest()[:12])


def cut(flow: Flow | Job) -> list[Piece]:
    """Cut a flow into workflows that do not depend on each other.

    Raises
    ------
    CampaignError
        Too many jobs depend on each other.
    """
    from sodalyte.launchers.identity import parents_first

    jobs = parents_first(flow)
    pieces: list[Piece] = []
    seen: set[str] = set()
    for component in _components(jobs):
        parts = [component] if len(component) <= MAX_SHARED else _by_material(component)
        for part in parts:
            if len(part) > MAX_JOBS:
                raise CampaignError(
                    f"{len(part)} jobs depend on each other, and a workflow holds {MAX_JOBS}; split the campaign"
                )
            uuids = {job.uuid for job, _ in part}
            pieces.append(Piece(part, shared=frozenset(uuids & seen)))
            seen |= uuids
    return pieces


def _components(jobs: list[tuple[Job, list[str]]]) -> list[list[tuple[Job, list[str]]]]:
    """Return the jobs grouped so that no group depends on another."""
    leader: dict[str, str] = {}

    def find(uuid: str) -> str:
        leader.setdefault(uuid, uuid)
        while leader[uuid] != uuid:
            leader[uuid] = uuid = leader[leader[uuid]]
        return uuid

    for job, parents in jobs:
        for parent in parents:
            leader[find(parent)] = find(job.uuid)
    groups: dict[str, list[tuple[Job, list[str]]]] = defaultdict(list)
    for job, parents in jobs:
        groups[find(job.uuid)].append((job, parents))
    return list(groups.values())


def _by_material(jobs: list[tuple[Job, list[str]]]) -> list[list[tuple[Job, list[str]]]]:
    """Return for each material its jobs and all that they depend on, in the order of the jobs."""
    wanted: dict[str, set[str]] = {}  # uuid -> materials that need it
    parents_of = {job.uuid: parents for job, parents in jobs}
    for job, _ in reversed(jobs):
        label = str(job.metadata.get("material") or "")
        labels = wanted.setdefault(job.uuid, set())
        if label or not labels:
            labels.add(label)
        for parent in parents_of[job.uuid]:
            wanted.setdefault(parent, set()).update(labels)
    groups: dict[str, list[tuple[Job, list[str]]]] = defaultdict(list)
    for job, parents in jobs:
        for label in sorted(wanted[job.uuid]):
            groups[label].append((job, parents))
    return list(groups.values())


def link(jobs: Iterable[tuple[Job, list[str]]], numbers: Mapping[tuple[str, int], int]) -> dict[int, list[int]]:
    """Return for each firework its children, from the parents' uuids of jobs in the same workflow."""
    links: dict[int, list[int]] = {numbers[job.uuid, job.index]: [] for job, _ in jobs}
    of_uuid: dict[str, list[int]] = defaultdict(list)
    for (uuid, _), number in numbers.items():
        of_uuid[uuid].append(number)
    for job, parents in jobs:
        child = numbers[job.uuid, job.index]
        for uuid in dict.fromkeys(parents):
            for parent in of_uuid.get(uuid, ()):
                if parent != child and uuid != job.uuid:
                    links[parent].append(child)
    return links


def reverse(links: Mapping[int, list[int]]) -> dict[int, list[int]]:
    """Return for each firework its parents."""
    parents: dict[int, list[int]] = defaultdict(list)
    for parent, children in links.items():
        for child in children:
            parents[child].append(parent)
    return dict(parents)


def workflow_document(
    key: ObjectId, links: Mapping[int, list[int]], *, campaign: str, digest: str, material: str
) -> dict[str, Any]:
    """Return the document of a workflow of which nothing has run."""
    parents = reverse(links)
    moment = now()
    return {
        "_id": key,
        "nodes": list(links),
        "links": {str(number): children for number, children in links.items()},
        "parent_links": {str(number): found for number, found in parents.items()},
        "fw_states": {str(number): WAITING if number in parents else READY for number in links},
        "metadata": {"campaign": campaign, "digest": digest, **({"material": material} if material else {})},
        "state": READY,
        "name": campaign,
        "created_on": moment,
        "updated_on": moment,
        "sodalyte": {"open": len(links), "added": False, "failed": False},
    }


def firework_document(
    job: Job,
    number: int,
    *,
    workflow: ObjectId | str,
    campaign: str,
    root: str,
    state: str = WAITING,
    links: Mapping[int, list[int]] | None = None,
    shared: bool = False,
    alone: bool = False,
    inherited: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the document of a firework that runs ``job``.

    Parameters
    ----------
    links
        For each child its parents, if they are known for good.
    shared
        Whether another workflow has the job too: then others go first, and most often it is found finished.
    alone
        Whether the workflow has no other job.
    inherited
        Material and stage of the firework that asked for this one, where the job itself names none.
    """
    from jobflow import OnMissing

    from sodalyte.launchers.identity import as_json

    inherited = inherited or {}
    moment = now()
    own: dict[str, Any] = {"workflow": str(workflow), "attempts": []}
    if links is not None and sum(map(len, links.values())) <= _MAX_HINT:
        own["links"] = [[child, parents] for child, parents in links.items()]
    own |= {"shared": True} if shared else {}
    own |= {"alone": True} if alone else {}
    spec = {
        "_tasks": [{"_fw_name": TASK, "job": as_json(job), "root": root}],
        "_priority": job.metadata.get("priority", 0) - 0.5 * shared,
        "_add_launchpad_and_fw_id": True,
        "campaign": campaign,
        "material": str(job.metadata.get("material") or inherited.get("material", "")),
        "stage": str(job.metadata.get("stage") or inherited.get("stage", "")),
        "job_uuid": job.uuid,
        "job_index": job.index,
        OWN: own,
    }
    if job.config.on_missing_references != OnMissing.ERROR:
        spec["_allow_fizzled_parents"] = True
    return {
        "_id": key_of(workflow, job.uuid, job.index),
        "spec": spec,
        "fw_id": number,
        "created_on": moment,
        "updated_on": moment,
        "launches": [],
        "archived_launches": [],
        "state": state,
        "name": job.name,
    }


def launch_document(launch_id: int, fw_id: int, pilot: Pilot, *, folder: str, attempt: int) -> dict[str, Any]:
    """Return the document of a launch that has just begun."""
    moment = now()
    return {
        "fworker": {"name": "sodalyte", "category": "", "query": "{}", "env": {}},
        "fw_id": fw_id,
        "launch_dir": folder,
        "host": pilot.host,
        "ip": "",
        "trackers": [],
        "action": None,
        "state": RUNNING,
        "state_history": [{"state": RUNNING, "created_on": moment, "updated_on": moment}],
        "launch_id": launch_id,
        "time_start": moment,
        "time_end": None,
        "runtime_secs": None,
        "sodalyte": pilot.signature() | {"attempt": attempt, "started": moment, "heartbeat": moment, "progress": {}},
    }


def action_document(
    *, defuse_children: bool = False, defuse_workflow: bool = False, reason: str = "", stacktrace: str = ""
) -> dict[str, Any]:
    """Return FireWorks' FWAction; what a job adds stands in the workflow already and is not repeated in it."""
    stored: dict[str, Any] = {}
    if reason:
        stored = {"_message": reason, "_exception": {"_stacktrace": stacktrace or reason, "_details": None}}
    return {
        "stored_data": stored,
        "exit": bool(reason),
        "update_spec": {},
        "mod_spec": [],
        "additions": [],
        "detours": [],
        "append_wfs": [],
        "defuse_children": defuse_children,
        "defuse_workflow": defuse_workflow,
        "propagate": False,
    }
