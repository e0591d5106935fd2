"""Electrons that are not there: self-consistency that ends at the model's energy, and the bands of an insulator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sodalyte.launchers.rehearsal.cell import Array
    from sodalyte.launchers.rehearsal.incar import Incar
    from sodalyte.launchers.rehearsal.sampling import Sampling

GAP = 2.0
"""eV, of every rehearsed material: enough to be an insulator in every later decision."""

FERMI = 2.0
"""eV."""

_DECAY = 0.12  # of the energy error per iteration
_FIRST_ERROR, _LATER_ERROR = 50.0, 0.5  # eV per ion
_DAVIDSON_FIRST = 5


@dataclass(frozen=True)
class Iteration:
    """One electronic step: its energy and the change to the one before (eV), and whether it ends because of EDIFF."""

    number: int
    solver: str
    energy: float
    change: float
    converged: bool


class Electrons:
    """The self-consistency loop.

    Attributes
    ----------
    iterations
        Those of all ionic steps so far.
    """

    def __init__(self, incar: Incar, n_ions: int) -> None:
        self._ediff = incar.ediff
        self._limit = max(incar.integer("NELM", 60), 1)
        self._least = incar.integer("NELMIN", 2)
        self._fast = incar.word("ALGO", "normal")[:1] in {"f", "v"}
        self._n_ions = n_ions
        self.iterations = 0

    def converge(self, energy: float, *, first: bool, fails: bool = False) -> Iterator[Iteration]:
        """Yield the iterations of one ionic step, which end at ``energy`` unless NELM comes first or it ``fails``."""
        previous = 0.0
        error = (_FIRST_ERROR if first else _LATER_ERROR) * self._n_ions
        for number in range(1, self._limit + 1):
            error *= _DECAY
            done = error < _DECAY * self._ediff and number >= self._least and not fails
            current = energy if done else energy + (max(error, 10 * self._ediff) * (-1) ** number if fails else error)
            solver = "RMM" if self._fast and number > (_DAVIDSON_FIRST if first else 0) else "DAV"
            self.iterations += 1
            yield Iteration(number, solver, current, current - previous, done)
            if done:
                return
            previous = current


@dataclass(frozen=True)
class Bands:
    """Eigenvalues (eV) of one spin, shape (n_points, n_bands), and occupations of shape (n_bands,)."""

    energies: Array
    occupations: Array

    @classmethod
    def of_insulator(cls, sampling: Sampling, electrons: float, bands: int) -> Bands:
        """Return bands that are flattest at Gamma, where the gap is."""
        occupied = min(round(electrons / 2), bands)
        valence = np.linspace(FERMI - GAP / 2 - 5, FERMI - GAP / 2, occupied)
        conduction = np.linspace(FERMI + GAP / 2, FERMI + GAP / 2 + 5, bands - occupied)
        dispersion = 0.1 * (1 - np.cos(2 * np.pi * sampling.points)).sum(axis=1)[:, None]
        energies = np.hstack([valence - dispersion, conduction + dispersion])
        return cls(energies, (np.arange(bands) < occupied).astype(float))


def density_of_states(electrons: float, spins: int, points: int = 301) -> Array:
    """Return energy (eV), density and integrated density of one spin, shape (points, 3)."""
    energy = np.linspace(FERMI - 8, FERMI + 7, points)
    filled, empty = (energy > FERMI - 7) & (energy <= FERMI - GAP / 2), energy >= FERMI + GAP / 2
    step = energy[1] - energy[0]
    density = np.where(filled, electrons / spins / (filled.sum() * step), np.where(empty, 1.0, 0.0))
    return np.stack([energy, density, np.cumsum(density) * step], axis=1)
