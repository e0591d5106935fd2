import numpy as np
import pytest

from sodalyte.analysis.results import Guard, Result
from sodalyte.workflows.dynamics import MAX_DRIFT, energy_drift, refuse_where_failed

FOUND = Result(
    material="Na3SbS4",
    polymorph="tetragonal",
    level="some engine",
    recipe="quick",
    property="diffusivity",
    value=1e-6,
    uncertainty=1e-7,
    unit="cm^2/s",
    temperature=600,
)
SEEN = FOUND.model_copy(update={"property": "mean_squared_displacement", "data": {"msd": [1.0]}})


@pytest.mark.parametrize(("slope", "passed"), [(0.0, True), (0.5 * MAX_DRIFT, True), (2 * MAX_DRIFT, False)])
def test_a_drift_of_the_conserved_energy_is_seen_through_its_fluctuations(slope, passed):
    times = np.linspace(0, 10, 500)
    conserved = 100 * slope * times / 10 + 0.01 * np.sin(40 * times)
    assert energy_drift(times, conserved, n_atoms=100).passed is passed


def test_a_required_guard_that_failed_takes_the_number_but_not_the_observation():
    failed = Guard(name="relaxation converged", passed=False, detail="it did not")
    refused = Result(**refuse_where_failed(FOUND, [failed]).model_dump())
    assert (refused.status, refused.value, refused.reason) == ("refused", None, "it did not")
    assert refuse_where_failed(SEEN, [failed]).data == SEEN.data


def test_a_warning_accompanies_the_number():
    warning = Guard(name="cell shape", passed=False, detail="strained", required=False)
    kept = refuse_where_failed(FOUND, [warning])
    assert (kept.status, kept.value, kept.guards) == ("ok", FOUND.value, (warning,))
