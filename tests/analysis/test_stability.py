"""The results of a whole chemical system: real energies against published windows, made-up ones against the guards."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from sodalyte.analysis.results import Subject
from sodalyte.analysis.stability import METASTABILITY_LIMIT, Phase, stability_results
from sodalyte.inputs.recipe import Stability
from sodalyte.structures.library import crystal

# CHGNet 0.3.0 (chgnet 0.4.2), cells relaxed at fixed space group to 0.03 eV/angstrom, eV/atom, holding MP2020
CHGNET = {
    "Na_bcc": -1.28904,
    "Sb_A7": -4.06733,
    "P_fibrous_red": -5.40595,
    "P_black_exp": -5.40397,
    "S_alpha_Fddd_exp": -4.15285,
    "S_MP_ground": -4.15267,
    "Na2S": -3.47268,
    "Na2S_Pnma": -3.45889,
    "Na2S2_alpha": -3.81397,
    "Na2S2_beta": -3.82177,
    "Na2S4": -4.09528,
    "Na2S5": -4.1562,
    "Na3Sb": -2.45489,
    "NaSb": -3.13078,
    "Sb2S3_exp": -4.63166,
    "NaSbS2_C2c": -4.33177,
    "Na3SbS3": -4.02866,
    "Na3SbS4_t_PBE": -4.09746,
    "Na3SbS4_c": -4.08364,
    "Na3P": -2.64998,
    "Na3P_P63cm": -2.65164,
    "NaP": -3.74792,
    "NaP5": -4.90387,
    "NaP7": -5.03001,
    "Na3P11": -4.76054,
    "P4S3": -5.198,
    "P4S10": -4.99408,
    "Na4P2S6_C2m": -4.4985,
    "Na4P2S6_P31m": -4.4879,
    "Na3PS4_t": -4.3736,
    "Na3PS4_c": -4.36468,
}
SETTINGS = Stability(samples=40)
LEVEL = "CHGNet 0.3.0"
PROPERTIES = ["e_above_hull", "reduction_limit", "oxidation_limit", "window_width", "decomposition"]


def phase(identifier, energy_per_atom=None, **changes):
    structure = crystal(identifier).structure
    energy = CHGNET[identifier] if energy_per_atom is None else energy_per_atom
    made = Phase(
        id=identifier,
        structure=structure,
        energy=energy * len(structure),
        converged=True,
        level=LEVEL,
        source=f"uuid of {identifier}",
    )
    return replace(made, **changes)


def results_of(identifier, phases=None, *, material=None, **options):
    material = material or phase(identifier)
    record = crystal(identifier)
    phases = [phase(name) for name in CHGNET] if phases is None else phases
    required = [known.id for known in phases]
    options = {"contained": "mp2020", "settings": SETTINGS, "required_ids": required} | options
    results = stability_results(
        Subject(material=record.formula, polymorph=record.polymorph, level=LEVEL, recipe="quick"),
        material_phase=material,
        phases=phases,
        **options,
    )
    return {(result.property, result.scheme): result for result in results}


@pytest.fixture(scope="module")
def thioantimonate():
    return results_of("Na3SbS4_t_PBE", known_gaps=["Na2S3"])


@pytest.fixture(scope="module")
def thiophosphate():
    return results_of("Na3PS4_t")


def test_every_property_under_two_schemes(thioantimonate):
    assert list(thioantimonate) == [
        (name, scheme) for scheme in ("mp2020", "polysulfide_charge") for name in PROPERTIES
    ]
    assert all(result.status == "ok" for result in thioantimonate.values())
    assert {result.unit for (name, _), result in thioantimonate.items() if name != "e_above_hull"} == {"V"}


def test_window_of_the_paper(thioantimonate):
    """Energy Environ. Sci. 2025, 18, 4288 quotes 1.83 to 1.90 V for Na3SbS4, from Materials Project energies."""
    assert thioantimonate["reduction_limit", "mp2020"].value == pytest.approx(1.83, abs=0.05)
    assert thioantimonate["oxidation_limit", "mp2020"].value == pytest.approx(1.90, abs=0.05)


def test_polysulfide_correction_widens_the_window(thioantimonate):
    """Less binding of the polysulfides takes away the products on either side."""
    for name, sign in (("reduction_limit", -1), ("oxidation_limit", 1)):
        shift = thioantimonate[name, "polysulfide_charge"].value - thioantimonate[name, "mp2020"].value
        assert sign * shift > 0.1


@pytest.mark.parametrize("scheme", ["mp2020", "polysulfide_charge"])
@pytest.mark.parametrize(("material", "pnictide"), [("thioantimonate", "Na3Sb"), ("thiophosphate", "Na3P")])
def test_full_reduction_at_zero_volt(material, pnictide, scheme, request):
    steps = request.getfixturevalue(material)["decomposition", scheme].data["staircase"]
    assert steps[0]["voltage_low"] == 0
    assert steps[0]["products"] == {pnictide: 1.0, "Na2S": 4.0}
    assert steps[0]["na_exchanged"] == 8.0
    assert steps[-1]["voltage_high"] is None


def test_staircase_and_limits_agree(thiophosphate):
    steps = thiophosphate["decomposition", "mp2020"].data["staircase"]
    window = next(step for step in steps if step["na_exchanged"] == 0)
    assert window["products"] == {"Na3PS4": 1.0}
    assert window["voltage_low"] == pytest.approx(thiophosphate["reduction_limit", "mp2020"].value, abs=2e-6)
    assert window["voltage_high"] == pytest.approx(thiophosphate["oxidation_limit", "mp2020"].value, abs=2e-6)


def test_phases_are_recorded(thiophosphate):
    result = thiophosphate["decomposition", "polysulfide_charge"]
    table = {row["id"]: row for row in result.data["phases"]}
    assert table["Na2S"]["e_above_hull"] == pytest.approx(0, abs=1e-9)
    assert table["Na2S2_beta"]["contained_per_atom"] == pytest.approx(-0.503 / 2)
    assert table["Na2S2_beta"]["correction_per_atom"] == pytest.approx(-0.503 / 4)
    # measured -3.794 eV per Na2S
    assert 3 * table["Na2S"]["e_form_per_atom"] == pytest.approx(-3.794, abs=0.15)
    assert set(result.calculations) == {f"uuid of {name}" for name in table}
    assert "Na3Sb" not in table


def test_uncertainty_stands_beside_each_number(thioantimonate):
    for name in PROPERTIES[:-1]:
        result = thioantimonate[name, "mp2020"]
        low, high = result.interval_95
        assert low <= high
        assert result.uncertainty > 0
        assert "40 samples: 0.025 eV/atom" in result.uncertainty_basis
        assert 0 < result.data["stable_fraction"] < 1


def test_results_are_plain_json(thioantimonate):
    for result in thioantimonate.values():
        assert json.loads(json.dumps(result.model_dump())) == json.loads(result.model_dump_json())


def guard(result, name):
    return next(guard for guard in result.guards if guard.name == name)


def test_narrow_window_warns(thioantimonate, thiophosphate):
    narrow = guard(thioantimonate["window_width", "mp2020"], "wider than its uncertainty")
    assert not narrow.passed
    assert not narrow.required
    assert guard(thiophosphate["window_width", "mp2020"], "wider than its uncertainty").passed


def test_known_gap_accompanies_every_number(thioantimonate):
    for result in thioantimonate.values():
        assert "Na2S3" in guard(result, "known gaps").detail


def test_metastable_polymorph_is_lowered_and_says_so(thioantimonate):
    cubic = results_of("Na3SbS4_c")
    above = cubic["e_above_hull", "mp2020"]
    assert above.value == pytest.approx(CHGNET["Na3SbS4_c"] - CHGNET["Na3SbS4_t_PBE"])
    assert above.data["decomposes_to"] == {"Na3SbS4": 1.0}
    limit = cubic["oxidation_limit", "mp2020"]
    assert limit.value == thioantimonate["oxidation_limit", "mp2020"].value
    assert limit.data["lowered_by"] == above.value
    assert limit.data["stable_fraction"] == 0
    assert not guard(limit, "on the hull").passed
    assert "14 meV/atom above the hull" in guard(limit, "on the hull").detail


def test_unstable_material_gets_no_window():
    energy = CHGNET["Na3SbS4_t_PBE"] + METASTABILITY_LIMIT + 0.005
    results = results_of("Na3SbS4_c", material=phase("Na3SbS4_c", energy))
    for name in ("reduction_limit", "oxidation_limit", "window_width"):
        result = results[name, "mp2020"]
        assert result.status == "refused"
        assert result.value is None
        assert "35 meV/atom above the hull" in result.reason
    assert results["e_above_hull", "mp2020"].value == pytest.approx(0.035, abs=1e-4)
    assert results["decomposition", "mp2020"].status == "ok"


@pytest.mark.parametrize(
    ("phases", "options", "reason"),
    [
        ([name for name in CHGNET if name != "Na3SbS3"], {"required_ids": ["Na3SbS3"]}, "Na3SbS3 (missing)"),
        ([name for name in CHGNET if name != "Sb_A7"], {}, "no usable elemental phase of Sb"),
        (["Na_bcc", "Sb_A7", "S_alpha_Fddd_exp"], {}, "no compound that Na3SbS4 could decompose into"),
    ],
)
def test_incomplete_hull_refuses_everything(phases, options, reason):
    results = results_of("Na3SbS4_t_PBE", [phase(name) for name in phases], **options)
    assert len(results) == 10
    for result in results.values():
        assert result.status == "refused"
        assert reason in result.reason
        assert result.value is None
        assert not result.data


def test_unconverged_required_phase_refuses_everything():
    phases = [phase(name, converged=name != "Na2S4") for name in CHGNET]
    results = results_of("Na3SbS4_t_PBE", phases)
    assert {result.reason for result in results.values()} == {"required phases are not usable: Na2S4 (not converged)"}


def test_levels_do_not_mix():
    phases = [phase(name, level="PBE" if name == "Na2S" else LEVEL) for name in CHGNET]
    for result in results_of("Na3SbS4_t_PBE", phases).values():
        assert result.status == "refused"
        assert "CHGNet 0.3.0, PBE" in result.reason


def test_bare_energies_are_told_from_corrected_ones():
    """Taking corrected energies for bare ones corrects twice; the hull of the scheme "none" shows the difference."""
    corrected = results_of("Na3SbS4_t_PBE", schemes=["none"])
    bare = results_of("Na3SbS4_t_PBE", schemes=["none"], contained="none")
    assert corrected["e_above_hull", "none"].value > 0.005
    assert bare["e_above_hull", "none"].value == pytest.approx(0, abs=1e-3)


def test_seed_decides_the_samples():
    first, again, other = (results_of("Na3PS4_t", seed=seed)["oxidation_limit", "mp2020"] for seed in (1, 1, 2))
    assert first == again
    assert first.interval_95 != other.interval_95
    assert first.value == other.value
