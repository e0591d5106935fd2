"""A crystal of independent oscillators: no physics of any material, only of the machinery. For rehearsals and tests."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress
from pymatgen.core import Element

from sodalyte.inputs.potential import Potential

if TYPE_CHECKING:
    from ase import Atoms

_SPRING = 1.5  # eV/angstrom^2
_LAME = 0.1  # eV/angstrom^3, both constants


@dataclass(frozen=True)
class EinsteinCrystal(Potential):
    """The engine ``einstein``: instant, exact to differentiate, and about nothing real."""

    package = "ase"
    extra = ""
    contained_correction = "none"

    def _describe(self) -> str:
        return "Einstein crystal: a rehearsal, not a material"

    def calculator(self, reference: Atoms) -> Calculator:
        """Return a calculator whose oscillators rest at ``reference``."""
        return EinsteinCalculator(reference)


class EinsteinCalculator(Calculator):  # type: ignore[misc]
    """Oscillators bound to the sites of a reference crystal that is itself an isotropic elastic medium.

    The energy at rest is that of a regular solution with Pauling's electronegativity differences, which puts every
    compound on the hull.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "forces", "stress"]

    def __init__(self, reference: Atoms) -> None:
        super().__init__()
        self._sites = reference.get_scaled_positions(wrap=False)
        self._cell = reference.cell.array
        self._rest_energy = _regular_solution_energy(reference.get_chemical_symbols())

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Compute energy (eV), forces (eV/angstrom) and stress (eV/angstrom^3, Voigt)."""
        super().calculate(atoms, properties, system_changes)
        cell = self.atoms.cell.array
        displacements = self.atoms.positions - self._sites @ cell
        deformation = np.linalg.solve(self._cell, cell).T
        strain = (deformation.T @ deformation - np.eye(3)) / 2
        rest_volume, volume = (abs(np.linalg.det(matrix)) for matrix in (self._cell, cell))
        second_piola = _LAME * (np.trace(strain) * np.eye(3) + 2 * strain)
        stress = deformation @ second_piola @ deformation.T * rest_volume / volume
        stress += _SPRING * displacements.T @ displacements / volume
        self.results: dict[str, Any] = {
            "energy": self._rest_energy
            + _SPRING / 2 * float((displacements**2).sum())
            + rest_volume / 2 * float((second_piola * strain).sum()),
            "forces": -_SPRING * displacements,
            "stress": full_3x3_to_voigt_6_stress(stress),
        }


def _regular_solution_energy(symbols: list[str]) -> float:
    electronegativity = np.array([Element(symbol).X for symbol in symbols])
    pairs = itertools.combinations(np.unique(electronegativity), 2)
    share = {value: np.mean(electronegativity == value) for value in np.unique(electronegativity)}
    return -float(sum(share[a] * share[b] * (a - b) ** 2 for a, b in pairs)) * len(symbols)
