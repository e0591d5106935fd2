"""POSCAR and POTCAR: what a rehearsal needs of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sodalyte.launchers.rehearsal.incar import InputError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Potential:
    """The header of one POTCAR: ``valence`` electrons, ``mass`` (u), ``enmax`` and ``enmin`` (eV)."""

    title: str
    element: str
    valence: float
    mass: float
    enmax: float
    enmin: float


@dataclass(frozen=True)
class Thermostat:
    """Nose's variable ``eta`` = ln s and its rate ``xi`` (1/fs)."""

    eta: float = 0.0
    xi: float = 0.0


@dataclass(frozen=True)
class Cell:
    """A configuration.

    Attributes
    ----------
    comment, symbols, counts
        The first, sixth and seventh line of a POSCAR.
    lattice
        Rows are the cell vectors, angstrom, shape (3, 3).
    positions
        Fractional, shape (n, 3).
    velocities
        angstrom/fs, shape (n, 3), or None where the file has none.
    thermostat
        Where the file holds the state of one.
    """

    comment: str
    symbols: tuple[str, ...]
    counts: tuple[int, ...]
    lattice: Array
    positions: Array
    velocities: Array | None = None
    thermostat: Thermostat | None = None

    @property
    def species(self) -> list[str]:
        """Symbol of every ion."""
        return [symbol for symbol, count in zip(self.symbols, self.counts, strict=True) for _ in range(count)]

    @property
    def n_ions(self) -> int:
        """Number of ions."""
        return sum(self.counts)

    @property
    def volume(self) -> float:
        """angstrom^3."""
        return float(abs(np.linalg.det(self.lattice)))

    @property
    def reciprocal(self) -> Array:
        """Rows are the reciprocal vectors without 2 pi, 1/angstrom."""
        return np.linalg.inv(self.lattice).T.astype(np.float64)

    @property
    def formula(self) -> str:
        """Reduced formula, elements in alphabetical order."""
        amounts = {symbol: self.species.count(symbol) for symbol in sorted(set(self.symbols))}
        divisor = int(np.gcd.reduce(list(amounts.values())))
        return "".join(f"{symbol}{count // divisor if count > divisor else ''}" for symbol, count in amounts.items())

    def at(self, lattice: Array, positions: Array) -> Cell:
        """Return the same ions elsewhere, at rest."""
        return replace(self, lattice=lattice, positions=positions, velocities=None, thermostat=None)

    @classmethod
    def parse(cls, text: str) -> Cell:
        """Read a POSCAR of VASP 5 or later.

        Raises
        ------
        InputError
            It is no such file, or it fixes coordinates.
        """
        try:
            return _parse_poscar(text.splitlines())
        except (IndexError, ValueError) as error:
            raise InputError(
                f" ERROR: the POSCAR cannot be read ({error}); write it in the format of VASP 5\n"
            ) from error


def _parse_poscar(lines: list[str]) -> Cell:
    scales = [float(number) for number in lines[1].split()]
    lattice = np.array([[float(number) for number in line.split()[:3]] for line in lines[2:5]])
    scale = scales[0] if scales[0] > 0 else (-scales[0] / abs(np.linalg.det(lattice))) ** (1 / 3)
    lattice = lattice * (np.array(scales) if len(scales) == 3 else scale)
    symbols = tuple(re.split(r"[_/]", word)[0] for word in lines[5].split())
    counts = tuple(int(number) for number in lines[6].split())
    if symbols[0].isdigit() or len(symbols) != len(counts):
        raise ValueError("no line of element symbols")
    mode = lines[7].strip()[:1].lower()
    if mode == "s":
        raise InputError(" The rehearsal of VASP cannot honour selective dynamics; remove it from the POSCAR.\n")
    positions = np.array([[float(number) for number in line.split()[:3]] for line in lines[8 : 8 + sum(counts)]])
    if positions.shape != (sum(counts), 3):
        raise ValueError(f"{len(positions)} positions for {sum(counts)} ions")
    if mode in {"c", "k"}:
        positions = np.linalg.solve(lattice.T, (positions * scale).T).T
    cell = Cell(lines[0].strip(), symbols, counts, lattice, positions)
    return _with_motion(cell, lines[8 + sum(counts) :])


def _with_motion(cell: Cell, lines: list[str]) -> Cell:
    """Add the velocities and the thermostat that follow the positions of an MD run."""
    if lines and lines[0].strip().lower().startswith("l"):
        raise InputError(" The rehearsal of VASP cannot honour lattice velocities; remove them from the POSCAR.\n")
    direct = bool(lines) and lines[0].strip()[:1].lower() == "d"
    block = [line.split() for line in lines[1 : 1 + cell.n_ions]]
    if len(block) < cell.n_ions or any(len(words) < 3 for words in block):
        return cell
    velocities = np.array([[float(word) for word in words[:3]] for words in block])
    if direct:
        raise InputError(" The rehearsal of VASP reads velocities in angstrom/fs only; write them in Cartesian mode.\n")
    cell = replace(cell, velocities=velocities if velocities.any() else None)
    extra = [line for line in lines[1 + cell.n_ions :] if line.strip()]
    if len(extra) < 3 or int(extra[0]) != 1:
        return cell
    s, growth, *_ = (float(word) for word in extra[2].split())
    return replace(cell, thermostat=Thermostat(float(np.log(s)), growth / s / float(extra[1]))) if s > 0 else cell


def parse_potcar(text: str) -> list[Potential]:
    """Read the headers of a POTCAR.

    Raises
    ------
    InputError
        A header lacks what is needed.
    """
    headers = []
    for part in re.split(r"End of Dataset[^\n]*\n?", text):
        if part.strip():
            found = {name: re.search(rf"{name}\s*=\s*([^;\n]+)", part) for name in _KEYS}
            missing = [name for name, match in found.items() if match is None]
            if missing:
                raise InputError(f" ERROR: the POTCAR lacks {', '.join(missing)}; take it from your POTCAR library\n")
            words = {name: match.group(1).strip() for name, match in found.items() if match}
            numbers = {name: float(words[name].split()[0]) for name in ("ZVAL", "POMASS", "ENMAX", "ENMIN")}
            headers.append(
                Potential(
                    words["TITEL"], words["VRHFIN"].split(":")[0].strip(), numbers["ZVAL"], numbers["POMASS"],
                    numbers["ENMAX"], numbers["ENMIN"],
                )
            )  # fmt: skip
    return headers


_KEYS = ("TITEL", "VRHFIN", "ZVAL", "POMASS", "ENMAX", "ENMIN", "LEXCH")


def check_species(cell: Cell, potentials: list[Potential]) -> None:
    """Compare the species of POSCAR and POTCAR, in order.

    Raises
    ------
    InputError
        They differ.
    """
    given, wanted = [potential.element for potential in potentials], list(cell.symbols)
    if given != wanted:
        raise InputError(
            f" ERROR: the POTCAR holds {' '.join(given) or 'nothing'}, the POSCAR {' '.join(wanted)}; "
            "concatenate the potentials in the order of the POSCAR\n"
        )
