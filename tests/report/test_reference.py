from pathlib import Path

import pytest
import yaml

import sodalyte
from sodalyte.report.cases import PROPERTIES
from sodalyte.report.reference import citations, paper_value, references

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
    names = {item.name for item in PROPERTIES}
    assert len(keys) == len(set(keys))
    for material in ("Na3SbS4", "Na3PS4"):
        for name in names:
            for polymorph in ("cubic", "tetragonal"):
                assert all(fact.citation in keys for fact in references(material, polymorph, name))


def test_window_limits_and_width_agree() -> None:
    for material in ("Na3SbS4", "Na3PS4"):
        low, high, width = (
            paper_value(material, "cubic", name) for name in ("reduction_limit", "oxidation_limit", "window_width")
        )
        assert high - low == pytest.approx(width)
