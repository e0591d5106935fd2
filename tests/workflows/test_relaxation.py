import numpy as np
import pytest

from sodalyte.workflows.relaxation import is_converged, tensile_stress


def test_a_kilobar_of_compression_is_a_tenth_of_a_gigapascal_of_negative_stress():
    assert tensile_stress(np.diag([10.0, 0, -20])) == pytest.approx(np.diag([-1.0, 0, 2]))


@pytest.mark.parametrize(
    ("structure", "state", "converged"),
    [("a cell", "successful", True), ("a cell", "failed", False), (None, None, False), (None, "successful", False)],
)
def test_only_what_ran_and_converged_counts(structure, state, converged):
    assert is_converged({"structure": structure, "state": state}) is converged
