"""Writes the tables and the picture of docs/calibration.md from the calibration that ships.

    python benchmarks/calibration_page.py

Each table stands between two marks of the page; the text around them is written by hand.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from sodalyte.analysis.figures import render
from sodalyte.analysis.figures.notation import formula, unit_symbol
from sodalyte.analysis.results import SYMMETRIC
from sodalyte.report import calibration, known_errors, side_by_side
from sodalyte.report.cases import property_label
from sodalyte.report.windows import windows_picture

PAGE = Path(__file__).parent.parent / "docs" / "calibration.md"
PICTURE = PAGE.parent / "images" / "windows.svg"
ELECTROLYTES = ("Na3SbS4", "Na3PS4")
REASON_LENGTH = 120


def document() -> None:
    """Write the tables of the page, and its picture, anew."""
    PAGE.write_text(renewed(PAGE.read_text()))
    picture = windows_picture(calibration.shipped(), wanted=lambda material, _: material in ELECTROLYTES)
    PICTURE.write_bytes(render(picture, "svg"))


def renewed(page: str) -> str:
    """Return a page in which what stands between the marks of each table is that table as it is now."""
    for name, table in PARTS.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, _, rest = page.partition(begin)
        page = before + begin + table() + end + rest.partition(end)[2]
    return page


def _properties(*names: str) -> str:
    """Write the tables of some properties."""
    tables = side_by_side.side_by_side(calibration.shipped(), properties=names, wanted=_calibrated())
    return "".join(_markdown(table) for table in tables)


def _calibrated() -> Callable[[str, str | None], bool]:
    formulas = {answer.result.material for answer in calibration.shipped()}
    return lambda material, _: material in formulas


def _markdown(table: side_by_side.Table) -> str:
    sheet = side_by_side.sheet(table)
    heading = f"**{property_label(table.property)}**" + (f" ({unit_symbol(table.unit)})" if table.unit != "1" else "")
    lines = [heading, "", *_rows(sheet.header, sheet.rows), ""]
    lines += [f"({number}) {note}  " for number, note in enumerate(sheet.notes, start=1)]
    return "\n".join([*lines, "", ""])


def _rows(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    cells = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(re.sub(r"\n *", "<br>", cell) for cell in row) + " |" for row in cells]


def _errors() -> str:
    """Write the known errors of every engine."""
    levels = dict.fromkeys(answer.result.level for answer in calibration.shipped())
    names = side_by_side.engine_names(levels)
    rows = [
        (names[level], property_label(name), known_errors.written(error) if error else "not calibrated")
        for level in levels
        for name in known_errors.CALIBRATED
        for error in [known_errors.of_engine(level, name)]
    ]
    return "\n".join([*_rows(("engine", "property", "known error"), rows), ""])


def _reproduction() -> str:
    """Write the paper's numbers beside ours, each polymorph, engine and scheme on its own."""
    names = ("reduction_limit", "oxidation_limit", "window_width", "pugh_ratio", f"{SYMMETRIC}pugh_ratio")
    rows = []
    for table in side_by_side.side_by_side(calibration.shipped(), properties=names, wanted=_calibrated(), to="paper"):
        for row in table.rows:
            for number in row.numbers:
                if row.baseline is not None and number.level is not None:
                    crystal = f"{row.material} {row.polymorph}"
                    says = [row.baseline.text, number.source, row.scheme or "", number.text]
                    rows.append((property_label(table.property), crystal, *says, _agreement(table, row, number)))
    header = ("quantity", "crystal", "paper", "engine", "scheme", "here", "reproduced?")
    return "\n".join([*_rows(header, rows), ""])


def _claims() -> str:
    """Write for each claim of the paper who reproduces it, who does not, and who has no number."""
    lines = []
    for material in ELECTROLYTES:
        for what, names, tolerance, words in CLAIMS:
            tables = side_by_side.side_by_side(
                calibration.shipped(),
                properties=names,
                wanted=lambda formula, _, only=material: formula == only,
                to="paper",
            )
            paper = [table.rows[0].baseline.text for table in tables]
            apart: dict[tuple[str, str], list[float | None]] = {}
            for row in (row for table in tables for row in table.rows):
                for number in (number for number in row.numbers if number.level):
                    case = (number.source, ", ".join(filter(None, (row.polymorph, row.scheme))))
                    apart.setdefault(case, []).append(row.difference(number))
            silent = [case for case, found in apart.items() if None in found]
            near = [case for case, found in apart.items() if case not in silent and max(map(abs, found)) <= tolerance]
            far = [case for case in apart if case not in [*silent, *near]]
            said = "; ".join(
                f"{verdict} {', '.join(f'{source} ({conditions})' for source, conditions in cases)}"
                for verdict, cases in (("reproduced by", near), ("not by", far), ("no number from", silent))
                if cases
            )
            lines.append(f"* **{formula(material)}, {what} {' to '.join(paper)}** ({words}): {said}.")
    return "\n".join([*lines, ""])


def _agreement(table: side_by_side.Table, row: side_by_side.Row, number: side_by_side.Number) -> str:
    """Say whether a number of ours is the paper's."""
    difference = row.difference(number)
    if difference is None:
        return textwrap.shorten(f"no number: {number.notes[0]}", REASON_LENGTH, placeholder=" ...")
    away = f"{table.written(abs(difference))} {unit_symbol(table.unit)} away".replace("  ", " ")
    if number.uncertainty and abs(difference) <= number.uncertainty:
        return f"within our standard uncertainty, {away}"
    return f"no, {away}"


CLAIMS = (
    ("window in volts", ("reduction_limit", "oxidation_limit"), 0.05, "each limit to 0.05 V"),
    ("G/B", ("pugh_ratio",), 0.02, "to 0.02"),
    ("G/B with ions kept in symmetry", (f"{SYMMETRIC}pugh_ratio",), 0.02, "to 0.02"),
)
"""What the paper says, by which properties that is held against ours, and what counts as equal."""

PARTS = {
    "known errors": _errors,
    "claims": _claims,
    "reproduction": _reproduction,
    "cells": lambda: _properties("lattice_a", "lattice_c", "density"),
    "stability": lambda: _properties(
        "formation_energy", "e_above_hull", "reduction_limit", "oxidation_limit", "window_width"
    ),
    "moduli": lambda: _properties(
        *(f"{kind}{name}" for kind in ("", SYMMETRIC) for name in ("bulk_modulus", "shear_modulus", "pugh_ratio"))
    ),
    "elastic constants": lambda: _properties(
        *(f"{kind}{name}" for kind in ("", SYMMETRIC) for name in ("C11", "C12", "C13", "C33", "C44", "C66"))
    ),
}
"""What of the page is written by this program."""


if __name__ == "__main__":
    document()
