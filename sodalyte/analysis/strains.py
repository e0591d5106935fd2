"""Strained cells: which ones a crystal of given symmetry needs for its elastic tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import spglib
from numpy.typing import ArrayLike, NDArray
from pymatgen.core import Structure
from pymatgen.core.elasticity.strain import Deformation, Strain
from scipy.linalg import sqrtm

from sodalyte.errors import UsageError
from sodalyte.structures.symmetry import symmetry as find_symmetry

VOIGT_COMPONENTS = {"xx": (0, 0), "yy": (1, 1), "zz": (2, 2), "yz": (1, 2), "xz": (0, 2), "xy": (0, 1)}
"""Names and tensor indices of the six components, in Voigt's order."""

MAX_STRAIN = 0.05
"""Beyond this no crystal answers linearly."""

_EQUIVALENCE = 0.05
# Relative difference below which two strains count as symmetry images: far above what a cell that is symmetric only to
# within ``symprec`` gives, far below the difference between inequivalent strains. It decides which cells are
# calculated, never how they are fitted.

_ROUNDING = 1e-9  # of a strain


@dataclass(frozen=True, eq=False)
class StrainedCell:
    """A cell deformed homogeneously from a reference, at unchanged fractional coordinates.

    Attributes
    ----------
    label
        Component and size of the strain, such as ``"e_xx +0.005"`` or ``"e_yz -0.01"``.
    deformation_gradient
        F, shape (3, 3), symmetric, so that the cell is strained without being turned.
    structure
        The deformed cell; its Cartesian frame is the reference's.
    """

    label: str
    deformation_gradient: NDArray[np.float64]
    structure: Structure

    @property
    def strain(self) -> NDArray[np.float64]:
        """Green-Lagrange strain, shape (3, 3), dimensionless."""
        return green_lagrange(self.deformation_gradient)

    @property
    def is_shear(self) -> bool:
        """Whether the strain changes an angle between the Cartesian axes."""
        return bool(np.abs(np.triu(self.strain, 1)).max() > _ROUNDING)


def green_lagrange(deformation_gradient: ArrayLike) -> NDArray[np.float64]:
    """Green-Lagrange strain E = (F^T F - 1) / 2 of deformation gradients, shape (..., 3, 3)."""
    gradient = np.asarray(deformation_gradient, dtype=float)
    return np.asarray((np.swapaxes(gradient, -1, -2) @ gradient - np.eye(3)) / 2)


def point_group_rotations(structure: Structure, *, symprec: float = 0.01) -> NDArray[np.float64]:
    """Proper rotations of the crystal's Laue class in the Cartesian frame of ``structure.lattice.matrix``.

    The rotations are exactly orthogonal however noisy the cell: the integer matrices that spglib finds are turned into
    Cartesian ones with the metric averaged over the group, reached from the given cell by a pure stretch.
    Improper operations are multiplied by the inversion, which leaves strain, stress and elastic tensor alone.

    Parameters
    ----------
    structure
        Ordered crystal; magnetic moments do not lower its symmetry.
    symprec
        Tolerance for finding the space group, angstrom.

    Returns
    -------
    NDArray
        Shape (m, 3, 3), one of each.

    Raises
    ------
    StructureError
        The crystal is disordered, or spglib finds no space group (atoms on top of each other).
    """
    found = find_symmetry(structure, symprec=symprec).get_symmetry_dataset().rotations
    proper = np.unique(found * np.rint(np.linalg.det(found)).astype(int)[:, None, None], axis=0)
    lattice = structure.lattice.matrix
    metric = np.mean(proper.transpose(0, 2, 1) @ (lattice @ lattice.T) @ proper, axis=0)
    to_fractional = np.linalg.inv(lattice)
    columns = sqrtm(to_fractional @ metric @ to_fractional.T) @ lattice.T
    return np.asarray(columns @ proper @ np.linalg.inv(columns))


def strained_cells(structure: Structure, *, strains: Sequence[float], symprec: float = 0.01) -> list[StrainedCell]:
    """Cells for the elastic tensor: six Green-Lagrange strains of each size, one of each symmetry class.

    A normal strain has E_ii = size; a shear has E_ij = E_ji = size (half the engineering shear). Both signs are kept
    unless a rotation of the point group turns one into the other: a cubic crystal needs e_xx with both signs and e_yz
    with one, a tetragonal one of point group -42m e_xx, e_zz, e_yz and e_xy.

    Parameters
    ----------
    structure
        Relaxed reference. Its Cartesian frame is that of strains, stresses and tensor: give the conventional standard
        cell to read the constants as they are tabulated.
    strains
        Sizes, dimensionless; not zero, at most ``MAX_STRAIN``. A fit needs two sizes, each with both signs.
    symprec
        Tolerance for finding the space group, angstrom.

    Returns
    -------
    list of StrainedCell
        By component in Voigt's order, then from small to large, positive before negative.

    Raises
    ------
    UsageError
        There is no size, or one is zero or too large.
    StructureError
        As :func:`point_group_rotations`.
    """
    if not strains or any(not 0 < abs(size) <= MAX_STRAIN for size in strains):
        raise UsageError(f"strains {tuple(strains)}: give sizes that are not zero and at most {MAX_STRAIN}")
    rotations = point_group_rotations(structure, symprec=symprec)
    cells: list[StrainedCell] = []
    images: list[NDArray[np.float64]] = []
    for name, index in VOIGT_COMPONENTS.items():
        for size in sorted(set(strains), key=lambda size: (abs(size), -size)):
            strain = Strain.from_index_amount(index, size)
            if any(np.abs(image - strain).max(axis=(1, 2)).min() < _EQUIVALENCE * abs(size) for image in images):
                continue
            images.append(rotations @ np.asarray(strain) @ rotations.transpose(0, 2, 1))
            gradient = Deformation(strain.get_deformation_matrix(shape="symmetric"))
            cells.append(
                StrainedCell(f"e_{name} {size:+g}", np.asarray(gradient), gradient.apply_to_structure(structure))
            )
    return cells


def has_symmetry(cell: Structure, *, symprec: float) -> bool:
    """Tell whether a cell has any symmetry that its ions could leave, be it only a centring.

    Parameters
    ----------
    symprec
        Tolerance, angstrom, for lengths and angles alike; small enough that a strain is not overlooked.
    """
    found = spglib.get_symmetry((cell.lattice.matrix, cell.frac_coords, cell.atomic_numbers), symprec=symprec)
    return len(found["rotations"]) > 1
