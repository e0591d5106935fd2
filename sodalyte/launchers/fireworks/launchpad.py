"""The queue of a campaign: FireWorks' documents, changed by few commands each.

FireWorks' own tools (``lpad``, ``rlaunch``) work on the same documents. What differs is how they are changed: FireWorks
locks a workflow, loads it, refreshes it and writes all of it back, several times for every job; here a firework is
claimed by one ``findAndModify``, and its end changes the workflow by another.

**Nothing runs twice, nothing finished is lost.** A launch is RUNNING or it has ended, and one command ends it:
``complete``, ``fail``, ``release`` and ``lost`` all begin by turning the launch from RUNNING, and whoever comes second
is refused. What follows (the workflow, the children, last the firework itself) only spells out what the launch says; if
a process dies in between, the firework is left RUNNING with a launch that has ended, which :meth:`Launchpad.repair`
finds and finishes. Whether a pilot is dead is for Slurm to say, or for this host's process table, never for the age of
a heartbeat. Should a pilot that was declared dead live on, its job still holds the lock of
:class:`~sodalyte.launchers.execution.Executor` on the shared folder, so that no second copy starts beside it; and
should a file system lose that lock, the run folder has another owner and the slower copy's output is refused.
"""

from __future__ import annotations

import itertools
import socket
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pymongo.errors import DuplicateKeyError

from sodalyte.database.store import insert_missing
from sodalyte.launchers.fireworks import control, endings
from sodalyte.launchers.fireworks.documents import (
    OWN,
    Piece,
    cut,
    firework_document,
    key_of,
    launch_document,
    link,
    now,
    reverse,
    workflow_document,
)
from sodalyte.launchers.fireworks.graph import Collections
from sodalyte.launchers.fireworks.indexes import prepare
from sodalyte.launchers.fireworks.records import (
    COMPLETED,
    READY,
    RELEASED,
    RUNNING,
    WAITING,
    Added,
    Claim,
    Pilot,
    Running,
)
from sodalyte.launchers.orphans import is_pilot

if TYPE_CHECKING:
    from jobflow import Flow, Job

    from sodalyte.database import Database
    from sodalyte.launchers.outcomes import Outcome
    from sodalyte.launchers.policy import Room

_BATCH = 2000
_NUMBERS_AT_ONCE = 10


class Launchpad:
    """The fireworks of a database.

    It belongs to the thread and process that opened the database.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.collections = Collections(database)
        self._launch_ids: Iterator[int] = iter(())

    def prepare(self) -> None:
        """Make the indexes and counters that are missing."""
        prepare(self.database)

    # --- adding -----------------------------------------------------------------------------------------------

    def add(self, flow: Flow | Job, *, campaign: str, root: Path) -> Added:
        """Add a flow; what was added before, whole or in part, is not added again.

        Parameters
        ----------
        campaign
            Its name.
        root
            Folder of the runs on the disk that pilots share.

        Raises
        ------
        CampaignError
            Too many jobs depend on each other.
        DatabaseError
            The database does not answer.
        """
        with self.database.answering():
            self.prepare()
            added = Added(0, 0, 0)
            for batch in _batches(cut(flow)):
                part = self._add(batch, campaign, str(root))
                added = Added(
                    added.workflows + part.workflows, added.fireworks + part.fireworks, added.present + part.present
                )
            return added

    def _add(self, pieces: list[Piece], campaign: str, root: str) -> Added:
        digests = {key_of(campaign, digest): (piece, digest) for piece in pieces for digest in [piece.digest()]}
        fields = {"nodes": 1, "sodalyte.added": 1}
        known = {found["_id"]: found for found in self._workflows(digests, fields)}
        new = {key: piece for key, (piece, _) in digests.items() if key not in known}
        if new:
            first = self.collections.allocate("fw", sum(len(piece.jobs) for piece in new.values()))
            documents = []
            for key, piece in new.items():
                numbers = _numbered(piece, range(first, first + len(piece.jobs)))
                first += len(piece.jobs)
                links = link(piece.jobs, numbers)
                documents.append(
                    workflow_document(key, links, campaign=campaign, digest=digests[key][1], material=piece.material)
                )
            insert_missing(self.collections.workflows, documents)
            known |= {found["_id"]: found for found in self._workflows(new, fields)}
        begun = [key for key, found in known.items() if not found.get("sodalyte", {}).get("added", True)]
        uuids = [job.uuid for key in begun for job, _ in digests[key][0].jobs]
        elsewhere = set(self.collections.fireworks.distinct("spec.job_uuid", {"spec.job_uuid": {"$in": uuids}}))
        fireworks = [
            document
            for key in begun
            for document in self._fireworks(
                key, digests[key][0], sorted(known[key]["nodes"]), campaign, root, elsewhere
            )
        ]
        for state in (WAITING, READY):  # parents last: one that can be claimed finds its children there
            if chosen := [document for document in fireworks if document["state"] == state]:
                insert_missing(self.collections.fireworks, chosen)
        if begun:
            self.collections.workflows.update_many({"_id": {"$in": begun}}, {"$set": {"sodalyte.added": True}})
        total = sum(len(piece.jobs) for piece, _ in digests.values())
        return Added(len(new), len(fireworks), total - len(fireworks))

    def _workflows(self, keys: Collection[Any], fields: dict[str, int]) -> list[dict[str, Any]]:
        return list(self.collections.workflows.find({"_id": {"$in": list(keys)}}, fields))

    def _fireworks(
        self, key: Any, piece: Piece, nodes: list[int], campaign: str, root: str, elsewhere: set[str]
    ) -> Iterator[dict[str, Any]]:
        numbers = _numbered(piece, nodes)
        links = link(piece.jobs, numbers)
        parents = reverse(links)
        for job, _ in piece.jobs:
            number = numbers[job.uuid, job.index]
            yield firework_document(
                job,
                number,
                workflow=key,
                campaign=campaign,
                root=root,
                state=WAITING if number in parents else READY,
                links={child: parents[child] for child in links[number]},
                shared=job.uuid in piece.shared or job.uuid in elsewhere,
                alone=len(nodes) == 1,
            )

    # --- running ----------------------------------------------------------------------------------------------

    def claim(
        self,
        pilot: Pilot,
        limit: int = 1,
        *,
        campaign: str | None = None,
        avoid: Sequence[int] = (),
        stages: Collection[str] = (),
        memory: float | None = None,
        hours: float | None = None,
        root: str = "",
    ) -> list[Claim]:
        """Claim up to ``limit`` fireworks that are READY, of highest priority first.

        Parameters
        ----------
        avoid
            Fireworks to pass over.
        stages
            Stages to pass over.
        memory, hours
            What the pilot has (MB, hours left): jobs that were found to need more are passed over.
        root
            Where the pilot runs jobs, for the launch's record.
        """
        query: dict[str, Any] = {"state": READY}
        query |= {"spec.campaign": campaign} if campaign else {}
        query |= {"fw_id": {"$nin": list(avoid)}} if avoid else {}
        query |= {"spec.stage": {"$nin": sorted(stages)}} if stages else {}
        for need, there in (("memory", memory), ("hours", hours)):
            if there is not None:
                query[f"spec.{OWN}.overrides.{need}"] = {"$not": {"$gt": there}}
        claims: list[Claim] = []
        while len(claims) < limit and (claim := self._claim_one(pilot, query, root)) is not None:
            claims.append(claim)
        return claims

    def _claim_one(self, pilot: Pilot, query: dict[str, Any], root: str) -> Claim | None:
        launch_id = self._launch_id()
        found = self.collections.fireworks.find_one_and_update(
            query,
            {
                "$set": {"state": RUNNING, "updated_on": now(), f"spec.{OWN}.claim": pilot.signature()},
                "$push": {"launches": launch_id},
            },
            sort=[("spec._priority", -1), ("fw_id", 1)],
            return_document=True,
        )
        if found is None:
            self._launch_ids = itertools.chain([launch_id], self._launch_ids)
            return None
        claim = endings.as_claim(found, launch_id)
        folder = f"{root or claim.root}/{claim.uuid[:2]}/{claim.uuid}-{claim.index}"
        launch = launch_document(launch_id, claim.fw_id, pilot, folder=folder, attempt=claim.attempt)
        launch["sodalyte"] |= {"stage": claim.stage, "campaign": claim.campaign}
        try:
            self.collections.launches.insert_one(launch)
        except DuplicateKeyError:  # meanwhile this pilot was declared dead, and the claim given back
            return None
        return claim

    def _launch_id(self) -> int:
        number = next(self._launch_ids, None)
        if number is None:
            first = self.collections.allocate("launch", _NUMBERS_AT_ONCE)
            self._launch_ids = iter(range(first, first + _NUMBERS_AT_ONCE))
            number = next(self._launch_ids)
        return number

    def progress(self, claim: Claim, progress: dict[str, Any]) -> bool:
        """Note that a claim's process lives, and how far it is; False when the claim is no longer its own."""
        moment = now()
        change = {
            "sodalyte.heartbeat": moment,
            "state_history.0.updated_on": moment,
            **({"sodalyte.progress": progress} if progress else {}),
        }
        query = {"launch_id": claim.launch_id, "state": RUNNING}
        return bool(self.collections.launches.update_one(query, {"$set": change}).matched_count)

    def is_cancelled(self, claim: Claim) -> bool:
        """Tell whether somebody cancelled a claim, so that its process is to be ended."""
        return endings.is_cancelled(self.collections, claim)

    def complete(self, claim: Claim, outcome: Outcome) -> bool:
        """Record that a claim's job is finished in the store; False if the claim is no longer current."""
        return endings.complete(self.collections, claim, outcome)

    def fail(
        self,
        claim: Claim,
        cause: str,
        reason: str,
        *,
        room: Room | None = None,
        hours: float = 0.0,
        stacktrace: str = "",
    ) -> bool:
        """Record that a claim's job ended without an answer; False if the claim is no longer current.

        Parameters
        ----------
        cause
            A named end, whose row of :data:`~sodalyte.launchers.policy.POLICY` says what follows; without one it is
            final.
        reason
            In a sentence.
        room, hours
            What the job had, and the time until the limit of its allocation.
        """
        ending = endings.Ending.by_policy(claim, cause, reason, room=room, hours=hours)
        return endings.end(self.collections, claim, replace(ending, stacktrace=stacktrace))

    def release(self, claim: Claim, reason: str) -> bool:
        """Give a claim back: the firework is READY again; False if the claim is no longer current."""
        return endings.end(self.collections, claim, endings.Ending(RELEASED, reason, retry=True))

    # --- reconciling ------------------------------------------------------------------------------------------

    def running(self, **query: Any) -> list[Running]:
        """Return all fireworks in state RUNNING; ``query`` restricts them, on fields of the firework."""
        return endings.running(self.collections, query)

    def lost(self, run: Running, cause: str, reason: str, *, room: Room | None = None) -> bool:
        """Record that a running firework has no process any more; False if it ended by itself meanwhile.

        Only who has looked at the process may say so: Slurm's records, or on this host the process table. A job that is
        finished in the store counts as completed; of any other, :data:`~sodalyte.launchers.policy.POLICY` says what
        follows.
        """
        return endings.lost(self.collections, self.database, run, cause, reason, room=room)

    def reconcile_here(self, **query: Any) -> int:
        """Declare lost what pilots ran that have died on this host, outside Slurm; return how many fireworks."""
        self.repair()
        here = socket.gethostname()
        dead = [
            run
            for run in self.running(**query)
            if run.pilot and run.host == here and not run.slurm_job and not is_pilot(run.pid)
        ]
        return sum(self.lost(run, "CRASHED", f"its pilot (process {run.pid} on {here}) died") for run in dead)

    def disown(self, pilot: Pilot, keep: Claim | None = None) -> int:
        """Give back what ``pilot`` has claimed without knowing, its connection having failed; return how many."""
        query = {f"spec.{OWN}.claim.pilot": pilot.uuid}
        mine = [run for run in self.running(**query) if run.pilot == pilot.uuid]
        stray = [run for run in mine if keep is None or run.launch_id != keep.launch_id]
        return sum(self.lost(run, RELEASED, "claimed by accident") for run in stray)

    def repair(self) -> int:
        """Finish what a process that died left half done; return for how many fireworks."""
        return endings.repair(self.collections, self.database)

    # --- looking and steering ---------------------------------------------------------------------------------

    def counts(self, campaign: str | None = None) -> dict[str, int]:
        """Return how many fireworks are in each state; ``BLOCKED`` is how many of those WAITING cannot run."""
        match = {"spec.campaign": campaign} if campaign else {}
        stages = [{"$match": match}, {"$group": {"_id": "$state", "n": {"$sum": 1}}}]
        found = {group["_id"]: group["n"] for group in self.collections.fireworks.aggregate(stages)}
        blocked = {"state": WAITING, f"spec.{OWN}.blocked": {"$gt": ""}}
        found["BLOCKED"] = self.collections.fireworks.count_documents(match | blocked)
        return defaultdict(int, found)

    def is_over(self, campaign: str | None = None) -> bool:
        """Tell whether nothing runs and nothing can become ready."""
        match = {"spec.campaign": campaign} if campaign else {}
        active = match | {"state": {"$in": [READY, RUNNING]}}
        return self.collections.fireworks.find_one(active, {"_id": 1}) is None

    def seconds_needed(self) -> dict[str, float]:
        """Return for each stage the longest time that one of its last finished jobs took, seconds."""
        longest: dict[str, float] = {}
        for stage in self.collections.launches.distinct("sodalyte.stage"):
            query = {"sodalyte.stage": stage, "state": COMPLETED}
            last = self.collections.launches.find(query, {"runtime_secs": 1}).sort("launch_id", -1).limit(20)
            longest[stage] = max((launch["runtime_secs"] or 0.0 for launch in last), default=0.0)
        return longest

    def pause(self, **query: Any) -> int:
        """Hold back fireworks that have not begun; ``query`` is on the firework's spec (campaign, material, ...)."""
        return control.pause(self.collections, query)

    def resume(self, **query: Any) -> int:
        """Let paused fireworks go on."""
        return control.resume(self.collections, query)

    def cancel(self, **query: Any) -> int:
        """Defuse fireworks that have no answer yet; pilots end those that run at their next heartbeat."""
        return control.cancel(self.collections, query)

    def retry(self, **query: Any) -> int:
        """Put failed and cancelled fireworks back into the queue, and what ran without their output."""
        return control.retry(self.collections, query)


def _batches(pieces: list[Piece]) -> Iterator[list[Piece]]:
    batch: list[Piece] = []
    jobs = 0
    for piece in pieces:
        batch.append(piece)
        jobs += len(piece.jobs)
        if jobs >= _BATCH:
            yield batch
            batch, jobs = [], 0
    if batch:
        yield batch


def _numbered(piece: Piece, numbers: Sequence[int]) -> dict[tuple[str, int], int]:
    return {(job.uuid, job.index): number for (job, _), number in zip(piece.jobs, numbers, strict=True)}
