"""How far an engine is off: its numbers for crystals of which a better answer is known, and what they say together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sodalyte.analysis.results import SYMMETRIC, Result

ABSOLUTE = ("V", "eV/atom", "meV/f.u.")
"""Units of quantities that may be zero, so that a relative error says nothing."""

_CONSTANTS = {
    "cubic": ("C11", "C12", "C44"),
    "hexagonal": ("C11", "C12", "C13", "C33", "C44"),
    "tetragonal": ("C11", "C12", "C13", "C33", "C44", "C66"),
}


@dataclass(frozen=True)
class Case:
    """One number of an engine beside a better one, in the same unit; ``against`` names whose that is."""

    crystal: str
    value: float
    reference: float
    against: str


@dataclass(frozen=True)
class KnownError:
    """Signed errors of one property over the crystals of the calibration.

    Attributes
    ----------
    unit
        ``"%"`` of the reference, or that of the property where it may be zero.
    errors
        Value minus reference, one for each case.
    refused
        Crystals for which the engine gave no number.
    """

    unit: str
    cases: tuple[Case, ...]
    errors: tuple[float, ...]
    refused: tuple[str, ...]

    @property
    def mean(self) -> float:
        """Mean signed error."""
        return float(np.mean(self.errors))

    @property
    def largest(self) -> tuple[float, Case]:
        """The error of largest size, and where it occurs."""
        worst = int(np.argmax(np.abs(self.errors)))
        return self.errors[worst], self.cases[worst]

    @property
    def crystals(self) -> str:
        """How many crystals it rests on, in words."""
        count = len({case.crystal for case in self.cases})
        return f"{count} {'crystal' if count == 1 else 'crystals'}"

    @property
    def against(self) -> dict[str, int]:
        """How many crystals each reference serves."""
        return dict(
            Counter(against for _, against in dict.fromkeys((case.crystal, case.against) for case in self.cases))
        )


def known_error(cases: Sequence[Case], *, unit: str, refused: Sequence[str] = ()) -> KnownError | None:
    """Summarise the errors of an engine for one property; None where there is nothing to summarise.

    Parameters
    ----------
    unit
        Of the property. Errors stay in it if it is one of :data:`ABSOLUTE`, others are relative.
    refused
        Crystals for which the engine gave no number.
    """
    if not cases:
        return None
    absolute = unit in ABSOLUTE
    errors = [case.value - case.reference if absolute else 100 * (case.value / case.reference - 1) for case in cases]
    return KnownError(unit if absolute else "%", tuple(cases), tuple(errors), tuple(refused))


def elastic_constants(result: Result) -> Iterator[Result]:
    """Yield the independent constants of an elastic tensor as results of their own, such as ``C11``, GPa.

    They are those of a cubic, hexagonal or tetragonal crystal in its standard setting (a along x, c along z), which is
    how the workflow strains it. Of a refused tensor they are refused; another result yields nothing.
    """
    prefix = SYMMETRIC if result.property.startswith(SYMMETRIC) else ""
    if result.property != f"{prefix}elastic_tensor":
        return
    for name in _CONSTANTS.get(result.polymorph.partition(" ")[0], ()):
        row, column = int(name[1]) - 1, int(name[2]) - 1
        value = None if result.status == "refused" else float(result.data["tensor"][row][column])
        yield result.model_copy(update={"property": prefix + name, "value": value, "data": {}})
