"""Ionic steps of a VASP run, one by one and joined into arrays."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sodalyte.errors import CalculationError

BOLTZMANN = 8.617333262e-5
"""eV/K."""

MAX_STEP = 0.4
"""Largest part of a lattice vector that an atom may move between two frames before its path is ambiguous."""

_BLOCK = 256
_SCALARS = (
    "free_energy",
    "e_0_energy",
    "kinetic",
    "thermostat_potential",
    "thermostat_kinetic",
    "conserved",
    "temperature",
)


@dataclass(frozen=True)
class Header:
    """What a file says before its first ionic step.

    Attributes
    ----------
    source
        The file.
    numbers
        Atomic numbers, shape (n_atoms,).
    time_step
        POTIM, fs.
    steps_asked
        NSW.
    max_electronic_steps
        NELM.
    energy_criterion
        EDIFF, eV.
    degrees_of_freedom
        3N - 3: VASP keeps the centre of mass at rest. With selective dynamics, the coordinates that are free.
    """

    source: str
    numbers: NDArray[np.int64]
    time_step: float
    steps_asked: int
    max_electronic_steps: int
    energy_criterion: float
    degrees_of_freedom: int

    def temperature(self, kinetic: float) -> float:
        """Return the temperature (K) of a kinetic energy (eV): 2 E / (k_B N_f)."""
        return 2 * kinetic / (BOLTZMANN * self.degrees_of_freedom)

    def is_converged(self, electronic_steps: int, *changes: float) -> bool:
        """Tell whether the electronic steps of an ionic step ended because they converged.

        VASP stops at NELM steps, or when the last changes of the energy (eV) are below EDIFF. Steps of a
        machine-learned force field have no electronic steps.
        """
        return electronic_steps < self.max_electronic_steps or self.is_small(*changes)

    def is_small(self, *changes: float) -> bool:
        """Tell whether changes of the energy (eV), written with eight decimals, are below EDIFF."""
        return all(abs(change) < self.energy_criterion + 2e-8 for change in changes)


@dataclass(frozen=True)
class Frame:
    """One ionic step.

    What the file does not hold, and what VASP wrote as ``****``, is NaN (or None for ``stress`` and ``forces``);
    cell and positions are always finite.

    Attributes
    ----------
    step
        Ionic step, from 1.
    cell
        Rows are lattice vectors, angstrom, shape (3, 3).
    fractional
        Positions as written, shape (n_atoms, 3).
    free_energy
        Of electrons and ions, eV; its gradient are the forces.
    e_0_energy
        Extrapolated to zero smearing, eV.
    kinetic
        Of the ions, eV.
    thermostat_potential, thermostat_kinetic
        Of the Nose-Hoover thermostat, eV.
    conserved
        The sum of free, kinetic and thermostat energies, eV.
    temperature
        K.
    stress
        kbar, compressive positive, shape (3, 3).
    forces
        eV/angstrom, shape (n_atoms, 3).
    electronic_steps
        Zero in a step of a machine-learned force field.
    last_change
        Of the free energy between the last two electronic steps, eV.
    scf_converged
        Whether the electronic steps ended before NELM or with a change below EDIFF; false where nothing tells.
    """

    step: int
    cell: NDArray[np.float64]
    fractional: NDArray[np.float64]
    free_energy: float
    e_0_energy: float
    kinetic: float
    thermostat_potential: float
    thermostat_kinetic: float
    conserved: float
    temperature: float
    stress: NDArray[np.float64] | None
    forces: NDArray[np.float64] | None
    electronic_steps: int
    last_change: float
    scf_converged: bool


@dataclass(frozen=True)
class VaspFrames:
    """The ionic steps of a run, joined.

    Attributes
    ----------
    header
        What the file that was read says of the run.
    complete
        Whether VASP finished the file. If not, the steps are those that were written wholly.
    steps
        Ionic steps, from 1, shape (n_steps,).
    cells
        Rows are lattice vectors, angstrom, shape (n_steps, 3, 3).
    fractional
        As written, shape (n_steps, n_atoms, 3).
    positions
        Unwrapped, angstrom, shape (n_steps, n_atoms, 3); the first frame is as written.
    free_energies, e_0_energies, kinetic, thermostat_potential, thermostat_kinetic, conserved, temperatures
        As in :class:`Frame`, shape (n_steps,).
    stress
        kbar, compressive positive, shape (n_steps, 3, 3); NaN where it was not written.
    forces
        eV/angstrom, shape (n_steps, n_atoms, 3), or None if they were not asked for.
    electronic_steps
        Of every ionic step, shape (n_steps,).
    scf_converged
        Shape (n_steps,).
    """

    header: Header
    complete: bool
    steps: NDArray[np.int64]
    cells: NDArray[np.float64]
    fractional: NDArray[np.float64]
    positions: NDArray[np.float64]
    free_energies: NDArray[np.float64]
    e_0_energies: NDArray[np.float64]
    kinetic: NDArray[np.float64]
    thermostat_potential: NDArray[np.float64]
    thermostat_kinetic: NDArray[np.float64]
    conserved: NDArray[np.float64]
    temperatures: NDArray[np.float64]
    stress: NDArray[np.float64]
    forces: NDArray[np.float64] | None
    electronic_steps: NDArray[np.int64]
    scf_converged: NDArray[np.bool_]

    @property
    def n_steps(self) -> int:
        """Number of ionic steps."""
        return len(self.steps)


class _Growing:
    """An array whose length is not known beforehand; joining it never holds its content twice."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self._blocks: list[NDArray[np.float64]] = []
        self._length = 0

    def append(self, item: NDArray[np.float64] | float) -> None:
        place = self._length % _BLOCK
        if place == 0:
            self._blocks.append(np.empty((_BLOCK, *self._shape)))
        self._blocks[-1][place] = item
        self._length += 1

    def joined(self) -> NDArray[np.float64]:
        whole = np.empty((self._length, *self._shape))
        for start in range(0, self._length, _BLOCK):
            part = whole[start : start + _BLOCK]
            part[:] = self._blocks.pop(0)[: len(part)]
        return whole


def join(header: Header, frames: Iterable[Frame], *, forces: bool) -> VaspFrames:
    """Join frames into arrays, unwrapped; ``complete`` is for the caller to set.

    Raises
    ------
    CalculationError
        There is no frame, or an atom moves so far between two of them that its path is ambiguous.
    """
    n_atoms = len(header.numbers)
    names = ("steps", "cells", "fractional", "stress", "forces", "electronic_steps", "scf_converged", *_SCALARS)
    shapes = {"cells": (3, 3), "stress": (3, 3), "fractional": (n_atoms, 3), "forces": (n_atoms, 3)}
    columns = {name: _Growing(shapes.get(name, ())) for name in names}
    frame = None
    for frame in frames:
        columns["steps"].append(frame.step)
        columns["cells"].append(frame.cell)
        columns["fractional"].append(frame.fractional)
        columns["stress"].append(np.nan if frame.stress is None else frame.stress)
        if forces:
            columns["forces"].append(np.nan if frame.forces is None else frame.forces)
        columns["electronic_steps"].append(frame.electronic_steps)
        columns["scf_converged"].append(frame.scf_converged)
        for name in _SCALARS:
            columns[name].append(getattr(frame, name))
    if frame is None:
        raise CalculationError(f"{header.source} holds no complete ionic step")
    arrays = {name: column.joined() for name, column in columns.items()}
    converged = arrays["scf_converged"].astype(bool)
    # Asked to stop at once (LABORT), VASP gives up the electronic steps of its last ionic step before NELM.
    converged[-1] &= frame.electronic_steps == 0 or header.is_small(frame.last_change)
    return VaspFrames(
        header=header,
        complete=False,
        steps=arrays["steps"].astype(np.int64),
        cells=arrays["cells"],
        fractional=arrays["fractional"],
        positions=unwrapped(arrays["fractional"], arrays["cells"], source=header.source),
        free_energies=arrays["free_energy"],
        e_0_energies=arrays["e_0_energy"],
        kinetic=arrays["kinetic"],
        thermostat_potential=arrays["thermostat_potential"],
        thermostat_kinetic=arrays["thermostat_kinetic"],
        conserved=arrays["conserved"],
        temperatures=arrays["temperature"],
        stress=arrays["stress"],
        forces=arrays["forces"] if forces else None,
        electronic_steps=arrays["electronic_steps"].astype(np.int64),
        scf_converged=converged,
    )


def unwrapped(
    fractional: NDArray[np.float64], cells: NDArray[np.float64], *, source: str = "the trajectory"
) -> NDArray[np.float64]:
    """Return Cartesian positions in which no atom jumps back when it crosses a face of the cell.

    Parameters
    ----------
    fractional
        Shape (n_steps, n_atoms, 3).
    cells
        Angstrom, shape (n_steps, 3, 3).
    source
        For the error.

    Raises
    ------
    CalculationError
        An atom moves by more than ``MAX_STEP`` of a lattice vector between two frames, after the nearest image was
        taken: whether it went forwards or backwards cannot be told.
    """
    positions = np.empty_like(fractional)
    images = np.zeros(fractional.shape[1:])
    for start in range(0, len(fractional), _BLOCK):
        block = fractional[start : start + _BLOCK]
        before = np.concatenate([fractional[max(start - 1, 0)][None], block[:-1]])
        moves = block - before
        jumps = np.rint(moves)
        moves -= jumps
        if (np.abs(moves) > MAX_STEP).any():
            frame, atom, _ = np.argwhere(np.abs(moves) > MAX_STEP)[0]
            raise CalculationError(
                f"{source}: atom {atom + 1} moves by {np.abs(moves[frame, atom]).max():.2f} of a lattice vector before "
                f"frame {start + frame + 1}, so its way across the cell's faces is ambiguous; write frames more often"
            )
        offsets = images - np.cumsum(jumps, axis=0)
        images = offsets[-1]
        np.matmul(block + offsets, cells[start : start + _BLOCK], out=positions[start : start + _BLOCK])
    return positions
