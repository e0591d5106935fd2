from typing import Any

import pytest

from sodalyte.analysis.results import Guard, Result, Subject, judge
from sodalyte.report import verdicts
from sodalyte.report.cases import Case, arrange
from sodalyte.report.verdict import conduction, ductility, stability, verdict

ABOUT = Subject(material="Na3SbS4", polymorph="tetragonal", level="test", recipe="paper", calculations=("a",))
UNITS = {"window_width": "V", "diffusivity": "cm^2/s", "conductivity_300K": "mS/cm", "pugh_ratio": "1"}


def result(name: str, reason: str | None = None, **fields: Any) -> Result:
    guards = (Guard(name="check", passed=reason is None, detail=reason or "fine"),)
    return judge(ABOUT, guards=guards, property=name, unit=UNITS.get(name, "V"), **fields)


def case(*results: Result) -> Case:
    return arrange([result("lattice_a", value=7.0), *results])[0]


def window(value: float, *, hull: float = 0.0, scheme: str = "mp2020", **fields: Any) -> list[Result]:
    return [
        result("e_above_hull", value=hull, scheme=scheme),
        result("reduction_limit", value=1.8, uncertainty=0.05, scheme=scheme),
        result("oxidation_limit", value=1.8 + value, uncertainty=0.05, scheme=scheme),
        result("window_width", value=value, scheme=scheme, **fields),
    ]


@pytest.mark.parametrize(
    ("results", "answer", "words"),
    [
        (window(0.5, uncertainty=0.1), "yes", "stable from 1.80 to 2.30 V (MP2020 correction: 0.50 ± 0.10 V wide)"),
        (window(0.07, uncertainty=0.08), "open", "no width (MP2020 correction: 0.07 ± 0.08 V, 95 % −0.09 to 0.23)"),
        (window(0.5, uncertainty=0.1, interval_95=(0.0, 0.7)), "open", "2.30 V that may have no width (MP2020"),
        (window(0.5), "open", "of unknown uncertainty"),
        (window(0.0, uncertainty=0.05), "no", "without a stable window"),
        (window(0.5, uncertainty=0.1, hull=0.014), "open", "metastable, with a window from 1.80 to 2.30 V if lowered"),
        (
            [result("window_width", "missing phase Na2S5", scheme="mp2020")],
            "refused",
            "(MP2020 correction: missing phase Na2S5)",
        ),
        ([], "not run", "not computed"),
    ],
)
def test_stability(results: list[Result], answer: str, words: str) -> None:
    clause = stability(case(*results))
    assert clause.answer == answer
    assert words in clause.text.replace("\xa0", " ")


def test_schemes_that_disagree_leave_the_window_open() -> None:
    both = window(0.07, uncertainty=0.08) + window(0.66, uncertainty=0.08, scheme="polysulfide_charge")
    clause = stability(case(*both))
    assert clause.answer == "open"
    assert "MP2020 correction" in clause.text
    assert "polysulfide-charge correction" in clause.text


def test_what_refuses_every_scheme_is_said_once() -> None:
    both = [result("window_width", "missing phase P4S3", scheme=scheme) for scheme in ("mp2020", "polysulfide_charge")]
    clause = stability(case(*both))
    assert clause.answer == "refused"
    assert clause.text == "its window is refused with every correction (missing phase P4S3)"
    other = result("window_width", "missing phase NaP7", scheme="polysulfide_charge")
    assert stability(case(both[0], other)).text.count("its window is refused") == 2


def moving(temperature: float) -> Result:
    return result("diffusivity", value=2e-5, uncertainty=5e-6, temperature=temperature)


def still(temperature: float) -> Result:
    return result("diffusivity", "not diffusive in this run: 3 hops", temperature=temperature)


@pytest.mark.parametrize(
    ("results", "answer", "words"),
    [
        (
            [result("conductivity_300K", value=1.4, interval_95=(0.7, 3.3))],
            "yes",
            "1.4 mS/cm at 300 K, 95 % 0.7 to 3.3",
        ),
        ([result("conductivity_300K", value=0.2, interval_95=(0.01, 4.0))], "open", "not settled at 0.1 mS/cm"),
        ([result("conductivity_300K", value=0.01, interval_95=(0.001, 0.09))], "no", "a poor conductor"),
        ([result("conductivity_300K", value=5.0)], "open", "uncertainty unknown"),
        (
            [moving(1000.0)],
            "open",
            "Na diffuses at 1000 K (D = (2.0 ± 0.5)×10⁻⁵ cm²/s), without a conductivity at 300 K",
        ),
        ([still(600.0), moving(1000.0)], "open", "but not measurably at 600 K in this run"),
        ([still(600.0), still(800.0), still(1000.0)], "open", "not diffusive in this run at 600, 800 and 1000 K"),
        ([result("diffusivity", "framework molten", temperature=900.0)], "refused", "framework molten"),
        (
            [moving(600.0), moving(700.0), result("conductivity_300K", "2 of 3 temperatures gave a diffusivity")],
            "open",
            "(2 of 3 temperatures gave a diffusivity)",
        ),
        ([], "not run", "not computed"),
    ],
)
def test_conduction(results: list[Result], answer: str, words: str) -> None:
    clause = conduction(case(*results))
    assert clause.answer == answer
    assert words in clause.text.replace("\xa0", " ")


@pytest.mark.parametrize(
    ("fields", "answer", "words"),
    [
        # the two ratios that the paper quotes are both below Pugh's line
        ({"value": 0.19, "uncertainty": 0.02}, "yes", "ductile by Pugh's ratio (G/B = 0.190 ± 0.020, below 0.571)"),
        ({"value": 0.458, "uncertainty": 0.02}, "yes", "ductile by Pugh's ratio"),
        ({"value": 0.62, "uncertainty": 0.01}, "no", "not ductile"),
        ({"value": 0.55, "uncertainty": 0.02}, "open", "not settled"),
        ({"value": 0.5, "uncertainty": 0.01, "data": {"reuss": 0.3, "voigt": 0.7}}, "open", "not settled"),
        ({"reason": "the crystal is not elastically stable"}, "refused", "not elastically stable"),
    ],
)
def test_ductility(fields: dict[str, Any], answer: str, words: str) -> None:
    clause = ductility(case(result("pugh_ratio", **fields)))
    assert clause.answer == answer
    assert words in clause.text.replace("\xa0", " ")


def test_a_symmetric_ratio_is_never_passed_off_as_the_crystals(specimens) -> None:
    clause = ductility(arrange(specimens.unstable())[0])
    assert clause.answer == "refused"
    assert "unstable against shear e_yz" in clause.text
    symmetric = "the symmetric answer, apart from it: G/B = 0.349 ± 0.021 by Hill's mean, 0.33 (Reuss) to 0.36 (Voigt)"
    assert clause.text.replace("\xa0", " ").endswith(symmetric)


def test_elasticity_that_was_not_run_is_said_not_to_be() -> None:
    assert ductility(case()).answer == "not run"


def test_a_long_reason_is_shortened(specimens) -> None:
    clause = ductility(arrange(specimens.refused())[0])
    assert len(specimens.LONG_REASON) > 1000
    assert len(clause.text) < 250
    assert clause.text.endswith("…)")


def test_one_sentence_for_each_material(specimens) -> None:
    sentences = verdicts(specimens.na3ps4() + specimens.na3sbs4(), order=["Na3SbS4", "Na3PS4"])
    assert len(sentences) == 2
    assert sentences[0].startswith("Na₃SbS₄ (tetragonal): a window from 1.83 to 1.90")
    assert all(sentence.endswith(").") and sentence.count(". ") == 0 for sentence in sentences)


@pytest.mark.parametrize(
    ("c", "words"), [(7.1, "relaxed to a = 7.000 Å and c = 7.100 Å; its el"), (7.0, "relaxed to a = 7.000 Å; its el")]
)
def test_the_cell_is_told_where_nothing_else_was_asked_for(c, words) -> None:
    a, c = (result(f"lattice_{axis}", value=length) for axis, length in (("a", 7.0), ("c", c)))
    relaxed = [each.model_copy(update={"unit": "angstrom"}) for each in (a, c)]
    assert verdict(arrange(relaxed)[0]).sentence.replace("\xa0", " ").startswith(words)
    judged = arrange([*relaxed, result("pugh_ratio", value=0.5, uncertainty=0.01)])[0]
    assert "relaxed to" not in verdict(judged).sentence


def test_refused_results_put_no_number_into_the_verdict(specimens) -> None:
    spoken = verdict(arrange(specimens.refused())[0])
    assert [clause.answer for clause in spoken.clauses] == ["refused", "open", "refused"]
    assert "G/B =" not in spoken.sentence
    assert "D =" not in spoken.sentence
