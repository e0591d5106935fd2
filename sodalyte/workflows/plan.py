"""What a screening would calculate, known before it runs: also what its jobs will ask for while they run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pymatgen.core import Structure

from sodalyte.analysis.strains import strained_cells
from sodalyte.inputs.engine import configured
from sodalyte.structures import conventional, dynamics_cell
from sodalyte.workflows.dynamics import total_steps
from sodalyte.workflows.relaxation import label_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from jobflow import Flow, Maker

    from sodalyte.inputs.engine import Engine
    from sodalyte.inputs.recipe import Recipe
    from sodalyte.structures import Material

FROM_START = "from the crystal as published; it will be made from the relaxed one"


@dataclass(frozen=True)
class Planned:
    """One calculation, or the equal segments of one run of dynamics.

    Attributes
    ----------
    name
        Of the job.
    material
        What it is for; empty for a competing phase, which several materials may share.
    stage
        relaxation, competing phase, strained cell or dynamics.
    structure
        From which it starts.
    maker
        The engine's.
    segments
        Jobs that follow one another.
    ionic_steps
        Of all segments, if that is known beforehand.
    note
        What of the structure is not known yet.
    """

    name: str
    material: str
    stage: str
    structure: Structure
    maker: Maker
    segments: int = 1
    ionic_steps: int | None = None
    note: str = ""


def plan_calculations(
    flow: Flow, materials: Iterable[Material], *, engine: Engine, recipe: Recipe, analyses: Collection[str]
) -> list[Planned]:
    """Return the calculations of a screening, in the order of their stages.

    Parameters
    ----------
    flow
        The screening of ``materials``; jobs that stand in it once are planned once.
    """
    materials = list(materials)
    engine = configured(engine, recipe)
    calculations = list(_in(flow, {f"relax {label_of(material)}": label_of(material) for material in materials}))
    for material in materials:
        start = conventional(material.structure)
        if "elasticity" in analyses:
            calculations += _strained(material, start, engine, recipe)
        if "diffusion" in analyses:
            calculations += _dynamics(material, start, engine, recipe)
    return calculations


def _in(flow: Flow, own: dict[str, str]) -> Iterator[Planned]:
    """Yield the calculations that stand in the flow: those that start from a structure."""
    for job, _ in flow.iterflow():
        if job.maker is not None and job.function_args and isinstance(job.function_args[0], Structure):
            stage = "relaxation" if job.name in own else "competing phase"
            yield Planned(job.name, own.get(job.name, ""), stage, job.function_args[0], job.maker)


def _strained(material: Material, start: Structure, engine: Engine, recipe: Recipe) -> Iterator[Planned]:
    maker = engine.relax_ions(recipe)
    strains, symprec = recipe.elasticity.strains, recipe.relaxation.symprec
    for cell in strained_cells(start, strains=strains, symprec=symprec):
        name = f"{cell.label} {label_of(material)}"
        yield Planned(name, label_of(material), "strained cell", cell.structure, maker, note=FROM_START)


def _dynamics(material: Material, start: Structure, engine: Engine, recipe: Recipe) -> Iterator[Planned]:
    settings = recipe.dynamics
    cell = dynamics_cell(start, defect=settings.defect, supercell=settings.supercell)
    steps = total_steps(settings)
    for kelvin in settings.temperatures:
        yield Planned(
            f"dynamics {label_of(material)} {kelvin:g} K",
            label_of(material),
            "dynamics",
            cell.structure,
            engine.dynamics(recipe, kelvin, settings.segment_steps),
            segments=math.ceil(steps / settings.segment_steps),
            ionic_steps=steps,
            note=FROM_START,
        )
