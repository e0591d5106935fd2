import kinisi.diffusion
import numpy as np
import pytest
import scipp
import statsmodels.api

from sodalyte.analysis.msd_fit import (
    downward_curvature,
    fit_window,
    fitted_line,
    generalised_least_squares,
    hop_variance,
    last_lag,
    line_design,
    log_log_slope,
    observe,
    posterior_slopes,
)

HOP = 3.6
FRAMES = np.array([20, 30, 50, 80, 120, 200, 300, 450, 700])


def observed_from(curve, n_frames=1001, frame_interval=0.02):
    lag = np.arange(n_frames) * frame_interval
    return observe(curve(lag), FRAMES, frame_interval=frame_interval, n_particles=47, hop_area=HOP**2)


def line_and_wiggle(lag):
    return 2.0 * lag + 0.6 + 0.5 * np.sin(3 * lag)


@pytest.mark.parametrize("mean_hops", [0.3, 1.0, 5.0])
def test_variance_of_poisson_hops(mean_hops):
    rng = np.random.default_rng(1)
    walkers = 200_000
    plus, minus = rng.poisson(mean_hops / 6, size=(2, walkers, 3))
    squared = (HOP**2 * (plus - minus) ** 2).sum(axis=1)
    assert hop_variance(squared.mean(), hop_area=HOP**2) == pytest.approx(squared.var(), rel=0.03)


def test_model_variance_follows_the_line_and_not_the_points():
    clean, disturbed = observed_from(lambda lag: 2.0 * lag), observed_from(line_and_wiggle)
    assert clean.model_slope == pytest.approx(2.0, rel=1e-9)
    ratio = disturbed.variance / clean.variance
    assert np.ptp(ratio) < 0.1
    expected = hop_variance(2.0 * clean.lag, hop_area=HOP**2) * FRAMES / (47 * 1000)
    assert clean.variance == pytest.approx(expected, rel=1e-9)


def test_covariance_is_that_of_kinisi():
    observed = observed_from(line_and_wiggle)
    peer = kinisi.diffusion.Diffusion(
        scipp.DataGroup(
            {
                "da": scipp.DataArray(
                    scipp.array(dims=["time interval"], values=observed.msd, variances=observed.variance),
                    coords={"n_samples": scipp.array(dims=["time interval"], values=observed.n_independent)},
                )
            }
        )
    )
    peer.diff_regime, peer._recondition, peer._cond_max = 0, False, 1e16
    assert observed.covariance == pytest.approx(peer.compute_covariance_matrix().values, rel=1e-6)
    assert np.linalg.cond(observed.covariance) < 1e6


def test_generalised_least_squares_is_that_of_statsmodels():
    observed = observed_from(line_and_wiggle)
    parameters, covariance = generalised_least_squares(line_design(observed.lag), observed.msd, observed.covariance)
    peer = statsmodels.api.GLS(observed.msd, line_design(observed.lag), sigma=observed.covariance).fit()
    assert parameters == pytest.approx(peer.params, rel=1e-8)
    assert covariance == pytest.approx(peer.normalized_cov_params, rel=1e-8)


def test_kinisi_samples_the_closed_form():
    observed = observed_from(line_and_wiggle)
    (slope, _), covariance = fitted_line(observed)
    error = np.sqrt(covariance[0, 0])
    samples = posterior_slopes(observed, seed=4)
    assert samples.mean() == pytest.approx(slope, abs=0.15 * error)
    assert samples.std() == pytest.approx(error, rel=0.15)


def test_kinisi_gives_the_same_numbers_again_and_leaves_the_random_generator_alone():
    observed = observed_from(line_and_wiggle)
    np.random.seed(11)  # noqa: NPY002
    expected = np.random.random(3)  # noqa: NPY002
    np.random.seed(11)  # noqa: NPY002
    first = posterior_slopes(observed, seed=4)
    assert np.random.random(3).tolist() == expected.tolist()  # noqa: NPY002
    assert posterior_slopes(observed, seed=4).tolist() == first.tolist()
    assert posterior_slopes(observed, seed=5).tolist() != first.tolist()


def window_of(curve, n_frames=1001, frame_interval=0.02):
    lag = np.arange(n_frames) * frame_interval
    return fit_window(curve(lag), frame_interval=frame_interval, n_ions=47, hop_length=HOP)


def test_window_opens_at_half_a_hop_and_closes_at_seven_tenths_of_the_run():
    window = window_of(lambda lag: 2.0 * lag)
    assert window.msd[0] == pytest.approx(0.5 * HOP**2, rel=0.01)
    assert window.lag[-1] == pytest.approx(0.7 * 20.0)
    assert len(window.lag) <= 30


def test_window_does_not_open_before_one_picosecond():
    assert window_of(lambda lag: 20.0 * lag).lag[0] == pytest.approx(1.0)


def test_window_opens_later_where_the_msd_still_bends_down():
    def bends(lag):
        return 2.0 * lag + 12.0 * (1 - np.exp(-lag / 2.0))

    window = window_of(bends)
    half_a_hop = 0.02 * np.flatnonzero(bends(np.arange(1001) * 0.02) >= 0.5 * HOP**2)[0]
    assert window.lag[0] > 1.5 * half_a_hop
    assert fitted_line(window)[0][0] == pytest.approx(2.0, rel=0.15)


@pytest.mark.parametrize("curve", [lambda lag: np.full_like(lag, 2.0), lambda lag: 0.3 * lag], ids=["cage", "slow"])
def test_no_window(curve):
    assert window_of(curve) is None


def test_no_window_in_a_handful_of_frames():
    assert window_of(lambda lag: 5.0 * lag, n_frames=6, frame_interval=1.0) is None


def test_curvature_has_the_sign_of_bending_down():
    assert downward_curvature(observed_from(lambda lag: 8 * np.sqrt(lag))) > 3
    assert downward_curvature(observed_from(lambda lag: lag**2)) < -3
    assert downward_curvature(observed_from(lambda lag: 2 * lag + 1)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("power", "floor"), [(1.0, 0.0), (1.0, 2.0), (2.0, 0.0)])
def test_exponent(power, floor):
    exponent, error = log_log_slope(observed_from(lambda lag: 2.0 * lag**power + floor), largest_floor=HOP**2 / 4)
    assert exponent == pytest.approx(power, abs=0.02)
    assert 0 < error < 0.2


def test_only_a_cage_is_taken_off_before_the_exponent():
    exponent, _ = log_log_slope(observed_from(lambda lag: 20 + 0.5 * lag), largest_floor=HOP**2 / 4)
    assert exponent < 0.5


def test_last_lag_of_the_shortest_run():
    assert last_lag(2) == 0
