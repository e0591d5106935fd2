"""The report's figures: which are drawn, what stands below them, and how they get into the page."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from xml.etree import ElementTree as ET

from markupsafe import Markup
from matplotlib.figure import Figure

from sodalyte.analysis.figures import (
    Sample,
    arrhenius_figure,
    cells_figure,
    decomposition_figure,
    elasticity_figure,
    has_moduli,
    material_styles,
    msd_figure,
    render,
)
from sodalyte.analysis.figures.notation import reaction_side, scheme_label
from sodalyte.analysis.results import Result
from sodalyte.report.cases import Case
from sodalyte.report.reference import paper_value

_SVG = "{http://www.w3.org/2000/svg}"
_XLINK = "{http://www.w3.org/1999/xlink}"


@dataclass(frozen=True)
class Picture:
    """One figure, or the reason why there is none.

    Attributes
    ----------
    name
        Of the files, without suffix: plain letters, digits and hyphens, and no other picture's.
    title, caption
        In words; a screen reader says both.
    figure, svg
        The same thing; without either there was nothing to draw, and ``caption`` says why.
    staircase
        Steps of a decomposition, to stand below its figure as a table.
    """

    name: str
    title: str
    caption: str
    figure: Figure | None = None
    svg: bytes = b""
    staircase: Sequence[dict[str, Any]] = ()


@dataclass(frozen=True)
class Plate:
    """Figures that belong side by side."""

    title: str
    pictures: tuple[Picture, ...]


def plates(cases: Sequence[Case]) -> tuple[Plate, ...]:
    """Draw all figures that the results allow, pair by pair."""
    styles = material_styles([case.label for case in cases])
    schemes = dict.fromkeys(scheme for case in cases for scheme in case.schemes)
    drawn = [
        Plate(
            f"Decomposition against voltage, {scheme_label(scheme)}",
            tuple(_decomposition(case, scheme, styles[case.label][0]) for case in cases),
        )
        for scheme in schemes
    ]
    if any(case.all("mean_squared_displacement") or case.all("diffusivity") for case in cases):
        pictures = tuple(_displacement(case, styles[case.label][0]) for case in cases)
        drawn.append(Plate("Mean squared displacement of Na", pictures))
    samples = [Sample(case.label, *styles[case.label], case.results) for case in cases]
    compared = (
        *_compared([sample for sample in samples if sample.find("arrhenius")], _arrhenius),
        *_compared([sample for sample in samples if has_moduli(sample)], lambda found: _elasticity(found, cases)),
        *_compared([sample for sample in samples if sample.find("lattice_a")], _cells),
    )
    if compared:
        drawn.append(Plate("The materials compared", compared))
    taken: set[str] = set()
    return tuple(
        replace(plate, pictures=tuple(_with_file_name(picture, taken) for picture in plate.pictures)) for plate in drawn
    )


def inline_svg(picture: Picture) -> Markup:
    """Give a picture as an SVG element for an HTML page; no id of two of them is the same."""
    prefix = picture.name
    root = ET.fromstring(picture.svg)  # noqa: S314 - our own bytes
    for style in root.iter(f"{_SVG}defs"):
        for rule in style.findall(f"{_SVG}style"):
            style.remove(rule)
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        for name in list(element.attrib):
            value = element.attrib.pop(name)
            if name == "id":
                value = f"{prefix}-{value}"
            value = re.sub(r"url\(#", f"url(#{prefix}-", value)
            if name == f"{_XLINK}href":
                value = value.replace("#", f"#{prefix}-", 1)
            element.set(name.removeprefix(_XLINK), value)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.attrib |= {"role": "img", "aria-labelledby": f"{prefix}-title", "aria-describedby": f"{prefix}-desc"}
    for position, (name, text) in enumerate((("title", picture.title), ("desc", picture.caption))):
        spoken = ET.Element(name, {"id": f"{prefix}-{name}"})
        spoken.text = text
        root.insert(position, spoken)
    return Markup(ET.tostring(root, encoding="unicode"))  # noqa: S704 - written by the line itself


def _drawn(name: str, title: str, caption: str, figure: Figure, example: Result) -> Picture:
    """Render a figure; one of a rehearsal, as ``example`` is, says so at its right edge, wherever its file may go."""
    if example.is_rehearsal:
        words = "rehearsal, not DFT"
        figure.text(1.0, 0.5, words, rotation=90, ha="right", va="center", fontsize="x-small", alpha=0.7)
    return Picture(name, title, caption, figure=figure, svg=render(figure, "svg"))


def _with_file_name(picture: Picture, taken: set[str]) -> Picture:
    """Rename a picture to what any file system takes, not minding upper and lower case."""
    plain = picture.name.translate(str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789"))
    stem = re.sub(r"[^A-Za-z0-9]+", "-", plain).strip("-")[:80] or "figure"
    name = next(
        name
        for name in (stem, *(f"{stem}-{count}" for count in range(2, len(taken) + 3)))
        if name.casefold() not in taken
    )
    taken.add(name.casefold())
    return replace(picture, name=name)


def _decomposition(case: Case, scheme: str, colour: str) -> Picture:
    name, title = f"decomposition-{case.label}-{scheme}", f"Decomposition of {case.label} against voltage"
    result = case.last("decomposition", scheme=scheme)
    if result is None or result.status == "refused":
        return Picture(name, title, _absent(result))
    reduction, oxidation = (case.last(limit, scheme=scheme) for limit in ("reduction_limit", "oxidation_limit"))
    low, high = (paper_value(case.material, case.polymorph, limit) for limit in ("reduction_limit", "oxidation_limit"))
    published = None if low is None or high is None else (low, high)
    staircase = result.data["staircase"]
    caption = (
        "Window (bars: one standard uncertainty of each limit), sodium taken up per formula unit on the way down in "
        f"voltage, and the phases at equilibrium. At {staircase[0]['voltage_low']:g} V {case.label} becomes "
        f"{reaction_side(staircase[0]['products'])}."
    )
    figure = decomposition_figure(
        result, colour=colour, reduction_limit=reduction, oxidation_limit=oxidation, published=published
    )
    return replace(_drawn(name, title, caption, figure, result), staircase=tuple(staircase))


def _displacement(case: Case, colour: str) -> Picture:
    name, title = f"msd-{case.label}", f"Mean squared displacement of Na in {case.label}"
    observations = [result for result in case.all("mean_squared_displacement") if result.status == "ok"]
    if not observations:
        refused = case.all("mean_squared_displacement") or case.all("diffusivity")
        return Picture(name, title, _absent(refused[-1] if refused else None))
    latest = {result.temperature: result for result in observations}
    lengths = [result.data["length_ps"] for result in latest.values()]
    length = " to ".join(f"{length:.3g}" for length in sorted({min(lengths), max(lengths)}))
    caption = (
        f"{length} ps of dynamics. Bold: the window of the fit. Shade: its 95 % band. Dashed: the slope "
        "6D, where D was not refused. Dotted: one hop; a curve that stays below it shows vibration, not diffusion."
    )
    figure = msd_figure(list(latest.values()), colour=colour, diffusivities=case.all("diffusivity"))
    return _drawn(name, title, caption, figure, observations[-1])


def _compared(samples: list[Sample], draw: Callable[[list[Sample]], Picture]) -> Iterator[Picture]:
    if samples:
        yield draw(samples)


def _arrhenius(samples: list[Sample]) -> Picture:
    caption = (
        "Points: diffusivities with one standard uncertainty. Solid: the fit over the temperatures that were "
        "simulated, with its 95 % band from the covariance of prefactor and energy. Dashed: extrapolation to 300 K."
    )
    figure = arrhenius_figure(samples)
    return _drawn("arrhenius", "Diffusivity against temperature", caption, figure, samples[0].results[0])


def _elasticity(samples: list[Sample], cases: Sequence[Case]) -> Picture:
    ratios = {
        case.label: ratio
        for case in cases
        if (ratio := paper_value(case.material, case.polymorph, "pugh_ratio")) is not None
    }
    caption = (
        "Hill means with one standard uncertainty; the band reaches from Reuss to Voigt. Hollow: the answer of ions "
        "that keep the symmetry of the strained cell, where the crystal itself has no modulus. Below "
        "Pugh's line, which stems from metals, a solid counts as ductile. Dashed: the ratio that the paper quotes."
    )
    figure = elasticity_figure(samples, published_ratios=ratios)
    return _drawn("elasticity", "Elastic moduli and Pugh's line", caption, figure, samples[0].results[0])


def _cells(samples: list[Sample]) -> Picture:
    caption = (
        "Relaxed lattice constants and density against the measured ones. The calculated cell is that of 0 K without "
        "zero-point motion, the measured one that of room temperature."
    )
    return _drawn("cells", "Relaxed cells against experiment", caption, cells_figure(samples), samples[0].results[0])


def _absent(result: Result | None) -> str:
    return f"Refused: {result.reason}" if result is not None and result.reason else "Not run."
