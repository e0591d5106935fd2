"""Energies, forces and stresses: a potential in the place of the electrons."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from ase import Atoms

from sodalyte.launchers.rehearsal.incar import InputError

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

    from sodalyte.inputs.potential import Potential
    from sodalyte.launchers.rehearsal.cell import Array, Cell
    from sodalyte.launchers.rehearsal.incar import Incar
    from sodalyte.launchers.rehearsal.memory import Memory
    from sodalyte.launchers.rehearsal.symmetry import Symmetry

MODEL = "SODALYTE_REHEARSAL_MODEL"
"""Environment variable: name of the potential; ``einstein`` if not set."""

_DRIFT = 1.5
"""angstrom; an ion of an Einstein crystal stays nearer than this to its site."""

_SAME_SITE = 0.1
_SAME_CELL = 0.05
_EXPANSION = 1.01
"""An Einstein crystal rests at a cell that is one per cent longer than the one first seen, so that it has to relax."""


class Answer(NamedTuple):
    """Energy as raw PBE would have it (eV), forces (eV/angstrom), stress (eV/angstrom^3, tensile positive)."""

    energy: float
    forces: Array
    stress: Array


class Model:
    """A potential that answers as VASP would: raw energies, symmetric forces and stresses.

    Parameters
    ----------
    cell
        The POSCAR.
    symmetry
        The space group to keep, or None.
    """

    def __init__(self, cell: Cell, incar: Incar, memory: Memory, symmetry: Symmetry | None) -> None:
        self.name = model_name()
        self._cell = cell
        self._symmetry = symmetry
        potential = _potential(self.name)
        rest = _rest(cell, incar, memory) if self.name == "einstein" else cell
        self._calculator: Calculator = potential.calculator(_atoms(rest))
        self._corrected = potential.contained_correction == "mp2020"
        self._constant = self._correction(cell) if incar.is_dynamics else None

    def __call__(self, cell: Cell) -> Answer:
        """Compute ``cell``, which has the ions of the POSCAR in its order."""
        atoms = _atoms(cell)
        self._calculator.calculate(atoms, ["energy", "forces", "stress"], ["positions", "cell"])
        results: dict[str, Any] = self._calculator.results
        forces = np.asarray(results["forces"], dtype=float)
        stress = _tensor(np.asarray(results["stress"], dtype=float))
        if self._symmetry is not None:
            forces = self._symmetry.forces(forces, cell.lattice)
            stress = self._symmetry.stress(stress, cell.lattice)
        correction = self._correction(cell) if self._constant is None else self._constant
        return Answer(float(results["energy"]) - correction, forces, stress)

    def _correction(self, cell: Cell) -> float:
        """Return what the MP2020 scheme added to the energies that the model was trained on, eV per cell."""
        if not self._corrected:
            return 0.0
        from pymatgen.core import Structure

        from sodalyte.analysis.corrections import mp2020_adjustments
        from sodalyte.errors import UsageError

        try:
            parts = mp2020_adjustments(Structure(cell.lattice, cell.species, cell.positions))
        except UsageError:  # an oxide or fluoride that the Materials Project computes with a Hubbard U
            return 0.0
        return float(sum(part.value for part in parts))


def model_name() -> str:
    """Return the name of the potential of this process."""
    return os.environ.get(MODEL) or "einstein"


def _potential(name: str) -> Potential:
    from sodalyte.errors import EngineError
    from sodalyte.inputs.engine import get_engine

    try:
        engine = get_engine(name)
    except EngineError as error:
        raise InputError(f" The rehearsal of VASP: {error}\n") from error
    if not hasattr(engine, "calculator"):
        raise InputError(f" The rehearsal of VASP needs a potential, and {name} is none; use einstein or chgnet\n")
    return engine  # type: ignore[return-value]


def _atoms(cell: Cell) -> Atoms:
    return Atoms(cell.species, cell=cell.lattice, scaled_positions=cell.positions, pbc=True)


def _tensor(stress: Array) -> Array:
    if stress.shape == (3, 3):
        return stress
    xx, yy, zz, yz, xz, xy = stress
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])


def _rest(cell: Cell, incar: Incar, memory: Memory) -> Cell:
    """Return the configuration at which an Einstein crystal rests: one that is known already, or a new one.

    A strained, expanded or vibrating copy of a known crystal is that crystal.
    """
    name = f"{incar.is_dynamics} {' '.join(cell.symbols)} {cell.counts}"
    for known in memory.recall(name):
        lattice, positions = np.array(known["lattice"]), np.array(known["positions"])
        difference = cell.positions - positions
        apart = np.linalg.norm((difference - np.round(difference)) @ lattice, axis=1).max()
        stretch = np.abs(np.linalg.solve(lattice, cell.lattice) - np.eye(3)).max()
        same = (_DRIFT, 1e-6) if incar.is_dynamics else (_SAME_SITE, _SAME_CELL)
        if apart < same[0] and stretch < same[1]:
            return cell.at(lattice, cell.positions - difference + np.round(difference))
    expansion = _EXPANSION if incar.stage == "relax" else 1.0
    rest = cell.at(cell.lattice * expansion, cell.positions)
    memory.remember(name, {"lattice": rest.lattice.tolist(), "positions": rest.positions.tolist()})
    return rest
