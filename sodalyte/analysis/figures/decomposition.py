"""Figure: what a material becomes at each voltage, and how much sodium it exchanges on the way."""

from __future__ import annotations

from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sodalyte.analysis.figures.notation import formula, reaction_side, scheme_label
from sodalyte.analysis.figures.style import (
    HEADING,
    INK,
    MUTED,
    RULE,
    WIDTH,
    data_of,
    drawable,
    heading,
    styled,
    text_width,
    tint,
)
from sodalyte.analysis.results import Result

_HIGHEST_VOLTAGE = 3.5
_LABEL_SIZE = 7.5
_LEFT, _RIGHT, _TOP, _BOTTOM = 0.82, 0.14, HEADING, 0.42
_AXIS_WIDTH = (WIDTH - _LEFT - _RIGHT) * 72  # points
_STRIP_HEIGHT, _SODIUM_HEIGHT, _GAP = 0.5, 1.0, 0.1
_LINE_HEIGHT, _BAR_HEIGHT, _ROW_GAP = 0.155, 0.07, 0.075


@styled
def decomposition_figure(
    decomposition: Result,
    *,
    colour: str,
    reduction_limit: Result | None = None,
    oxidation_limit: Result | None = None,
    published: tuple[float, float] | None = None,
) -> Figure:
    """Draw window, sodium uptake and phases against voltage, one row for each set of products.

    Parameters
    ----------
    decomposition
        Result ``decomposition``: ``data["staircase"]`` in ascending voltage (V against Na/Na+), sodium taken up per
        formula unit (positive on reduction), products as amounts per formula unit.
    colour
        Of the material.
    reduction_limit, oxidation_limit
        Results of the same correction scheme (V); they give the window its error bars of one standard uncertainty.
    published
        A published window (V) to stand beside ours.

    Raises
    ------
    UsageError
        The decomposition was refused.
    """
    steps = data_of(decomposition, "staircase")
    highest = max([_HIGHEST_VOLTAGE, *(step["voltage_low"] + 0.3 for step in steps)])
    lowest = min(0.0, *(step["voltage_low"] for step in steps))
    labels = [_wrapped(step["products"], _AXIS_WIDTH) for step in steps]
    heights = [_LINE_HEIGHT * len(lines) + _BAR_HEIGHT + _ROW_GAP for lines in labels]
    limits = (reduction_limit, oxidation_limit)
    refused = any(limit is not None and limit.status == "refused" for limit in limits)
    window = None if refused else _stable_range(steps, highest)

    height = _TOP + _STRIP_HEIGHT + _SODIUM_HEIGHT + 2 * _GAP + sum(heights) + _BOTTOM
    figure = Figure(figsize=(WIDTH, height))
    title = f"{formula(decomposition.material)} ({decomposition.polymorph})"
    heading(figure, f"{title}, {scheme_label(decomposition.scheme)}" if decomposition.scheme else title, colour)
    phases = _panel(figure, _BOTTOM, sum(heights), (lowest, highest))
    sodium = _panel(figure, _BOTTOM + sum(heights) + _GAP, _SODIUM_HEIGHT, (lowest, highest))
    strip = _panel(figure, height - _TOP - _STRIP_HEIGHT, _STRIP_HEIGHT, (lowest, highest))

    for panel in (phases, sodium, strip):
        if window:
            panel.axvspan(*window, color=tint(colour, 0.14), linewidth=0, zorder=0)
    _draw_strip(strip, window=window, limits=limits, published=published, colour=colour, refused=refused)
    _draw_sodium(sodium, steps, highest, colour)
    _draw_phases(phases, steps=steps, labels=labels, heights=heights, highest=highest, colour=colour)
    return figure


def _panel(figure: Figure, bottom: float, height: float, limits: tuple[float, float]) -> Axes:
    total = figure.get_figheight()
    panel = figure.add_axes(
        (_LEFT / WIDTH, bottom / total, (WIDTH - _LEFT - _RIGHT) / WIDTH, height / total), xlim=limits
    )
    panel.tick_params(axis="x", bottom=False, labelbottom=False)
    return panel


def _wrapped(products: dict[str, float], width: float) -> list[str]:
    """Break a list of products into lines no wider than ``width`` points."""
    lines = [""]
    for position, (name, amount) in enumerate(products.items()):
        term = "+ " * (position > 0) + drawable(reaction_side({name: amount}))
        candidate = f"{lines[-1]} {term}".strip()
        if lines[-1] and text_width(candidate, _LABEL_SIZE) > width:
            lines.append(term)
        else:
            lines[-1] = candidate
    return lines


def _is_stable(step: dict[str, Any]) -> bool:
    return len(step["products"]) == 1 and abs(step["na_exchanged"]) < 1e-4


def _stable_range(steps: list[dict[str, Any]], highest: float) -> tuple[float, float] | None:
    for step in steps:
        if _is_stable(step):
            return step["voltage_low"], _upper(step, highest)
    return None


def _upper(step: dict[str, Any], highest: float) -> float:
    return highest if step["voltage_high"] is None else float(step["voltage_high"])


def _draw_strip(
    strip: Axes,
    *,
    window: tuple[float, float] | None,
    limits: tuple[Result | None, Result | None],
    published: tuple[float, float] | None,
    colour: str,
    refused: bool,
) -> None:
    """Draw ours above the published window; a limit's error bar is one standard uncertainty."""
    strip.set_ylim(-0.55, 1.55)
    strip.set_yticks([1, 0], ["this run", "published"] if published else ["this run", ""])
    strip.tick_params(axis="y", length=0)
    for side in ("left", "bottom"):
        strip.spines[side].set_visible(False)
    if window:
        spreads = [(limit and limit.uncertainty) or 0.0 for limit in limits]
        for edge, spread, offset in zip(window, spreads, (0.33, -0.33), strict=True):
            if spread:
                strip.errorbar(edge, 1 + offset, xerr=spread, color=INK, linewidth=1, capsize=2)
        _draw_range(strip, 1, window, colour=colour, covered=(window[0] - spreads[0], window[1] + spreads[1]))
    else:
        why = "refused" if refused else "above the hull at every voltage"
        strip.text(0.01, 1, why, transform=strip.get_yaxis_transform(), va="center", color=MUTED)
    if published:
        _draw_range(strip, 0, published, colour=MUTED, covered=published)


def _draw_range(
    strip: Axes, row: float, limits: tuple[float, float], *, colour: str, covered: tuple[float, float]
) -> None:
    """Draw a bar with its numbers on the side of what is ``covered`` with more room, or on it if there is none."""
    strip.plot(limits, (row, row), color=colour, linewidth=5, solid_capstyle="butt")
    text, clearance = f"{limits[0]:.2f} to {limits[1]:.2f} V", 7
    lowest, highest = strip.get_xlim()
    needed = (text_width(text, _LABEL_SIZE) + clearance) * (highest - lowest) / _AXIS_WIDTH
    left, right = covered[0] - lowest, highest - covered[1]
    if max(left, right) < needed:
        where, offset, align = sum(limits) / 2, 0, "center"
    elif right > left:
        where, offset, align = covered[1], clearance, "left"
    else:
        where, offset, align = covered[0], -clearance, "right"
    strip.annotate(
        text,
        (where, row),
        (offset, 0),
        textcoords="offset points",
        ha=align,
        va="center",
        fontsize=_LABEL_SIZE,
        annotation_clip=False,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0} if align == "center" else None,
    )


def _draw_sodium(sodium: Axes, steps: list[dict[str, Any]], highest: float, colour: str) -> None:
    edges = [step["voltage_low"] for step in steps] + [_upper(steps[-1], highest)]
    taken_up = [step["na_exchanged"] for step in steps]
    sodium.axhline(0, color=RULE, linewidth=0.8, zorder=0.6)
    sodium.stairs(taken_up, edges, baseline=None, color=colour, linewidth=1.6)
    margin = 0.12 * (max(taken_up) - min(taken_up) or 1)
    sodium.set_ylim(min(taken_up) - margin, max(taken_up) + margin)
    sodium.set_ylabel("Na taken up\nper formula unit")
    sodium.yaxis.set_label_coords(-0.125, 0.5)


def _draw_phases(
    phases: Axes,
    *,
    steps: list[dict[str, Any]],
    labels: list[list[str]],
    heights: list[float],
    highest: float,
    colour: str,
) -> None:
    """One row for each step, so that no two labels can meet."""
    phases.set_ylim(sum(heights), 0)
    phases.set_yticks([])
    phases.spines["left"].set_visible(False)
    phases.tick_params(axis="x", bottom=True, labelbottom=True)
    phases.set_xlabel("Voltage against Na/Na⁺ (V)")
    lowest = phases.get_xlim()[0]
    volts_per_point = (highest - lowest) / _AXIS_WIDTH
    top, previous_bar = 0.0, None
    for step, lines, height in zip(steps, labels, heights, strict=True):
        low, high, stable = step["voltage_low"], _upper(step, highest), _is_stable(step)
        bar = top + height - _ROW_GAP - _BAR_HEIGHT
        phases.broken_barh([(low, high - low)], (bar, _BAR_HEIGHT), color=colour if stable else tint(colour, 0.45))
        weight: Literal["bold", "normal"] = "bold" if stable else "normal"
        if previous_bar is not None:
            phases.plot([low, low], [previous_bar, bar], color=RULE, linewidth=0.8, zorder=0.5)
        previous_bar = bar
        widest = max(text_width(line, _LABEL_SIZE, weight=weight) for line in lines) * volts_per_point
        left = max(lowest, min(low + 3 * volts_per_point, highest - widest))
        for number, line in enumerate(lines):
            phases.text(
                left,
                top + (number + 0.82) * _LINE_HEIGHT,
                line,
                fontsize=_LABEL_SIZE,
                fontweight=weight,
                va="baseline",
            )
        top += height
