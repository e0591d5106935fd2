from pathlib import Path

import pytest

from sodalyte.analysis.results import Result
from sodalyte.report import write_report
from sodalyte.report.calibration import Answer, read, shipped, write
from sodalyte.report.known_errors import known_errors, sentence, signed, written, written_short

POTENTIAL = "My potential 1.0 (mine 0.1), trained on PBE"
GPAW = "PBE, PAW, plane waves to 520 eV (GPAW 26.7.0, setups gpaw-data 1.2.1)"


def answer(name: str, value: float | None, *, level: str = POTENTIAL, **fields) -> Answer:
    about = {"material": "Na2S", "polymorph": "cubic", "recipe": "paper", "property": name, "unit": "GPa"} | fields
    if value is None:
        about |= {"status": "refused", "reason": "unstable"}
    result = Result(**about, level=level, value=value)
    return Answer(result=result, key=result.key(), date="2026-01-01")


def test_the_materials_project_is_the_reference_where_pbe_was_not_computed_here() -> None:
    # bulk moduli of the Materials Project: Na2S 28.189, Na3Sb 19.462 GPa
    found = [answer("bulk_modulus", 14.0945), answer("bulk_modulus", 17.5158, material="Na3Sb", polymorph="hexagonal")]
    error = known_errors(found, POTENTIAL, "bulk_modulus")
    assert error.errors == pytest.approx((-50, -10), abs=0.01)
    assert written(error).replace("\xa0", " ") == (
        "mean −30 %, largest −50 % (Na₂S cubic), 2 crystals against PBE (Materials Project) 2"
    )
    assert written_short(error).replace("\xa0", " ") == "known error −30 % on 2 crystals, largest −50 %"


def test_pbe_computed_here_comes_before_it_and_crystals_without_a_number_are_counted() -> None:
    found = [
        answer("bulk_modulus", 21.0),
        answer("bulk_modulus", 28.0, level=GPAW),
        answer("bulk_modulus", None, material="Na3SbS4", polymorph="tetragonal"),
    ]
    error = known_errors(found, POTENTIAL, "bulk_modulus")
    assert error.errors == pytest.approx((-25,))
    assert error.against == {"GPAW PBE": 1}
    assert written(error).endswith("1 crystal against GPAW PBE 1; refused for 1")
    assert written_short(error).replace("\xa0", " ") == "known error −25 % on 1 crystal"


def test_pbe_is_held_against_experiment_and_never_against_itself() -> None:
    cell = answer("lattice_a", 6.571, level=GPAW, unit="angstrom")
    error = known_errors([cell], GPAW, "lattice_a")
    assert error.errors == pytest.approx((100 * (6.571 / 6.537 - 1),))  # measured at 30 K, tabulated by Deng 2016
    assert error.against == {"experiment": 1}


def test_the_paper_whose_polymorph_is_not_stated_is_no_reference() -> None:
    width = answer("window_width", 0.5, material="Na3SbS4", polymorph="tetragonal", unit="V", scheme="mp2020")
    assert known_errors([width], POTENTIAL, "window_width") is None


def test_schemes_are_not_mixed() -> None:
    about = {"material": "Na3SbS4", "polymorph": "tetragonal", "unit": "V"}
    ours = [answer("window_width", 0.5, scheme=scheme, **about) for scheme in ("mp2020", "polysulfide_charge")]
    better = answer("window_width", 0.1, scheme="mp2020", level=GPAW, **about)
    error = known_errors([*ours, better], POTENTIAL, "window_width")
    assert error.errors == pytest.approx((0.4,))


def test_an_engine_without_calibration_is_said_to_have_none() -> None:
    assert sentence(POTENTIAL, "bulk_modulus") == "error of My potential 1.0 not known: not calibrated"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (-41.23, "%", "−41 %"),
        (5.02, "%", "+5.0 %"),
        (0.0123, "eV/atom", "+12 meV/atom"),
        (-0.0003, "eV/atom", "0 meV/atom"),
        (-0.2, "V", "−0.20 V"),
        (33.1, "meV/f.u.", "+33 meV/f.u."),
    ],
)
def test_errors_are_written_with_sign_and_unit(value, unit, text) -> None:
    assert signed(value, unit).replace("\xa0", " ") == text


def test_what_ships_has_an_error_for_each_potential_and_survives_writing(tmp_path: Path) -> None:
    levels = {each.result.level for each in shipped()}
    assert {level.split(" ")[0] for level in levels} >= {"CHGNet", "SevenNet-0"}
    for level in levels:
        assert sentence(level, "lattice_a").startswith("known error of")
    write(shipped(), tmp_path / "again.jsonl")
    assert read((tmp_path / "again.jsonl").read_text()) == shipped()


def test_every_property_of_what_ships_can_be_quoted_for_every_engine() -> None:
    results = [each.result for each in shipped()]
    names = {result.property for result in results}
    assert {"structural_instability", "bulk_modulus", "C44"} <= names
    for level in {result.level for result in results}:
        for name in names:
            assert sentence(level, name)


def test_the_report_of_a_run_quotes_the_known_error_of_its_engine(tmp_path: Path) -> None:
    ours = next(each.result for each in shipped() if each.result.level.startswith("CHGNet"))
    results = [
        ours.model_copy(update={"property": name, "value": 20.0, "unit": "GPa", "status": "ok", "reason": None})
        for name in ("bulk_modulus", "haven_ratio")
    ]
    page = write_report(results, tmp_path).read_text().replace("\xa0", " ")
    assert sentence(ours.level, "bulk_modulus").replace("\xa0", " ") in page
    assert "error of CHGNet 0.3.0 not known: not calibrated" in page
