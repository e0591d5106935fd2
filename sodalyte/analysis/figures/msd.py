"""Figure: mean squared displacement against time lag, with the window in which it was fitted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sodalyte.analysis.diffusion import NOT_DIFFUSIVE
from sodalyte.analysis.figures.notation import formula, quantity
from sodalyte.analysis.figures.style import (
    HEADING,
    INK,
    LEGEND_LINE,
    WIDTH,
    data_of,
    heading,
    styled,
    tint,
)
from sodalyte.analysis.results import Result

_ANGSTROM2_PER_PS = 1e4  # one cm^2/s


@styled
def msd_figure(observations: Sequence[Result], *, colour: str, diffusivities: Sequence[Result] = ()) -> Figure:
    """Draw the mean squared displacement of one material at all its temperatures.

    The curve is bold within the fit window; the shade around it is the 95 % band of the observation. A dashed line has
    the slope 6D of the diffusivity and passes through the mean of the curve in the window; where the diffusivity was
    refused there is no line. The dotted line is one hop, the square of the hop length.

    Parameters
    ----------
    observations
        Results ``mean_squared_displacement`` (angstrom^2 against ps), one for each temperature.
    colour
        Of the material; lower temperatures are paler.
    diffusivities
        Results ``diffusivity`` (cm^2/s), refused ones included.

    Raises
    ------
    UsageError
        An observation holds no curve.
    """
    ordered = sorted(observations, key=lambda result: result.temperature or 0.0)
    by_temperature = {result.temperature: result for result in diffusivities}
    entries = len(ordered) + 1
    height = 2.75 + HEADING + LEGEND_LINE * entries
    figure = Figure(figsize=(WIDTH, height))
    heading(figure, f"{formula(ordered[0].material)} ({ordered[0].polymorph})", colour)
    axes = figure.add_axes((0.62 / WIDTH, 0.45 / height, (WIDTH - 0.76) / WIDTH, 2.2 / height))

    strengths = np.linspace(0.45, 1.0, len(ordered)) if len(ordered) > 1 else [1.0]
    for observation, strength in zip(ordered, strengths, strict=True):
        _draw_curve(axes, observation, by_temperature.get(observation.temperature), tint(colour, strength))
    if len(ordered) == 1 and ordered[0].data["fit_start_ps"] < ordered[0].data["fit_stop_ps"]:
        window = ordered[0].data["fit_start_ps"], ordered[0].data["fit_stop_ps"]
        axes.axvspan(*window, color=tint(colour, 0.1), linewidth=0, zorder=0)
    hop_area = float(np.mean([data_of(observation, "hop_length") for observation in ordered])) ** 2
    axes.axhline(
        hop_area, color=INK, linewidth=0.9, linestyle=":", label=f"one hop, a² = {quantity(hop_area, digits=3)} Å²"
    )
    axes.set_xlim(0, max(observation.data["lag_ps"][-1] for observation in ordered))
    axes.set_ylim(0, 1.05 * max(hop_area, *(_highest(observation) for observation in ordered)))
    axes.set_xlabel("Time lag (ps)")
    axes.set_ylabel("Mean squared displacement of Na (Å²)")
    axes.legend(loc="lower left", bbox_to_anchor=(-0.01, 1.0), borderaxespad=0.3, handlelength=1.6, labelspacing=0.3)
    return figure


def _highest(observation: Result) -> float:
    """Largest MSD, and largest end of the band up to the end of the fit window: beyond it the band has no bound."""
    within = [
        high
        for lag, high in zip(observation.data["lag_ps"], observation.data["high"], strict=True)
        if lag <= observation.data["fit_stop_ps"]
    ]
    return float(max(*observation.data["msd"], *within))


def _draw_curve(axes: Axes, observation: Result, diffusivity: Result | None, colour: str) -> None:
    lag, msd, low, high = (
        np.asarray(data_of(observation, key), dtype=float) for key in ("lag_ps", "msd", "low", "high")
    )
    start, stop = data_of(observation, "fit_start_ps"), data_of(observation, "fit_stop_ps")
    fitted = (lag >= start) & (lag <= stop) & (start < stop)
    axes.fill_between(lag, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.plot(lag, msd, color=colour, linewidth=0.9, label=_label(observation, diffusivity))
    axes.plot(lag[fitted], msd[fitted], color=colour, linewidth=2.2)
    if diffusivity is not None and diffusivity.value is not None and fitted.any():
        rise = 6 * diffusivity.value * _ANGSTROM2_PER_PS * (lag[fitted] - lag[fitted].mean())
        axes.plot(lag[fitted], msd[fitted].mean() + rise, color=INK, linewidth=1, linestyle=(0, (4, 2)))


def _label(observation: Result, diffusivity: Result | None) -> str:
    temperature = f"{observation.temperature:g} K"
    if diffusivity is None:
        return temperature
    if diffusivity.value is None:
        why = NOT_DIFFUSIVE if (diffusivity.reason or "").startswith(NOT_DIFFUSIVE) else "D refused"
        return f"{temperature}: {why}"
    return f"{temperature}: D = {quantity(diffusivity.value, diffusivity.uncertainty, digits=2)} cm²/s"
