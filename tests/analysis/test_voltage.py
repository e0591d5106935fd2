"""Windows and staircases against hand arithmetic, measured formation enthalpies, error propagation and pymatgen."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.phase_diagram import GrandPotentialPhaseDiagram, PhaseDiagram
from pymatgen.core import Composition, Element
from pymatgen.entries.computed_entries import ComputedEntry

from sodalyte.analysis.voltage import SodiumSystem, decomposition, staircase
from sodalyte.errors import CalculationError, UsageError

ELEMENT_ENERGIES = {"Na": -1.31, "S": -4.14, "Sb": -4.13}  # eV/atom; any will do
SODIUM = Element("Na")


def entry(formula, formation_energy, *, sulfides=0.0):
    """Entry of a cell with the given formation energy in eV per formula as written."""
    composition = Composition(formula)
    elements = sum(ELEMENT_ENERGIES[element.symbol] * n for element, n in composition.items())
    return ComputedEntry(composition, elements + formation_energy, data={"sulfides": sulfides})


ELEMENTS = [entry("Na2", 0.0), entry("S8", 0.0), entry("Sb2", 0.0)]


def window_of(material, *others, **energies):
    return SodiumSystem.from_entries([*ELEMENTS, *others], material=material).window(**energies)


def test_two_phase_system_by_hand():
    """Na3SbS4 + 5 Na -> 4 Na2S + Sb and Na3SbS4 -> 1/2 Sb2S3 + 5/2 S + 3 Na."""
    material, sulfide, stibnite = entry("Na6Sb2S8", -15.2), entry("Na8S4", -15.12), entry("Sb2S3", -2.25)
    window = window_of(material, sulfide, stibnite)
    assert window.reduction_limit == pytest.approx((4 * 3.78 - 7.6) / 5, abs=1e-6)
    assert window.oxidation_limit == pytest.approx((7.6 - 2.25 / 2) / 3, abs=1e-6)
    assert window.width == pytest.approx(window.oxidation_limit - window.reduction_limit)
    assert window.e_above_hull == 0
    # 3/2 Na2S + 1/2 Sb2S3 + S
    assert window.decomposition_energy == pytest.approx((-7.6 + 1.5 * 3.78 + 2.25 / 2) / 8, abs=1e-9)
    steps = staircase(PhaseDiagram([*ELEMENTS, material, sulfide, stibnite]), material.composition)
    assert [step["products"] for step in steps] == [
        {"Na2S": 4.0, "Sb": 1.0},
        {"Na3SbS4": 1.0},
        {"Sb2S3": 0.5, "S": 2.5},
    ]
    assert [step["na_exchanged"] for step in steps] == [5.0, 0.0, -3.0]
    assert [step["voltage_low"] for step in steps] == pytest.approx(
        [0.0, window.reduction_limit, window.oxidation_limit], abs=1e-6
    )
    assert steps[-1]["voltage_high"] is None


def test_measured_sodium_sulfur_voltages():
    """Formation enthalpies at 298 K: Na2S -3.794, 1/2 Na2S2 -2.058 eV; S + 2 Na -> Na2S at 3.794 / 2 V."""
    sulfide, disulfide = entry("Na2S", -3.794), entry("Na2S2", 2 * -2.058)
    assert window_of(sulfide).oxidation_limit == pytest.approx(1.897, abs=1e-6)
    steps = staircase(PhaseDiagram([*ELEMENTS[:2], sulfide, disulfide]), Composition("S8"))
    assert [step["voltage_high"] for step in steps[:-1]] == pytest.approx([3.794 - 2.058, 2.058])
    assert [step["na_exchanged"] for step in steps] == [2.0, 1.0, 0.0]
    window = window_of(sulfide, disulfide)
    assert window.reduction_limit == 0
    assert window.oxidation_limit == pytest.approx(3.794 - 2.058, abs=1e-6)
    window = window_of(disulfide, sulfide)
    assert (window.reduction_limit, window.oxidation_limit) == pytest.approx((1.736, 2.058), abs=1e-6)


def test_polymorph_has_the_window_of_its_composition():
    stable, polymorph = entry("Na3SbS4", -7.6), entry("Na6Sb2S8", 2 * (-7.6 + 8 * 0.014))
    others = [entry("Na2S", -3.78), entry("Sb2S3", -2.25)]
    window = window_of(polymorph, stable, *others)
    assert window.e_above_hull == pytest.approx(0.014)
    reference = window_of(stable, polymorph, *others)
    assert reference.e_above_hull == 0
    assert window.reduction_limit == reference.reduction_limit
    assert window.oxidation_limit == reference.oxidation_limit


def test_unstable_material_is_lowered_to_the_hull():
    """Three products leave no freedom: the lowered material is at equilibrium at one voltage only."""
    material = entry("Na3SbS4", -6.0)
    window = window_of(material, entry("Na2S", -3.78), entry("Sb2S3", -2.25))
    hull = 1.5 * -3.78 + 0.5 * -2.25
    assert window.e_above_hull == pytest.approx((-6.0 - hull) / 8)
    assert window.width == 0
    assert window.reduction_limit == pytest.approx(3.78 / 2, abs=1e-6)  # Na2S -> S + 2 Na


FORMULAS = ("Na2S", "Na2S2", "Na2S4", "Na3Sb", "NaSb", "Sb2S3", "NaSbS2", "Na3SbS3", "Na3SbS4")
energies_per_atom = st.lists(st.integers(-1400, 100), min_size=len(FORMULAS), max_size=len(FORMULAS))


@settings(max_examples=40, deadline=None)
@given(energies_per_atom)
def test_agrees_with_pymatgen(millielectronvolts):
    entries = [
        entry(formula, energy / 1000 * Composition(formula).num_atoms)
        for formula, energy in zip(FORMULAS, millielectronvolts, strict=True)
    ]
    material, formula_unit = entries[-1], entries[-1].composition
    diagram = PhaseDiagram([*ELEMENTS, *entries])
    window = SodiumSystem.from_entries([*ELEMENTS, *entries], material=material).window()
    assert window.e_above_hull == pytest.approx(diagram.get_e_above_hull(material), abs=1e-7)
    steps = staircase(diagram, formula_unit)

    # steps follow one another without a gap, and give up sodium as the voltage rises
    assert steps[0]["voltage_low"] == 0
    assert [step["voltage_high"] for step in steps[:-1]] == pytest.approx(
        [step["voltage_low"] for step in steps[1:]], abs=1e-5
    )
    uptakes = [step["na_exchanged"] for step in steps]
    assert all(more > less for more, less in itertools.pairwise(uptakes))

    # the elements balance
    for step in steps:
        products = sum((Composition(product) * amount for product, amount in step["products"].items()), Composition())
        for element in formula_unit:
            wanted = formula_unit[element] + (step["na_exchanged"] if element == SODIUM else 0.0)
            assert products[element] == pytest.approx(wanted, abs=1e-7)

    # the window is where nothing is exchanged; between steps if the composition decomposes into three phases
    neutral = [step for step in steps if abs(step["na_exchanged"]) < 1e-6]
    limits = (
        (neutral[0]["voltage_low"], neutral[0]["voltage_high"])
        if neutral
        else 2 * (next(step["voltage_low"] for step in steps if step["na_exchanged"] < 0),)
    )
    assert (window.reduction_limit, window.oxidation_limit) == pytest.approx(limits, abs=1e-5)

    # the products at the middle of a step are those of the grand potential diagram
    mu_na0 = diagram.el_refs[SODIUM].energy_per_atom
    for step in steps:
        high = step["voltage_high"] or step["voltage_low"] + 0.2
        if high - step["voltage_low"] < 1e-3:
            continue
        mu_na = mu_na0 - (step["voltage_low"] + high) / 2
        grand = GrandPotentialPhaseDiagram([*ELEMENTS, *entries], {SODIUM: mu_na})
        stable = grand.get_decomposition(Composition({"Sb": 1, "S": 4}))
        assert {phase.original_entry.reduced_formula for phase in stable} == {
            Composition(name).reduced_formula for name in step["products"]
        }


def test_decomposition_without_exchange():
    diagram = PhaseDiagram([*ELEMENTS, entry("Na2S", -3.78), entry("Sb2S3", -2.25)])
    assert decomposition(diagram, Composition("Na12Sb4S16")) == {"Na2S": 1.5, "Sb2S3": 0.5, "S": 1.0}


def test_uncertainty_is_that_of_error_propagation():
    """V = (2 E(Na) + E(S) - E(Na2S)) / 2 with 0.025 eV/atom each, and 0.009 eV for the one S2- together."""
    system = SodiumSystem.from_entries(
        [entry("Na2", 0.0), entry("S8", 0.0)], material=entry("Na8S4", 4 * -3.794, sulfides=4)
    )
    drawn = system.sample(entry_uncertainty=0.025, correction_uncertainty=0.009, samples=800, seed=1)
    expected = math.sqrt((0.025**2 * (2**2 + 1 + 3**2) + 0.009**2) / 4)
    assert np.std(drawn.oxidation_limit) == pytest.approx(expected, rel=0.08)
    assert np.mean(drawn.oxidation_limit) == pytest.approx(1.897, abs=4 * expected / math.sqrt(800))
    assert drawn.stable_fraction == 1
    assert not drawn.reduction_limit.any()


def test_shared_correction_cancels_where_no_sulfide_is_lost():
    system = SodiumSystem.from_entries(
        [*ELEMENTS, entry("Na2S", -3.78, sulfides=1), entry("Sb2S3", -2.25, sulfides=3)],
        material=entry("Na3SbS4", -7.6, sulfides=4),
    )
    drawn = system.sample(entry_uncertainty=0.0, correction_uncertainty=0.009, samples=400, seed=3)
    assert np.std(drawn.reduction_limit) == pytest.approx(0, abs=1e-6)  # to 4 Na2S + Sb
    assert np.std(drawn.oxidation_limit) == pytest.approx(0.009 * 2.5 / 3, rel=0.1)  # to 1/2 Sb2S3 + 5/2 S


def test_samples_are_reproducible_and_lower_the_unstable():
    competitors = [entry("Na2S", -3.78), entry("Sb2S3", -2.25)]
    hull = 1.5 * -3.78 + 0.5 * -2.25
    system = SodiumSystem.from_entries([*ELEMENTS, *competitors], material=entry("Na3SbS4", hull - 0.008))
    settings_ = {"entry_uncertainty": 0.025, "correction_uncertainty": 0.009, "samples": 300}
    drawn = system.sample(seed=7, **settings_)
    again = system.sample(seed=7, **settings_)
    assert np.array_equal(drawn.window_width, again.window_width)
    assert drawn.stable_fraction == pytest.approx(0.5, abs=0.1)
    assert (drawn.window_width >= 0).all()
    assert (drawn.window_width[drawn.e_above_hull > 1e-6] == 0).all()


def test_nearly_equal_polymorphs_do_not_bias_the_samples():
    """Ten copies of a phase are one phase."""
    others = [entry("Na2S", -3.78), entry("Sb2S3", -2.25)]
    copies = [entry("Na3SbS4", -7.6 + 0.0001 * n) for n in range(1, 10)]
    options = {"entry_uncertainty": 0.025, "correction_uncertainty": 0.0, "samples": 50, "seed": 0}
    alone = SodiumSystem.from_entries([*ELEMENTS, *others], material=entry("Na3SbS4", -7.6))
    crowd = SodiumSystem.from_entries([*ELEMENTS, *others, *copies], material=entry("Na3SbS4", -7.6))
    assert np.array_equal(alone.sample(**options).oxidation_limit, crowd.sample(**options).oxidation_limit)


def test_material_without_sodium():
    with pytest.raises(UsageError, match="Sb2S3 has no sodium"):
        window_of(entry("Sb2S3", -2.25))


def test_missing_element():
    with pytest.raises(UsageError, match="no elemental phase of S "):
        SodiumSystem.from_entries([ELEMENTS[0]], material=entry("Na2S", -3.8))


def test_unbounded_chemical_potential():
    system = SodiumSystem.from_entries(ELEMENTS, material=entry("Na2S", -3.8))
    with_sulfur_lost = replace(system, fractions=system.fractions[:2], energies=system.energies[:2])
    with pytest.raises(CalculationError, match="chemical potentials cannot be bounded"):
        with_sulfur_lost.window()
