"""Molecular dynamics in resumable segments, and the diffusivity, conductivity and activation energy that follow."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jobflow import Flow, Job, Maker, OnMissing, Response, job
from pymatgen.core import Element, Structure

from sodalyte.analysis.diffusion import diffusion_results
from sodalyte.analysis.results import Guard, Result, Subject
from sodalyte.analysis.transport import arrhenius_results
from sodalyte.database.trajectories import TRAJECTORY_ROOT, Segment, read_trajectory
from sodalyte.errors import CalculationError
from sodalyte.inputs.recipe import Dynamics
from sodalyte.structures import Defect, dynamics_cell, sodium_spacing
from sodalyte.workflows.relaxation import accompanied, as_output, is_converged, label_of, subject_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sodalyte.inputs.dynamics import SegmentDoc
    from sodalyte.inputs.engine import Engine
    from sodalyte.inputs.recipe import Recipe
    from sodalyte.structures import Material

_PRIORITY = {"priority": 10}
MAX_DRIFT = 0.005
"""Largest drift of the conserved energy in a run, eV/atom: a tenth of the thermal energy at 600 K."""

MAX_ASPECT = 1.02
"""Ratio of the longest to the shortest edge of a model cell from which on its shape is pointed out."""

_ANIONS = ("S", "Se", "F", "Cl", "Br", "I")


@dataclass
class DynamicsMaker(Maker):  # type: ignore[misc]
    """Dynamics at every temperature of a recipe, and what they say about transport.

    Attributes
    ----------
    segments
        The engine's Makers of one segment, one for each temperature.
    settings
        The recipe's section.
    recipe, level
        For the results.
    """

    segments: list[Maker]
    settings: Dynamics
    recipe: str
    level: str
    name: str = "dynamics"

    @classmethod
    def from_engine(cls, engine: Engine, recipe: Recipe) -> DynamicsMaker:
        """Configure the flow for ``engine`` and ``recipe``."""
        settings = recipe.dynamics
        return cls(
            segments=[engine.dynamics(recipe, kelvin, settings.segment_steps) for kelvin in settings.temperatures],
            settings=settings,
            recipe=recipe.label,
            level=engine.level,
        )

    def make(self, material: Material, relaxed: dict[str, Any]) -> Flow:
        """Return a flow that runs the dynamics of ``material``.

        Parameters
        ----------
        relaxed
            The :func:`~sodalyte.workflows.relaxation.outcome` of its relaxation.
        """
        cell = prepare_cell(relaxed["structure"], defect=self.settings.defect, supercell=self.settings.supercell)
        cell.name = f"model cell of {label_of(material)}"
        cell.update_metadata(_PRIORITY)
        jobs: list[Job] = [cell]
        subject = subject_of(material, self, calculations=[relaxed["uuid"]])
        analysed: list[Job] = []
        for temperature, segment in zip(self.settings.temperatures, self.segments, strict=True):
            label = f"dynamics {label_of(material)} {temperature:g} K"
            run = run_segments(segment, cell.output["structure"], target=total_steps(self.settings), label=label)
            run.name = label
            run.update_metadata(_PRIORITY)
            analysis = analyse_dynamics(
                subject,
                relaxed=relaxed,
                cell=cell.output,
                run=run.output,
                temperature=temperature,
                settings=self.settings,
            )
            analysis.name = f"diffusivity {label_of(material)} {temperature:g} K"
            analysed.append(analysis)
            jobs += [run, analysis]
        fit = analyse_arrhenius(subject, cell=cell.output, analysed=[analysis.output for analysis in analysed])
        fit.name = f"Arrhenius {label_of(material)}"
        fit.config.on_missing_references = OnMissing.NONE
        return Flow([*jobs, fit], output=fit.output, name=self.name)


def total_steps(settings: Dynamics) -> int:
    """Return the number of steps of equilibration and production."""
    return math.ceil(1000 * (settings.equilibration + settings.production) / settings.time_step)


@job
def prepare_cell(relaxed: Structure, *, defect: Defect, supercell: tuple[int, int, int]) -> dict[str, Any]:
    """Build the model cell from the relaxed crystal."""
    cell = dynamics_cell(relaxed, defect=defect, supercell=supercell)
    return {
        "structure": cell.structure,
        "defect": cell.defect,
        "net_charge": cell.net_charge,
        "description": cell.description,
        "hop_length": sodium_spacing(relaxed),
    }


@job
def run_segments(
    segment: Maker,
    structure: Structure,
    *,
    target: int,
    label: str,
    previous: SegmentDoc | None = None,
    done: Sequence[Segment] = (),
    calculations: Sequence[str] = (),
) -> Response:
    """Run segments one after the other until ``target`` steps are done; each is a job that can be reused.

    The output is ``{"segments": [...], "calculations": [...]}``: the index records and the uuids, in order.
    """
    done = [*done, *([previous.segment] if previous else [])]
    steps = done[-1].last_step if done else 0
    if steps >= target:
        return Response(output={"segments": done, "calculations": list(calculations)})
    following = segment.make(structure, previous=previous)
    following.name = f"{label}, from step {steps} of {target}"
    following.update_metadata(_PRIORITY)
    rest = run_segments(
        segment,
        structure,
        target=target,
        label=label,
        previous=following.output,
        done=done,
        calculations=[*calculations, following.uuid],
    )
    rest.name = label
    rest.update_metadata(_PRIORITY)
    return Response(replace=Flow([following, rest], output=rest.output))


@job
def analyse_dynamics(
    subject: dict[str, Any],
    *,
    relaxed: dict[str, Any],
    cell: dict[str, Any],
    run: dict[str, Any],
    temperature: float,
    settings: Dynamics,
) -> dict[str, Any]:
    """Estimate the diffusivity and the conductivity at one temperature."""
    segments = [Segment.model_validate(segment) for segment in run["segments"]]
    trajectory = read_trajectory(segments, Path(os.environ.get(TRAJECTORY_ROOT, ".")), verify=True)
    end = settings.equilibration + settings.production + settings.time_step / 1000
    production = (trajectory.times >= settings.equilibration) & (trajectory.times <= end)
    symbols = np.array([Element.from_Z(number).symbol for number in trajectory.numbers])
    mobile = symbols == "Na"
    skeleton = ~mobile & ~np.isin(symbols, _ANIONS)
    results = diffusion_results(
        Subject(**subject | {"calculations": [*subject["calculations"], *run["calculations"]]}),
        trajectory.positions[production],
        frame_interval=trajectory.frame_interval,
        mobile=mobile,
        framework=~mobile,
        skeleton=skeleton if skeleton.any() else None,
        hop_length=cell["hop_length"],
        volume=abs(float(np.linalg.det(trajectory.cell))),
        temperature=temperature,
        temperatures=trajectory.temperatures[production],
        seed=settings.seed,
    )
    drift = energy_drift(trajectory.times[production], trajectory.conserved[production], n_atoms=len(symbols))
    guards = (_model_cell(cell), _cell_shape(cell), _relaxed_first(relaxed), drift)
    return as_output([refuse_where_failed(result, guards) for result in results])


@job
def analyse_arrhenius(
    subject: dict[str, Any], *, cell: dict[str, Any] | None, analysed: list[dict[str, Any] | None]
) -> dict[str, Any]:
    """Fit Arrhenius' law to the diffusivities of all temperatures."""
    results = [Result(**result) for analysis in analysed if analysis for result in analysis["results"]]
    diffusivities = [result for result in results if result.property == "diffusivity"]
    if cell is None or not diffusivities:
        raise CalculationError(f"no dynamics of {subject['material']} ended, so there is nothing to fit")
    structure = cell["structure"]
    segments = {uuid for result in diffusivities for uuid in result.calculations}
    fitted = arrhenius_results(
        Subject(**subject | {"calculations": sorted({*subject["calculations"], *segments})}),
        diffusivities,
        n_ions=int(structure.composition["Na"]),
        volume=structure.volume,
    )
    return as_output(accompanied(fitted, _model_cell(cell), _cell_shape(cell)))


def energy_drift(times: NDArray[np.float64], conserved: NDArray[np.float64], *, n_atoms: int) -> Guard:
    """Judge the drift of the quantity that exact dynamics conserve.

    Parameters
    ----------
    times, conserved
        ps and eV, of shape (n_frames,).
    """
    change = abs(float(np.polyfit(times, conserved, 1)[0])) * float(np.ptp(times)) / n_atoms
    return Guard(
        name="energy conserved",
        passed=change < MAX_DRIFT,
        detail=f"the conserved energy drifted by {1000 * change:.2g} meV/atom in the run (limit {1000 * MAX_DRIFT:g})",
    )


def refuse_where_failed(result: Result, guards: Sequence[Guard]) -> Result:
    """Return the result with guards put first, without its number where a required one of them failed.

    A mean squared displacement stays: it is what was seen.
    """
    kept = result.model_copy(update={"guards": (*guards, *result.guards)})
    failed = [guard.detail for guard in guards if guard.required and not guard.passed]
    if not failed or result.property == "mean_squared_displacement":
        return kept
    reason = "; ".join([*failed, *([result.reason] if result.reason else [])])
    without: dict[str, Any] = {"value": None, "uncertainty": None, "interval_95": None, "data": {}, "status": "refused"}
    return kept.model_copy(update=without | {"reason": reason})


def _model_cell(cell: dict[str, Any]) -> Guard:
    charge = f", nominal net charge {cell['net_charge']:+d}" if cell["net_charge"] else ""
    return Guard(name="model cell", passed=True, detail=cell["description"] + charge, required=False)


def _cell_shape(cell: dict[str, Any]) -> Guard:
    a, b, c = cell["structure"].lattice.abc
    return Guard(
        name="cell shape",
        passed=max(a, b, c) / min(a, b, c) < MAX_ASPECT,
        detail=f"the cell relaxed at 0 K, {a:.2f} x {b:.2f} x {c:.2f} angstrom, is kept at all temperatures; "
        "a crystal that turns cubic on heating is strained in it",
        required=False,
    )


def _relaxed_first(relaxed: dict[str, Any]) -> Guard:
    return Guard(
        name="relaxation converged",
        passed=is_converged(relaxed),
        detail="the cell of the dynamics is that of a relaxation which "
        + ("converged" if is_converged(relaxed) else "did not converge"),
    )
