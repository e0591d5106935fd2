"""What a rehearsal shows: what ran, what went wrong, what was repaired, what was lost, what VASP would take for it."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from monty.io import zopen
from monty.os.path import zpath

from sodalyte.database.store import OUTPUTS, Database
from sodalyte.inputs.vasp.cost import Size, core_hours, plane_waves
from sodalyte.inputs.vasp.run_folder import Attempt, RunFolder
from sodalyte.launchers.rehearsal.cell import Cell
from sodalyte.launchers.rehearsal.incar import Incar, InputError

STAGES = ("relax", "static", "elastic", "dynamics")
State = Literal["finished", "failed"]

_GRID_POINTS_PER_PLANE_WAVE = 48 / math.pi
"""Of a grid that holds twice the cutoff's sphere (PREC = Accurate): its box against the sphere of plane waves."""

_SAME = 1e-6
"""Difference, of fractions of the cell or angstrom, up to which configurations are the same."""

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
    ionic_steps
        That were finished, of all calls together.
    faults
        What the fault file made go wrong, in order.
    repairs
        What went wrong for VASP and what was done about it, in order.
    lost_steps
        Ionic steps that were finished and do not count; all of a calculation that failed.
    core_hours
        Estimate of what VASP would take for as many ionic steps; see :mod:`sodalyte.inputs.vasp.cost`.
    """

    stage: str
    formula: str
    uuid: str
    state: State
    calls: int
    ionic_steps: int
    faults: tuple[str, ...]
    repairs: tuple[str, ...]
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
    repairs
        How often each repair was made.
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
    repairs: Mapping[str, int]
    repaired: int
    failed: int
    lost_steps: int
    core_hours: float


def calculations(
    ledger: Iterable[Mapping[str, Any]],
    *,
    root: Path,
    finished: Collection[str],
    failed: Collection[str],
    database: Database,
) -> list[Calculation]:
    """Put the calls of the executable together to calculations, in the order in which they began.

    Those that failed before their first call come last.

    Parameters
    ----------
    ledger
        As :func:`sodalyte.launchers.rehearsal.memory.read_ledger` gives it.
    root
        Folder of all run folders.
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
    for uuid in failed:
        for inputs in sorted(root.resolve().glob(f"*/{uuid}-*/INCAR")):
            calls.setdefault(inputs.parent, [])
    delivered = _delivered_steps(database, [_uuid(folder) for folder in calls])
    return [
        _calculation(folder, own, finished=_uuid(folder) in finished, delivered=delivered.get(_uuid(folder)))
        for folder, own in calls.items()
    ]


def _calculation(
    folder: Path, calls: Sequence[Mapping[str, Any]], *, finished: bool, delivered: int | None
) -> Calculation:
    """Return what a run folder shows; a call that was killed from outside left its files, but no line in the ledger."""
    run = RunFolder(folder)
    attempts = [*run.attempts(), run.current]
    steps = [_finished_steps(attempt.folder) for attempt in attempts]
    entries = {call["attempt"]: call for call in calls}
    known = next((call for call in calls if call.get("formula")), None) or _identity(folder)
    hours = sum(_core_hours(entries.get(place, known), count) for place, count in enumerate(steps, start=1) if count)
    if not finished:
        lost = sum(steps)
    elif delivered is not None:
        lost = max(0, sum(steps) - delivered)
    else:
        lost = sum(_lost_between(one, following) for one, following in pairwise(attempts))
    return Calculation(
        stage=known["stage"],
        formula=known["formula"],
        uuid=_uuid(folder),
        state="finished" if finished else "failed",
        calls=sum(_was_called(attempt.folder) for attempt in attempts),
        ionic_steps=sum(steps),
        faults=tuple(fault for call in calls for fault in call["faults"]),
        repairs=tuple(f"{item['problem']}: {'; '.join(item['actions'])}" for item in run.corrections()),
        lost_steps=lost,
        core_hours=hours,
        folder=folder,
    )


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
                    repairs=dict(Counter(repair for item in own for repair in item.repairs)),
                    repaired=sum(bool(item.faults or item.repairs) and item.state == "finished" for item in own),
                    failed=sum(item.state == "failed" for item in own),
                    lost_steps=sum(item.lost_steps for item in own),
                    core_hours=sum(item.core_hours for item in own),
                )
            )
    return rows


def _identity(folder: Path) -> dict[str, str]:
    """Return stage and formula from the inputs in a run folder, empty where they are not to be read."""
    try:
        incar, cell = Incar.parse((folder / "INCAR").read_text()), Cell.parse((folder / "POSCAR").read_text())
    except (OSError, InputError):
        return {"stage": "", "formula": ""}
    return {"stage": incar.stage, "formula": cell.formula}


def _uuid(folder: Path) -> str:
    return folder.name.rpartition("-")[0]


def _delivered_steps(database: Database, uuids: list[str]) -> dict[str, int]:
    """Return how many steps of dynamics the stored segments hold, by uuid."""
    criteria = {"uuid": {"$in": uuids}, "output.segment": {"$exists": True}}
    with database.answering():
        documents = list(database.collection(OUTPUTS).find(criteria, {"uuid": 1, "output.segment": 1}))
    segments = {document["uuid"]: document["output"]["segment"] for document in documents}
    return {uuid: segment["last_step"] - segment["first_step"] for uuid, segment in segments.items()}


def _was_called(folder: Path) -> bool:
    return any((folder / f"vasp.out{ending}").exists() for ending in ("", ".gz"))


def _finished_steps(folder: Path) -> int:
    try:
        with zopen(zpath(str(folder / "OSZICAR")), mode="rt", encoding="utf-8", errors="replace") as file:
            return sum(" F= " in line for line in file)
    except OSError:
        return 0


def _lost_between(one: Attempt, following: Attempt) -> int:
    """Return how many finished steps of an attempt come after the configuration with which the next one began.

    That is a configuration of the attempt, or the one in its CONTCAR, which follows them all. Of an attempt that ended
    by itself nothing is lost.
    """
    steps, frames, later = _finished_steps(one.folder), one.frames(), following.frames()
    if frames is None or later is None:
        return steps
    if frames.complete and frames.scf_converged[-1]:
        return 0
    moves = frames.fractional - later.fractional[0]
    same = (np.abs(moves - np.rint(moves)).max(axis=(1, 2)) < _SAME) & (
        np.abs(frames.cells - later.cells[0]).max(axis=(1, 2)) < _SAME
    )
    if same.any():
        return steps - int(np.flatnonzero(same)[-1])
    return 0 if one.end() else steps - frames.n_steps


def _core_hours(call: Mapping[str, Any], ionic_steps: int) -> float:
    """Return what VASP would take for ionic steps of one call, from the size that the stand-in counted."""
    if "plane_waves" not in call:
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
    return core_hours(size, ionic_steps=ionic_steps, dynamics=call["stage"] == "dynamics")
