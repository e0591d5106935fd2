"""Ionic steps of several attempts and segments, joined into one trajectory whose every seam is verified."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.io.vasp.inputs import Poscar

from sodalyte.errors import CalculationError
from sodalyte.inputs.vasp.run_folder import SAME_PLACE

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pymatgen.core import Structure

    from sodalyte.inputs.vasp.reading import VaspFrames
    from sodalyte.inputs.vasp.run_folder import Attempt

MAX_STRAY = 0.5
"""Root-mean-square deviation of the first displacement from velocity times time step, as part of the displacement.

Forces bend the path by a tenth of it; velocities drawn anew would deviate by the square root of two."""


@dataclass
class Joined:
    """What the attempts of one segment did.

    Attributes
    ----------
    positions
        Unwrapped, angstrom, shape (n_steps, n_atoms, 3).
    energies, kinetic, conserved, temperatures
        eV and K, shape (n_steps,); the conserved energy goes on across attempts.
    cell
        Angstrom, shape (3, 3).
    numbers
        Atomic numbers.
    following
        POSCAR of the configuration after the last step.
    following_positions
        Its positions, unwrapped, angstrom.
    """

    positions: NDArray[np.float64]
    energies: NDArray[np.float64]
    conserved: NDArray[np.float64]
    temperatures: NDArray[np.float64]
    cell: NDArray[np.float64]
    numbers: NDArray[np.int64]
    following: str
    following_positions: NDArray[np.float64]

    @property
    def n_steps(self) -> int:
        """Number of ionic steps."""
        return len(self.positions)


def join_attempts(
    attempts: list[Attempt],
    start: NDArray[np.float64],
    *,
    time_step: float,
    first_step: int,
    conserved: float | None,
) -> Joined | None:
    """Join the steps that count; None when there is none.

    Parameters
    ----------
    attempts
        In order; each started from where the one before it ended.
    start
        Unwrapped positions from which the first one starts, angstrom, shape (n_atoms, 3).
    time_step
        fs.
    first_step
        Number of the configuration ``start``, for errors.
    conserved
        The conserved energy before ``start``, eV; VASP counts that of its thermostat from zero at every start.

    Raises
    ------
    CalculationError
        An attempt does not start where the one before it ended, or with other velocities; or the electrons did not
        converge in a step that counts.
    """
    parts: list[tuple[VaspFrames, NDArray[np.float64], NDArray[np.float64]]] = []
    place, poscar = start, ""
    done = first_step
    for attempt in attempts:
        steps, following = attempt.continuation()
        frames = attempt.frames() if steps else None
        if frames is None:
            continue
        origin = structure_of(attempt.start())
        positions = _from(place, frames, origin, time_step=time_step, step=done)[:steps]
        _check_electrons(frames, steps, done)
        energy = frames.conserved[:steps]
        if conserved is not None:
            energy = energy + (conserved - energy[0])
        conserved = float(energy[-1])
        parts.append((frames, positions, energy))
        done += steps
        poscar = following
        place = nearest_images(structure_of(poscar).frac_coords, positions[-1], frames.cells[-1])
    if not parts:
        return None
    lengths = [len(positions) for _, positions, _ in parts]
    return Joined(
        positions=np.concatenate([positions for _, positions, _ in parts]),
        energies=_joined(parts, "free_energies", lengths),
        conserved=np.concatenate([energy for *_, energy in parts]),
        temperatures=_joined(parts, "temperatures", lengths),
        cell=parts[0][0].cells[0],
        numbers=parts[0][0].header.numbers,
        following=poscar,
        following_positions=place,
    )


def structure_of(poscar: str) -> Structure:
    """Return the structure of a POSCAR, velocities included."""
    return Poscar.from_str(poscar).structure


def nearest_images(
    fractional: NDArray[np.float64], place: NDArray[np.float64], cell: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return Cartesian positions (angstrom) of the images of ``fractional`` that are nearest to ``place``."""
    around = np.linalg.solve(cell.T, place.T).T
    nearest: NDArray[np.float64] = (fractional + np.rint(around - fractional)) @ cell
    return nearest


def _from(
    place: NDArray[np.float64], frames: VaspFrames, origin: Structure, *, time_step: float, step: int
) -> NDArray[np.float64]:
    """Return the unwrapped positions of ``frames``, which start at ``place``, after verifying that they do."""
    first = nearest_images(frames.fractional[0], place, frames.cells[0])
    jump = float(np.linalg.norm(first - place, axis=1).max())
    if jump > SAME_PLACE:
        raise CalculationError(
            f"the dynamics does not go on where it stopped: at step {step} an atom is {jump:.2g} angstrom away from "
            f"where {frames.header.source} should start"
        )
    velocities = np.array(origin.site_properties.get("velocities", np.zeros_like(place)), dtype=float)
    if frames.n_steps > 1 and np.any(velocities):
        moved = frames.positions[1] - frames.positions[0]
        expected = velocities * time_step
        stray = np.sqrt(((moved - expected) ** 2).sum() / (expected**2).sum())
        if stray > MAX_STRAY:
            raise CalculationError(
                f"the dynamics does not go on with the velocities it had at step {step}: the first displacement of "
                f"{frames.header.source} deviates from them by {100 * stray:.0f} %"
            )
    shifted: NDArray[np.float64] = frames.positions + (first - frames.positions[0])
    return shifted


def _check_electrons(frames: VaspFrames, steps: int, done: int) -> None:
    bad = np.flatnonzero(~frames.scf_converged[:steps])
    if len(bad):
        raise CalculationError(
            f"the electrons did not converge in step {done + int(bad[0]) + 1} of the dynamics, so the forces of that "
            f"step mean nothing ({frames.header.source})"
        )


def _joined(
    parts: list[tuple[VaspFrames, NDArray[np.float64], NDArray[np.float64]]], name: str, lengths: list[int]
) -> NDArray[np.float64]:
    return np.concatenate([getattr(frames, name)[:n] for (frames, *_), n in zip(parts, lengths, strict=True)])
