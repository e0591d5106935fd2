"""Hull, window and decomposition: every known phase of the chemical system, relaxed with one engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobflow import Flow, Maker, OnMissing, job

from sodalyte.analysis.results import Subject
from sodalyte.analysis.stability import Phase, stability_results
from sodalyte.errors import CalculationError
from sodalyte.inputs.recipe import Stability
from sodalyte.structures import crystal, known_gaps, phases, reduced
from sodalyte.workflows.relaxation import as_output, is_converged, label_of, outcome, subject_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from pymatgen.core import Structure

    from sodalyte.analysis.corrections import Contained
    from sodalyte.inputs.engine import Engine
    from sodalyte.inputs.recipe import Recipe
    from sodalyte.structures import Material


@dataclass
class StabilityMaker(Maker):  # type: ignore[misc]
    """Relax all competing phases of a material and find its window.

    Attributes
    ----------
    relax
        The engine's Maker.
    contained
        The anion correction that the engine's energies hold already.
    settings
        The recipe's section.
    recipe, level
        For the results.
    """

    relax: Maker
    contained: Contained
    settings: Stability
    recipe: str
    level: str
    name: str = "stability"

    @classmethod
    def from_engine(cls, engine: Engine, recipe: Recipe) -> StabilityMaker:
        """Configure the flow for ``engine`` and ``recipe``."""
        return cls(
            relax=engine.relax(recipe.for_competing_phases()),
            contained=engine.contained_correction,
            settings=recipe.stability,
            recipe=recipe.label,
            level=engine.level,
        )

    def make(self, material: Material, relaxed: dict[str, Any]) -> Flow:
        """Return a flow for the stability of ``material``.

        Parameters
        ----------
        relaxed
            The :func:`~sodalyte.workflows.relaxation.outcome` of its relaxation.
        """
        chemical_system = material.structure.chemical_system
        competitors = {
            phase.id: reduced(phase.structure) for phase in phases(chemical_system) if phase.id != material.id
        }
        calculations = {name: self.relax.make(structure) for name, structure in competitors.items()}
        for name, calculation in calculations.items():
            calculation.name = f"relax {name}"
        analysis = analyse_stability(
            subject_of(material, self, calculations=[relaxed["uuid"]]),
            material_id=material.id or material.variant,
            material_start=material.structure,
            material=relaxed,
            competitors={name: outcome(calculation) for name, calculation in calculations.items()},
            gaps=[f"{gap.formula} ({gap.reason})" for gap in known_gaps(chemical_system)],
            contained=self.contained,
            settings=self.settings,
        )
        analysis.name = f"hull and window of {label_of(material)}"
        analysis.config.on_missing_references = OnMissing.NONE
        return Flow([*calculations.values(), analysis], output=analysis.output, name=self.name)


@job
def analyse_stability(
    subject: dict[str, Any],
    *,
    material_id: str,
    material_start: Structure,
    material: dict[str, Any],
    competitors: dict[str, dict[str, Any]],
    gaps: list[str],
    contained: Contained,
    settings: Stability,
) -> dict[str, Any]:
    """Build the hull of one level of theory and read the window from it; phases that failed are missing."""
    if material["structure"] is None:
        raise CalculationError(f"{subject['material']} is not relaxed, so it has no hull")
    level = subject["level"]
    required = required_phases({name for name, relaxed in competitors.items() if is_converged(relaxed)}, competitors)
    return as_output(
        stability_results(
            Subject(**subject),
            material_phase=_phase(material_id, material_start, material, level),
            phases=[
                _phase(name, crystal(name).structure, relaxed, level)
                for name, relaxed in competitors.items()
                if relaxed["structure"] is not None
            ],
            required_ids=required,
            optional_ids=competitors.keys() - required,
            contained=contained,
            settings=settings,
            known_gaps=gaps,
        )
    )


def required_phases(converged: Collection[str], known: Iterable[str]) -> list[str]:
    """Return the library crystals without which a hull is worthless.

    These are all compounds, but a polymorph that did not converge is not missed where another one of its formula did.
    Of an element any one phase will do; the hull itself insists on that.
    """
    covered = {crystal(name).formula for name in converged}
    return [
        name
        for name in known
        if not crystal(name).structure.composition.is_element
        and (name in converged or crystal(name).formula not in covered)
    ]


def _phase(name: str, start: Structure, relaxed: dict[str, Any], level: str) -> Phase:
    return Phase(
        id=name,
        structure=relaxed["structure"],
        energy=relaxed["energy"],
        converged=is_converged(relaxed),
        level=level,
        source=relaxed["uuid"],
        crystal=start,
    )
