"""Thermodynamic stability of a sodium sulfide: hull, electrochemical window, decomposition, each with its uncertainty.

All numbers of one call come from one hull of phases computed at one level of theory; what is wrong with that hull
accompanies, or refuses, every one of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.analysis.phase_diagram import PhaseDiagram
from pymatgen.entries.computed_entries import ComputedEntry

from sodalyte.analysis.corrections import Contained, Scheme, corrected_entry
from sodalyte.analysis.phases import Phase, admit, verdict
from sodalyte.analysis.results import Guard, Result, Subject, judge
from sodalyte.analysis.voltage import HULL_TOLERANCE, SodiumSystem, Window, customary_formula, decomposition, staircase
from sodalyte.inputs.recipe import Stability

__all__ = ["METASTABILITY_LIMIT", "ON_THE_HULL", "Phase", "stability_results"]

METASTABILITY_LIMIT = 0.03
"""Energy above the hull, eV/atom, up to which a material is lowered to the hull for its window.

Conductors in use lie that high (Li10GeP2S12, 25 meV/atom: Ong et al., Energy Environ. Sci. 6, 148 (2013),
10.1039/c2ee23355j), and it is one standard error of a PBE reaction energy (24 meV/atom: Hautier et al., Phys. Rev. B
85, 155208 (2012), 10.1103/PhysRevB.85.155208). A phase further up is not the one that the window would be about.
"""

ON_THE_HULL = "on the hull"
"""The guard that fails where a window is that of the material lowered to the hull."""

_PROPERTIES = {
    "e_above_hull": "eV/atom",
    "reduction_limit": "V",
    "oxidation_limit": "V",
    "window_width": "V",
    "decomposition": "V",
}


def stability_results(
    subject: Subject,
    *,
    material_phase: Phase,
    phases: Sequence[Phase],
    contained: Contained,
    settings: Stability,
    schemes: Sequence[Scheme] = ("mp2020", "polysulfide_charge"),
    required_ids: Collection[str] = (),
    optional_ids: Collection[str] = (),
    known_gaps: Sequence[str] = (),
    seed: int = 0,
) -> list[Result]:
    """Energy above the hull, window limits, width and decomposition of a material, for each correction scheme.

    Parameters
    ----------
    subject
        Of what the results speak; the uuids of all phases that are used are added to its calculations.
    material_phase
        The material's polymorph; it may but need not be among ``phases``.
    phases
        All known phases of the chemical system. Phases with further elements are ignored.
    contained
        The sulfur correction that the energies already hold.
    settings
        Uncertainties and number of Monte Carlo samples.
    schemes
        One set of results for each.
    required_ids
        Phases without which the hull is worthless.
    optional_ids
        Phases without which it is only less certain; those missing are named in a warning with every result.
    known_gaps
        Phases that exist but could not be computed, in words; a warning with every result.
    seed
        Of the Monte Carlo samples.

    Returns
    -------
    list of Result
        ``e_above_hull``, ``reduction_limit``, ``oxidation_limit``, ``window_width`` and ``decomposition`` per scheme.
    """
    admitted, guards = admit(
        material_phase,
        phases,
        level=subject.level,
        required_ids=required_ids,
        optional_ids=optional_ids,
        known_gaps=known_gaps,
    )
    sources = {phase.source for phase in admitted} | set(subject.calculations)
    subject = subject.model_copy(update={"calculations": tuple(sorted(sources))})
    if any(guard.required and not guard.passed for guard in guards):
        return [
            judge(subject, property=name, unit=unit, scheme=scheme, guards=guards)
            for scheme in schemes
            for name, unit in _PROPERTIES.items()
        ]
    return [
        judge(subject, property=name, unit=_PROPERTIES[name], scheme=scheme, guards=(*guards, *own), **fields)
        for scheme in schemes
        for name, own, fields in _answers(
            material_phase, admitted, contained=contained, scheme=scheme, settings=settings, seed=seed
        )
    ]


def _answers(
    material: Phase,
    phases: Sequence[Phase],
    *,
    contained: Contained,
    scheme: Scheme,
    settings: Stability,
    seed: int,
) -> list[tuple[str, tuple[Guard, ...], dict[str, Any]]]:
    """Name, guards and fields of each property for one scheme."""
    entries = {
        phase.id: corrected_entry(
            phase.structure, energy=phase.energy, contained=contained, scheme=scheme, entry_id=phase.id
        )
        for phase in phases
    }
    system = SodiumSystem.from_entries(list(entries.values()), material=entries[material.id])
    window = system.window()
    drawn = system.sample(
        entry_uncertainty=settings.entry_uncertainty,
        correction_uncertainty=settings.correction_uncertainty,
        samples=settings.samples,
        seed=seed,
    )
    diagram = PhaseDiagram(list(entries.values()))
    composition = material.structure.composition
    on_hull = window.e_above_hull <= HULL_TOLERANCE
    products = {} if on_hull else decomposition(diagram, composition)
    stable_fraction = drawn.stable_fraction

    def number(value: float, samples: NDArray[np.float64], **data: Any) -> dict[str, Any]:
        low, high = (float(bound) for bound in np.percentile(samples, [2.5, 97.5]))
        return {
            "value": value,
            "uncertainty": float(np.std(samples)),
            "interval_95": (low, high),
            "uncertainty_basis": (
                f"Monte Carlo, {settings.samples} samples: {settings.entry_uncertainty} eV/atom for each "
                f"composition, {settings.correction_uncertainty} eV per corrected S for all together"
            ),
            "data": {"stable_fraction": stable_fraction, **data},
        }

    hull = _hull_guard(window, products)
    likely = verdict(
        "stable within the uncertainty",
        stable_fraction >= 0.5,
        yes=(odds := f"on the hull in {stable_fraction:.0%} of {settings.samples} samples"),
        no=odds,
        required=False,
    )
    width = float(np.std(drawn.window_width))
    wide = verdict(
        "wider than its uncertainty",
        window.width >= width,
        yes=(widths := f"{window.width:.2f} V, standard uncertainty {width:.2f} V"),
        no=widths,
        required=False,
    )
    lowered = {"lowered_by": 0.0 if on_hull else window.e_above_hull}
    above = {"decomposes_to": products, "decomposition_energy": window.decomposition_energy}
    steps = {
        "staircase": staircase(diagram, composition),
        "phases": _phase_table(diagram, entries.values()),
    }
    return [
        ("e_above_hull", (likely,), number(window.e_above_hull, drawn.e_above_hull, **above)),
        (
            "reduction_limit",
            (hull, likely),
            number(window.reduction_limit, drawn.reduction_limit, **lowered),
        ),
        (
            "oxidation_limit",
            (hull, likely),
            number(window.oxidation_limit, drawn.oxidation_limit, **lowered),
        ),
        ("window_width", (hull, likely, wide), number(window.width, drawn.window_width, **lowered)),
        ("decomposition", (hull.model_copy(update={"required": False}),), {"data": steps}),
    ]


def _phase_table(diagram: PhaseDiagram, entries: Iterable[ComputedEntry]) -> list[dict[str, Any]]:
    """Energies, eV/atom, and corrections, eV/atom, of all phases of the hull."""
    return [
        {
            "id": entry.entry_id,
            "formula": customary_formula(entry.composition),
            "e_form_per_atom": float(diagram.get_form_energy_per_atom(entry)),
            "e_above_hull": float(diagram.get_e_above_hull(entry)),
            "contained_per_atom": entry.data["contained_correction"] / entry.composition.num_atoms,
            "correction_per_atom": float(entry.correction_per_atom),
        }
        for entry in entries
    ]


def _hull_guard(window: Window, products: dict[str, float]) -> Guard:
    """Warn of a window that is that of the lowered material; refuse it if it had to be lowered too far."""
    into = " + ".join(f"{amount:.3g} {formula}" for formula, amount in products.items())
    above = f"{1000 * window.e_above_hull:.0f} meV/atom above the hull, relative to {into}"
    if window.e_above_hull > METASTABILITY_LIMIT:
        return verdict(
            ON_THE_HULL,
            passed=False,
            no=f"{above}: unstable beyond the {1000 * METASTABILITY_LIMIT:.0f} meV/atom up to which a window is given",
        )
    return verdict(
        ON_THE_HULL,
        window.e_above_hull <= HULL_TOLERANCE,
        yes=f"{1000 * window.decomposition_energy:.0f} meV/atom relative to other compositions",
        no=f"{above}; the window is that of the material lowered to the hull",
        required=False,
    )
