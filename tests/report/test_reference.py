from pathlib import Path

import pytest
import yaml
from pymatgen.core import Composition

import sodalyte
from sodalyte.report.cases import PROPERTIES
from sodalyte.report.reference import citations, paper_value, published, references
from sodalyte.structures import conventional, crystal

CRYSTALS = Path(sodalyte.__file__).parent / "structures" / "crystals.yaml"


@pytest.mark.parametrize(
    ("material", "name", "value"),
    [
        # Energy Environ. Sci. 2025, 18, 4288
        ("Na3SbS4", "reduction_limit", 1.83),
        ("Na3SbS4", "oxidation_limit", 1.90),
        ("Na3SbS4", "window_width", 0.07),
        ("Na3SbS4", "pugh_ratio", 0.19),
        ("Na3PS4", "reduction_limit", 1.39),
        ("Na3PS4", "oxidation_limit", 2.45),
        ("Na3PS4", "window_width", 1.06),
        ("Na3PS4", "pugh_ratio", 0.458),
    ],
)
def test_numbers_of_the_paper(material: str, name: str, value: float) -> None:
    assert paper_value(material, "tetragonal", name) == value
    assert all(fact.polymorph is None for fact in references(material, "tetragonal", name) if fact.citation == "paper")


def test_ranges_and_bounds_are_no_single_number() -> None:
    assert references("Na3SbS4", "tetragonal", "conductivity_300K")[0].value == "> 1"
    assert [fact.value for fact in references("Na3PS4", "tetragonal", "conductivity_300K")] == ["0.1 to 0.4"]
    assert paper_value("Na3PS4", "tetragonal", "conductivity_300K") is None


def test_another_polymorph_is_left_out() -> None:
    assert {fact.value for fact in references("Na3PS4", "cubic", "pugh_ratio")} == {"0.458", "0.61"}
    assert {fact.value for fact in references("Na3PS4", "tetragonal", "pugh_ratio")} == {"0.458", "0.52"}
    assert references("Na3PSe4", "cubic", "pugh_ratio") == ()
    assert paper_value("Na3PSe4", "cubic", "pugh_ratio") is None


@pytest.mark.parametrize("crystal", ["Na3SbS4_t", "Na3SbS4_c", "Na3PS4_t", "Na3PS4_c"])
def test_measured_cells_are_those_of_the_crystal_library(crystal: str) -> None:
    entries = yaml.safe_load(CRYSTALS.read_text())["structures"]
    entry = next(entry for entry in entries if entry["id"] == crystal)
    polymorph = {"t": "tetragonal", "c": "cubic"}[crystal[-1]]
    found = references(entry["formula"], polymorph, "lattice_a") + references(entry["formula"], polymorph, "lattice_c")
    assert found
    for fact in found:
        assert float(fact.value.split("(")[0]) == entry["lattice"][fact.property[-1]]


def test_every_fact_has_a_known_property_and_a_source() -> None:
    keys = [source.key for source in citations()]
    names = {item.name for item in PROPERTIES} | {"formation_energy", "C11", "C12", "C13", "C33", "C44", "C66"}
    assert len(keys) == len(set(keys))
    for fact in published():
        assert fact.citation in keys
        assert fact.property in names


def test_window_limits_and_width_agree() -> None:
    for material in ("Na3SbS4", "Na3PS4"):
        low, high, width = (
            paper_value(material, "cubic", name) for name in ("reduction_limit", "oxidation_limit", "window_width")
        )
        assert high - low == pytest.approx(width)


def test_numbers_of_the_materials_project_are_those_of_the_crystal_library() -> None:
    checked = 0
    for fact in published():
        if fact.source != "mp":
            continue
        identifier = {"NaS": "Na2S2_beta", "NaS2": "Na2S4", "Na": "Na_bcc"}.get(fact.material, fact.material)
        if fact.polymorph.endswith(")"):
            identifier = fact.polymorph.partition("(")[2].removesuffix(")")
        elif (fact.material, fact.polymorph) == ("Na2S", "orthorhombic"):
            identifier = "Na2S_Pnma"
        entry = crystal(identifier)
        bulk, shear = (entry.facts.get(f"{letter}_vrh_GPa_MP_PBE") for letter in "BG")
        known = {
            "bulk_modulus": bulk,
            "shear_modulus": shear,
            "pugh_ratio": bulk and shear / bulk,
            "density": float(entry.structure.density),
            **{f"lattice_{axis}": conventional(entry.structure).lattice.abc["abc".index(axis)] for axis in "ac"},
        }
        assert fact.number() == pytest.approx(known[fact.property], rel=1e-3), fact
        assert entry.kind == "dft-pbe (Materials Project)"
        checked += 1
    assert checked > 40


@pytest.mark.parametrize("identifier", ["Na2S4_exp", "NaP_exp"])
def test_measured_cells_from_the_icsd_are_those_of_the_crystal_library(identifier: str) -> None:
    entry = crystal(identifier)
    cell = conventional(entry.structure).lattice
    for axis, length in (("a", cell.a), ("c", cell.c)):
        (fact,) = (
            each for each in references(entry.formula, entry.polymorph, f"lattice_{axis}") if each.citation == "aflow"
        )
        assert fact.number() == pytest.approx(length, abs=1e-3)


@pytest.mark.parametrize(
    ("value", "number"),
    [("7.1708(12)", 7.1708), ("1.90", 1.90), ("81", 81), ("-1.2648", -1.2648), ("> 1", None), ("0.1 to 0.4", None)],
)
def test_a_range_or_a_bound_is_no_number(value, number) -> None:
    fact = references("Na2S", "cubic", "C11")[0].model_copy(update={"value": value})
    assert fact.number() == number


def test_a_description_tells_what_was_not_checked_and_what_the_source_leaves_open() -> None:
    (recalled,) = references("Na3PS4", "tetragonal", "lattice_a")
    assert recalled.description() == "experiment (diffraction), recalled, not checked"
    cold = next(fact for fact in references("Na2S", "cubic", "lattice_a") if fact.source == "experiment")
    assert cold.description() == "experiment, tabulated there, 30 K"


def test_functionals_are_stated_where_something_was_computed_and_nowhere_else() -> None:
    for fact in published():
        assert (fact.functional is not None) == (fact.source in ("mp", "literature")), fact
        assert fact.functional is None or fact.functional in fact.kind


def test_no_measured_formation_energy_counts_from_white_phosphorus() -> None:
    measured = [fact for fact in published() if fact.property == "formation_energy" and fact.source == "experiment"]
    assert measured
    assert not [fact for fact in measured if "P" in Composition(fact.material)]
