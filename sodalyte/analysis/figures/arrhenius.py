"""Figure: diffusivity against inverse temperature, and how far room temperature is from it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from numpy.typing import ArrayLike
from scipy.constants import elementary_charge, k

from sodalyte.analysis.figures.notation import power_of_ten
from sodalyte.analysis.figures.style import HEADING, LEGEND_LINE, WIDTH, Sample, data_of, fitted, heading, styled
from sodalyte.analysis.results import Result
from sodalyte.errors import UsageError

_BOLTZMANN = k / elementary_charge  # eV/K
_ROOM = 300.0


@styled
def arrhenius_figure(samples: Sequence[Sample]) -> Figure:
    """Draw D of each temperature and the fit ln D = ln D0 - Ea/kT with its 95 % band.

    The line is solid over the temperatures that were simulated and dashed where it is extrapolated to 300 K. The band
    comes from the full covariance of (ln D0, Ea).

    Parameters
    ----------
    samples
        Each with a result ``arrhenius`` whose data hold temperatures (K), diffusivities and uncertainties (cm^2/s),
        ``ln_d0``, ``activation_energy`` (eV) and their 2x2 ``covariance``; samples without one are left out.

    Raises
    ------
    UsageError
        No sample has an Arrhenius fit.
    """
    drawn = [(sample, result) for sample in samples if (result := sample.find("arrhenius")) is not None]
    if not drawn:
        raise UsageError("no material has an Arrhenius fit, so there is nothing to draw; run three temperatures")
    height = 3.15 + HEADING + LEGEND_LINE * len(drawn)
    figure = Figure(figsize=(WIDTH, height))
    heading(figure, "Diffusivity of Na against temperature")
    axes = figure.add_axes((0.68 / WIDTH, 0.45 / height, (WIDTH - 0.82) / WIDTH, 2.25 / height), yscale="log")
    for sample, result in drawn:
        _draw_fit(axes, sample, result)
    axes.yaxis.set_major_formatter(lambda value, _: power_of_ten(round(np.log10(value))).removeprefix("×"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("1000 K / T")
    axes.set_ylabel("Diffusivity of Na (cm²/s)")
    top = axes.secondary_xaxis("top", functions=(_reciprocal, _reciprocal))
    top.set_xticks([300, 400, 500, 600, 800, 1000, 1200])
    top.set_xlabel("Temperature (K)")
    axes.spines["top"].set_visible(True)
    axes.legend(loc="lower left", bbox_to_anchor=(-0.01, 1.17), borderaxespad=0.0, labelspacing=0.3)
    return figure


def _draw_fit(axes: Axes, sample: Sample, result: Result) -> None:
    temperatures, diffusivities, uncertainties = (
        np.asarray(data_of(result, key), dtype=float) for key in ("temperatures", "diffusivities", "uncertainties")
    )
    ln_d0, energy = data_of(result, "ln_d0"), data_of(result, "activation_energy")
    covariance = np.asarray(data_of(result, "covariance"), dtype=float)

    relative = uncertainties / diffusivities
    spread = np.abs(diffusivities * np.exp([-relative, relative]) - diffusivities)
    axes.errorbar(
        1000 / temperatures,
        diffusivities,
        yerr=spread,
        fmt=sample.marker,
        color=sample.colour,
        markersize=4.5,
        linewidth=1,
        label=f"{fitted(sample.label, width=200, size=8)}: {len(temperatures)} temperatures",
    )
    for inverse, dashes in (
        (np.linspace(1000 / temperatures.max(), 1000 / temperatures.min(), 60), "-"),
        (np.linspace(1000 / temperatures.min(), 1000 / _ROOM, 60), "--"),
    ):
        slope = -1 / (_BOLTZMANN * 1000 / inverse)
        ln_d = ln_d0 + energy * slope
        error = np.sqrt(covariance[0, 0] + slope**2 * covariance[1, 1] + 2 * slope * covariance[0, 1])
        axes.plot(inverse, np.exp(ln_d), color=sample.colour, linestyle=dashes, linewidth=1.2)
        axes.fill_between(
            inverse,
            np.exp(ln_d - 1.96 * error),
            np.exp(ln_d + 1.96 * error),
            color=sample.colour,
            alpha=0.15,
            linewidth=0,
        )


def _reciprocal(values: ArrayLike) -> ArrayLike:
    """Turn 1000/T into T and back; the limits of an empty axis may be zero."""
    inverse: ArrayLike = 1000 / np.where(np.asarray(values) == 0, np.finfo(float).eps, values)
    return inverse
