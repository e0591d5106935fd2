"""What a screening would calculate, known before it runs: also what its jobs will ask for while they run."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pymatgen.core import Structure

from sodalyte.analysis.strains import has_symmetry, strained_cells
from sodalyte.inputs.engine import configured
from sodalyte.structures import conventional, dynamics_cell
from sodalyte.workflows.dynamics import total_steps
from sodalyte.workflows.relaxation import label_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

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
    before
        The engine's Maker whose answer for ``structure`` it starts from, if it does not start from that itself.
    segments
        Jobs that follow one another.
    ionic_steps
        Of all segments, if that is known beforehand.
    note
        What of the structure is not known yet.
    done
        How many of its segments need not run, as far as that is known.
    """

    name: str
    material: str
    stage: str
    structure: Structure
    maker: Maker
    before: Maker | None = None
    segments: int = 1
    ionic_steps: int | None = None
    note: str = ""
    done: int = 0

    @property
    def finished(self) -> bool:
        """Whether nothing of it need run."""
        return self.done == self.segments

    @property
    def left(self) -> float:
        """Which part of it is still to run."""
        return 1 - self.done / self.segments


def plan_calculations(
    flow: Flow,
    materials: Iterable[Material],
    *,
    engine: Engine,
    recipe: Recipe,
    analyses: Collection[str],
    relaxed: Mapping[str, Structure] | None = None,
) -> list[Planned]:
    """Return the calculations of a screening, in the order of their stages.

    Parameters
    ----------
    flow
        The screening of ``materials``, identified (flat, equal jobs merged): what stands in it once is planned once.
    relaxed
        The relaxed cells of materials that have one already, by :func:`~sodalyte.workflows.relaxation.label_of`.
    """
    materials = list(materials)
    engine = configured(engine, recipe)
    calculations = list(_in(flow, {f"relax {label_of(material)}": label_of(material) for material in materials}))
    for material in materials:
        known = (relaxed or {}).get(label_of(material))
        start = known or conventional(material.structure)
        following: list[Planned] = []
        if "elasticity" in analyses:
            following += _strained(material, start, engine, recipe)
        if "diffusion" in analyses:
            following += _dynamics(material, start, engine, recipe)
        calculations += [replace(each, note="") for each in following] if known else following
    return calculations


def _in(flow: Flow, own: dict[str, str]) -> Iterator[Planned]:
    """Yield the calculations that stand in the flow: those that start from a structure."""
    for job in flow.jobs:
        if job.maker is not None and job.function_args and isinstance(job.function_args[0], Structure):
            stage = "relaxation" if job.name in own else "competing phase"
            yield Planned(job.name, own.get(job.name, ""), stage, job.function_args[0], job.maker)


def _strained(material: Material, start: Structure, engine: Engine, recipe: Recipe) -> Iterator[Planned]:
    kept, free = engine.relax_ions(recipe, keep_symmetry=True), engine.relax_ions(recipe)
    label = label_of(material)
    if has_symmetry(start, symprec=recipe.relaxation.symprec):
        yield Planned(f"displaced {label}", label, "strained cell", start, free, note=FROM_START)
    for cell in strained_cells(start, strains=recipe.elasticity.strains, symprec=recipe.relaxation.symprec):
        common: dict[str, Any] = {
            "material": label,
            "stage": "strained cell",
            "structure": cell.structure,
            "note": FROM_START,
        }
        yield Planned(name=f"{cell.label} symmetric {label}", maker=kept, **common)
        if has_symmetry(cell.structure, symprec=recipe.strained_symprec):
            yield Planned(name=f"{cell.label} {label}", maker=free, before=kept, **common)


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
