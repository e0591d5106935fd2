"""How campaigns stand: counts, reasons, throughput and core hours.

All is asked of the launchpad's indexes, so that it takes a fraction of a second among 100,000 jobs.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sodalyte.launchers.fireworks.documents import OWN
from sodalyte.launchers.fireworks.records import COMPLETED, FIZZLED, RUNNING, STATES, WAITING, Running

if TYPE_CHECKING:
    from sodalyte.database import Database

GROUPINGS = ("campaign", "material", "stage", "state")

_FIELDS = {name: f"spec.{name}" for name in GROUPINGS} | {"state": "state"}


@dataclass(frozen=True)
class Trouble:
    """A firework that failed or cannot run: how its last attempt ended, and the reason in a sentence."""

    fw_id: int
    name: str
    campaign: str
    material: str
    stage: str
    state: str
    cause: str
    reason: str
    attempts: int
    slurm_job: str
    node: str


@dataclass(frozen=True)
class Throughput:
    """What a campaign has done.

    Attributes
    ----------
    per_hour
        Jobs completed per hour, over the last ``window`` hours.
    job_hours
        Hours that all its launches have taken, failed ones among them.
    core_hours
        The same times the cores that each had, None where those are not known.
    """

    per_hour: float
    window: float
    job_hours: float
    core_hours: float | None


class Overview:
    """Questions about the fireworks of a database.

    Parameters
    ----------
    campaign
        Only this one; all of them if it is None.
    """

    def __init__(self, database: Database, campaign: str | None = None) -> None:
        self._fireworks = database.collection("fireworks")
        self._launches = database.collection("launches")
        self._database = database
        self.campaign = campaign
        self._match = {} if campaign is None else {"spec.campaign": campaign}

    def campaigns(self) -> list[str]:
        """Return the names of all campaigns."""
        stages = [{"$group": {"_id": "$spec.campaign", "n": {"$sum": 1}}}]
        return sorted(str(group["_id"]) for group in self._fireworks.aggregate(stages) if group["_id"])

    def names(self) -> list[str]:
        """Return the names of the campaigns that are looked at."""
        return self.campaigns() if self.campaign is None else [self.campaign]

    def counts(self, by: Sequence[str] = ("campaign",)) -> dict[tuple[str, ...], Counter[str]]:
        """Return how many fireworks are in each state, for every combination of ``by`` (see ``GROUPINGS``)."""
        wanted = {name: f"${_FIELDS[name]}" for name in (*by, "state")}
        stages: list[dict[str, Any]] = [{"$group": {"_id": wanted, "n": {"$sum": 1}}}]
        counts: dict[tuple[str, ...], Counter[str]] = {}
        for group in self._fireworks.aggregate([{"$match": self._match}, *stages]):
            place = tuple(str(group["_id"].get(name) or "") for name in by)
            counts.setdefault(place, Counter())[str(group["_id"]["state"])] += group["n"]
        return dict(sorted(counts.items()))

    def failures(self, *, limit: int = 20) -> list[Trouble]:
        """Return the fireworks that failed, the newest first."""
        query = {"state": FIZZLED, **self._match}
        found = self._fireworks.find(query, _TROUBLE_FIELDS, sort=[("updated_on", -1)], limit=limit)
        return [_trouble(document) for document in found]

    def blocked(self, *, limit: int = 20) -> list[Trouble]:
        """Return fireworks that cannot run because another one failed or was cancelled."""
        query = {"state": WAITING, **self._match, f"spec.{OWN}.blocked": {"$gt": ""}}
        return [_trouble(document) for document in self._fireworks.find(query, _TROUBLE_FIELDS, limit=limit)]

    def running(self) -> list[Running]:
        """Return the fireworks that run, the longest running first."""
        from sodalyte.launchers.fireworks.launchpad import Launchpad

        return sorted(Launchpad(self._database).running(**self._match), key=lambda run: run.started)

    def throughput(self, *, window: float = 1.0) -> Throughput:
        """Return what was done, with what running jobs have taken so far.

        Parameters
        ----------
        window
            Hours over which the rate is taken.
        """
        match: dict[str, Any] = {} if self.campaign is None else {"sodalyte.campaign": self.campaign}
        since = (datetime.now(UTC) - timedelta(hours=window)).isoformat()
        done = self._launches.count_documents(match | {"state": COMPLETED, "time_end": {"$gte": since}})
        stages = [{"$match": match}, {"$group": {"_id": "$sodalyte.cores", "seconds": {"$sum": "$runtime_secs"}}}]
        hours: defaultdict[int | None, float] = defaultdict(float)
        for group in self._launches.aggregate(stages):
            hours[group["_id"]] += group["seconds"] / 3600
        for launch in self._launches.find(match | {"state": RUNNING}, {"time_start": 1, "sodalyte.cores": 1}):
            started = datetime.fromisoformat(launch["time_start"])
            hours[launch.get("sodalyte", {}).get("cores")] += (datetime.now(UTC) - started).total_seconds() / 3600
        return Throughput(
            per_hour=done / window,
            window=window,
            job_hours=math.fsum(hours.values()),
            core_hours=math.fsum((cores or 0) * spent for cores, spent in hours.items()) if None not in hours else None,
        )


def total(counts: dict[tuple[str, ...], Counter[str]]) -> Counter[str]:
    """Return the counts of all groups together."""
    return sum(counts.values(), Counter())


def ordered(counts: Counter[str]) -> dict[str, int]:
    """Return the states that occur, in their order."""
    return {state: counts[state] for state in (*STATES, *sorted(set(counts) - set(STATES))) if counts[state]}


_TROUBLE_FIELDS = {
    **dict.fromkeys(("fw_id", "name", "state", "spec.campaign", "spec.material", "spec.stage"), 1),
    **dict.fromkeys((f"spec.{OWN}.attempts", f"spec.{OWN}.ends", f"spec.{OWN}.blocked"), 1),
}


def _trouble(document: dict[str, Any]) -> Trouble:
    spec = document["spec"]
    own = spec.get(OWN, {})
    attempts = own.get("attempts") or [{}]
    last = attempts[-1]
    blocked = own.get("blocked")
    return Trouble(
        fw_id=document["fw_id"],
        name=document["name"],
        campaign=spec.get("campaign", ""),
        material=spec.get("material", ""),
        stage=spec.get("stage", ""),
        state=document["state"],
        cause="blocked" if blocked else last.get("cause", "unknown"),
        reason=str(blocked or last.get("reason", "no reason was recorded")),
        attempts=sum(own.get("ends", {}).values()),
        slurm_job=last.get("slurm_job", ""),
        node=last.get("node", ""),
    )
