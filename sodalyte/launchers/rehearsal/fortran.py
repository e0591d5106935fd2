"""Numbers as Fortran writes them."""

from __future__ import annotations

from collections.abc import Iterable

STAMP = "NOT A DFT RESULT"
"""Stands in every file of a rehearsal."""


def scientific(value: float, width: int, digits: int) -> str:
    """Return ``value`` as ``Ew.d`` prints it: mantissa below one, leading zero only where there is room."""
    mantissa, exponent = f"{abs(value):.{digits - 1}E}".split("E")
    power = int(exponent) + 1 if float(mantissa) else 0
    text = f"0.{mantissa.replace('.', '')}E{power:+03d}"
    text = f"-{text}" if value < 0 else text
    if len(text) > width:
        text = text.replace("0.", ".", 1)
    return text.rjust(width)


def vector(values: Iterable[float], form: str = "%16.8f") -> str:
    """Return ``values`` side by side."""
    return "".join(form % value for value in values)


def table(rows: Iterable[Iterable[float]], form: str = "%16.8f", *, before: str = "", after: str = "") -> str:
    """Return one line per row."""
    return "".join(f"{before}{vector(row, form)}{after}\n" for row in rows)
