"""The look that all figures share, and how they become bytes."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal, ParamSpec

import matplotlib.style
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.textpath import TextToPath

from sodalyte.analysis.figures.notation import formula
from sodalyte.analysis.results import Result
from sodalyte.errors import UsageError

WIDTH = 4.9
HEADING = 0.27
LEGEND_LINE = 0.16
INK = "#1b1f24"
MUTED = "#646b75"
RULE = "#d5d9de"

# Okabe and Ito, "Color universal design" (2008), in an order that stays apart in grey as well.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = ("o", "s", "^", "D", "v", "P")

_FONT = FontProperties(family="DejaVu Sans")
_STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.labelsize": 8.5,
    "axes.linewidth": 0.7,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.unicode_minus": True,
    "errorbar.capsize": 2.5,
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "legend.fontsize": 8.0,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "sodalyte",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 8.0,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 8.0,
}
_P = ParamSpec("_P")


@dataclass(frozen=True)
class Sample:
    """One material in a figure that compares several."""

    label: str
    colour: str
    marker: str
    results: tuple[Result, ...]

    def find(self, name: str) -> Result | None:
        """Give the last result of property ``name`` that was not refused."""
        found = [result for result in self.results if result.property == name and result.status == "ok"]
        return found[-1] if found else None


def styled(draw: Callable[_P, Figure]) -> Callable[_P, Figure]:
    """Let a function draw in the house style, whatever the user's matplotlibrc says."""

    @wraps(draw)
    def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> Figure:
        with matplotlib.style.context(["default", _STYLE]):
            return draw(*args, **kwargs)

    return wrapper


def render(figure: Figure, file_format: Literal["svg", "pdf"]) -> bytes:
    """Give the figure as a file's bytes: the same figure gives the same bytes, with no date in them."""
    fields = ("Date", "Creator", "Format", "Type") if file_format == "svg" else ("CreationDate", "Creator")
    buffer = io.BytesIO()
    with matplotlib.style.context(["default", _STYLE]):
        figure.savefig(buffer, format=file_format, metadata=dict.fromkeys(fields))
    return buffer.getvalue()


def material_styles(labels: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Give every material its colour and marker, the same in all figures.

    Parameters
    ----------
    labels
        One for each material, in the order of the report.

    Returns
    -------
    dict
        Label to (colour as ``#rrggbb``, marker of matplotlib); after six materials they repeat.
    """
    return {
        label: (COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)])
        for index, label in enumerate(dict.fromkeys(labels))
    }


def tint(colour: str, strength: float) -> str:
    """Mix ``colour`` with white; ``strength`` 1 is the colour itself, 0 white."""
    return to_hex(tuple(1 - strength * (1 - channel) for channel in to_rgb(colour)))  # type: ignore[arg-type]


def drawable(text: str) -> str:
    """Write a formula with subscripts, and keep of any other text what the figures' font has."""
    known = get_font(findfont(_FONT)).get_charmap()
    return "".join(char if ord(char) in known else "?" for char in " ".join(formula(text).split()))


def heading(figure: Figure, text: str, colour: str = INK) -> None:
    """Set ``text`` in the uppermost ``HEADING`` inches of the figure, shortened to its width."""
    width, height = figure.get_size_inches()
    text = fitted(text, width=(width - 0.1) * 72, size=9.0, weight="bold")
    figure.text(0.05 / width, 1 - 0.17 / height, text, fontsize=9.0, fontweight="bold", color=colour)


def fitted(text: str, *, width: float, size: float, weight: Literal["normal", "bold"] = "normal") -> str:
    """Make ``text`` drawable, and cut it with an ellipsis to ``width`` points when set at ``size`` points."""
    text = drawable(text)
    if text_width(text, size, weight=weight) <= width:
        return text
    lengths = range(len(text))
    fitting = bisect_right(lengths, width, key=lambda length: text_width(f"{text[:length]}…", size, weight=weight))
    return f"{text[: max(0, fitting - 1)]}…"


def text_width(text: str, size: float, *, weight: Literal["normal", "bold"] = "normal") -> float:
    """Width in points of ``text`` set at ``size`` points."""
    font = _FONT.copy()
    font.set_size(size)
    font.set_weight(weight)
    width, _, _ = TextToPath().get_text_width_height_descent(text, font, ismath=False)
    return float(width)


def data_of(result: Result, key: str) -> Any:
    """Give ``result.data[key]``.

    Raises
    ------
    UsageError
        The result was refused or does not hold ``key``: there is nothing to draw.
    """
    if key not in result.data:
        why = result.reason or f"it holds no {key!r}"
        raise UsageError(f"{result.property} of {result.material} cannot be drawn: {why}")
    return result.data[key]
