"""Two estimators of the diffusivity of the mobile ions of a run, and of its uncertainty.

The first is the mean of kinisi's posterior of the slope of the mean squared displacement (MSD); see
:mod:`sodalyte.analysis.msd_fit`. It takes the ions to hop independently and at a constant rate. Where they do not (a
trapped vacancy, a burst of hops), blocks of the run differ by more than it allows. The second estimator is therefore
the mean over 4 to 8 blocks, and the standard uncertainty is the larger of the posterior's standard deviation and the
standard error of that mean. The relative error of a hopping rate depends on the number of hops and not on the rate
itself, so the 95 % interval is lognormal: D exp(+-1.96 u/D).

On walks of 47 to 63 ions with 100 to 3000 hops, independent, in bursts or by one vacancy, that interval holds the
true D in 92 to 99 % of the runs. It is too narrow (85 %, D 10 % too large) for ions that remember their last hop for as
long as they stay on a site, jumping straight back half of the time, as long as there are fewer than about 500 hops.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sodalyte.analysis.msd import (
    Floats,
    Indices,
    collective_squared_displacement,
    log_spaced_lags,
    mean_squared_displacement,
)
from sodalyte.analysis.msd_fit import (
    NORMAL_95,
    STOP_FRACTION,
    ObservedMsd,
    fit_window,
    fitted_line,
    generalised_least_squares,
    last_lag,
    line_design,
    log_log_slope,
    observe,
    posterior_slopes,
)

FEWEST_BLOCKS, MOST_BLOCKS = 4, 8
LARGEST_FLOOR_IN_HOPS = 0.25
"""Largest MSD, in squared hop lengths, of an ion that vibrates in its cage: it stays within half a hop length."""


@dataclass(frozen=True)
class Run:
    """A trajectory with what is needed to find its diffusivity.

    Attributes
    ----------
    positions
        Unwrapped, angstrom, shape (n_frames, n_atoms, 3).
    drift
        Position of the frame of reference, angstrom, shape (n_frames, 3).
    mobile
        Indices of the ions whose diffusivity is asked for.
    frame_interval
        ps.
    hop_length
        Distance of neighbouring sites of the mobile ions, angstrom.
    """

    positions: NDArray[np.floating]
    drift: Floats
    mobile: Indices
    frame_interval: float
    hop_length: float

    @property
    def length(self) -> float:
        """Of the run, ps."""
        return (len(self.positions) - 1) * self.frame_interval


@dataclass(frozen=True)
class Motion:
    """How far the mobile ions moved.

    Attributes
    ----------
    msd
        For every lag, angstrom^2, shape (n_frames, 3): along x, y and z.
    n_hops
        Independent hops: the largest MSD up to 0.7 of the run, summed over the ions, over the squared hop length
        (N_eff of He et al. 2018).
    msd_in_hops
        MSD at 0.7 of the run, in squared hop lengths.
    window
        The points to fit, if the MSD has a straight part.
    """

    msd: Floats
    n_hops: float
    msd_in_hops: float
    window: ObservedMsd | None


def motion(run: Run) -> Motion:
    """Mean squared displacement of the mobile ions, the number of their hops, and the window to fit."""
    components = mean_squared_displacement(run.positions, run.mobile, drift=run.drift)
    msd = components.sum(axis=1)
    stop = last_lag(len(msd))
    n_ions = len(run.mobile)
    return Motion(
        msd=components,
        n_hops=float(n_ions * msd[: stop + 1].max() / run.hop_length**2),
        msd_in_hops=float(msd[stop] / run.hop_length**2),
        window=fit_window(msd, frame_interval=run.frame_interval, n_ions=n_ions, hop_length=run.hop_length),
    )


@dataclass(frozen=True)
class Diffusivity:
    """Diffusivity by two estimators, angstrom^2/ps.

    Attributes
    ----------
    value, posterior_uncertainty
        Mean and standard deviation of kinisi's posterior.
    closed_form, closed_form_uncertainty
        Generalised least squares on the same points: what the sampling must reproduce.
    block_value, block_uncertainty, n_blocks
        Mean over blocks of the run and its standard error.
    components
        D_xx, D_yy, D_zz.
    exponent, exponent_uncertainty
        Of the MSD in the lag.
    charge_diffusivity, charge_relative_uncertainty
        Diffusivity of the summed displacement (infinite uncertainty if it does not grow).
    """

    value: float
    posterior_uncertainty: float
    closed_form: float
    closed_form_uncertainty: float
    block_value: float
    block_uncertainty: float
    n_blocks: int
    components: tuple[float, float, float]
    exponent: float
    exponent_uncertainty: float
    charge_diffusivity: float
    charge_relative_uncertainty: float

    @property
    def uncertainty(self) -> float:
        """Standard uncertainty: the larger of the posterior's and that between blocks."""
        return max(self.posterior_uncertainty, self.block_uncertainty)

    @property
    def relative_uncertainty(self) -> float:
        """Standard uncertainty over value, which is that of ln D."""
        return self.uncertainty / self.value

    @property
    def interval_95(self) -> tuple[float, float]:
        """Lognormal 95 % interval."""
        factor = float(np.exp(NORMAL_95 * self.relative_uncertainty))
        return self.value / factor, self.value * factor


def estimate_diffusivity(run: Run, moved: Motion, window: ObservedMsd, *, seed: int) -> Diffusivity:
    """Diffusivity of the mobile ions by both estimators, its components, and the charge diffusivity.

    Parameters
    ----------
    run, moved
        The trajectory and how far its ions moved.
    window
        The points of the MSD to fit.
    seed
        Of the sampling; the same seed gives the same numbers.
    """
    slopes = posterior_slopes(window, seed=seed) / 6
    (slope, _), of_line = fitted_line(window)
    blocks = block_diffusivities(run, first_lag=int(window.frames[0]))
    components = [
        generalised_least_squares(line_design(window.lag), column, window.covariance)[0][0] / 2
        for column in moved.msd[window.frames].T
    ]
    exponent, exponent_uncertainty = log_log_slope(window, largest_floor=LARGEST_FLOOR_IN_HOPS * run.hop_length**2)
    charge_diffusivity, charge_relative_uncertainty = _charge_diffusivity(run, window)
    return Diffusivity(
        value=float(slopes.mean()),
        posterior_uncertainty=float(slopes.std(ddof=1)),
        closed_form=float(slope / 6),
        closed_form_uncertainty=float(np.sqrt(of_line[0, 0]) / 6),
        block_value=float(blocks.mean()),
        block_uncertainty=float(blocks.std(ddof=1) / np.sqrt(len(blocks))),
        n_blocks=len(blocks),
        components=(float(components[0]), float(components[1]), float(components[2])),
        exponent=exponent,
        exponent_uncertainty=exponent_uncertainty,
        charge_diffusivity=charge_diffusivity,
        charge_relative_uncertainty=charge_relative_uncertainty,
    )


def block_diffusivities(run: Run, *, first_lag: int) -> Floats:
    """Diffusivity of each of 4 to 8 equal blocks of the run, angstrom^2/ps, by weighted least squares.

    There are as many blocks as leave each at least three times as long as the shortest lag of the fit; in the
    shortest runs, whose four blocks are shorter than that, the fit starts at a third of the block. It ends at 0.7
    of the block.

    Parameters
    ----------
    run
        The trajectory.
    first_lag
        Shortest lag of the fit of the whole run, frames.
    """
    n_frames = len(run.positions)
    n_blocks = int(np.clip(n_frames // (3 * first_lag), FEWEST_BLOCKS, MOST_BLOCKS))
    frames = n_frames // n_blocks
    lags = log_spaced_lags(max(1, min(first_lag, frames // 3)), int(STOP_FRACTION * frames), 20)
    times = lags * run.frame_interval
    slopes = []
    for first in range(0, n_blocks * frames, frames):
        block = slice(first, first + frames)
        msd = mean_squared_displacement(run.positions[block], run.mobile, drift=run.drift[block]).sum(axis=1)
        slopes.append(np.polyfit(times, msd[lags], 1, w=1 / times)[0])
    return np.array(slopes) / 6


def _charge_diffusivity(run: Run, window: ObservedMsd) -> tuple[float, float]:
    """Diffusivity of the summed displacement per ion, angstrom^2/ps, and its relative uncertainty.

    One collective coordinate instead of many ions: its scatter is larger by the square root of the number of ions.
    """
    collective = collective_squared_displacement(run.positions, run.mobile, drift=run.drift).sum(axis=1)
    observed = observe(
        collective,
        window.frames,
        frame_interval=run.frame_interval,
        n_particles=1,
        hop_area=run.hop_length**2 / len(run.mobile),
    )
    (slope, _), of_line = fitted_line(observed)
    relative = float(np.sqrt(of_line[0, 0]) / slope) if slope > 0 else np.inf
    return float(slope / 6), relative
