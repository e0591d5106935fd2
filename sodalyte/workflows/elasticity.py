"""Elastic tensor of a relaxed crystal from strained cells with relaxed ions.

The ions of a strained cell relax twice: first in the symmetry that the strained cell has, and from there, slightly
displaced, without any. Both answers are kept. The ions of the unstrained cell are displaced before: where they do not
come back, no strain is to blame, and the strained cells are relaxed in their symmetry only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jobflow import Flow, Job, Maker, OnMissing, Response, job

from sodalyte.analysis import elasticity
from sodalyte.analysis.elastic_guards import keeps_its_symmetry
from sodalyte.analysis.responses import Reference
from sodalyte.analysis.responses import Response as Answer
from sodalyte.analysis.results import Subject
from sodalyte.analysis.strains import has_symmetry, strained_cells
from sodalyte.workflows.relaxation import as_output, is_converged, label_of, outcome, subject_of, tensile_stress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sodalyte.inputs.engine import Engine
    from sodalyte.inputs.recipe import Recipe
    from sodalyte.structures import Material


@dataclass
class ElasticityMaker(Maker):  # type: ignore[misc]
    """Elastic tensor, moduli and Pugh's ratio.

    Attributes
    ----------
    relax_in_symmetry, relax_ions
        The engine's Makers for strained cells, with their symmetry kept and without it.
    strains
        Green-Lagrange strains.
    symprec, strained_symprec
        Tolerance for finding the space group of the crystal and of its strained cells, angstrom.
    recipe, level
        For the results.
    """

    relax_in_symmetry: Maker
    relax_ions: Maker
    strains: Sequence[float]
    symprec: float
    strained_symprec: float
    recipe: str
    level: str
    name: str = "elasticity"

    @classmethod
    def from_engine(cls, engine: Engine, recipe: Recipe) -> ElasticityMaker:
        """Configure the flow for ``engine`` and ``recipe``."""
        return cls(
            relax_in_symmetry=engine.relax_ions(recipe, keep_symmetry=True),
            relax_ions=engine.relax_ions(recipe),
            strains=list(recipe.elasticity.strains),
            symprec=recipe.relaxation.symprec,
            strained_symprec=recipe.strained_symprec,
            recipe=recipe.label,
            level=engine.level,
        )

    def make(self, material: Material, relaxed: dict[str, Any]) -> Flow:
        """Return a flow that strains ``material``.

        Parameters
        ----------
        relaxed
            The :func:`~sodalyte.workflows.relaxation.outcome` of its relaxation, in the conventional cell.
        """
        subject = subject_of(material, self, calculations=[relaxed["uuid"]])
        strain = strain_cells(
            subject,
            relaxed=relaxed,
            relax_in_symmetry=self.relax_in_symmetry,
            relax_ions=self.relax_ions,
            strains=self.strains,
            symprec=self.symprec,
            strained_symprec=self.strained_symprec,
        )
        strain.name = f"strain {label_of(material)}"
        return Flow([strain], output=strain.output, name=self.name)


@job
def strain_cells(
    subject: dict[str, Any],
    *,
    relaxed: dict[str, Any],
    relax_in_symmetry: Maker,
    relax_ions: Maker,
    strains: Sequence[float],
    symprec: float,
    strained_symprec: float,
) -> Response:
    """Strain the relaxed cell, relax the ions of each within its symmetry, and those of the unstrained without."""
    structure = relaxed["structure"]
    calculations: list[Job] = []
    displaced, symmetric = relaxed, {}
    if has_symmetry(structure, symprec=symprec):
        free = _named(relax_ions.make(structure), "displaced", subject)
        calculations.append(free)
        displaced = outcome(free)
    for cell in strained_cells(structure, strains=strains, symprec=symprec):
        kept = _named(relax_in_symmetry.make(cell.structure), f"{cell.label} symmetric", subject)
        calculations.append(kept)
        symmetric[cell.label] = outcome(kept)
    rest = release_ions(
        _resting_on(subject, calculations),
        relaxed=relaxed,
        displaced=displaced,
        symmetric=symmetric,
        relax_ions=relax_ions,
        strains=strains,
        symprec=symprec,
        strained_symprec=strained_symprec,
    )
    rest.name = f"release ions of {subject['material']} {subject['polymorph']}"
    rest.config.on_missing_references = OnMissing.NONE
    return Response(replace=Flow([*calculations, rest], output=rest.output))


@job
def release_ions(
    subject: dict[str, Any],
    *,
    relaxed: dict[str, Any],
    displaced: dict[str, Any],
    symmetric: dict[str, dict[str, Any]],
    relax_ions: Maker,
    strains: Sequence[float],
    symprec: float,
    strained_symprec: float,
) -> Response:
    """Relax the ions of the strained cells without symmetry, if the unstrained crystal keeps its own, and fit."""
    stays = comes_back(relaxed, displaced, polymorph=subject["polymorph"])
    calculations: list[Job] = []
    free = {}
    for cell in strained_cells(relaxed["structure"], strains=strains, symprec=symprec):
        kept = symmetric[cell.label]
        if not kept["structure"]:
            continue
        if not has_symmetry(cell.structure, symprec=strained_symprec):
            free[cell.label] = kept
        elif stays:
            left = _named(relax_ions.make(kept["structure"]), cell.label, subject)
            calculations.append(left)
            free[cell.label] = outcome(left)
    fit = fit_tensor(
        _resting_on(subject, calculations),
        reference=relaxed,
        displaced=displaced,
        relaxed=free,
        symmetric=symmetric,
        strains=strains,
        symprec=symprec,
    )
    fit.name = f"fit elastic tensor of {subject['material']} {subject['polymorph']}"
    fit.config.on_missing_references = OnMissing.NONE
    return Response(replace=Flow([*calculations, fit], output=fit.output))


def comes_back(relaxed: dict[str, Any], displaced: dict[str, Any], *, polymorph: str) -> bool:
    """Tell whether the displaced ions of the unstrained crystal return: where they do not, no strained cell is freed.

    ``relaxed`` and ``displaced`` are resolved :func:`~sodalyte.workflows.relaxation.outcome`.
    """
    return keeps_its_symmetry(_reference(polymorph, relaxed, displaced)).passed


@job
def fit_tensor(
    subject: dict[str, Any],
    *,
    reference: dict[str, Any],
    displaced: dict[str, Any],
    relaxed: dict[str, dict[str, Any]],
    symmetric: dict[str, dict[str, Any]],
    strains: Sequence[float],
    symprec: float,
) -> dict[str, Any]:
    """Fit elastic tensors to the stresses of the strained cells."""
    return as_output(
        elasticity.elasticity_results(
            Subject(**subject),
            reference=_reference(subject["polymorph"], reference, displaced),
            cells=strained_cells(reference["structure"], strains=strains, symprec=symprec),
            relaxed=_responses(relaxed),
            symmetric=_responses(symmetric),
            symprec=symprec,
        )
    )


def _named(calculation: Job, what: str, subject: dict[str, Any]) -> Job:
    calculation.name = f"{what} {subject['material']} {subject['polymorph']}"
    return calculation


def _resting_on(subject: dict[str, Any], calculations: list[Job]) -> dict[str, Any]:
    return subject | {"calculations": [*subject["calculations"], *(calculation.uuid for calculation in calculations)]}


def _reference(polymorph: str, relaxed: dict[str, Any], displaced: dict[str, Any]) -> Reference:
    return Reference(
        structure=relaxed["structure"],
        polymorph=polymorph,
        response=_response(relaxed),
        displaced=_response(displaced) if displaced["structure"] else None,
    )


def _responses(outcomes: dict[str, dict[str, Any]]) -> dict[str, Answer]:
    return {label: _response(each) for label, each in outcomes.items() if each["structure"]}


def _response(answer: dict[str, Any]) -> Answer:
    return Answer(
        energy=answer["energy"],
        stress=tensile_stress(answer["stress"]),
        max_force=float(np.linalg.norm(answer["forces"], axis=1).max()),
        converged=is_converged(answer),
    )
