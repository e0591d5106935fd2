import pytest

from sodalyte.analysis.results import Guard
from sodalyte.errors import UsageError
from sodalyte.report.cases import arrange, conditions_label, property_label


def test_materials_keep_their_order_unless_told_otherwise(specimens) -> None:
    results = specimens.na3ps4() + specimens.na3sbs4()
    assert [case.label for case in arrange(results)] == ["Na₃PS₄ (tetragonal)", "Na₃SbS₄ (tetragonal)"]
    assert [case.material for case in arrange(results, order=["Na3SbS4"])] == ["Na3SbS4", "Na3PS4"]
    assert [case.material for case in arrange(results, order=["other"])] == ["Na3PS4", "Na3SbS4"]


def test_documents_are_as_good_as_results(specimens) -> None:
    results = specimens.na3ps4()
    documents = [result.model_dump(mode="json") | {"key": result.key(), "created_at": "2026"} for result in results]
    assert arrange(documents) == arrange(results)


def test_recipes_and_levels_are_never_mixed(specimens) -> None:
    other_level = [
        result.model_copy(update={"level": "PBE"}) for result in specimens.relaxed_only("Na3PS4", "tetragonal")
    ]
    cases = arrange(specimens.na3ps4("paper") + specimens.na3ps4("quick") + other_level)
    assert [case.label for case in cases] == [
        f"Na₃PS₄ (tetragonal), recipe paper, {specimens.LEVEL}",
        f"Na₃PS₄ (tetragonal), recipe quick, {specimens.LEVEL}",
        "Na₃PS₄ (tetragonal), recipe quick, PBE",
    ]
    assert all({result.recipe for result in case.results} == {case.recipe} for case in cases)


def test_the_last_answer_counts_and_a_repetition_is_noticed(specimens) -> None:
    results = specimens.relaxed_only("Na3SbS4")
    again = results[0].model_copy(update={"value": 7.5, "calculations": ("another",)})
    (case,) = arrange([*results, again])
    assert case.last("lattice_a").value == 7.5
    assert case.repeated == ("lattice_a",)
    assert arrange(results)[0].repeated == ()


def test_schemes_and_temperatures_are_told_apart(specimens) -> None:
    case = arrange(specimens.na3sbs4())[0]
    assert case.schemes == ("mp2020", "polysulfide_charge")
    assert case.last("oxidation_limit", scheme="polysulfide_charge").value == 2.46
    assert case.last("diffusivity", temperature=700.0).temperature == 700.0
    assert case.last("diffusivity") is None
    assert conditions_label(case.last("oxidation_limit", scheme="mp2020")) == "MP2020 correction"
    assert conditions_label(case.last("diffusivity", temperature=700.0)) == "700 K"


def test_warnings_are_failed_guards_that_did_not_refuse(specimens) -> None:
    case = arrange(specimens.na3sbs4())[0]
    assert case.warnings == ("linearity: slopes at 0.5 % and 1 % strain differ by 18 %",)
    assert arrange(specimens.refused())[0].warnings == ()


def test_a_warning_of_one_number_names_it(specimens) -> None:
    (bulk,) = (result for result in specimens.na3sbs4() if result.property == "bulk_modulus")
    yields = [
        Guard(name="sheared cells", passed=False, required=False, detail=f"yields by {percent} %")
        for percent in (17, 19)
    ]
    both = [
        bulk.model_copy(update={"property": name, "guards": (guard,)})
        for name, guard in zip(("bulk_modulus", "symmetric_bulk_modulus"), yields, strict=True)
    ]
    assert arrange(both)[0].warnings == (
        "sheared cells (Bulk modulus B (Hill)): yields by 17 %",
        "sheared cells (B (Hill), symmetric answer): yields by 19 %",
    )


def test_names_that_could_break_a_line_are_tamed(hostile) -> None:
    label = arrange(hostile)[0].label
    assert label.isprintable()
    assert label.startswith("<script>")


def test_property_names_the_report_does_not_know_are_kept() -> None:
    assert property_label("haven_ratio") == "haven ratio"


def test_nothing_to_report() -> None:
    with pytest.raises(UsageError, match="sodalyte run"):
        arrange([])


def test_a_document_that_is_no_result() -> None:
    with pytest.raises(UsageError, match=r"lattice_a.*does not have the form of a result"):
        arrange([{"property": "lattice_a", "value": 7.0}])
