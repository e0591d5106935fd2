"""Diffusion of the mobile ions of a run as results: numbers that passed their guards, or the reason for none."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sodalyte.analysis.diffusivity import Diffusivity, Motion, Run, estimate_diffusivity, motion
from sodalyte.analysis.msd import (
    Indices,
    checked_positions,
    framework_drift,
    ion_indices,
    log_spaced_lags,
    mean_squared_displacement,
)
from sodalyte.analysis.msd_fit import (
    CAGE_TIME,
    NORMAL_95,
    SHORTEST_WINDOW,
    STOP_FRACTION,
    fitted_line,
    hop_variance,
    last_lag,
)
from sodalyte.analysis.results import Guard, Result, Subject, judge
from sodalyte.analysis.transport import conductivity_per_diffusivity
from sodalyte.errors import UsageError

CM2_PER_S = 1e-4
"""One angstrom^2/ps in cm^2/s."""

FEWEST_HOPS = 50
"""Independent hops below which no diffusivity is given: He et al. 2018 put its relative error above one half."""

EXPONENT_TOLERANCE = 0.2

LINDEMANN_FRACTION = 1 / 3
"""Root-mean-square displacement between two times, in hop lengths, at which a lattice counts as molten.

Lindemann's criterion (Phys. Z. 11, 609 (1910)), 0.10 to 0.15 of the neighbour distance about a site, is 0.14 to
0.21 for the displacement between two times, larger by a factor sqrt(2); soft lattices near melting reach 0.25.
"""

TEMPERATURE_TOLERANCE = 0.03
LARGEST_CHARGE_UNCERTAINTY = 0.5
"""Relative uncertainty of the charge diffusivity up to which it and the Haven ratio are given."""

LARGEST_STEP = 0.75
"""Largest displacement between two frames, in edges of a cubic cell; wrapping makes jumps of a whole edge."""

CURVE_POINTS = 200
SHORTEST_RUN = SHORTEST_WINDOW * CAGE_TIME / STOP_FRACTION
"""Length, ps, below which no window can be fitted, whatever the ions do."""

NOT_DIFFUSIVE = "not diffusive in this run"


def diffusion_results(
    subject: Subject,
    positions: ArrayLike,
    *,
    frame_interval: float,
    mobile: ArrayLike,
    framework: ArrayLike,
    hop_length: float,
    volume: float,
    temperature: float,
    skeleton: ArrayLike | None = None,
    temperatures: ArrayLike | None = None,
    charge: float = 1.0,
    seed: int = 0,
) -> list[Result]:
    """Mean squared displacement, diffusivity and Nernst-Einstein conductivity of a run at constant volume.

    Parameters
    ----------
    subject
        Of what and how the results speak.
    positions
        Unwrapped Cartesian positions, angstrom, shape (n_frames, n_atoms, 3), equilibration discarded.
    frame_interval
        Time between frames, ps.
    mobile, framework
        Mask or indices of the ions whose diffusivity is asked for, and of those whose mean position is the frame of
        reference.
    hop_length
        Distance of neighbouring sites of the mobile ions, angstrom.
    volume
        Of the cell, angstrom^3.
    temperature
        Of the thermostat, K.
    skeleton
        Mask or indices of the framework ions that cannot leave their sites unless the crystal melts, such as P or Sb,
        whose S neighbours may turn around them; all of ``framework`` if not given.
    temperatures
        Instantaneous temperatures, K; their mean is checked if given.
    charge
        Of a mobile ion, in elementary charges.
    seed
        Of the sampling; the same seed gives the same numbers.

    Returns
    -------
    Results ``mean_squared_displacement`` (angstrom^2), an observation that is kept even if the others are refused,
    ``diffusivity`` (cm^2/s) and ``conductivity`` (mS/cm).

    Raises
    ------
    UsageError
        An argument cannot describe a run, or the positions are wrapped.
    CalculationError
        A position is not finite.
    """
    _require_positive(frame_interval=frame_interval, hop_length=hop_length, volume=volume, temperature=temperature)
    checked = checked_positions(positions, largest_step=LARGEST_STEP * volume ** (1 / 3))
    n_atoms = checked.shape[1]
    mobile_ions = ion_indices(mobile, n_atoms, name="mobile")
    framework_ions = ion_indices(framework, n_atoms, name="framework")
    skeleton_ions = framework_ions if skeleton is None else ion_indices(skeleton, n_atoms, name="skeleton")
    if np.intersect1d(mobile_ions, np.union1d(framework_ions, skeleton_ions)).size:
        raise UsageError("mobile and framework share atoms; give disjoint selections")
    run = Run(
        positions=checked,
        drift=framework_drift(checked, framework_ions),
        mobile=mobile_ions,
        frame_interval=frame_interval,
        hop_length=hop_length,
    )
    moved = motion(run)
    enough = _motion_guards(run, moved)
    estimate = None
    if moved.window is not None and all(guard.passed for guard in enough):
        estimate = estimate_diffusivity(run, moved, moved.window, seed=seed)
    guards = [*enough, *([] if estimate is None else _estimate_guards(estimate)), _solid_guard(run, skeleton_ions)]
    if temperatures is not None:
        guards.append(_temperature_guard(temperatures, target=temperature))

    if any(guard.required and not guard.passed for guard in guards):
        estimate = None

    per_diffusivity = conductivity_per_diffusivity(
        n_ions=len(mobile_ions), volume=volume, temperature=temperature, charge=charge
    )
    shared: dict[str, Any] = {"guards": tuple(guards), "temperature": float(temperature)}
    return [
        judge(
            subject,
            property="mean_squared_displacement",
            unit="angstrom^2",
            temperature=float(temperature),
            data=_curve(run, moved),
        ),
        judge(
            subject,
            property="diffusivity",
            unit="cm^2/s",
            **_numbers(estimate, CM2_PER_S),
            data=_details(moved, estimate),
            **shared,
        ),
        judge(
            subject,
            property="conductivity",
            unit="mS/cm",
            **_numbers(estimate, CM2_PER_S * per_diffusivity),
            data={"n_mobile": len(mobile_ions), "volume": float(volume), "charge": float(charge)},
            **shared,
        ),
    ]


def _require_positive(**numbers: float) -> None:
    for name, value in numbers.items():
        if not (np.isfinite(value) and value > 0):
            raise UsageError(f"{name} is {value}; give a positive number")


def _motion_guards(run: Run, moved: Motion) -> list[Guard]:
    """Whether the ions moved enough for a diffusivity to be looked for; checks after a failed one mean nothing."""
    window = moved.window
    if run.length < SHORTEST_RUN:
        seen = f"{run.length:.3g} ps are too short to tell diffusion from vibration; {SHORTEST_RUN:.2g} ps are needed"
        return [Guard(name="length", passed=False, detail=seen)]
    checks = (
        (
            "hops",
            moved.n_hops >= FEWEST_HOPS,
            f"{moved.n_hops:.0f} independent hops in {run.length:.3g} ps, at least {FEWEST_HOPS} are needed",
        ),
        (
            "leaves_cage",
            moved.msd_in_hops >= 1,
            f"the MSD ends at {moved.msd_in_hops:.2g} squared hop lengths, at least 1 is needed",
        ),
        (
            "straight_window",
            window is not None,
            "no straight part of the MSD spans a factor of two in lag"
            if window is None
            else f"the MSD is straight from {window.lag[0]:.3g} to {window.lag[-1]:.3g} ps",
        ),
    )
    guards = []
    for name, passed, seen in checks:
        guards.append(Guard(name=name, passed=passed, detail=seen if passed else f"{NOT_DIFFUSIVE}: {seen}"))
        if not passed:
            break
    return guards


def _estimate_guards(estimate: Diffusivity) -> list[Guard]:
    exponent, allowed = estimate.exponent, EXPONENT_TOLERANCE + NORMAL_95 * estimate.exponent_uncertainty
    linear = abs(exponent - 1) <= allowed
    exponent_seen = f"the MSD grows as lag^{exponent:.2f}, diffusion as lag^1 (within {allowed:.2f})"
    apart = abs(estimate.block_value - estimate.value)
    combined = float(np.hypot(estimate.posterior_uncertainty, estimate.block_uncertainty))
    unlike = max(abs(component / estimate.value - 1) for component in estimate.components)
    return [
        Guard(name="exponent", passed=linear, detail=exponent_seen if linear else f"{NOT_DIFFUSIVE}: {exponent_seen}"),
        Guard(
            name="sampling",
            passed=abs(estimate.value - estimate.closed_form) <= estimate.closed_form_uncertainty / 2,
            detail=f"kinisi's posterior has the mean {estimate.value * CM2_PER_S:.3g} cm^2/s, "
            f"least squares gives {estimate.closed_form * CM2_PER_S:.3g}",
        ),
        Guard(
            name="two_estimators",
            passed=apart <= 2 * combined,
            detail=f"{estimate.n_blocks} blocks of the run give {estimate.block_value * CM2_PER_S:.3g} cm^2/s, "
            f"{apart / combined:.1f} combined standard uncertainties (at most 2) from {estimate.value * CM2_PER_S:.3g}",
        ),
        Guard(
            name="isotropy",
            passed=unlike <= 3 * np.sqrt(2) * estimate.relative_uncertainty,
            required=False,
            detail="D_xx, D_yy, D_zz are "
            + ", ".join(f"{component * CM2_PER_S:.2g}" for component in estimate.components)
            + f" cm^2/s, up to {unlike:.0%} from their mean",
        ),
    ]


def _solid_guard(run: Run, skeleton: Indices) -> Guard:
    squared = mean_squared_displacement(run.positions, skeleton, drift=run.drift).sum(axis=1)
    moved = float(np.sqrt(squared[: last_lag(len(squared)) + 1].max()))
    limit = LINDEMANN_FRACTION * run.hop_length
    return Guard(
        name="framework_solid",
        passed=moved <= limit,
        detail=f"framework ions moved {moved:.2f} angstrom (root mean square); molten above {limit:.2f}",
    )


def _temperature_guard(temperatures: ArrayLike, *, target: float) -> Guard:
    kelvin = np.asarray(temperatures, dtype=float)
    if not kelvin.size:
        raise UsageError("temperatures is empty; give the temperature of some frames, or None")
    mean = float(kelvin.mean())
    return Guard(
        name="temperature",
        passed=abs(mean / target - 1) <= TEMPERATURE_TOLERANCE,
        detail=f"mean temperature is {mean:.0f} K, set to {target:g} K (within {TEMPERATURE_TOLERANCE:.0%})",
    )


def _numbers(estimate: Diffusivity | None, factor: float) -> dict[str, Any]:
    if estimate is None:
        return {}
    low, high = estimate.interval_95
    return {
        "value": estimate.value * factor,
        "uncertainty": estimate.uncertainty * factor,
        "interval_95": (low * factor, high * factor),
        "uncertainty_basis": f"larger of kinisi's posterior ({estimate.posterior_uncertainty / estimate.value:.0%}) "
        f"and standard error between {estimate.n_blocks} blocks ({estimate.block_uncertainty / estimate.value:.0%})",
    }


def _details(moved: Motion, estimate: Diffusivity | None) -> dict[str, Any]:
    """Second estimator, components and what else is worth knowing of a diffusivity (cm^2/s)."""
    if estimate is None or moved.window is None:
        return {}
    details: dict[str, Any] = {
        "block_value": estimate.block_value * CM2_PER_S,
        "block_uncertainty": estimate.block_uncertainty * CM2_PER_S,
        "n_blocks": estimate.n_blocks,
        "posterior_uncertainty": estimate.posterior_uncertainty * CM2_PER_S,
        "n_hops": moved.n_hops,
        "relative_uncertainty_he_2018": 3.43 / float(np.sqrt(moved.n_hops)) + 0.04,
        "components": [component * CM2_PER_S for component in estimate.components],
        "exponent": estimate.exponent,
        "exponent_uncertainty": estimate.exponent_uncertainty,
        "fit_start_ps": float(moved.window.lag[0]),
        "fit_stop_ps": float(moved.window.lag[-1]),
    }
    relative = estimate.charge_relative_uncertainty
    if relative <= LARGEST_CHARGE_UNCERTAINTY:
        haven = estimate.value / estimate.charge_diffusivity
        details |= {
            "charge_diffusivity": estimate.charge_diffusivity * CM2_PER_S,
            "charge_diffusivity_uncertainty": estimate.charge_diffusivity * relative * CM2_PER_S,
            "haven_ratio": haven,
            "haven_ratio_uncertainty": haven * float(np.hypot(relative, estimate.relative_uncertainty)),
        }
    return details


def _curve(run: Run, moved: Motion) -> dict[str, Any]:
    """MSD at up to 200 lags with its 95 % band; the window is empty, start equal to stop, if no part is straight."""
    msd = moved.msd.sum(axis=1)
    n_frames, n_ions = len(msd), len(run.mobile)
    half = CURVE_POINTS // 2
    frames = np.union1d(log_spaced_lags(1, n_frames - 1, half), np.linspace(1, n_frames - 1, half).round().astype(int))
    floor = 0.0 if moved.window is None else max(0.0, float(fitted_line(moved.window)[0][1]))
    hopped = np.clip(msd[frames] - floor, 0.0, None)
    n_independent = n_ions * (n_frames - 1) / frames
    band = NORMAL_95 * np.sqrt(hop_variance(hopped, hop_area=run.hop_length**2) / n_independent)
    stop = last_lag(n_frames) * run.frame_interval
    return {
        "lag_ps": (frames * run.frame_interval).tolist(),
        "msd": msd[frames].tolist(),
        "low": np.clip(msd[frames] - band, 0.0, None).tolist(),
        "high": (msd[frames] + band).tolist(),
        "fit_start_ps": stop if moved.window is None else float(moved.window.lag[0]),
        "fit_stop_ps": stop,
        "n_hops": moved.n_hops,
        "hop_length": float(run.hop_length),
        "length_ps": run.length,
        "n_mobile": n_ions,
    }
