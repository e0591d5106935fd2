from sodalyte.report.cases import arrange
from sodalyte.report.comparison import compare


def blocks(cases):
    return {block.label: block for group in compare(cases) for block in group.blocks}


def test_schemes_and_temperatures_are_rows_of_one_property(specimens) -> None:
    found = blocks(arrange(specimens.na3sbs4() + specimens.na3ps4()))
    assert [row.conditions for row in found["Oxidation limit"].rows] == [
        "MP2020 correction",
        "polysulfide-charge correction",
    ]
    diffusivity = found["Diffusivity of Na"]
    assert [row.conditions for row in diffusivity.rows] == ["600 K", "700 K", "800 K", "900 K", "1000 K"]
    assert diffusivity.unit == "cm²/s"
    assert [len(cell) for cell in diffusivity.rows[1].cells] == [1, 0]


def test_published_numbers_stand_beside_ours(specimens) -> None:
    found = blocks(arrange(specimens.na3sbs4() + specimens.na3ps4()))
    assert [[fact.value for fact in facts] for facts in found["Oxidation limit"].published] == [["1.90"], ["2.45"]]


def test_a_refused_number_is_a_reason_and_no_digits_of_a_value(specimens) -> None:
    found = blocks(arrange(specimens.refused()))
    (number,) = found["Width of the window"].rows[0].cells[0]
    assert number.refused
    assert number.text == "refused"
    assert number.note == "missing phase Na4P2S6"
    (elastic,) = found["Bulk modulus B (Hill)"].rows[0].cells[0]
    assert len(elastic.note) <= 110


def test_numbers_carry_uncertainty_interval_and_warning(specimens) -> None:
    found = blocks(arrange(specimens.na3sbs4()))
    (width,) = found["Width of the window"].rows[0].cells[0]
    assert width.text.replace("\xa0", " ") == "0.07 ± 0.08"
    assert width.note.replace("\xa0", " ") == "95 %: −0.07 to 0.24"
    (extrapolated,) = found["Conductivity at 300 K (extrapolated)"].rows[0].cells[0]
    assert extrapolated.text == "1.4"
    assert found["Shear modulus G (Hill)"].rows[0].cells[0][0].warned
    assert not width.warned


def test_an_unknown_property_is_listed_and_units_are_never_mixed(specimens) -> None:
    results = specimens.relaxed_only("Na3SbS4")
    strange = results[0].model_copy(update={"property": "haven_ratio", "unit": "1", "value": 0.6})
    other = strange.model_copy(update={"material": "Na3PS4", "unit": "percent", "value": 60.0})
    groups = compare(arrange([*results, strange, other]))
    assert groups[-1].title == "Other properties"
    assert [(block.label, block.unit) for block in groups[-1].blocks] == [
        ("haven ratio", ""),
        ("haven ratio", "percent"),
    ]
    assert [[len(cell) for cell in block.rows[0].cells] for block in groups[-1].blocks] == [[1, 0], [0, 1]]
