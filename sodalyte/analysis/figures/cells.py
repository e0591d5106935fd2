"""Figure: relaxed cells against experiment."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from sodalyte.analysis.figures.notation import difference, quantity, unit_symbol
from sodalyte.analysis.figures.style import HEADING, INK, RULE, WIDTH, Sample, fitted, heading, styled
from sodalyte.errors import UsageError

_PROPERTIES = {"lattice_a": "a", "lattice_c": "c", "density": "density"}
_ROW, _HEADER, _BOTTOM = 0.215, 0.26, 0.46
_LEFT, _RIGHT = 0.62, 1.75


@styled
def cells_figure(samples: Sequence[Sample]) -> Figure:
    """Draw the deviation of lattice constants and density from experiment, in percent.

    Parameters
    ----------
    samples
        Each with some of the results ``lattice_a``, ``lattice_c`` (angstrom) and ``density`` (g/cm^3), whose data hold
        ``experiment`` and ``deviation_percent``, either of them None where no experiment is known.

    Raises
    ------
    UsageError
        No sample has a relaxed cell.
    """
    groups = [
        (sample, [(short, result) for name, short in _PROPERTIES.items() if (result := sample.find(name))])
        for sample in samples
    ]
    groups = [(sample, rows) for sample, rows in groups if rows]
    if not groups:
        raise UsageError("no material has a relaxed cell, so there is nothing to draw; run relaxation first")
    depth = sum(_HEADER + _ROW * len(rows) for _, rows in groups)
    height = depth + _BOTTOM + HEADING
    figure = Figure(figsize=(WIDTH, height))
    heading(figure, "Relaxed cells against experiment")
    axes = figure.add_axes((_LEFT / WIDTH, _BOTTOM / height, (WIDTH - _LEFT - _RIGHT) / WIDTH, depth / height))
    axes.axvline(0, color=INK, linewidth=0.9)
    deviations, ticks = [1.0], {}
    top = 0.0
    for sample, rows in groups:
        name = fitted(sample.label, width=(WIDTH - 0.3) * 72, size=8.5, weight="bold")
        axes.annotate(
            name, (0, top + 0.68 * _HEADER), (-_LEFT * 72 + 4, 0), xycoords=axes.get_yaxis_transform(),
            textcoords="offset points", va="center", fontweight="bold", color=sample.colour, annotation_clip=False,
        )  # fmt: skip
        top += _HEADER
        for short, result in rows:
            middle = top + _ROW / 2
            top += _ROW
            ticks[middle] = short
            deviation = result.data.get("deviation_percent")
            written = f"{quantity(result.value or 0.0, result.uncertainty)} {unit_symbol(result.unit)}"
            note = "no experiment" if deviation is None else f"{difference(deviation, 1)} %"
            axes.axhline(middle, color=RULE, linewidth=0.5, zorder=0)
            axes.annotate(
                f"{written}  ({note})", (1, middle), (5, 0), xycoords=axes.get_yaxis_transform(),
                textcoords="offset points", va="center", fontsize=7.5, annotation_clip=False,
            )  # fmt: skip
            if deviation is not None:
                deviations.append(abs(deviation))
                axes.plot([0, deviation], [middle, middle], color=sample.colour, linewidth=1.2, alpha=0.6)
                axes.plot(deviation, middle, marker=sample.marker, color=sample.colour, markersize=5)
    axes.set_ylim(depth, 0)
    axes.set_xlim(-1.25 * max(deviations), 1.25 * max(deviations))
    axes.set_yticks(list(ticks), list(ticks.values()))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("Deviation from experiment (%)")
    return figure
