"""Figure: shear against bulk modulus, with Pugh's line between ductile and brittle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.container import Container
from matplotlib.figure import Figure

from sodalyte.analysis.figures.style import (
    HEADING,
    INK,
    LEGEND_LINE,
    MUTED,
    WIDTH,
    Sample,
    fitted,
    heading,
    styled,
)
from sodalyte.analysis.moduli import PUGH_DUCTILE
from sodalyte.analysis.results import Result
from sodalyte.errors import UsageError


@styled
def elasticity_figure(samples: Sequence[Sample], *, published_ratios: Mapping[str, float] | None = None) -> Figure:
    """Draw Hill moduli as points, the range from Reuss to Voigt as a line through them.

    Parameters
    ----------
    samples
        Each with results ``bulk_modulus`` and ``shear_modulus`` (GPa, ``data`` with voigt, reuss and hill); samples
        without both are left out.
    published_ratios
        Published G/B by the sample's label, drawn as a dashed line in the sample's colour.

    Raises
    ------
    UsageError
        No sample has both moduli.
    """
    drawn = [
        (sample, bulk, shear)
        for sample in samples
        if (bulk := sample.find("bulk_modulus")) and (shear := sample.find("shear_modulus"))
    ]
    if not drawn:
        raise UsageError("no material has both moduli, so there is nothing to draw; run elasticity first")
    published = published_ratios or {}
    ratios = [(sample, published[sample.label]) for sample, *_ in drawn if sample.label in published]
    height = 3.0 + HEADING + LEGEND_LINE * (len(drawn) + len(ratios) + 1)
    figure = Figure(figsize=(WIDTH, height))
    heading(figure, "Elastic moduli and Pugh's line")
    axes = figure.add_axes((0.62 / WIDTH, 0.45 / height, (WIDTH - 0.76) / WIDTH, 2.45 / height))

    largest = 1.2 * max(max(_largest(bulk), _largest(shear) / PUGH_DUCTILE) for _, bulk, shear in drawn)
    ends = np.array([0.0, largest])
    axes.fill_between(ends, PUGH_DUCTILE * ends, color=MUTED, alpha=0.09, linewidth=0)
    handles: list[Artist | Container] = [_draw_moduli(axes, *moduli) for moduli in drawn]
    line = f"Pugh's line, G = {PUGH_DUCTILE} B (ductile below)"
    handles += axes.plot(ends, PUGH_DUCTILE * ends, color=INK, linewidth=1, label=line)
    for sample, ratio in ratios:
        label = f"{fitted(sample.label, width=170, size=8)}, published G/B = {ratio:g}"
        handles += axes.plot(ends, ratio * ends, color=sample.colour, linewidth=1, linestyle=(0, (4, 2)), label=label)
    axes.set_xlim(0, largest)
    axes.set_ylim(0, 0.75 * largest)
    axes.set_xlabel("Bulk modulus B (GPa)")
    axes.set_ylabel("Shear modulus G (GPa)")
    axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(-0.01, 1.0), borderaxespad=0.3, labelspacing=0.3)
    return figure


def _largest(modulus: Result) -> float:
    """Largest of Reuss, Voigt and Hill with its uncertainty."""
    hill = modulus.value or 0.0
    return max(hill + (modulus.uncertainty or 0.0), *(_bounds(modulus)))


def _bounds(modulus: Result) -> tuple[float, float]:
    hill = modulus.value or 0.0
    return modulus.data.get("reuss", hill), modulus.data.get("voigt", hill)


def _draw_moduli(axes: Axes, sample: Sample, bulk: Result, shear: Result) -> Container:
    axes.plot(_bounds(bulk), _bounds(shear), color=sample.colour, linewidth=4, alpha=0.35, solid_capstyle="round")
    return axes.errorbar(
        [bulk.value or 0.0],
        [shear.value or 0.0],
        xerr=bulk.uncertainty,
        yerr=shear.uncertainty,
        fmt=sample.marker,
        color=sample.colour,
        markersize=5,
        linewidth=1,
        label=f"{fitted(sample.label, width=170, size=8)}, Hill (band: Reuss to Voigt)",
    )
