"""The verdict on a material, in words: pure functions of its results.

Every clause is as strong as the numbers behind it. A difference that is smaller than the uncertainty is called open, a
refused number is called refused with its reason, and what was not computed is said not to have been run.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sodalyte.analysis.diffusion import NOT_DIFFUSIVE
from sodalyte.analysis.figures.notation import interval, quantity, rounded, scheme_label
from sodalyte.analysis.moduli import PUGH_DUCTILE
from sodalyte.analysis.results import SYMMETRIC, Result
from sodalyte.analysis.voltage import HULL_TOLERANCE
from sodalyte.report.cases import Case, arrange, with_unit

Answer = Literal["yes", "no", "open", "refused", "not run"]

CONDUCTIVE = 0.1
"""Conductivity, mS/cm, from which a material is called conductive: the least that the paper builds cells with."""

_REASON_LENGTH = 180


SURE = 0.95
"""Share of the Monte Carlo samples in which a material must be stable to be called so."""


@dataclass(frozen=True)
class Clause:
    """One part of the verdict."""

    question: str
    answer: Answer
    text: str


@dataclass(frozen=True)
class Verdict:
    """What the results say about one material; ``cell`` is its relaxed cell in words, empty if there is none."""

    clauses: tuple[Clause, ...]
    cell: str = ""

    @property
    def sentence(self) -> str:
        """The verdict as one sentence, without the material's name; of the cell only where there is nothing else."""
        texts = [clause.text for clause in self.clauses]
        if self.cell and all(clause.answer == "not run" for clause in self.clauses):
            texts.insert(0, self.cell)
        return "; ".join(texts) + "."


def verdicts(results: Iterable[Result | Mapping[str, Any]], *, order: Sequence[str] = ()) -> list[str]:
    """Give the verdict on each material as a sentence that begins with its name.

    Parameters
    ----------
    results
        Results or their documents.
    order
        Materials in the order wanted; others follow.

    Raises
    ------
    UsageError
        There are no results, or one is not a result.
    """
    return [f"{case.label}: {verdict(case).sentence}" for case in arrange(results, order=order)]


def verdict(case: Case) -> Verdict:
    """Judge stability, conduction and ductility of one material."""
    return Verdict((stability(case), conduction(case), ductility(case)), cell=_cell(case))


def _cell(case: Case) -> str:
    found = {name: case.last(name) for name in ("lattice_a", "lattice_c")}
    lengths = {
        name.removeprefix("lattice_"): with_unit(quantity(result.value, result.uncertainty), result.unit)
        for name, result in found.items()
        if result is not None and result.value is not None
    }
    if len(set(lengths.values())) == 1:
        lengths.pop("c", None)
    return f"relaxed to {' and '.join(f'{axis} = {length}' for axis, length in lengths.items())}" if lengths else ""


def stability(case: Case) -> Clause:
    """Say whether there is a voltage window, with each sulfur-correction scheme."""
    question = "Stable window"
    widths = {scheme: case.last("window_width", scheme=scheme) for scheme in case.schemes or (None,)}
    found = {scheme: width for scheme, width in widths.items() if width is not None}
    if not found:
        return Clause(question, "not run", "its electrochemical window was not computed")
    if len(found) > 1 and (reason := _common_refusal(found.values())):
        return Clause(question, "refused", f"its window is refused with every correction ({_short(reason)})")
    judged = [_window(case, scheme, width) for scheme, width in found.items()]
    answers = {answer for answer, _ in judged}
    answer: Answer = answers.pop() if len(answers) == 1 else "open"
    return Clause(question, answer, " and ".join(text for _, text in judged))


def conduction(case: Case) -> Clause:
    """Say whether Na moves fast enough, at 300 K if an Arrhenius fit allows it."""
    question = "Conductive"
    room, single = case.last("conductivity_300K"), case.all("diffusivity")
    if room is not None and room.value is not None:
        return _at_room_temperature(question, room)
    moving = [result for result in single if result.value is not None]
    still = [result for result in single if _not_diffusive(result)]
    if moving:
        at = f" at {moving[-1].temperature:g} K" if len(moving) > 1 else ""
        text = f"Na diffuses at {_temperatures(moving)} ({_written(moving[-1])}{at})"
        if still:
            text += f" but not measurably at {_temperatures(still)} in this run"
        why = f" ({_short(room.reason)})" if room is not None and room.reason else ""
        return Clause(question, "open", f"{text}, without a conductivity at 300\xa0K{why}")
    if still and len(still) == len(single):
        return Clause(question, "open", f"{NOT_DIFFUSIVE} at {_temperatures(still)}")
    if single:
        other = next(result for result in single if not _not_diffusive(result))
        return Clause(question, "refused", f"its diffusivity is refused ({_short(other.reason)})")
    return Clause(question, "not run", "the diffusion of Na was not computed")


def ductility(case: Case) -> Clause:
    """Say on which side of Pugh's line the material lies."""
    question = "Ductile (Pugh)"
    ratio = case.last("pugh_ratio")
    if ratio is None:
        return Clause(question, "not run", "its elasticity was not computed")
    if ratio.value is None:
        apart = case.last(f"{SYMMETRIC}pugh_ratio")
        text = f"its elasticity is refused ({_short(ratio.reason)})"
        if apart is not None and apart.value is not None:
            text += f"; the symmetric answer, apart from it: G/B = {quantity(apart.value, apart.uncertainty)}"
            if {"reuss", "voigt"} <= apart.data.keys():
                text += f" by Hill's mean, {apart.data['reuss']:.2f} (Reuss) to {apart.data['voigt']:.2f} (Voigt)"
        return Clause(question, "refused", text)
    number = f"G/B = {quantity(ratio.value, ratio.uncertainty)}"
    ends = [*_interval_95(ratio), *(ratio.data[bound] for bound in ("reuss", "voigt") if bound in ratio.data)]
    if min(ends) < PUGH_DUCTILE <= max(ends):
        return Clause(question, "open", f"ductile or brittle is not settled ({number}, Pugh's line at {PUGH_DUCTILE})")
    if ratio.value < PUGH_DUCTILE:
        return Clause(question, "yes", f"ductile by Pugh's ratio ({number}, below {PUGH_DUCTILE})")
    return Clause(question, "no", f"not ductile by Pugh's ratio ({number}, above {PUGH_DUCTILE})")


def _window(case: Case, scheme: str | None, width: Result) -> tuple[Answer, str]:
    named = f"{scheme_label(scheme)}: " if scheme else ""
    if width.value is None:
        return "refused", f"its window is refused ({named}{_short(width.reason)})"
    number = f"{named}{with_unit(quantity(width.value, width.uncertainty), width.unit)}"
    where = _limits(case, scheme)
    hull = case.last("e_above_hull", scheme=scheme)
    if hull is not None and hull.value is not None and hull.value > HULL_TOLERANCE:
        above = f"{quantity(1000 * hull.value, digits=2)}\xa0meV/atom above the hull"
        return "open", f"metastable, with a window {where} if lowered to the hull ({number} wide, {above})"
    if width.value <= 0:
        return "no", f"without a stable window ({number})"
    if doubt := _doubt(width, number):
        return "open", f"a window {where}{doubt}"
    return "yes", f"stable {where} ({number} wide)"


def _common_refusal(widths: Iterable[Result]) -> str | None:
    """Return the one reason for which all are refused; None if one is not, or if their reasons differ."""
    reasons = {width.reason if width.value is None else None for width in widths}
    return reasons.pop() if len(reasons) == 1 else None


def _doubt(width: Result, number: str) -> str:
    """Say why a window that has a width is not settled; empty if it is."""
    stable = width.data.get("stable_fraction", 1.0)
    if width.uncertainty is None and width.interval_95 is None:
        return f" of unknown uncertainty ({number} wide)"
    low, high = _interval_95(width)
    if low <= 0:
        return f" that may have no width ({number}, 95\xa0% {interval(low, high)})"
    if stable < SURE:
        return f" if it is stable at all, as in {stable:.0%} of the samples ({number} wide)"
    return ""


def _limits(case: Case, scheme: str | None) -> str:
    limits = [case.last(name, scheme=scheme) for name in ("reduction_limit", "oxidation_limit")]
    written = [
        rounded(limit.value, limit.uncertainty) for limit in limits if limit is not None and limit.value is not None
    ]
    return f"from {' to '.join(written)}\xa0V" if len(written) == 2 else "at limits that were refused"


def _at_room_temperature(question: str, room: Result) -> Clause:
    value = room.value or 0.0
    low, high = _interval_95(room)
    spread = f", 95\xa0% {interval(low, high)}" if low < high else ", uncertainty unknown"
    number = f"{with_unit(rounded(value, (high - low) / 4), room.unit)} at 300\xa0K{spread}, extrapolated"
    if low >= CONDUCTIVE and low < high:
        return Clause(question, "yes", f"conductive ({number})")
    if high < CONDUCTIVE and low < high:
        return Clause(question, "no", f"a poor conductor ({number})")
    return Clause(question, "open", f"conductive or not is not settled at {CONDUCTIVE:g} {room.unit} ({number})")


def _interval_95(result: Result) -> tuple[float, float]:
    """Give the 95 % interval, of a normal distribution where only the standard uncertainty is known."""
    if result.interval_95 is not None:
        return result.interval_95
    half = 1.96 * (result.uncertainty or 0.0)
    value = result.value or 0.0
    return value - half, value + half


def _not_diffusive(result: Result) -> bool:
    return result.status == "refused" and (result.reason or "").startswith(NOT_DIFFUSIVE)


def _written(result: Result) -> str:
    return "D = " + with_unit(quantity(result.value or 0.0, result.uncertainty, digits=2), result.unit)


def _temperatures(results: list[Result]) -> str:
    ordered = sorted(result.temperature or 0.0 for result in results)
    return " and ".join(
        part for part in (", ".join(f"{kelvin:g}" for kelvin in ordered[:-1]), f"{ordered[-1]:g} K") if part
    )


def _short(reason: str | None) -> str:
    return textwrap.shorten(reason or "no reason given", _REASON_LENGTH, placeholder=" …")
