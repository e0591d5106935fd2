import pytest

from sodalyte.analysis.results import Guard, Result
from sodalyte.errors import UsageError
from sodalyte.report.calibration import Answer, expanded
from sodalyte.report.side_by_side import engine_names, sheet, side_by_side

CHGNET = "CHGNet 0.3.0 (chgnet 0.4.2), trained on PBE/PBE+U with MP2020 corrections"
GPAW = "PBE, PAW, plane waves to 520 eV (GPAW 26.7.0, setups gpaw-data 1.2.1)"


def answer(value: float | None, *, level: str = CHGNET, **fields) -> Answer:
    about = {"material": "Na3SbS4", "polymorph": "tetragonal", "recipe": "paper", "property": "lattice_a"}
    about |= {"unit": "angstrom"} | fields
    if value is None:
        about |= {"status": "refused", "reason": "it fell apart"}
    result = Result(**about, level=level, value=value)
    return Answer(result=result, key=result.key(), date="2026-01-01")


def one_table(answers, name="lattice_a", **options):
    (table,) = side_by_side(answers, properties=(name,), wanted=lambda material, _: material == "Na3SbS4", **options)
    return table


def row(table, polymorph="tetragonal", scheme=None):
    return next(each for each in table.rows if (each.polymorph, each.scheme) == (polymorph, scheme))


def test_differences_are_to_the_measured_cell_where_nothing_better_is_known() -> None:
    table = one_table([answer(7.2)])
    found = row(table)
    assert found.baseline.text == "7.1708(12)"  # Hayashi et al. 2019
    (ours,) = found.of("CHGNet 0.3.0")
    assert found.difference(ours) == pytest.approx(7.2 - 7.1708)
    assert table.relative(found, ours) == pytest.approx(100 * (7.2 / 7.1708 - 1))


def test_pbe_at_the_papers_settings_is_the_better_reference() -> None:
    answers = [answer(7.2), answer(7.2159, level=GPAW)]
    assert row(one_table(answers)).baseline.source == "GPAW PBE"
    assert row(one_table(answers, to="experiment")).baseline.source == "experiment"
    assert row(one_table(answers, to="chg")).baseline.source == "CHGNet 0.3.0"
    assert row(one_table(answers, to="mp")).baseline is None


def test_a_difference_too_small_to_write_has_no_sign() -> None:
    answers = [answer(7.2158999), answer(7.2159, level=GPAW)]
    cells = next(cells for cells in sheet(one_table(answers)).rows if cells[0] == "Na3SbS4 tetragonal")
    assert any("\n  0.000 (0.0 %)" in cell for cell in cells)


@pytest.mark.parametrize(("to", "words"), [("vasp", "no source"), ("experimnt", "'experiment'")])
def test_an_unknown_source_is_named(to, words) -> None:
    with pytest.raises(UsageError, match=words):
        one_table([answer(7.2)], to=to)


def test_polymorphs_stand_apart_and_a_silent_engine_keeps_its_column() -> None:
    table = one_table([answer(7.2), answer(7.26, polymorph="cubic"), answer(7.3, level=GPAW, polymorph="cubic")])
    assert row(table).of("GPAW PBE") == ()
    assert "GPAW PBE" in table.sources
    assert [number.text for number in row(table, "cubic").of("experiment")] == ["7.17(1)"]
    assert "–" in next(cells for cells in sheet(table).rows if cells[0] == "Na3SbS4 tetragonal")


def test_numbers_of_the_paper_stand_beside_every_polymorph_and_scheme_and_say_so() -> None:
    limit = {"property": "reduction_limit", "unit": "V"}
    answers = [answer(1.8, scheme=scheme, **limit) for scheme in ("mp2020", "polysulfide_charge")]
    table = one_table([*answers, answer(1.7, polymorph="cubic", scheme="mp2020", **limit)], "reduction_limit")
    assert len(table.rows) == 3
    for found in table.rows:
        (paper,) = found.of("paper")
        assert paper.text == "1.83"
        assert "polymorph not stated" in paper.notes[0]
        assert table.relative(found, found.of("CHGNet 0.3.0")[0]) is None


def test_another_recipe_and_a_refusal_are_written_beside_the_number() -> None:
    table = one_table([answer(7.2), answer(7.3, recipe="quick"), answer(None, polymorph="cubic")])
    assert [number.notes for number in row(table).of("CHGNet 0.3.0")] == [(), ("recipe quick",)]
    (refused,) = row(table, "cubic").of("CHGNet 0.3.0")
    assert (refused.text, refused.value, refused.notes) == ("refused", None, ("it fell apart",))
    assert "it fell apart" in sheet(table).notes


def test_what_is_still_to_be_computed_is_not_called_refused() -> None:
    pending = answer(None, level=GPAW).result.model_copy(update={"reason": "not computed yet: 3 of 12 relaxations"})
    table = one_table([answer(7.2), Answer(result=pending, key="p", date="2026-01-01")])
    (number,) = row(table).of("GPAW PBE")
    assert (number.text, number.refused, number.notes) == ("not computed", False, (pending.reason,))


def test_a_warning_goes_with_its_number() -> None:
    guard = Guard(name="volume plausible", passed=False, detail="the volume changed by +20 %", required=False)
    assert row(one_table([answer(7.2, guards=(guard,))])).of("CHGNet 0.3.0")[0].notes == (guard.detail,)


def test_what_store_and_package_say_alike_counts_once() -> None:
    """Also where the last digits depend on the processor."""
    alike = [answer(7.2), answer(7.2 + 1e-9)]
    assert len(row(one_table([*alike, answer(7.4)])).of("CHGNet 0.3.0")) == 2
    assert len(row(one_table([*alike, answer(7.2, recipe="quick")])).of("CHGNet 0.3.0")) == 2
    guard = Guard(name="volume plausible", passed=False, detail="the volume changed by +20 %", required=False)
    assert len(row(one_table([*alike, answer(7.2, guards=(guard,))])).of("CHGNet 0.3.0")) == 2


def test_levels_that_differ_in_their_versions_only_are_not_one_column() -> None:
    older = CHGNET.replace("0.4.2", "0.4.1")
    assert set(engine_names([CHGNET, older]).values()) == {CHGNET, older}


def test_symmetric_moduli_stand_beside_published_ones() -> None:
    modulus = {"property": "symmetric_bulk_modulus", "unit": "GPa", "material": "Na3PS4"}
    (table,) = side_by_side(
        [answer(20.0, **modulus)], properties=("symmetric_bulk_modulus",), wanted=lambda material, _: material != "Na"
    )
    (found,) = table.rows
    assert (found.baseline.text, found.baseline.functional) == ("25.3", "PBEsol")  # Deng et al. 2016


def test_ranges_are_shown_but_never_compared_with() -> None:
    ours = answer(0.2, property="conductivity_300K", unit="mS/cm", material="Na3PS4")
    (table,) = side_by_side([ours], properties=("conductivity_300K",), wanted=lambda material, _: material == "Na3PS4")
    texts = {number.text for each in table.rows for number in each.of("paper")}
    assert texts == {"0.1 to 0.4"}
    assert all(each.baseline is None or each.baseline.source != "paper" for each in table.rows)


def test_the_c_of_a_cubic_cell_does_not_count_beside_its_a() -> None:
    c = answer(7.26, property="lattice_c", polymorph="cubic")
    assert list(expanded(c)) == []
    assert list(expanded(answer(7.61, property="lattice_c"))) != []
