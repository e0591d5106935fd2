"""What a rehearsal shows: what ran, what went wrong, what was repaired, what was lost, what VASP would take for it."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from monty.io import zopen
from monty.os.path import zpath

from sodalyte.database.store import OUTPUTS, Database
from sodalyte.inputs.vasp.cost import Size, core_hours, plane_waves
from sodalyte.inputs.vasp.run_folder import ATTEMPTS

STAGES = ("relax", "static", "elastic", "dynamics")
State = Literal["finished", "failed"]

_GRID_POINTS_PER_PLANE_WAVE = 48 / math.pi
"""Of a grid that holds twice the cutoff's sphere (PREC = Accurate): its box against the sphere of plane waves."""

_LARGE = 1e6  # angstrom^3, in which the rounding of the number of plane waves does not count


@dataclass(frozen=True)
class Calculation:
    """One run folder, with all its calls of the executable.

    Attributes
    ----------
    uuid
        Of its job.
    calls
        Starts of the executable.
    ionic_steps, electronic_steps
        Of all calls together.
    faults
        What went wrong, in order.
    lost_steps
        Ionic steps that were computed and do not count.
    core_hours
        Estimate of what VASP would take for as many ionic steps; see :mod:`sodalyte.inputs.vasp.cost`.
    """

    stage: str
    formula: str
    uuid: str
    state: State
    calls: int
    ionic_steps: int
    electronic_steps: int
    faults: tuple[str, ...]
    lost_steps: int
    core_hours: float
    folder: Path


@dataclass(frozen=True)
class Row:
    """One stage of the campaign.

    Attributes
    ----------
    faults
        How often each went wrong.
    repaired
        Calculations in which something went wrong and that finished all the same.
    failed
        Calculations that did not finish.
    """

    stage: str
    calculations: int
    calls: int
    ionic_steps: int
    faults: Mapping[str, int]
    repaired: int
    failed: int
    lost_steps: int
    core_hours: float


def calculations(
    ledger: Iterable[Mapping[str, Any]], *, finished: Collection[str], failed: Collection[str], database: Database
) -> list[Calculation]:
    """Put the calls of the executable together to calculations, in the order in which they began.

    Parameters
    ----------
    ledger
        As :func:`sodalyte.launchers.rehearsal.memory.read_ledger` gives it.
    finished, failed
        Uuids of the jobs in question: those whose outputs are stored, and those that failed. Others do not count.
    database
        Where they are stored.
    """
    calls: dict[Path, list[Mapping[str, Any]]] = defaultdict(list)
    for call in ledger:
        folder = Path(call["folder"])
        if _uuid(folder) in finished or _uuid(folder) in failed:
            calls[folder].append(call)
    delivered = _delivered_steps(database, [_uuid(folder) for folder in calls])
    return [
        Calculation(
            stage=own[0]["stage"],
            formula=own[0]["formula"],
            uuid=_uuid(folder),
            state="finished" if _uuid(folder) in finished else "failed",
            calls=len(own),
            ionic_steps=sum(call["ionic_steps"] for call in own),
            electronic_steps=sum(call["electronic_steps"] for call in own),
            faults=tuple(fault for call in own for fault in call["faults"]),
            lost_steps=_lost(folder, own, delivered),
            core_hours=sum(_core_hours(call) for call in own),
            folder=folder,
        )
        for folder, own in calls.items()
    ]


def table(found: Sequence[Calculation]) -> list[Row]:
    """Return one row for each stage that occurred, in the order of the workflow."""
    rows = []
    for stage in (*STAGES, *sorted({item.stage for item in found} - set(STAGES))):
        own = [item for item in found if item.stage == stage]
        if own:
            rows.append(
                Row(
                    stage=stage,
                    calculations=len(own),
                    calls=sum(item.calls for item in own),
                    ionic_steps=sum(item.ionic_steps for item in own),
                    faults=dict(Counter(fault for item in own for fault in item.faults)),
                    repaired=sum(bool(item.faults) and item.state == "finished" for item in own),
                    failed=sum(item.state == "failed" for item in own),
                    lost_steps=sum(item.lost_steps for item in own),
                    core_hours=sum(item.core_hours for item in own),
                )
            )
    return rows


def _uuid(folder: Path) -> str:
    return folder.name.rpartition("-")[0]


def _delivered_steps(database: Database, uuids: list[str]) -> dict[str, int]:
    """Return how many steps of dynamics the stored segments hold, by uuid."""
    criteria = {"uuid": {"$in": uuids}, "output.segment": {"$exists": True}}
    with database.answering():
        documents = list(database.collection(OUTPUTS).find(criteria, {"uuid": 1, "output.segment": 1}))
    segments = {document["uuid"]: document["output"]["segment"] for document in documents}
    return {uuid: segment["last_step"] - segment["first_step"] for uuid, segment in segments.items()}


def _lost(folder: Path, calls: Sequence[Mapping[str, Any]], delivered: Mapping[str, int]) -> int:
    """Return how many ionic steps were computed in vain.

    Of dynamics these are the steps that the stored segment does not hold; of anything else the steps of an attempt
    after which the next one began where that one had begun.
    """
    if (steps := delivered.get(_uuid(folder))) is not None:
        return max(0, sum(int(call["ionic_steps"]) for call in calls) - steps)
    attempts = [*sorted((folder / ATTEMPTS).glob("[0-9]*"), key=lambda path: int(path.name)), folder]
    starts = [_text(attempt / "POSCAR") for attempt in attempts]
    return sum(
        _ionic_steps(attempt)
        for attempt, start, following in zip(attempts, starts, starts[1:], strict=False)
        if start and start == following
    )


def _core_hours(call: Mapping[str, Any]) -> float:
    """Return what VASP would take for one call, from the size that the stand-in counted."""
    if not call["ionic_steps"]:
        return 0.0
    volume = call["plane_waves"] / plane_waves(_LARGE, call["encut"]) * _LARGE
    size = Size(
        n_atoms=call["ions"],
        electrons=call["electrons"],
        bands=call["bands"],
        kpoints=call["k_points"],
        grid_kpoints=call["k_points"],
        plane_waves=call["plane_waves"],
        grid_points=round(call["plane_waves"] * _GRID_POINTS_PER_PLANE_WAVE),
        spins=call["spins"],
        real_space=False,
        volume=volume,
    )
    return core_hours(size, ionic_steps=call["ionic_steps"], dynamics=call["stage"] == "dynamics")


def _ionic_steps(folder: Path) -> int:
    return sum(" F= " in line for line in _text(folder / "OSZICAR").splitlines())


def _text(path: Path) -> str:
    try:
        with zopen(zpath(str(path)), mode="rt", encoding="utf-8", errors="replace") as file:
            return str(file.read())
    except OSError:
        return ""
