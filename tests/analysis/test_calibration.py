import pytest

from sodalyte.analysis.calibration import Case, elastic_constants, known_error
from sodalyte.analysis.results import Result

NA2S = [[54.3, 15.5, 15.5, 0, 0, 0], [15.5, 54.3, 15.5, 0, 0, 0], [15.5, 15.5, 54.3, 0, 0, 0]]
NA2S += [[17.1 if row == column else 0 for column in range(6)] for row in range(3, 6)]


def tensor(**fields) -> Result:
    about = {"material": "Na2S", "polymorph": "cubic", "level": "PBE", "recipe": "paper", "unit": "GPa"}
    return Result(**about | {"property": "elastic_tensor", "data": {"tensor": NA2S}} | fields)


def test_errors_are_signed_relative_and_the_largest_is_named() -> None:
    # bulk moduli, GPa: CHGNet's of t-Na3PS4 (notes of this project) and Deng 2016; a made-up second one
    cases = [Case("t-Na3PS4", 13.8, 25.3, "PBEsol"), Case("Na2S", 30.0, 28.4, "PBE")]
    error = known_error(cases, unit="GPa", refused=["c-Na3PS4"])
    assert error.unit == "%"
    assert error.errors == pytest.approx((-45.45, 5.63), abs=0.01)
    assert error.mean == pytest.approx(-19.91, abs=0.01)
    assert error.largest[1].crystal == "t-Na3PS4"
    assert error.against == {"PBEsol": 1, "PBE": 1}
    assert error.refused == ("c-Na3PS4",)


@pytest.mark.parametrize("unit", ["V", "eV/atom", "meV/f.u."])
def test_errors_of_what_can_be_zero_stay_in_their_unit(unit) -> None:
    error = known_error([Case("Na3SbS4", 0.014, 0.0, "PBE")], unit=unit)
    assert (error.unit, error.mean) == (unit, 0.014)


def test_nothing_known_is_no_error_of_zero() -> None:
    assert known_error([], unit="GPa", refused=["Na3SbS4"]) is None


def test_a_tensor_gives_the_constants_that_its_symmetry_leaves() -> None:
    found = {each.property: each.value for each in elastic_constants(tensor())}
    assert found == {"C11": 54.3, "C12": 15.5, "C44": 17.1}
    assert all(not each.data for each in elastic_constants(tensor()))
    tetragonal = [each.property for each in elastic_constants(tensor(polymorph="tetragonal (file.cif)"))]
    assert tetragonal == ["C11", "C12", "C13", "C33", "C44", "C66"]
    assert list(elastic_constants(tensor(polymorph="triclinic"))) == []


def test_constants_say_whether_the_ions_kept_their_symmetry() -> None:
    found = [each.property for each in elastic_constants(tensor(property="symmetric_elastic_tensor"))]
    assert found == ["symmetric_C11", "symmetric_C12", "symmetric_C44"]


def test_the_constants_of_a_refused_tensor_are_refused() -> None:
    refused = tensor(status="refused", reason="not linear", data={})
    assert {(each.value, each.reason) for each in elastic_constants(refused)} == {(None, "not linear")}


def test_other_results_have_no_constants() -> None:
    assert list(elastic_constants(tensor(property="bulk_modulus", value=28.4, data={}))) == []
