"""Relaxation of a material, and what the relaxed cell says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jobflow import Flow, Job, Maker, OnMissing, OutputReference, job

from sodalyte.analysis.relaxation import relaxation_results
from sodalyte.analysis.results import Guard, Result, Subject
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
    # Without the schema, which jobflow would write out anew for every attribute: 0.1 s each for emmet's TaskDoc.
    document = OutputReference(calculation.output.uuid)
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
            recipe=recipe.label,
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
            origin=_origin(material),
        )
        described.config.on_missing_references = OnMissing.NONE
        described.name = f"describe {label_of(material)}"
        return Flow([relaxed, described], output=outcome(relaxed), name=self.name)


def subject_of(material: Material, maker: Any, *, calculations: list[str]) -> dict[str, Any]:
    """Return the :class:`~sodalyte.analysis.results.Subject` of results that ``maker`` gives, as plain data."""
    return Subject(
        material=material.formula,
        polymorph=material.variant,
        level=maker.level,
        recipe=maker.recipe,
        calculations=tuple(calculations),
    ).model_dump(mode="json")


def label_of(material: Material) -> str:
    """Return how jobs call ``material``."""
    return f"{material.formula} {material.variant}"


def accompanied(results: list[Result], *guards: Guard) -> list[Result]:
    """Return the results with guards that hold for all of them put first."""
    return [result.model_copy(update={"guards": (*guards, *result.guards)}) for result in results]


def _origin(material: Material) -> dict[str, Any]:
    """Say where the structure comes from; grade C, and what had to be changed on reading, are pointed out."""
    where = f"{material.id}, grade {material.grade}" if material.id else str(material.variant)
    return Guard(
        name="starting structure",
        passed=material.grade != "C" and not material.notes,
        detail="; ".join([f"{where}: {material.source}", *material.notes]),
        required=False,
    ).model_dump(mode="json")


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
    origin: dict[str, Any],
) -> dict[str, Any]:
    """Compare the relaxed cell with where it started and with experiment."""
    results = relaxation_results(
        Subject(**subject),
        start=start,
        relaxed=relaxed["structure"],
        converged=is_converged(relaxed),
        experiment=experiment,
        lattice_uncertainty=lattice_uncertainty,
    )
    return as_output(accompanied(results, Guard(**origin)))
