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
    from collections.abc import Callable

    from ase import Atoms
    from numpy.typing import NDArray

_STIFFNESS = 20.0  # eV/angstrom^2 at _BOND
_BENDING = 4.0  # eV/angstrom^2 between two atoms bonded to a third at _BOND
_BOND = 2.05  # angstrom, P-S
_DECAY = 0.35  # angstrom
_CUTOFF = 5.0  # angstrom
_BONDED = 3.0  # angstrom
_SOFTEST = 0.3  # eV/angstrom^2
_DISPLACEMENT = 1e-3  # angstrom
_LARGEST_STRAIN = 0.02  # of a step
_STRAINED = 0.05  # strain of the cell since the Hessian was made, from which on it is stale
_MOVED = 0.4  # angstrom, by an ion, likewise


class Springs(Calculator):  # type: ignore[misc]
    """Every pair of atoms within 5 angstrom joined by a spring at rest, the softer the longer it is.

    One law for all elements: 20 eV/angstrom^2 for the bond P-S, 2 for Na-S, next to nothing for the rest. A second
    spring joins the neighbours of an atom and keeps the angles: 4 eV/angstrom^2 for S-P-S. Without it the bending of a
    tetrahedron is six times too soft, and the first steps of a PS4 that is displaced go far too far.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "forces", "stress"]

    def __init__(self, reference: Atoms) -> None:
        super().__init__()
        first, second, edge, shift = neighbor_list("ijDS", reference, _CUTOFF)
        length = np.linalg.norm(edge, axis=1)
        strength = np.exp((_BOND - length) / _DECAY)
        one, other = _angles(first, bonded=length < _BONDED)
        self._first = np.append(first, second[one])
        self._second = np.append(second, second[other])
        self._shift = np.append(shift, shift[other] - shift[one], axis=0)
        self._rest = np.append(length, np.linalg.norm(edge[other] - edge[one], axis=1))
        self._stiffness = np.append(_STIFFNESS * strength, _BENDING * strength[one] * strength[other])

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


def _angles(first: NDArray[np.int64], *, bonded: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pairs of bonds, as indices of edges, that start from the same atom."""
    bonds = np.flatnonzero(bonded)
    one, other = np.nonzero(first[bonds][:, None] == first[bonds])
    return bonds[one[one != other]], bonds[other[one != other]]


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
    """BFGS that starts from a guess of the Hessian instead of equal curvatures.

    A step strains the cell by 2 % at most. ASE's limit of 0.2 angstrom counts a strain once for each atom, so that
    cells of 60 atoms would grow by 0.3 % a step. When the cell has strained by 5 % or an ion has moved by 0.4 angstrom,
    the guess is made anew from there: how a strain pulls at the bonds of molecules that move apart is not what it was
    in the first cell, and the bonds of a tetrahedron that has turned point elsewhere.

    Parameters
    ----------
    atoms
        The atoms, or their :class:`ase.filters.FrechetCellFilter`.
    guess
        Gives the Hessian of the atoms as they are, as :func:`hessian` does, for the degrees of freedom of ``atoms``.
    """

    def __init__(
        self, atoms: Atoms | FrechetCellFilter, *, guess: Callable[[Atoms], NDArray[np.float64]], **settings: Any
    ) -> None:
        self._guess = guess
        super().__init__(atoms, **settings)

    def initialize(self) -> None:
        """Make the guess, also where the optimiser starts anew."""
        super().initialize()
        self.H0 = self._guess(self.atoms.atoms if self._moves_cell else self.atoms)
        self._made_at = self.atoms.get_positions().copy()

    def step(self, gradient: NDArray[np.float64] | None = None) -> None:
        """Take a step; start anew from where it leads if that is far from where the Hessian was made."""
        super().step(gradient)
        if self._has_left():
            if self._moves_cell:
                self.atoms.orig_cell = self.atoms.atoms.cell.array
            self.initialize()

    def _has_left(self) -> bool:
        """Tell whether cell or ions are far from where the Hessian was made."""
        moved = np.linalg.norm(self.atoms.get_positions() - self._made_at, axis=1)
        if not self._moves_cell:
            return bool(moved.max() > _MOVED)
        strained = np.linalg.norm(self.atoms.deform_grad() - np.eye(3), axis=1)
        return bool(moved[:-3].max() > _MOVED or strained.max() > _STRAINED)

    def determine_step(self, dpos: NDArray[np.float64], steplengths: Any) -> NDArray[np.float64]:  # noqa: ARG002
        """Shorten a step that moves an atom or strains the cell too far."""
        lengths = np.linalg.norm(dpos.reshape(-1, 3), axis=1)
        limits = np.full(len(lengths), self.maxstep)
        if self._moves_cell:
            limits[-3:] = _LARGEST_STRAIN * self.atoms.exp_cell_factor
        shortened: NDArray[np.float64] = dpos / max(1.0, (lengths / limits).max())
        return shortened

    @property
    def _moves_cell(self) -> bool:
        return isinstance(self.atoms, FrechetCellFilter)
