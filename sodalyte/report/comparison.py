"""The table that sets materials side by side, and ours beside published numbers."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sodalyte.analysis.figures.notation import interval, quantity, rounded, scheme_label, unit_symbol
from sodalyte.analysis.results import SYMMETRIC, Result
from sodalyte.report.cases import PROPERTIES, Case, Property, conditions_label, property_label
from sodalyte.report.known_errors import of_engine, written_short
from sodalyte.report.reference import Reference, references

_NO_NUMBER = (
    *("decomposition", "elastic_tensor", f"{SYMMETRIC}elastic_tensor", "arrhenius", "mean_squared_displacement"),
)
_REASON_LENGTH = 110


@dataclass(frozen=True)
class Number:
    """One of our numbers in the table, or what stands in its place; ``known_error`` is that of its engine, in short."""

    result: Result
    anchor: str
    text: str
    note: str
    refused: bool
    warned: bool
    known_error: str = ""


@dataclass(frozen=True)
class Row:
    """One set of conditions; for each material its numbers, none if it was not run."""

    conditions: str
    cells: tuple[tuple[Number, ...], ...]


@dataclass(frozen=True)
class Block:
    """One property; for each material the published numbers, which stand beside all its rows."""

    label: str
    unit: str
    rows: tuple[Row, ...]
    published: tuple[tuple[Reference, ...], ...]


@dataclass(frozen=True)
class Group:
    """Properties under one heading."""

    title: str
    blocks: tuple[Block, ...]


def compare(cases: Sequence[Case]) -> tuple[Group, ...]:
    """Arrange every number of every material, properties in rows and materials in columns.

    Properties that the report has no name for are listed too, under a heading of their own.
    """
    named = {item.name for item in PROPERTIES}
    others = dict.fromkeys(result.property for case in cases for result in case.results if result.property not in named)
    properties = (*PROPERTIES, *(Property(name, property_label(name), "Other properties") for name in others))
    groups: dict[str, list[Block]] = {}
    for item in properties:
        if item.name not in _NO_NUMBER:
            groups.setdefault(item.group, []).extend(_blocks(item, cases))
    return tuple(Group(title, tuple(blocks)) for title, blocks in groups.items() if blocks)


def number(case: Case, result: Result) -> Number:
    """Write one result of a case."""
    anchor = case.anchor(result)
    if result.status == "refused":
        reason = textwrap.shorten(result.reason or "", _REASON_LENGTH, placeholder=" …")
        return Number(result, anchor, "refused", reason, refused=True, warned=False)
    note = f"95\xa0%: {interval(*result.interval_95)}" if result.interval_95 else ""
    if result.value is None:
        text = "no single number"
    elif result.uncertainty is None and result.interval_95:
        low, high = result.interval_95
        text = rounded(result.value, (high - low) / 4)
    else:
        text = quantity(result.value, result.uncertainty)
    warned = any(not guard.passed for guard in result.guards)
    known_error = written_short(of_engine(result.level, result.property)) if _has_known_error(result) else ""
    return Number(result, anchor, text, note, refused=False, warned=warned, known_error=known_error)


def _has_known_error(result: Result) -> bool:
    """Tell whether the error of the engine is worth a word: there is a number, and it is of a level of theory."""
    return result.value is not None and not result.is_rehearsal


def _blocks(item: Property, cases: Sequence[Case]) -> Iterator[Block]:
    """Give one block for each unit, so that no number can stand under another's."""
    answers = [case.all(item.name) for case in cases]
    published = tuple(references(case.material, case.polymorph, item.name.removeprefix(SYMMETRIC)) for case in cases)
    for unit in dict.fromkeys(result.unit for results in answers for result in results):
        conditions = {_conditions(result) for results in answers for result in results if result.unit == unit}
        rows = []
        for wanted in sorted(conditions):
            found = [
                [result for result in results if result.unit == unit and _conditions(result) == wanted]
                for results in answers
            ]
            example = next(result for results in found for result in results)
            cells = tuple(
                tuple(number(case, result) for result in results) for case, results in zip(cases, found, strict=True)
            )
            rows.append(Row(conditions_label(example), cells))
        yield Block(item.label, unit_symbol(unit), tuple(rows), published)


def _conditions(result: Result) -> tuple[str, float]:
    return scheme_label(result.scheme or ""), result.temperature or 0.0
