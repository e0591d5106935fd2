"""The report's figures: which are drawn, what stands below them, and how they get into the page."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from matplotlib.figure import Figure

from sodalyte.analysis.figures import (
    Sample,
    arrhenius_figure,
    cells_figure,
    decomposition_figure,
    elasticity_figure,
    material_styles,
    msd_figure,
    render,
)
from sodalyte.analysis.figures.notation import interval, reaction_side, scheme_label
from sodalyte.analysis.results import Result
from sodalyte.report.cases import Case
from sodalyte.report.reference import references

_SVG = "{http://www.w3.org/2000/svg}"
_XLINK = "{http://www.w3.org/1999/xlink}"


@dataclass(frozen=True)
class Picture:
    """One figure, or the reason why there is none.

    Attributes
    ----------
    name
        Of the files, without suffix.
    title, caption
        In words; the title is also what a screen reader says.
    figure
        None where there was nothing to draw; ``caption`` then says why.
    staircase
        Steps of a decomposition, to stand below its figure as a table.
    """

    name: str
    title: str
    caption: str
    figure: Figure | None = None
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
        *_compared(samples, needs=("arrhenius",), draw=_arrhenius),
        *_compared(
            samples, needs=("bulk_modulus", "shear_modulus"), draw=lambda found: _elasticity(found, cases)
        ),
        *_compared(samples, needs=("lattice_a",), draw=_cells),
    )
    if compared:
        drawn.append(Plate("The materials compared", compared))
    return tuple(drawn)


def inline_svg(picture: Picture, *, prefix: str) -> str:
    """Give a figure as an SVG element for an HTML page.

    Parameters
    ----------
    picture
        With a figure.
    prefix
        Set before every id, so that the ids of two figures on one page cannot meet.
    """
    if picture.figure is None:
        return ""
    root = ElementTree.fromstring(render(picture.figure, "svg"))  # noqa: S314 - our own bytes
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
        spoken = ElementTree.Element(name, {"id": f"{prefix}-{name}"})
        spoken.text = text
        root.insert(position, spoken)
    return ElementTree.tostring(root, encoding="unicode")


def _decomposition(case: Case, scheme: str, colour: str) -> Picture:
    name, title = f"decomposition-{case.label}-{scheme}", f"Decomposition of {case.label} against voltage"
    result = case.last("decomposition", scheme=scheme)
    if result is None or result.status == "refused":
        return Picture(name, title, _absent(result))
    reduction, oxidation = (
        case.last(limit, scheme=scheme) for limit in ("reduction_limit", "oxidation_limit")
    )
    known = [
        references(case.material, case.polymorph, limit) for limit in ("reduction_limit", "oxidation_limit")
    ]
    published = (known[0][0].low, known[1][0].low) if all(known) else None
    staircase = result.data["staircase"]
    caption = (
        "Window (bars: one standard uncertainty of each limit), sodium taken up per formula unit on the way down in "
        f"voltage, and the phases at equilibrium. Against sodium metal {case.label} becomes "
        f"{reaction_side(staircase[0]['products'])}."
    )
    figure = decomposition_figure(
        result, colour=colour, reduction_limit=reduction, oxidation_limit=oxidation, published=published
    )
    return Picture(name, title, caption, figure, tuple(staircase))


def _displacement(case: Case, colour: str) -> Picture:
    name, title = f"msd-{case.label}", f"Mean squared displacement of Na in {case.label}"
    observations = [result for result in case.all("mean_squared_displacement") if result.status == "ok"]
    if not observations:
        refused = case.all("mean_squared_displacement") or case.all("diffusivity")
        return Picture(name, title, _absent(refused[-1] if refused else None))
    latest = {result.temperature: result for result in observations}
    lengths = [result.data["length_ps"] for result in latest.values()]
    length = (
        f"{lengths[0]:g}" if len(set(lengths)) == 1 else interval(min(lengths), max(lengths)).replace(".0", "")
    )
    caption = (
        f"{length} ps of dynamics. Bold: the window of the fit. Shade: the band of the observation. Dashed: the slope 6D, "
        "where D was not refused. Dotted: one hop; a curve that stays below it shows vibration, not diffusion."
    )
    figure = msd_figure(list(latest.values()), colour=colour, diffusivities=case.all("diffusivity"))
    return Picture(name, title, caption, figure)


def _compared(
    samples: Sequence[Sample], *, needs: tuple[str, ...], draw: Callable[[list[Sample]], Picture]
) -> Iterator[Picture]:
    found = [sample for sample in samples if all(sample.find(name) for name in needs)]
    if found:
        yield draw(found)


def _arrhenius(samples: list[Sample]) -> Picture:
    caption = (
        "Points: diffusivities with one standard uncertainty. Solid: the fit over the temperatures that were simulated, with "
        "its 95 % band from the covariance of prefactor and energy. Dashed: extrapolation to 300 K."
    )
    return Picture("arrhenius", "Diffusivity against temperature", caption, arrhenius_figure(samples))


def _elasticity(samples: list[Sample], cases: Sequence[Case]) -> Picture:
    ratios = {
        case.label: known[0].low
        for case in cases
        if (known := references(case.material, case.polymorph, "pugh_ratio"))
    }
    caption = (
        "Hill means with one standard uncertainty; the band reaches from Reuss to Voigt. Below Pugh's line, which stems from "
        "metals, a solid counts as ductile. Dashed: the ratio that the paper quotes."
    )
    figure = elasticity_figure(samples, published_ratios=ratios)
    return Picture("elasticity", "Elastic moduli and Pugh's line", caption, figure)


def _cells(samples: list[Sample]) -> Picture:
    caption = (
        "Relaxed lattice constants and density against the measured ones; a temperature of 0 K stands against room "
        "temperature, where a crystal is about 1 % wider."
    )
    return Picture("cells", "Relaxed cells against experiment", caption, cells_figure(samples))


def _absent(result: Result | None) -> str:
    return f"Refused: {result.reason}" if result is not None and result.reason else "Not run."
