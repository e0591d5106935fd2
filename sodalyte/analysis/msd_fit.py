"""The straight line through a mean squared displacement: where it may be drawn, and how sure its slope is.

The points of a mean squared displacement (MSD) share most of their displacements, and the long lags scatter far
more than the short ones, so ordinary least squares gives a poor slope and a worthless error. Here the points are a
sample of a multivariate normal distribution with the covariance of freely diffusing particles (A. R. McCluskey, S.
W. Coles and B. J. Morgan, J. Chem. Theory Comput. 21, 79 (2025), 10.1021/acs.jctc.4c01249), and kinisi samples the
lines that agree with it.

Two habits of kinisi's own analysis are not followed, because intervals from hopping walks missed the truth too often:

* The variance of a squared displacement comes from a model, not from the trajectory. An observed variance is low
  where the MSD is low by chance, so that low points weigh more and the slope comes out too small. Besides, the
  covariance has a negative eigenvalue, and clipping it leaves an ill-conditioned matrix, as soon as
  ``variance * n_independent**2`` does not rise with the lag; observed variances do not ensure that, the model does.
* Thirty lags, evenly spaced in the logarithm, not all of them: the others add cost and bad conditioning, no
  knowledge.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cholesky, solve_triangular

from sodalyte.analysis.msd import Floats, Indices, log_spaced_lags

START_IN_HOPS = 0.5
"""MSD, in squared hop lengths, at which the window may open, outside the cage (see :func:`fit_window`)."""

CAGE_TIME = 1.0
"""Shortest lag of the window, ps, behind ballistic motion and vibrations; pymatgen's analyser has the same."""

STOP_FRACTION = 0.7
"""Longest lag of the window as a fraction of the run; longer ones have too few independent intervals."""

SHORTEST_WINDOW = 2.0
"""Smallest ratio of the longest to the shortest lag of a window."""

CURVATURE_LIMIT = 1.28
"""Standard deviations of downward curvature at which the window opens later (one-sided 90 %)."""

NORMAL_95 = 1.959964
"""Half-width of the central 95 % of a normal distribution, in standard deviations."""

NUMBER_OF_LAGS = 30
FEWEST_LAGS = 5


@dataclass(frozen=True)
class ObservedMsd:
    """Points of a mean squared displacement and the model of their scatter.

    Attributes
    ----------
    frames
        Lags in frames.
    lag
        ps.
    msd
        angstrom^2.
    n_independent
        Number of disjoint displacements in the run: particles times length over lag.
    model_slope
        Of the diffusive line that the variance is taken from, angstrom^2/ps.
    hop_area
        As in :func:`hop_variance`.
    """

    frames: Indices
    lag: Floats
    msd: Floats
    n_independent: Floats
    model_slope: float
    hop_area: float

    @property
    def variance(self) -> Floats:
        """Of ``msd``, angstrom^4."""
        return hop_variance(self.model_slope * self.lag, hop_area=self.hop_area) / self.n_independent

    @property
    def covariance(self) -> Floats:
        """Covariance of the points, angstrom^4: Var_i n_i / n_j for lag_i <= lag_j (McCluskey et al. 2025)."""
        scaled = self.variance * self.n_independent
        position = np.arange(len(scaled))
        earlier = np.minimum.outer(position, position)
        later = np.maximum.outer(position, position)
        covariance: Floats = scaled[earlier] / self.n_independent[later]
        return covariance


def hop_variance(msd: Floats, *, hop_area: float) -> Floats:
    """Variance of the squared displacement of one particle that makes independent hops at random times.

    After a Poisson-distributed number of hops of mean m, of equal length a in the directions of a cubic lattice (or
    any with the same second moments), <r^2> = m a^2 and <r^4> = a^4 (5 m^2/3 + m), hence
    Var(r^2) = 2/3 <r^2>^2 + a^2 <r^2>: Brownian motion and the shot noise of the hops. Vibrations are left out, since
    they average out over the time origins.

    Parameters
    ----------
    msd
        <r^2>, angstrom^2.
    hop_area
        a^2, angstrom^2; for a displacement summed over N ions and divided by sqrt(N), a^2 / N.

    Returns
    -------
    ndarray, angstrom^4.
    """
    return 2 / 3 * msd**2 + hop_area * msd


def observe(msd: Floats, frames: Indices, *, frame_interval: float, n_particles: int, hop_area: float) -> ObservedMsd:
    """Pick points of ``msd``; their variance is that of hops along the line that fits them best.

    That line comes from weighted least squares and then once from generalised least squares with the variance so found.

    Parameters
    ----------
    msd
        For every lag of the run, angstrom^2, shape (n_frames,).
    frames
        The lags to pick, in frames.
    frame_interval
        ps.
    n_particles
        Number of particles averaged over.
    hop_area
        As in :func:`hop_variance`.
    """
    lag = np.asarray(frames * frame_interval, dtype=np.float64)
    picked = msd[frames]
    crude = float(np.polyfit(lag, picked, 1, w=1 / lag)[0])
    observed = ObservedMsd(
        frames=frames,
        lag=lag,
        msd=picked,
        n_independent=n_particles * (len(msd) - 1) / frames,
        model_slope=crude if crude > 0 else float(picked[-1] / lag[-1]),
        hop_area=hop_area,
    )
    refined = float(fitted_line(observed)[0][0])
    return replace(observed, model_slope=refined) if refined > 0 else observed


def generalised_least_squares(design: Floats, values: Floats, covariance: Floats) -> tuple[Floats, Floats]:
    """Aitken's estimator: parameters and their covariance for observations with a known covariance.

    Parameters
    ----------
    design
        Shape (n_observations, n_parameters).
    values
        Shape (n_observations,).
    covariance
        Of the values, positive definite.
    """
    root = cholesky(covariance, lower=True)
    white_design = solve_triangular(root, design, lower=True)
    white_values = solve_triangular(root, values, lower=True)
    upper = np.linalg.qr(white_design, mode="r")
    inverse = np.linalg.inv(upper)
    of_parameters: Floats = inverse @ inverse.T
    parameters: Floats = of_parameters @ white_design.T @ white_values
    return parameters, of_parameters


def fitted_line(observed: ObservedMsd) -> tuple[Floats, Floats]:
    """(slope, intercept) in angstrom^2/ps and angstrom^2, and their covariance, by generalised least squares."""
    return generalised_least_squares(line_design(observed.lag), observed.msd, observed.covariance)


def line_design(abscissa: Floats) -> Floats:
    """Design matrix of a straight line: slope, then intercept."""
    return np.column_stack([abscissa, np.ones_like(abscissa)])


def downward_curvature(observed: ObservedMsd) -> float:
    """How many standard deviations the MSD bends down: a term in the square root of the lag beside the line.

    Ions that jump back and forth, or a cage not yet left, bend an MSD down before it becomes straight.
    """
    design = np.column_stack([line_design(observed.lag), np.sqrt(observed.lag)])
    parameters, covariance = generalised_least_squares(design, observed.msd, observed.covariance)
    return float(parameters[2] / np.sqrt(covariance[2, 2]))


def fit_window(msd: Floats, *, frame_interval: float, n_ions: int, hop_length: float) -> ObservedMsd | None:
    """Find the part of the MSD that a diffusivity may be taken from.

    It opens where the MSD has left the cage (half a squared hop length, and 1 ps) and closes at 0.7 of the run, after
    X. He, Y. Zhu, A. Epstein and Y. Mo, npj Comput. Mater. 4, 18 (2018), 10.1038/s41524-018-0074-y. As long as the
    MSD in it still bends down it opens later.

    Parameters
    ----------
    msd
        For every lag of the run, angstrom^2, shape (n_frames,).
    frame_interval
        ps.
    n_ions
        Number of ions averaged over.
    hop_length
        angstrom.

    Returns
    -------
    The points to fit, or None if no straight part with lags over a factor of two is left.
    """
    stop = last_lag(len(msd))
    outside = np.flatnonzero(msd[: stop + 1] >= START_IN_HOPS * hop_length**2)
    if not outside.size:
        return None
    start = max(int(outside[0]), int(np.ceil(CAGE_TIME / frame_interval)))
    while SHORTEST_WINDOW * start <= stop:
        frames = log_spaced_lags(start, stop, NUMBER_OF_LAGS)
        if len(frames) < FEWEST_LAGS:
            return None
        observed = observe(msd, frames, frame_interval=frame_interval, n_particles=n_ions, hop_area=hop_length**2)
        if downward_curvature(observed) < CURVATURE_LIMIT:
            return observed
        start = int(np.ceil(1.25 * start))
    return None


def last_lag(n_frames: int) -> int:
    """Longest lag, in frames, that is looked at in a run of ``n_frames``."""
    return int(STOP_FRACTION * (n_frames - 1))


def log_log_slope(observed: ObservedMsd, *, largest_floor: float) -> tuple[float, float]:
    """Exponent of the MSD in the lag, and its standard uncertainty: 1 if ions diffuse, 2 if they fly, 0 if they stay.

    The vibration, which only lifts the curve, is taken off first: the intercept of the line, from zero to
    ``largest_floor``.

    Parameters
    ----------
    observed
        The points.
    largest_floor
        Largest vibration that may be taken off, angstrom^2.
    """
    (_, intercept), _ = fitted_line(observed)
    moved = observed.msd - np.clip(intercept, 0.0, min(largest_floor, 0.9 * observed.msd.min()))
    relative = observed.covariance / np.multiply.outer(moved, moved)
    parameters, covariance = generalised_least_squares(line_design(np.log(observed.lag)), np.log(moved), relative)
    return float(parameters[0]), float(np.sqrt(covariance[0, 0]))


def posterior_slopes(observed: ObservedMsd, *, seed: int) -> Floats:
    """Sample the slope of the lines that agree with the points, the intercept being free, with kinisi.

    Parameters
    ----------
    observed
        The points; their first lag is the start of the diffusive regime.
    seed
        The same seed gives the same samples.

    Returns
    -------
    ndarray of 3200 samples, angstrom^2/ps, none negative.
    """
    import scipp as sc
    from kinisi.diffusion import Diffusion

    dimension = "time interval"
    points = sc.DataArray(
        data=sc.array(dims=[dimension], values=observed.msd, variances=observed.variance, unit="angstrom^2"),
        coords={
            dimension: sc.array(dims=[dimension], values=observed.lag, unit="ps"),
            "n_samples": sc.array(dims=[dimension], values=observed.n_independent),
        },
    )
    regression = Diffusion(sc.DataGroup({"da": points, "dimensionality": sc.scalar(3)}))
    with _global_random_state_restored():
        regression.bayesian_regression(
            start_dt=sc.scalar(observed.lag[0], unit="ps"),
            progress=False,
            random_state=np.random.RandomState(seed),
        )
    slopes: Floats = np.array(regression.gradient.values)
    return slopes


@contextmanager
def _global_random_state_restored() -> Iterator[None]:
    """Undo kinisi's seeding of NumPy's global random generator."""
    before = np.random.get_state()  # noqa: NPY002 - kinisi seeds the legacy generator
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
