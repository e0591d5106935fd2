"""The INCAR: parsing as VASP does, defaults, and the tags that a rehearsal refuses because it cannot honour them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_REFUSED = {
    "LDAU": "a Hubbard U",
    "LHFCALC": "hybrid functionals",
    "LUSE_VDW": "van der Waals functionals",
    "LSORBIT": "spin-orbit coupling",
    "LNONCOLLINEAR": "non-collinear magnetism",
    "LEPSILON": "linear response",
    "LOPTICS": "optical properties",
    "LCALCEPS": "linear response",
    "LCHIMAG": "chemical shifts",
    "ML_LMLFF": "machine-learned force fields",
    "LHYPERPLANE": "constrained dynamics",
    "LPEAD": "the modern theory of polarisation",
}
_REAL_DESPITE_THEIR_NAMES = frozenset({"MAGMOM", "NELECT", "NUPDOWN", "KSPACING", "LAMBDA"})
_NUMERIC = frozenset({"NSW", "IBRION", "ISIF", "NELM", "ISMEAR", "ISPIN", "ISYM", "MDALGO", "ENCUT", "EDIFF", "POTIM"})
_STRINGS = frozenset({"SYSTEM", "PREC", "ALGO", "GGA", "METAGGA"})
_TRUE, _FALSE = frozenset({"T", ".TRUE.", "TRUE", ".T."}), frozenset({"F", ".FALSE.", "FALSE", ".F."})


class InputError(Exception):
    """VASP or the rehearsal cannot run these inputs; the text is what is printed."""


@dataclass(frozen=True)
class Incar:
    """Tags of an INCAR, with VASP's defaults for those that are missing.

    Attributes
    ----------
    tags
        What the file says: str, bool, int, float or a list of float.
    """

    tags: dict[str, Any]

    @classmethod
    def parse(cls, text: str) -> Incar:
        """Read the text of an INCAR.

        Raises
        ------
        InputError
            A value has not the type that its tag needs.
        """
        text = re.sub(r"\\\s*\n", " ", re.sub(r"[#!].*", "", text))
        tags: dict[str, Any] = {}
        for statement in re.split(r"[;\n]", text):
            name, separator, value = statement.partition("=")
            if separator and value.strip():
                tags.setdefault(name.strip().upper(), _typed(name.strip().upper(), value.strip().strip('"')))
        return cls(tags)

    def number(self, tag: str, default: float) -> float:
        """Return a number."""
        return float(self._scalar(tag, default))

    def integer(self, tag: str, default: int) -> int:
        """Return an integer."""
        return int(self._scalar(tag, default))

    def flag(self, tag: str, *, default: bool = False) -> bool:
        """Return whether a tag is true."""
        return bool(self.tags.get(tag, default))

    def word(self, tag: str, default: str) -> str:
        """Return a word in lower case."""
        return str(self.tags.get(tag, default)).strip().lower()

    def _scalar(self, tag: str, default: float) -> float:
        value = self.tags.get(tag, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise _unreadable(tag)
        return value

    @property
    def steps(self) -> int:
        """NSW."""
        return max(self.integer("NSW", 0), 0)

    @property
    def algorithm(self) -> int:
        """IBRION; -1 where nothing moves."""
        return self.integer("IBRION", -1 if self.steps < 2 else 0) if self.steps else -1

    @property
    def is_dynamics(self) -> bool:
        """Whether the ions follow Newton."""
        return self.algorithm == 0

    @property
    def is_relaxation(self) -> bool:
        """Whether the ions (and perhaps the cell) go downhill."""
        return self.algorithm > 0

    @property
    def freedom(self) -> int:
        """ISIF."""
        return self.integer("ISIF", 0 if self.is_dynamics else 2)

    @property
    def symmetry(self) -> int:
        """ISYM."""
        return self.integer("ISYM", 2)

    @property
    def ediff(self) -> float:
        """EDIFF, eV."""
        return self.number("EDIFF", 1e-4)

    @property
    def ediffg(self) -> float:
        """EDIFFG: eV where positive, eV/angstrom where negative."""
        return self.number("EDIFFG", 10 * self.ediff)

    @property
    def spins(self) -> int:
        """ISPIN."""
        return self.integer("ISPIN", 1)

    @property
    def temperatures(self) -> tuple[float, float]:
        """TEBEG and TEEND, K."""
        first = self.number("TEBEG", 0.0)
        return first, self.number("TEEND", first)

    @property
    def has_thermostat(self) -> bool:
        """Whether a Nose-Hoover thermostat acts."""
        return self.is_dynamics and (self.integer("MDALGO", 0) == 2 or self.number("SMASS", -3) >= 0)

    @property
    def stage(self) -> str:
        """What the calculation is in a campaign: relax, elastic (ions of a given cell), static or dynamics."""
        if self.is_dynamics:
            return "dynamics"
        if not self.is_relaxation:
            return "static"
        return "relax" if self.freedom >= 3 else "elastic"

    def check(self) -> None:
        """Refuse what a rehearsal cannot honour.

        Raises
        ------
        InputError
            Names the tag and what to do.
        """
        for tag, what in _REFUSED.items():
            if self.flag(tag):
                raise _refusal(f"{tag} = .TRUE.", f"it knows nothing of {what}")
        if self.word("METAGGA", "--") not in {"--", "none"}:
            raise _refusal(f"METAGGA = {self.tags['METAGGA']}", "its energies stand for PBE")
        if self.word("GGA", "pe") not in {"pe", "--"}:
            raise _refusal(f"GGA = {self.tags['GGA']}", "its energies stand for PBE")
        if self.integer("IVDW", 0):
            raise _refusal(f"IVDW = {self.tags['IVDW']}", "it knows nothing of dispersion corrections")
        if "IMAGES" in self.tags:
            raise _refusal("IMAGES", "it runs no nudged elastic bands")
        if "KPOINT_BSE" in self.tags or self.word("ALGO", "normal").startswith(
            ("g", "bse", "chi", "eigenval", "exact")
        ):
            raise _refusal(f"ALGO = {self.tags.get('ALGO')}", "it solves no electronic structure")
        if self.algorithm not in {-1, 0, 1, 2, 3}:
            raise _refusal(f"IBRION = {self.algorithm}", "it moves ions by IBRION = 0, 1, 2 or 3 only")
        if not 0 <= self.freedom <= 3:
            raise _refusal(f"ISIF = {self.freedom}", "it moves ions (ISIF = 0, 1, 2) or ions and cell (ISIF = 3) only")
        if self.is_relaxation and self.number("POTIM", 0.5) <= 0:
            raise _refusal(f"POTIM = {self.tags['POTIM']}", "a relaxation needs a positive step")
        if self.is_dynamics:
            self._check_dynamics()

    def _check_dynamics(self) -> None:
        algorithm, mass = self.integer("MDALGO", 0), self.number("SMASS", -3)
        if algorithm not in {0, 2}:
            raise _refusal(f"MDALGO = {algorithm}", "it has no thermostat but Nose and Hoover's (MDALGO = 0 or 2)")
        if mass < 0 and (algorithm == 2 or mass != -3):
            raise _refusal(
                f"SMASS = {mass:g}", "give SMASS >= 0 for a thermostat, or MDALGO = 0 and SMASS = -3 for none"
            )
        if self.freedom == 3:
            raise _refusal("ISIF = 3 in dynamics", "its cell is constant; use ISIF = 2")
        if "POTIM" not in self.tags or self.number("POTIM", 0.0) <= 0:
            raise InputError(" POTIM must be set to a positive time step (fs) for IBRION = 0; add it to the INCAR\n")


def _typed(tag: str, value: str) -> Any:
    first = value.split(maxsplit=1)[0].upper()
    if tag in _STRINGS:
        return value
    if first in _TRUE | _FALSE:
        return first in _TRUE
    numbers = _numbers(value)
    if numbers is None:
        if tag in _REFUSED or tag in _NUMERIC:
            raise _unreadable(tag)
        return value
    if tag == "MAGMOM" or len(numbers) > 1:
        return numbers
    whole = tag[0] in "IJKLMN" and tag not in _REAL_DESPITE_THEIR_NAMES  # as Fortran types names
    return int(numbers[0]) if whole and numbers[0].is_integer() else numbers[0]


def _numbers(value: str) -> list[float] | None:
    """Return the numbers of ``value``, with ``n*x`` written out, or None if it holds anything else first."""
    numbers: list[float] = []
    for token in value.split():
        count, star, number = token.rpartition("*")
        try:
            numbers += [float(number.lower().replace("d", "e"))] * (int(count) if star else 1)
        except ValueError:
            break
    return numbers or None


def _unreadable(tag: str) -> InputError:
    return InputError(f" Error reading item '{tag}' from file INCAR.\n Error code was IERR= 5 ... .\n")


def _refusal(tag: str, reason: str) -> InputError:
    return InputError(f" The rehearsal of VASP cannot honour {tag}: {reason}; run this calculation with VASP.\n")
