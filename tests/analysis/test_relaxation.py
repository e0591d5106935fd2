"""The relaxed cell beside the one it started from and the measured one."""

import pytest

from sodalyte.analysis.relaxation import relaxation_results
from sodalyte.analysis.results import Subject
from sodalyte.structures import crystal

SUBJECT = Subject(material="Na3SbS4", polymorph="tetragonal", level="some engine", recipe="quick")
START = crystal("Na3SbS4_t").structure
MEASURED = {"lattice_a": 7.0, "lattice_c": None, "density": 2.8, "source": "a paper"}


def answer(**changes):
    arguments = {
        "start": START,
        "relaxed": START,
        "converged": True,
        "experiment": MEASURED,
        "lattice_uncertainty": 0.01,
    } | changes
    return {result.property: result for result in relaxation_results(SUBJECT, **arguments)}


def test_cell_and_density_stand_beside_the_measured_ones():
    found = answer(relaxed=START.apply_strain(0.02, inplace=False))
    a, c = (1.02 * START.lattice.abc[axis] for axis in (0, 2))
    assert (found["lattice_a"].value, found["lattice_c"].value) == pytest.approx((a, c), rel=1e-6)
    assert found["lattice_a"].unit == "angstrom"
    assert found["density"].value == pytest.approx(START.density / 1.02**3)
    assert found["lattice_a"].uncertainty == pytest.approx(0.01 * a)
    assert found["density"].uncertainty == pytest.approx(0.03 * found["density"].value), "a volume has three edges"
    assert found["lattice_a"].data == {
        "experiment": 7.0,
        "deviation_percent": pytest.approx(100 * (a / 7.0 - 1)),
        "source": "a paper",
    }
    assert found["lattice_c"].data["source"] is None


def test_an_unknown_uncertainty_is_none():
    found = answer(lattice_uncertainty=None)
    assert all((result.uncertainty, result.uncertainty_basis) == (None, None) for result in found.values())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"converged": False}, "did not reach"),
        ({"relaxed": None, "converged": False}, "did not reach"),
        ({"relaxed": crystal("Na3SbS4_c").structure}, "into I-43m: another polymorph"),
    ],
)
def test_no_number_of_a_cell_that_is_not_the_relaxed_crystal(changes, reason):
    for result in answer(**changes).values():
        assert result.status == "refused"
        assert reason in result.reason


def test_a_volume_far_from_that_of_the_start_is_a_warning():
    (warning,) = (guard for guard in answer(relaxed=START.apply_strain(0.06, inplace=False))["density"].guards[2:])
    assert (warning.passed, warning.required) == (False, False)
    assert "+19.1%" in warning.detail
    assert all(guard.passed for guard in answer()["density"].guards)
