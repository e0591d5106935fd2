"""Figure: the electrochemical windows that several sources give of several crystals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from sodalyte.analysis.figures.notation import scheme_label
from sodalyte.analysis.figures.style import (
    HEADING,
    INK,
    LEGEND_LINE,
    MUTED,
    RULE,
    drawable,
    fitted,
    heading,
    material_styles,
    styled,
    tint,
)
from sodalyte.errors import UsageError

_WIDTH = 6.4
_LEFT, _RIGHT = 1.72, 1.12
_LINE, _GAP, _HEADER, _BOTTOM = 0.17, 0.08, 0.26, 0.46


@dataclass(frozen=True)
class Window:
    """What one source says of one crystal under one correction of sulfur.

    Attributes
    ----------
    crystal, scheme, source
        Windows of one crystal stand together, and within it those of one scheme.
    limits
        Reduction and oxidation limit, V against Na/Na+; None where there is no number.
    uncertainties
        One standard uncertainty of each, V; zero where none is known.
    lowered
        Whether the crystal lies above the hull, so that its limits are those of one lowered to it.
    silence
        Why there is no number, if there is none, in a word or two.
    """

    crystal: str
    scheme: str
    source: str
    limits: tuple[float, float] | None
    uncertainties: tuple[float, float] = (0.0, 0.0)
    lowered: bool = False
    silence: str = ""


@styled
def windows_figure(windows: Sequence[Window], *, published: Mapping[str, tuple[float, float]] | None = None) -> Figure:
    """Draw a line for each window, in the colour of its source, with hollow ends where the crystal is above the hull.

    Parameters
    ----------
    windows
        In the order of the picture, those of one crystal and one scheme together.
    published
        The paper's window of a crystal (V): a band behind all lines of that crystal.

    Raises
    ------
    UsageError
        There is no window to draw.
    """
    if not windows:
        raise UsageError("no source says anything of the windows of these materials, so there is nothing to draw")
    styles = material_styles([window.source for window in windows])
    groups = [
        (crystal, [(scheme, list(lines)) for scheme, lines in groupby(own, lambda window: window.scheme)])
        for crystal, own in groupby(windows, lambda window: window.crystal)
    ]
    depth = _HEADER * len(groups) + _LINE * len(windows) + _GAP * sum(len(schemes) for _, schemes in groups)
    is_lowered = any(window.lowered for window in windows)
    bottom = _BOTTOM + LEGEND_LINE * (len(styles) + is_lowered + bool(published))
    height = depth + bottom + HEADING
    figure = Figure(figsize=(_WIDTH, height))
    heading(figure, "Electrochemical windows")
    axes = figure.add_axes((_LEFT / _WIDTH, bottom / height, (_WIDTH - _LEFT - _RIGHT) / _WIDTH, depth / height))
    top = 0.0
    for crystal, schemes in groups:
        _write(axes, fitted(crystal, width=72 * _LEFT, size=8.5, weight="bold"), top + 0.68 * _HEADER, bold=True)
        top += _HEADER
        first = top
        for scheme, lines in schemes:
            axes.axhline(top, color=RULE, linewidth=0.5, zorder=0)
            room = _GAP + _LINE * len(lines)
            _write(axes, fitted(scheme_label(scheme), width=72 * _LEFT, size=8.0), top + room / 2)
            for position, window in enumerate(lines):
                _draw(axes, window, top + _GAP / 2 + _LINE * (position + 0.5), styles[window.source])
            top += room
        if published and crystal in published:
            low, high = published[crystal]
            axes.fill_betweenx([first, top], low, high, color=tint(MUTED, 0.25), linewidth=0, zorder=0)
    axes.set_ylim(depth, 0)
    axes.set_xlim(min(0.0, axes.get_xlim()[0]), axes.get_xlim()[1])
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("Voltage against Na/Na⁺ (V)")
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=colour, marker=marker, markersize=4, linewidth=2.5, label=drawable(source))
        for source, (colour, marker) in styles.items()
    ]
    if is_lowered:
        label = "hollow: above the hull; limits of the crystal lowered to it"
        handles.append(
            Line2D([], [], color=MUTED, marker="o", markersize=4, markerfacecolor="white", linewidth=2.5, label=label)
        )
    if published:
        handles.append(Patch(color=tint(MUTED, 0.25), label="the paper"))
    figure.legend(handles=handles, loc="lower left", bbox_to_anchor=(0.05 / _WIDTH, 0.0), borderaxespad=0.2)
    return figure


def _draw(axes: Axes, window: Window, middle: float, style: tuple[str, str]) -> None:
    colour, marker = style
    if window.limits is None:
        _write(axes, window.silence, middle, right=True, colour=MUTED)
        return
    low, high = window.limits
    axes.plot(window.limits, [middle, middle], color=colour, linewidth=2.5, solid_capstyle="butt")
    axes.errorbar(
        window.limits, [middle, middle], xerr=window.uncertainties, color=colour, fmt=marker, markersize=4,
        elinewidth=0.7, capsize=1.8, markerfacecolor="white" if window.lowered else colour,
    )  # fmt: skip
    _write(axes, f"{low:.2f} to {high:.2f} V", middle, right=True)


def _write(axes: Axes, text: str, middle: float, *, bold: bool = False, right: bool = False, colour: str = INK) -> None:
    """Write into the left or the right margin."""
    axes.annotate(
        drawable(text), (float(right), middle), (5 if right else 4 - 72 * _LEFT, 0),
        xycoords=axes.get_yaxis_transform(), textcoords="offset points", va="center", color=colour,
        fontsize=7.5 if right else 8.5 if bold else 8.0, fontweight="bold" if bold else "normal",
        annotation_clip=False,
    )  # fmt: skip
