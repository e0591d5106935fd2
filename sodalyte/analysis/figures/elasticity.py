"""Figure: shear against bulk modulus, with Pugh's line between ductile and brittle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
from sodalyte.analysis.results import SYMMETRIC, Result
from sodalyte.errors import UsageError


@dataclass(frozen=True)
class _Moduli:
    """Both moduli of a sample; ``symmetric`` ones hold only while the ions keep the symmetry of strained cells."""

    sample: Sample
    bulk: Result
    shear: Result
    symmetric: bool


def has_moduli(sample: Sample) -> bool:
    """Tell whether a sample has both moduli, if only those of ions that keep their symmetry."""
    return _moduli(sample) is not None


def _moduli(sample: Sample) -> _Moduli | None:
    for prefix in ("", SYMMETRIC):
        bulk, shear = (sample.find(f"{prefix}{name}_modulus") for name in ("bulk", "shear"))
        if bulk and shear:
            return _Moduli(sample, bulk, shear, symmetric=bool(prefix))
    return None


@styled
def elasticity_figure(samples: Sequence[Sample], *, published_ratios: Mapping[str, float] | None = None) -> Figure:
    """Draw Hill moduli as points, the range from Reuss to Voigt as a line through them.

    A material without moduli is drawn with the symmetric answer, as a hollow point that says so.

    Parameters
    ----------
    samples
        Each with results ``bulk_modulus`` and ``shear_modulus``, or those of the symmetric answer (GPa, ``data`` with
        voigt, reuss and hill); samples without both are left out.
    published_ratios
        Published G/B by the sample's label, drawn as a dashed line in the sample's colour.

    Raises
    ------
    UsageError
        No sample has both moduli.
    """
    drawn = [moduli for sample in samples if (moduli := _moduli(sample))]
    if not drawn:
        raise UsageError("no material has both moduli, so there is nothing to draw; run elasticity first")
    published = published_ratios or {}
    ratios = [(each.sample, published[each.sample.label]) for each in drawn if each.sample.label in published]
    height = 3.0 + HEADING + LEGEND_LINE * (len(drawn) + len(ratios) + 1)
    figure = Figure(figsize=(WIDTH, height))
    heading(figure, "Elastic moduli and Pugh's line")
    axes = figure.add_axes((0.62 / WIDTH, 0.45 / height, (WIDTH - 0.76) / WIDTH, 2.45 / height))

    largest = 1.2 * max(max(_largest(each.bulk), _largest(each.shear) / PUGH_DUCTILE) for each in drawn)
    ends = np.array([0.0, largest])
    axes.fill_between(ends, PUGH_DUCTILE * ends, color=MUTED, alpha=0.09, linewidth=0)
    handles: list[Artist | Container] = [_draw_moduli(axes, moduli) for moduli in drawn]
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


def _draw_moduli(axes: Axes, moduli: _Moduli) -> Container:
    sample, bulk, shear = moduli.sample, moduli.bulk, moduli.shear
    what = "symmetric answer, not its modulus" if moduli.symmetric else "Hill (band: Reuss to Voigt)"
    axes.plot(_bounds(bulk), _bounds(shear), color=sample.colour, linewidth=4, alpha=0.35, solid_capstyle="round")
    return axes.errorbar(
        [bulk.value or 0.0],
        [shear.value or 0.0],
        xerr=bulk.uncertainty,
        yerr=shear.uncertainty,
        fmt=sample.marker,
        color=sample.colour,
        markerfacecolor="white" if moduli.symmetric else sample.colour,
        markersize=5,
        linewidth=1,
        label=f"{fitted(sample.label, width=170, size=8)}, {what}",
    )
