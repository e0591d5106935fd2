"""Space groups and the two standard cells: the conventional one for people, the reduced one for reuse."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
import spglib
from numpy.typing import NDArray
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer, SymmetryUndeterminedError

from sodalyte.errors import StructureError

SYMPREC = 0.01
"""Distance, angstrom, within which atoms count as symmetry-equivalent."""

_LAST_SPACE_GROUP = (2, 15, 74, 142, 167, 194, 230)
_CRYSTAL_SYSTEMS = (
    *("triclinic", "monoclinic", "orthorhombic", "tetragonal"),
    *("trigonal", "hexagonal", "cubic"),
)
_GRID = 1_200_000
"""Grid points along a cell edge, divisible by 24 so that special positions (1/8, 1/3 ...) lie on the grid."""

_ROUNDING_OFFSET = 0.5 + 0.117
"""Rounds at an odd place, since halves of coordinates published with six decimals fall on half a grid step."""

_MAX_PASSES = 10


def crystal_system(number: int) -> str:
    """Crystal system, in words, of a space group number (International Tables for Crystallography A)."""
    return _CRYSTAL_SYSTEMS[bisect_left(_LAST_SPACE_GROUP, number)]


def symmetry(structure: Structure, *, symprec: float = SYMPREC) -> SpacegroupAnalyzer:
    """Analyse the symmetry of an ordered structure.

    Raises
    ------
    StructureError
        The structure is disordered, or spglib finds no space group (atoms on top of each other).
    """
    if not structure.is_ordered:
        raise StructureError(
            f"{structure.reduced_formula} is disordered: a calculation needs a cell without partial occupancies"
        )
    try:
        return SpacegroupAnalyzer(structure, symprec=symprec)
    except SymmetryUndeterminedError as error:
        raise StructureError(
            f"no space group can be found for {structure.reduced_formula}; check that no two atoms coincide"
        ) from error


def conventional(structure: Structure, *, symprec: float = SYMPREC) -> Structure:
    """Conventional cell in the standard setting of International Tables A, symmetry made exact.

    Lattice parameters are compared with published ones in this cell. Site properties are dropped.
    """
    return symmetry(structure, symprec=symprec).get_refined_structure()


def reduced(structure: Structure, *, symprec: float = SYMPREC) -> Structure:
    """Canonical primitive cell: equal crystals, however they are set up, give equal numbers to the last bit.

    The Niggli cell of the symmetrised crystal, with the origin on an atom of the rarest species and the
    orientation of the basis chosen so that the sorted coordinates are the smallest. Supercell, orientation, origin,
    site order, site properties and differences below ``symprec`` are forgotten; handedness is kept. Use it to
    recognise a crystal whose energy or relaxed cell is wanted, and compute those from it; a strained cell, or a
    cell for dynamics, must be kept as it is.

    Parameters
    ----------
    structure
        Ordered; only its elements, lattice and positions count.
    symprec
        Symmetry tolerance, angstrom.

    Returns
    -------
    Structure
        Sites sorted by atomic number and coordinates, fractional coordinates in [0, 1). It is the exactly
        symmetric crystal whose lengths agree with the given ones to 1e-6 angstrom, angles to 1e-6 degree and
        fractional coordinates to 1e-6.

    Raises
    ------
    StructureError
        As :func:`symmetry`.

    Notes
    -----
    The Niggli cell is unique for a lattice (Krivy & Gruber, Acta Cryst. A 32, 297 (1976)).
    """
    rounded, symmetrised = _canonical(structure, symprec)
    for _ in range(_MAX_PASSES):
        previous = rounded
        rounded, symmetrised = _canonical(previous, symprec)
        if rounded.as_dict() == previous.as_dict():
            break
    return symmetrised


def _canonical(structure: Structure, symprec: float) -> tuple[Structure, Structure]:
    """Canonical cell, once rounded to the grid (which may break its symmetry by a step), once as symmetrised."""
    niggli = symmetry(structure, symprec=symprec).find_primitive().get_reduced_structure("niggli")
    numbers = np.array(niggli.atomic_numbers)
    fractional = niggli.frac_coords
    settings = (
        (fractional - origin) @ rotation.T
        for rotation in _proper_rotations(niggli.lattice)
        for origin in fractional[numbers == _rarest(numbers)]
    )
    grid, fractional = min(
        (_sorted_on_grid(setting, numbers) for setting in settings), key=lambda pair: tuple(pair[0].ravel())
    )
    species = np.sort(numbers)
    return (
        Structure(_rounded(niggli.lattice, digits=6), species, grid / _GRID),
        Structure(_rounded(niggli.lattice, digits=10), species, np.round(fractional, 10) % 1.0),
    )


def _sorted_on_grid(
    fractional: NDArray[np.float64], numbers: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Grid points nearest to the coordinates and the coordinates, sorted by atomic number and grid point."""
    grid = np.floor(fractional * _GRID + _ROUNDING_OFFSET).astype(np.int64) % _GRID
    order = np.lexsort((*grid.T[::-1], numbers))
    return grid[order], fractional[order]


def _rounded(lattice: Lattice, *, digits: int) -> Lattice:
    return Lattice.from_parameters(*(round(parameter, digits) for parameter in lattice.parameters))


def _proper_rotations(lattice: Lattice) -> NDArray[np.int64]:
    """Rotations (n, 3, 3), on fractional coordinates, that map the lattice onto itself and keep the handedness."""
    one_atom = (lattice.matrix, [[0.0, 0.0, 0.0]], [1])
    rotations: NDArray[np.int64] = spglib.get_symmetry(one_atom, symprec=1e-4)["rotations"]
    proper: NDArray[np.int64] = rotations[np.linalg.det(rotations) > 0]
    return proper


def _rarest(numbers: NDArray[np.int64]) -> int:
    """Atomic number of the element with the fewest sites; the lightest of equals."""
    elements, counts = np.unique(numbers, return_counts=True)
    return int(elements[counts.argmin()])
