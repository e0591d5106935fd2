"""The known error of an engine for a property, from the calibration that ships, as a report quotes it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from sodalyte.analysis.calibration import Case, KnownError, known_error
from sodalyte.analysis.figures.notation import difference, formula, unit_symbol
from sodalyte.analysis.results import SYMMETRIC
from sodalyte.report.calibration import Answer, shipped
from sodalyte.report.side_by_side import PUBLISHED, Number, Row, best, engine_names, side_by_side

CALIBRATED = (
    *("lattice_a", "lattice_c", "density"),
    *("formation_energy", "e_above_hull", "reduction_limit", "oxidation_limit", "window_width"),
    *(f"{prefix}{name}" for prefix in ("", SYMMETRIC) for name in ("bulk_modulus", "shear_modulus", "pugh_ratio")),
)
"""Properties that a calibration is about; of others an engine's error is not known."""


def known_errors(answers: Iterable[Answer], level: str, name: str) -> KnownError | None:
    """Summarise how far an engine is off for a property, over all crystals of which a better number is known.

    The better number is the best reference of :func:`sodalyte.report.side_by_side.best`, never the engine's own and
    never the paper's, whose polymorph and scheme are not stated. PBE itself is held against experiment where there is
    one.

    Parameters
    ----------
    level
        Level of theory of the engine.
    name
        Of the property.
    """
    cases: list[Case] = []
    refused: list[str] = []
    unit = ""
    for table in side_by_side(answers, properties=(name,)):
        for row in table.rows:
            for own in (number for number in row.numbers if number.level == level):
                unit = table.unit
                reference = _reference(row, level)
                if own.refused:
                    refused.append(crystal(row))
                elif own.value is not None and reference is not None and reference.value is not None:
                    cases.append(Case(crystal(row), own.value, reference.value, _whose(reference)))
    return known_error(cases, unit=unit, refused=tuple(dict.fromkeys(refused)))


@cache
def of_engine(level: str, name: str) -> KnownError | None:
    """Give the known error of an engine for a property, from the calibration that ships; None if there is none."""
    return known_errors(shipped(), level, name)


def sentence(level: str, name: str) -> str:
    """Write what is known of an engine's error for a property.

    >>> sentence("My potential 1.0", "bulk_modulus")
    'error of My potential 1.0 not known: not calibrated'
    """
    engine = engine_names([level])[level]
    error = of_engine(level, name)
    if error is None:
        return f"error of {engine} not known: not calibrated"
    return f"known error of {engine}: {written(error)}"


def written_short(error: KnownError | None) -> str:
    """Write a known error for a table."""
    if error is None:
        return "not calibrated"
    text = f"known error {signed(error.mean, error.unit)} on {error.crystals}"
    return f"{text}, largest {signed(error.largest[0], error.unit)}" if len(error.cases) > 1 else text


def written(error: KnownError) -> str:
    """Write a known error: mean, largest, number of crystals, against what, and how many were refused."""
    largest, case = error.largest
    against = ", ".join(f"{whose} {count}" for whose, count in error.against.items())
    text = f"mean {signed(error.mean, error.unit)}"
    if len(error.cases) > 1:
        text += f", largest {signed(largest, error.unit)} ({case.crystal})"
    text += f", {error.crystals} against {against}"
    return text + (f"; refused for {len(error.refused)}" if error.refused else "")


def signed(value: float, unit: str) -> str:
    r"""Write an error with its sign.

    >>> signed(-41.23, "%"), signed(0.0123, "eV/atom")
    ('−41\xa0%', '+12\xa0meV/atom')
    """
    if unit == "eV/atom":
        value, unit = 1000 * value, "meV/atom"
    decimals = {"%": 0 if abs(value) >= 9.5 else 1, "V": 2}.get(unit, 0)
    return f"{difference(value, decimals)}\xa0{unit_symbol(unit)}"


def crystal(row: Row) -> str:
    """Name the crystal of a row."""
    return f"{formula(row.material)} {row.polymorph}"


def _reference(row: Row, level: str) -> Number | None:
    others = [number for number in row.numbers if number.level != level and number.source != "paper"]
    measured = [number for number in others if number.source == "experiment" and number.value is not None]
    if level.startswith("PBE,") and measured:
        return measured[0]
    return best(others)


def _whose(reference: Number) -> str:
    if reference.level is not None:
        return reference.source
    return f"{reference.functional or ''} ({PUBLISHED[reference.source]})" if reference.functional else "experiment"
