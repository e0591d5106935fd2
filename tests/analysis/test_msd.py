import tracemalloc

import numpy as np
import pytest
from pymatgen.analysis.diffusion.analyzer import DiffusionAnalyzer
from pymatgen.core import Lattice, Structure

from sodalyte.analysis.msd import (
    checked_positions,
    collective_squared_displacement,
    framework_drift,
    ion_indices,
    log_spaced_lags,
    mean_squared_displacement,
)
from sodalyte.errors import CalculationError, UsageError

MOBILE, FRAMEWORK = np.arange(5), np.arange(5, 12)


@pytest.fixture
def positions():
    rng = np.random.default_rng(3)
    walk = np.cumsum(rng.normal(size=(400, 12, 3)), axis=0)
    return walk + rng.uniform(0, 20, size=(1, 12, 3))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_the_sum_over_origins_written_out(positions, dtype):
    found = mean_squared_displacement(positions.astype(dtype), MOBILE)
    for lag in (1, 2, 7, 100, 399):
        moved = positions[lag:, MOBILE] - positions[: 400 - lag, MOBILE]
        assert found[lag] == pytest.approx((moved**2).mean(axis=(0, 1)), rel=1e-5 if dtype == np.float32 else 1e-10)
    assert (found[0] == 0).all()


def test_ballistic_motion():
    velocity = np.array([[0.1, 0.0, -0.2], [0.3, 0.1, 0.0]])
    time = np.arange(50.0)
    flight = time[:, None, None] * velocity
    expected = (velocity**2).mean(axis=0) * time[:, None] ** 2
    assert mean_squared_displacement(flight, np.arange(2)) == pytest.approx(expected, abs=1e-9)


def test_drift_of_the_cell_is_removed(positions):
    wind = np.cumsum(np.full((400, 1, 3), 0.5), axis=0)
    still, windy = positions, positions + wind
    without, with_wind = (
        mean_squared_displacement(p, MOBILE, drift=framework_drift(p, FRAMEWORK)) for p in (still, windy)
    )
    assert with_wind == pytest.approx(without, rel=1e-9)
    assert mean_squared_displacement(windy, MOBILE)[100].sum() > 2 * without[100].sum()


def test_equals_pymatgen(positions):
    structure = Structure(Lattice.cubic(20), ["Na"] * 5 + ["S"] * 7, np.random.default_rng(0).random((12, 3)))
    peer = DiffusionAnalyzer(
        structure, np.moveaxis(positions - positions[0], 0, 1), "Na", 600, time_step=20, step_skip=1, smoothed="max"
    )
    lags = (np.asarray(peer.dt) / 20).round().astype(int)
    drift = framework_drift(positions, FRAMEWORK)
    ours = mean_squared_displacement(positions, MOBILE, drift=drift)[lags]
    assert ours.sum(axis=1) == pytest.approx(peer.msd, rel=1e-9)
    assert ours == pytest.approx(peer.msd_components, rel=1e-9)
    collective = collective_squared_displacement(positions, MOBILE, drift=drift)[lags]
    assert collective.sum(axis=1) == pytest.approx(peer.mscd, rel=1e-9)


def test_ions_that_move_together_carry_their_number_in_the_collective_displacement():
    one = np.cumsum(np.random.default_rng(0).normal(size=(100, 1, 3)), axis=0)
    together = np.repeat(one, 4, axis=1)
    single = mean_squared_displacement(one, np.array([0]))
    assert collective_squared_displacement(together, np.arange(4)) == pytest.approx(4 * single, abs=1e-9)


def test_needs_less_than_half_the_trajectory_of_memory_on_top_of_it():
    positions = np.random.default_rng(0).normal(size=(5000, 128, 3)).astype(np.float32)
    mobile, framework = np.arange(48), np.arange(48, 128)
    tracemalloc.start()
    mean_squared_displacement(positions, mobile, drift=framework_drift(positions, framework))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.5 * positions.nbytes


def test_log_spaced_lags_hold_both_ends_and_no_lag_twice():
    lags = log_spaced_lags(2, 1400, 30)
    assert (lags[0], lags[-1]) == (2, 1400)
    assert (np.diff(lags) > 0).all()
    assert len(lags) <= 30


@pytest.mark.parametrize(
    ("selection", "expected"), [([2, 0], [2, 0]), (np.array([True, False, True]), [0, 2]), (np.uint8([1]), [1])]
)
def test_selections(selection, expected):
    assert ion_indices(selection, 3, name="mobile").tolist() == expected


@pytest.mark.parametrize(
    "selection", [[], [0, 0], [3], [-1], [0.5], [[0, 1]], np.array([True, False]), np.array([False] * 3)]
)
def test_bad_selections_are_refused(selection):
    with pytest.raises(UsageError, match="mobile: give a mask of 3 atoms"):
        ion_indices(selection, 3, name="mobile")


@pytest.mark.parametrize("shape", [(10, 3), (1, 4, 3), (10, 4, 2)])
def test_wrong_shapes_are_refused(shape):
    with pytest.raises(UsageError, match="n_frames, n_atoms, 3"):
        checked_positions(np.zeros(shape), largest_step=1.0)


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_positions_that_are_not_finite_are_refused(positions, broken):
    positions[17, 3, 1] = broken
    with pytest.raises(CalculationError, match="atom 3 "):
        checked_positions(positions, largest_step=100.0)


def test_wrapped_positions_are_refused(positions):
    with pytest.raises(UsageError, match="unwrapped"):
        checked_positions(positions % 14.4, largest_step=0.75 * 14.4)
    assert checked_positions(positions, largest_step=0.75 * 14.4) is positions
