"""A first guess of the second derivatives of the energy, which spares a relaxation most of its steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from ase.filters import FrechetCellFilter
from ase.neighborlist import neighbor_list
from ase.optimize import BFGS
from ase.stress import full_3x3_to_voigt_6_stress

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

_STIFFNESS = 10.0  # eV/angstrom^2 at _BOND
_BOND = 2.05  # angstrom, P-S
_DECAY = 0.35  # angstrom
_CUTOFF = 5.0  # angstrom
_SOFTEST = 0.3  # eV/angstrom^2
_DISPLACEMENT = 1e-3  # angstrom


class Springs(Calculator):  # type: ignore[misc]
    """Every pair of atoms within 5 angstrom joined by a spring at rest, the softer the longer it is.

    One law for all elements: 10 eV/angstrom^2 for the bond P-S, 1 for Na-S, next to nothing for the rest.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "forces", "stress"]

    def __init__(self, reference: Atoms) -> None:
        super().__init__()
        self._first, self._second, self._rest, self._shift = neighbor_list("ijdS", reference, _CUTOFF)
        self._stiffness = _STIFFNESS * np.exp((_BOND - self._rest) / _DECAY)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Compute energy (eV), forces (eV/angstrom) and stress (eV/angstrom^3, Voigt)."""
        super().calculate(atoms, properties, system_changes)
        positions, cell = self.atoms.positions, self.atoms.cell.array
        edges = positions[self._second] + self._shift @ cell - positions[self._first]
        lengths = np.linalg.norm(edges, axis=1)
        pull = (self._stiffness * (lengths - self._rest) / lengths)[:, None] * edges
        forces = np.zeros_like(positions)
        np.add.at(forces, self._first, pull)
        self.results: dict[str, Any] = {
            "energy": float((self._stiffness * (lengths - self._rest) ** 2).sum() / 4),
            "forces": forces,
            "stress": full_3x3_to_voigt_6_stress(pull.T @ edges / (2 * self.atoms.get_volume())),
        }


def hessian(atoms: Atoms, calculator: Calculator, *, cell: bool) -> NDArray[np.float64]:
    """Return the second derivatives of a calculator's energy by central differences of its forces.

    Parameters
    ----------
    cell
        Include the nine degrees of freedom of the cell, as :class:`ase.filters.FrechetCellFilter` scales them.

    Returns
    -------
    NDArray
        Symmetric, eV/angstrom^2, made positive definite: eigenvalues count by their magnitude, and no less than
        0.3 eV/angstrom^2.
    """
    free = atoms.copy()
    free.set_constraint()
    free.calc = calculator
    moved = FrechetCellFilter(free) if cell else free
    rest = moved.get_positions().copy()
    rows = []
    for coordinate in np.ndindex(rest.shape):
        forces = []
        for sign in (1, -1):
            positions = rest.copy()
            positions[coordinate] += sign * _DISPLACEMENT
            moved.set_positions(positions)
            forces.append(moved.get_forces().ravel())
        rows.append((forces[1] - forces[0]) / (2 * _DISPLACEMENT))
    values, vectors = np.linalg.eigh((np.array(rows) + np.transpose(rows)) / 2)
    guess: NDArray[np.float64] = (vectors * np.maximum(np.abs(values), _SOFTEST)) @ vectors.T
    return guess


class GuidedBFGS(BFGS):  # type: ignore[misc]
    """BFGS that starts from a given Hessian instead of equal curvatures.

    Parameters
    ----------
    first_guess
        As :func:`hessian` gives it, for the degrees of freedom that are optimised.
    """

    def __init__(self, atoms: Any, *, first_guess: NDArray[np.float64], **settings: Any) -> None:
        self._first_guess = first_guess
        super().__init__(atoms, **settings)

    def initialize(self) -> None:
        """Take the guess, also where the optimiser starts anew."""
        super().initialize()
        self.H0 = self._first_guess
