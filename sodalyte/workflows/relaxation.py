"""Relaxation of a material, and what the relaxed cell says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jobflow import Flow, Job, Maker, job

from sodalyte.analysis.relaxation import relaxation_results
from sodalyte.analysis.results import Result, Subject
from sodalyte.structures import conventional

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pymatgen.core import Structure

    from sodalyte.inputs.engine import Engine
    from sodalyte.inputs.recipe import Recipe
    from sodalyte.structures import Material


def outcome(calculation: Job) -> dict[str, Any]:
    """Return references to what analyses need of a relaxation or static, equal for every engine's documents.

    Resolved, they are: ``structure``; ``energy`` (eV per cell); ``stress`` (3x3, kbar, compressive positive, as VASP
    and atomate2 give it); ``forces`` (eV/angstrom); ``converged``; ``uuid``.
    """
    document = calculation.output
    return {
        "structure": document.structure,
        "energy": document.output.energy,
        "stress": document.output.stress,
        "forces": document.output.forces,
        "state": document.state,
        "uuid": calculation.uuid,
    }


def is_converged(relaxed: dict[str, Any]) -> bool:
    """Tell whether a resolved :func:`outcome` is of a calculation that ran and converged."""
    return relaxed["structure"] is not None and getattr(relaxed["state"], "value", relaxed["state"]) == "successful"


def tensile_stress(kbar: Any) -> NDArray[np.float64]:
    """Return the stress in GPa, tensile positive, from one in kbar, compressive positive; shape (3, 3)."""
    return -0.1 * np.array(kbar, dtype=float)


@dataclass
class RelaxationMaker(Maker):  # type: ignore[misc]
    """Relax a material and compare its cell with experiment.

    Attributes
    ----------
    relax
        The engine's Maker.
    recipe
        Name of the recipe, for the results.
    level
        Level of theory, for the results.
    lattice_uncertainty
        Relative standard uncertainty of the engine's lattice constants, if it is known.
    """

    relax: Maker
    recipe: str
    level: str
    lattice_uncertainty: float | None = None
    name: str = "relaxation"

    @classmethod
    def from_engine(cls, engine: Engine, recipe: Recipe) -> RelaxationMaker:
        """Configure the flow for ``engine`` and ``recipe``."""
        return cls(
            relax=engine.relax(recipe),
            recipe=recipe.name,
            level=engine.level,
            lattice_uncertainty=engine.lattice_uncertainty,
        )

    def make(self, material: Material) -> Flow:
        """Return a flow whose output is the :func:`outcome` of the relaxation."""
        relaxed = self.relax.make(conventional(material.structure))
        relaxed.name = f"relax {label_of(material)}"
        relaxed.update_metadata({"priority": 1})
        subject = subject_of(material, self, calculations=[relaxed.uuid])
        described = describe(
            subject,
            start=material.structure,
            relaxed=outcome(relaxed),
            experiment=_measured(material),
            lattice_uncertainty=self.lattice_uncertainty,
        )
        described.name = f"describe {label_of(material)}"
        return Flow([relaxed, described], output=outcome(relaxed), name=self.name)


def subject_of(material: Material, maker: Any, *, calculations: list[str]) -> dict[str, Any]:
    """Return the :class:`~sodalyte.analysis.results.Subject` of results that ``maker`` gives, as plain data."""
    return Subject(
        material=material.name,
        polymorph=material.polymorph,
        level=maker.level,
        recipe=maker.recipe,
        calculations=tuple(calculations),
    ).model_dump(mode="json")


def label_of(material: Material) -> str:
    """Return how jobs call ``material``."""
    return f"{material.name} {material.polymorph}"


def _measured(material: Material) -> dict[str, float | str] | None:
    lattice = material.experimental
    if lattice is None:
        return None
    return {
        "lattice_a": lattice.a,
        "lattice_c": lattice.c,
        "density": lattice.density,
        "source": lattice.source,
    }


def as_output(results: list[Result]) -> dict[str, Any]:
    """Return results as the output of an analysis job; launchers save what stands under ``results``."""
    return {"results": [result.model_dump(mode="json") for result in results]}


@job
def describe(
    subject: dict[str, Any],
    *,
    start: Structure,
    relaxed: dict[str, Any],
    experiment: dict[str, Any] | None,
    lattice_uncertainty: float | None,
) -> dict[str, Any]:
    """Compare the relaxed cell with where it started and with experiment."""
    return as_output(
        relaxation_results(
            Subject(**subject),
            start=start,
            relaxed=relaxed["structure"],
            converged=is_converged(relaxed),
            experiment=experiment,
            lattice_uncertainty=lattice_uncertainty,
        )
    )
