"""The model as an ASE calculator, for ASE's minimisers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.filters import FrechetCellFilter
from ase.stress import full_3x3_to_voigt_6_stress

from sodalyte.launchers.rehearsal.steps import KBAR

if TYPE_CHECKING:
    from sodalyte.launchers.rehearsal.cell import Cell
    from sodalyte.launchers.rehearsal.incar import Incar
    from sodalyte.launchers.rehearsal.model import Answer, Model


class _Answers(Calculator):  # type: ignore[misc]
    implemented_properties: ClassVar[list[str]] = ["energy", "forces", "stress"]

    def __init__(self, cell: Cell, model: Model) -> None:
        super().__init__()
        self._cell = cell
        self._model = model

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        self.answer = answer = self._model(cell_of(self._cell, self.atoms))
        self.results: dict[str, Any] = {
            "energy": answer.energy,
            "forces": answer.forces,
            "stress": full_3x3_to_voigt_6_stress(answer.stress),
        }


def atoms_of(cell: Cell, model: Model) -> Atoms:
    """Return the ions with the model behind them."""
    atoms = Atoms(cell.species, cell=cell.lattice, scaled_positions=cell.positions, pbc=True)
    atoms.calc = _Answers(cell, model)
    return atoms


def compute(atoms: Atoms) -> Answer:
    """Return the model's answer for ``atoms``; it is computed once, also when a minimiser asks again."""
    atoms.get_potential_energy()
    answer: Answer = atoms.calc.answer
    return answer


def cell_of(cell: Cell, atoms: Atoms) -> Cell:
    """Return where the ions of ``cell`` are now."""
    lattice = np.array(atoms.cell.array)
    return cell.at(lattice, np.linalg.solve(lattice.T, atoms.positions.T).T)


def target_of(atoms: Atoms, incar: Incar) -> Any:
    """Return what a minimiser moves: the ions, and the cell against PSTRESS where ISIF = 3."""
    if incar.freedom < 3:
        return atoms
    return FrechetCellFilter(atoms, scalar_pressure=incar.number("PSTRESS", 0.0) / KBAR)
