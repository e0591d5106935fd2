"""k-points after symmetry, bands and plane waves: what decides the cost of the real calculation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sodalyte.launchers.rehearsal.incar import InputError

if TYPE_CHECKING:
    from sodalyte.launchers.rehearsal.cell import Array, Cell
    from sodalyte.launchers.rehearsal.incar import Incar

_HBAR2_2M = 3.80998212  # eV angstrom^2


@dataclass(frozen=True)
class Sampling:
    """The k-points of a calculation.

    Attributes
    ----------
    style
        As vasprun.xml names it, or "" for a list.
    mesh, shift
        Of a regular mesh; ``shift`` in units of the mesh.
    points
        Fractional, shape (n, 3).
    weights
        They sum to 1.
    """

    style: str
    mesh: tuple[int, int, int]
    shift: tuple[float, float, float]
    points: Array
    weights: Array

    @property
    def n_points(self) -> int:
        """Number of k-points."""
        return len(self.points)


def read_sampling(text: str | None, cell: Cell, incar: Incar) -> Sampling:
    """Return the k-points that a KPOINTS file, or KSPACING where there is none, asks for.

    Raises
    ------
    InputError
        The file cannot be read, or is a path through the zone.
    """
    try:
        if text is None:
            return _from_spacing(cell, incar)
        return _parse_kpoints(text.splitlines(), cell, incar)
    except (IndexError, ValueError) as error:
        raise InputError(f" ERROR: the KPOINTS file cannot be read ({error})\n") from error


def _from_spacing(cell: Cell, incar: Incar) -> Sampling:
    reciprocal = np.linalg.norm(2 * np.pi * np.linalg.inv(cell.lattice).T, axis=1)
    mesh = np.maximum(1, np.ceil(reciprocal / incar.number("KSPACING", 0.5))).astype(int)
    gamma = incar.flag("KGAMMA", default=True)
    return _regular("Gamma" if gamma else "Monkhorst-Pack", mesh, np.zeros(3), cell, incar)


def _parse_kpoints(lines: list[str], cell: Cell, incar: Incar) -> Sampling:
    count, style = int(lines[1].split()[0]), lines[2].strip().lower()
    if count == 0 and style[0] == "a":
        reciprocal = np.linalg.norm(np.linalg.inv(cell.lattice).T, axis=1)
        mesh = np.maximum(1, np.floor(float(lines[3].split()[0]) * reciprocal + 0.5)).astype(int)
        return _regular("Gamma", mesh, np.zeros(3), cell, incar)
    if count == 0 and style[0] in "gm":
        mesh = np.array([int(word) for word in lines[3].split()[:3]])
        shift = (
            np.array([float(word) for word in lines[4].split()[:3]]) if lines[4:] and lines[4].strip() else np.zeros(3)
        )
        return _regular("Gamma" if style[0] == "g" else "Monkhorst-Pack", mesh, shift, cell, incar)
    if count == 0 or style[0] == "l":
        raise InputError(" The rehearsal of VASP cannot honour this kind of KPOINTS file; use a mesh or a list.\n")
    rows = np.array([[float(word) for word in line.split()[:4]] for line in lines[3 : 3 + count]])
    points = rows[:, :3] if style[0] not in "ck" else rows[:, :3] @ cell.lattice.T
    return Sampling("", (0, 0, 0), (0.0, 0.0, 0.0), points, rows[:, 3] / rows[:, 3].sum())


def _regular(style: str, mesh: Array, usershift: Array, cell: Cell, incar: Incar) -> Sampling:
    shift = usershift + (0.5 * (mesh % 2 == 0) if style != "Gamma" else 0.0)
    doubled = np.round(2 * shift).astype(int) % 2
    if not np.allclose(2 * shift, np.round(2 * shift)):
        raise InputError(" The rehearsal of VASP cannot honour shifts of the mesh other than 0 and 1/2.\n")
    rotations = _rotations(cell, incar)
    points, weights = _irreducible(mesh, doubled, rotations) if incar.symmetry >= 0 else _all_points(mesh, doubled)
    if incar.integer("ISMEAR", 1) <= -4 and len(points) < 4 and int(np.prod(mesh)) < 4:
        raise InputError(
            " VERY BAD NEWS! internal error in subroutine IBZKPT:\n"
            f" Tetrahedron method fails for NKPT<4. NKPT = {len(points)}\n"
        )
    x, y, z = (int(n) for n in mesh)
    return Sampling(style, (x, y, z), (shift[0], shift[1], shift[2]), points, weights)


def _rotations(cell: Cell, incar: Incar) -> Array | None:
    """Return the point group in reciprocal space; dynamics has velocities and hence no symmetry."""
    if incar.symmetry <= 0 or incar.is_dynamics:
        return None
    from sodalyte.launchers.rehearsal.symmetry import Symmetry

    return Symmetry.find(cell, incar.number("SYMPREC", 1e-5)).rotations


def _all_points(mesh: Array, doubled: Array) -> tuple[Array, Array]:
    grid = np.array(list(np.ndindex(*mesh[::-1])))[:, ::-1]
    points = _centred((grid + doubled / 2) / mesh)
    return points, np.full(len(points), 1 / len(points))


def _irreducible(mesh: Array, doubled: Array, rotations: Array | None) -> tuple[Array, Array]:
    """Reduce a mesh by time reversal and ``rotations``; the first of each star, the first index running fastest."""
    points, weights = _all_points(mesh, doubled)
    operations = np.eye(3)[None] if rotations is None else rotations
    operations = np.concatenate([operations, -operations])
    first = np.arange(len(points))
    strides = np.array([1, mesh[0], mesh[0] * mesh[1]])
    for operation in operations:
        images = points @ operation * mesh - doubled / 2
        on_mesh = np.abs(images - np.round(images)).max(axis=1) < 1e-6
        index = (np.round(images).astype(int) % mesh) @ strides
        np.minimum.at(first, np.flatnonzero(on_mesh), index[on_mesh])
    stars, counts = np.unique(first, return_counts=True)
    return points[stars], counts * weights[0]


def _centred(points: Array) -> Array:
    return points - np.ceil(points - 0.5 - 1e-9)


def default_bands(electrons: float, n_ions: int, moment: float = 0.0) -> int:
    """Return VASP's default for NBANDS; ``moment`` is the sum of MAGMOM where ISPIN = 2."""
    spin = (int(abs(moment)) + 1) // 2
    return int(max((electrons + 2) // 2 + max(n_ions // 2, 3) + spin, np.ceil(0.6 * electrons)))


def plane_waves(volume: float, encut: float) -> int:
    """Return the mean number of plane waves per k-point: the volume of a sphere in reciprocal space."""
    return int(volume * (encut / _HBAR2_2M) ** 1.5 / (6 * np.pi**2))


def fft_grid(lattice: Array, encut: float, *, accurate: bool) -> tuple[list[int], list[int]]:
    """Return the coarse and the fine FFT grid."""
    lengths = np.linalg.norm(lattice, axis=1)
    needed = np.sqrt(encut / _HBAR2_2M) * lengths / np.pi * (2.0 if accurate else 1.5)
    coarse = [_smooth(int(number + 0.5)) for number in needed]
    return coarse, [2 * number for number in coarse]


def _smooth(number: int) -> int:
    """Return the next even number whose prime factors an FFT likes: 2, 3, 5 and 7."""
    number += number % 2
    while not _is_smooth(number):
        number += 2
    return number


def _is_smooth(number: int) -> bool:
    for factor in (2, 3, 5, 7):
        while number % factor == 0:
            number //= factor
    return number == 1
