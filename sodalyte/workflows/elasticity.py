"""Elastic tensor of a relaxed crystal from strained cells with relaxed ions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jobflow import Flow, Maker, OnMissing, Response, job

from sodalyte.analysis import elasticity
from sodalyte.analysis.results import Subject
from sodalyte.analysis.strains import strained_cells
from sodalyte.workflows.relaxation import as_output, is_converged, label_of, outcome, subject_of, tensile_stress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure

    from sodalyte.inputs.engine import Engine
    from sodalyte.inputs.recipe import Recipe
    from sodalyte.structures import Material


@dataclass
class ElasticityMaker(Maker):  # type: ignore[misc]
    """Elastic tensor, moduli and Pugh's ratio.

    Attributes
    ----------
    relax_ions
        The engine's Maker for strained cells.
    strains
        Green-Lagrange strains.
    symprec
        Tolerance for finding the space group, angstrom.
    recipe, level
        For the results.
    """

    relax_ions: Maker
    strains: Sequence[float]
    symprec: float
    recipe: str
    level: str
    name: str = "elasticity"

    @classmethod
    def from_engine(cls, engine: Engine, recipe: Recipe) -> ElasticityMaker:
        """Configure the flow for ``engine`` and ``recipe``."""
        return cls(
            relax_ions=engine.relax_ions(recipe),
            strains=list(recipe.elasticity.strains),
            symprec=recipe.relaxation.symprec,
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
            subject, relaxed=relaxed, relax_ions=self.relax_ions, strains=self.strains, symprec=self.symprec
        )
        strain.name = f"strain {label_of(material)}"
        return Flow([strain], output=strain.output, name=self.name)


@job
def strain_cells(
    subject: dict[str, Any],
    *,
    relaxed: dict[str, Any],
    relax_ions: Maker,
    strains: Sequence[float],
    symprec: float,
) -> Response:
    """Strain the relaxed cell, relax the ions of each, and fit."""
    structure = relaxed["structure"]
    cells = strained_cells(structure, strains=strains, symprec=symprec)
    calculations = {cell.label: relax_ions.make(cell.structure) for cell in cells}
    for label, calculation in calculations.items():
        calculation.name = f"{label} {subject['material']} {subject['polymorph']}"
    fit = fit_tensor(
        subject | {"calculations": [*subject["calculations"], *(job.uuid for job in calculations.values())]},
        relaxed=relaxed,
        strained={label: outcome(calculation) for label, calculation in calculations.items()},
        strains=strains,
        symprec=symprec,
    )
    fit.name = f"fit elastic tensor of {subject['material']} {subject['polymorph']}"
    fit.config.on_missing_references = OnMissing.NONE
    return Response(replace=Flow([*calculations.values(), fit], output=fit.output))


@job
def fit_tensor(
    subject: dict[str, Any],
    *,
    relaxed: dict[str, Any],
    strained: dict[str, dict[str, Any]],
    strains: Sequence[float],
    symprec: float,
) -> dict[str, Any]:
    """Fit the elastic tensor to the stresses of the strained cells."""
    structure: Structure = relaxed["structure"]
    return as_output(
        elasticity.elasticity_results(
            Subject(**subject),
            structure=structure,
            reference=_response(relaxed),
            cells=strained_cells(structure, strains=strains, symprec=symprec),
            responses={label: _response(answer) for label, answer in strained.items() if answer["structure"]},
            symprec=symprec,
        )
    )


def _response(answer: dict[str, Any]) -> elasticity.Response:
    return elasticity.Response(
        energy=answer["energy"],
        stress=tensile_stress(answer["stress"]),
        max_force=float(np.linalg.norm(answer["forces"], axis=1).max()),
        converged=is_converged(answer),
    )
