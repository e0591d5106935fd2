"""The windows that engines and the paper give, in one picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from matplotlib.figure import Figure

from sodalyte.analysis.figures import Window, windows_figure
from sodalyte.analysis.figures.notation import formula
from sodalyte.analysis.results import Result
from sodalyte.analysis.stability import ON_THE_HULL
from sodalyte.report.calibration import NOT_COMPUTED, Answer
from sodalyte.report.reference import paper_value
from sodalyte.report.side_by_side import MAIN_RECIPE, engine_names

_LIMITS = ("reduction_limit", "oxidation_limit")


def windows_picture(answers: Iterable[Answer], *, wanted: Callable[[str, str | None], bool]) -> Figure:
    """Draw the windows of crystals, one line for each engine and scheme, and the paper's behind them.

    Parameters
    ----------
    answers
        Of engines, of any number of levels of theory.
    wanted
        Tells for a formula and a polymorph if it is wanted.

    Raises
    ------
    UsageError
        Nothing is known of these windows.
    """
    results = [answer.result for answer in answers if wanted(answer.result.material, answer.result.polymorph)]
    names = engine_names(result.level for result in results)
    found: dict[tuple[str, ...], dict[str, Result]] = {}
    for result in results:
        if result.property in _LIMITS:
            case = (result.material, result.polymorph, result.scheme or "none", names[result.level], result.recipe)
            found.setdefault(case, {}).setdefault(result.property, result)
    windows = [_window(case, limits) for case, limits in sorted(found.items()) if len(limits) == len(_LIMITS)]
    published = {}
    for material, polymorph, *_ in found:
        low, high = (paper_value(material, polymorph, name) for name in _LIMITS)
        if low is not None and high is not None:
            published[f"{formula(material)} {polymorph}"] = (low, high)
    return windows_figure(windows, published=published)


def _window(case: tuple[str, ...], limits: dict[str, Result]) -> Window:
    material, polymorph, scheme, engine, recipe = case
    low, high = (limits[name] for name in _LIMITS)
    reason = low.reason or high.reason or ""
    return Window(
        crystal=f"{formula(material)} {polymorph}",
        scheme=scheme,
        source=engine if recipe == MAIN_RECIPE else f"{engine}, recipe {recipe}",
        limits=(low.value, high.value) if low.value is not None and high.value is not None else None,
        uncertainties=(low.uncertainty or 0.0, high.uncertainty or 0.0),
        lowered=any(guard.name == ON_THE_HULL and not guard.passed for guard in low.guards),
        silence=NOT_COMPUTED if reason.startswith(NOT_COMPUTED) else "refused",
    )
