"""The table that sets materials side by side, and ours beside published numbers."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from sodalyte.analysis.figures.notation import interval, quantity, scheme_label, unit_symbol
from sodalyte.analysis.results import Result
from sodalyte.report.cases import PROPERTIES, Case, Property, conditions_label, property_label
from sodalyte.report.reference import Reference, references

_NO_NUMBER = ("decomposition", "elastic_tensor", "arrhenius", "mean_squared_displacement")
_REASON_LENGTH = 110


@dataclass(frozen=True)
class Number:
    """One of our numbers in the table, or what stands in its place."""

    result: Result
    text: str
    note: str
    refused: bool
    warned: bool


@dataclass(frozen=True)
class Cell:
    """Our numbers for one material and the published ones beside them; without either it was not run."""

    case: Case
    numbers: tuple[Number, ...]
    published: tuple[Reference, ...]


@dataclass(frozen=True)
class Row:
    """One property under one set of conditions."""

    label: str
    conditions: str
    unit: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Group:
    """Rows under one heading."""

    title: str
    rows: tuple[Row, ...]


def compare(cases: Sequence[Case]) -> tuple[Group, ...]:
    """Arrange every number of every material, properties in rows and materials in columns.

    Properties that the report has no name for are listed too, under a heading of their own.
    """
    named = {item.name for item in PROPERTIES}
    others = dict.fromkeys(
        result.property for case in cases for result in case.results if result.property not in named
    )
    properties = (*PROPERTIES, *(Property(name, property_label(name), "Other properties") for name in others))
    groups: dict[str, list[Row]] = {}
    for item in properties:
        if item.name not in _NO_NUMBER:
            groups.setdefault(item.group, []).extend(_rows(item, cases))
    return tuple(Group(title, tuple(rows)) for title, rows in groups.items() if rows)


def number(result: Result) -> Number:
    """Write one result for the table."""
    if result.status == "refused":
        reason = textwrap.shorten(result.reason or "", _REASON_LENGTH, placeholder=" …")
        return Number(result, "refused", reason, refused=True, warned=False)
    text = "see figure" if result.value is None else quantity(result.value, result.uncertainty)
    note = f"95 %: {interval(*result.interval_95)}" if result.interval_95 else ""
    warned = any(not guard.passed for guard in result.guards)
    return Number(result, text, note, refused=False, warned=warned)


def _rows(item: Property, cases: Sequence[Case]) -> list[Row]:
    conditions = dict.fromkeys(
        (result.scheme, result.temperature) for case in cases for result in case.all(item.name)
    )
    ordered = sorted(conditions, key=lambda pair: (scheme_label(pair[0] or ""), pair[1] or 0.0))
    rows = []
    for scheme, temperature in ordered:
        found = [
            [result for result in case.all(item.name) if (result.scheme, result.temperature) == (scheme, temperature)]
            for case in cases
        ]
        example = next(result for results in found for result in results)
        rows.append(
            Row(
                item.label,
                conditions_label(example),
                unit_symbol(example.unit),
                tuple(
                    Cell(
                        case,
                        tuple(number(result) for result in results),
                        references(case.material, case.polymorph, item.name),
                    )
                    for case, results in zip(cases, found, strict=True)
                ),
            )
        )
    return rows
