import doctest

import pytest

from sodalyte.analysis.figures import notation
from sodalyte.analysis.figures.notation import formula, interval, quantity, reaction_side, rounded, unit_symbol


def plain(text: str) -> str:
    return text.replace("\xa0", " ")


def test_examples_in_the_docstrings_hold() -> None:
    outcome = doctest.testmod(notation)
    assert outcome.attempted >= 6
    assert outcome.failed == 0


@pytest.mark.parametrize(
    ("uncertainty", "written"),
    [(0.119, "0.83 ± 0.12"), (0.367, "0.8 ± 0.4"), (0.96, "0.8 ± 1.0")],
)
def test_rounds_as_the_particle_data_group_does(uncertainty: float, written: str) -> None:
    # the examples of section 5.3 of the introduction to the Review of Particle Physics, and its rule for 950 to 999
    assert plain(quantity(0.827, uncertainty)) == written


@pytest.mark.parametrize(
    ("value", "uncertainty", "written"),
    [
        (1.2e-6, 3e-7, "(1.20 ± 0.30)×10⁻⁶"),
        (-0.014, 0.003, "−0.0140 ± 0.0030"),
        (1234.0, 56.0, "1230 ± 60"),
        (0.0, 0.02, "0.000 ± 0.020"),
        (25.3, None, "25.30"),
        (25.3, 0.0, "25.30"),
        (0.0, None, "0"),
        (4.56e-9, None, "4.56×10⁻⁹"),
        (1.0, float("nan"), "1.000"),
        (float("nan"), 0.1, "not a number"),
        (float("inf"), None, "not a number"),
    ],
)
def test_quantity(value: float, uncertainty: float | None, written: str) -> None:
    assert plain(quantity(value, uncertainty)) == written


@pytest.mark.parametrize(
    ("low", "high", "written"),
    [
        (0.5, 2.9, "0.5 to 2.9"),
        (-0.03, 0.17, "−0.03 to 0.17"),
        (-1e-9, 0.2, "0.00 to 0.20"),
        (120.0, 450.0, "120 to 450"),
        (2131.4, 2893.2, "2130 to 2890"),
        (float("nan"), 1.0, "not a number"),
    ],
)
def test_interval(low: float, high: float, written: str) -> None:
    assert interval(low, high) == written


def test_rounded_keeps_the_power_of_ten() -> None:
    assert rounded(1.42, 0.6) == "1.4"
    assert rounded(1.32e-6, 5e-7) == "1.3×10⁻⁶"
    assert rounded(2.0, None) == "2.000"
    assert rounded(-0.2, 0.3) == "−0.20"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("Na4P2S6", "Na₄P₂S₆"),
        ("Ca(PS3)2", "Ca(PS₃)₂"),
        ("my_file2.cif", "my_file2.cif"),
        ("<script>", "<script>"),
        ("", ""),
    ],
)
def test_only_formulas_get_subscripts(text: str, written: str) -> None:
    assert formula(text) == written


def test_reaction_side_leaves_out_amounts_of_one() -> None:
    assert reaction_side({"Na3P": 1.0, "Na2S": 4.0, "S": 0.5}) == "Na₃P + 4 Na₂S + 0.5 S"


def test_pure_numbers_have_no_unit() -> None:
    assert unit_symbol("1") == ""
    assert unit_symbol("cm^2/s") == "cm²/s"
    assert unit_symbol("GPa") == "GPa"
