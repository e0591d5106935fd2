"""Molecular dynamics: velocity Verlet with a Nose-Hoover thermostat, reversible in time, or none.

One step is T(dt/2) V(dt/2) X(dt) V(dt/2) T(dt/2) with the thermostat's operator T of Martyna, Tuckerman, Tobias and
Klein, Mol. Phys. 87, 1117 (1996), 10.1080/00268979600100761, for a chain of one. As VASP does, a calculation ends in
the middle of a step: a CONTCAR holds the next positions with the velocities that lead there, so that a continuation
computes no configuration twice and differs from an uninterrupted run by the digits of its file only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from sodalyte.launchers.rehearsal.cell import Thermostat
from sodalyte.launchers.rehearsal.steps import Motion

if TYPE_CHECKING:
    from sodalyte.launchers.rehearsal.cell import Array, Cell
    from sodalyte.launchers.rehearsal.setup import Setup

BOLTZMANN = 8.617333262e-5
"""eV/K."""

INERTIA = 103.6426966
"""eV fs^2/angstrom^2 per u."""

_AUTOMATIC_PERIOD = 40  # steps, for SMASS = 0
_SEED = 20181


def degrees_of_freedom(n_ions: int) -> int:
    """Return 3N - 3: the centre of mass rests."""
    return max(3 * n_ions - 3, 1)


def nose_mass(setup: Setup) -> float:
    """Return Nose's mass Q, eV fs^2.

    SMASS is Q in units of u times the squared length of the first cell vector; SMASS = 0 chooses the mass whose
    oscillation omega^2 = 2 g k T/Q (S. Nose, J. Chem. Phys. 81, 511 (1984), 10.1063/1.447334) has a period of 40 steps.
    """
    smass = setup.incar.number("SMASS", -3.0)
    if smass > 0:
        return smass * INERTIA * float(setup.cell.lattice[0] @ setup.cell.lattice[0])
    if not setup.incar.has_thermostat:
        return 0.0
    energy = degrees_of_freedom(setup.cell.n_ions) * BOLTZMANN * max(setup.incar.temperatures)
    return 2 * energy * (_AUTOMATIC_PERIOD * setup.incar.number("POTIM", 0.0) / (2 * np.pi)) ** 2


def nose_period(setup: Setup) -> float:
    """Return the period of the thermostat's oscillation, in time steps; infinite without a thermostat."""
    mass = nose_mass(setup)
    if not mass:
        return np.inf
    energy = degrees_of_freedom(setup.cell.n_ions) * BOLTZMANN * max(setup.incar.temperatures)
    return float(2 * np.pi * np.sqrt(mass / (2 * energy)) / setup.incar.number("POTIM", 1.0))


@dataclass
class NoseHoover:
    """The state of a trajectory, and how it goes on.

    Attributes
    ----------
    positions, velocities
        angstrom and angstrom/fs, shape (n, 3).
    masses
        eV fs^2/angstrom^2, shape (n, 1).
    time_step
        fs.
    mass
        Of the thermostat, eV fs^2; 0 for none.
    target
        g k T of the thermostat, eV.
    thermostat
        Its coordinate and rate.
    """

    positions: Array
    velocities: Array
    masses: Array
    time_step: float
    mass: float
    target: float
    thermostat: Thermostat

    def arrive(self, forces: Array) -> None:
        """Do the second half of a step, with the forces at its end."""
        self._kick(forces)
        self._thermalise()

    def depart(self, forces: Array) -> None:
        """Do the first half of a step: to the next positions."""
        self._thermalise()
        self._kick(forces)
        self.positions = self.positions + self.time_step * self.velocities

    @property
    def kinetic(self) -> float:
        """Kinetic energy of the ions, eV."""
        return float((self.masses * self.velocities**2).sum() / 2)

    def motion(self) -> Motion:
        """Return the energies of this instant."""
        freedom = degrees_of_freedom(len(self.positions))
        return Motion(
            self.kinetic,
            self.target * self.thermostat.eta if self.mass else 0.0,
            self.mass * self.thermostat.xi**2 / 2,
            2 * self.kinetic / (freedom * BOLTZMANN),
        )

    def _kick(self, forces: Array) -> None:
        drift = forces.sum(axis=0) / self.masses.sum()  # the centre of mass rests
        self.velocities = self.velocities + self.time_step / 2 * (forces / self.masses - drift)

    def _thermalise(self) -> None:
        if not self.mass:
            return
        half = self.time_step / 2
        xi = self.thermostat.xi + half / 2 * (2 * self.kinetic - self.target) / self.mass
        self.velocities = self.velocities * np.exp(-half * xi)
        eta = self.thermostat.eta + half * xi
        self.thermostat = Thermostat(eta, xi + half / 2 * (2 * self.kinetic - self.target) / self.mass)


def start(setup: Setup) -> tuple[NoseHoover, bool]:
    """Return the dynamics that a POSCAR begins, and whether it continues another."""
    cell, incar = setup.cell, setup.incar
    masses = INERTIA * setup.masses[:, None]
    mass = nose_mass(setup)
    goes_on = cell.velocities is not None
    velocities = cell.velocities if cell.velocities is not None else thermal_velocities(masses, incar.temperatures[0])
    known = cell.thermostat if mass and goes_on else None
    dynamics = NoseHoover(
        cell.positions @ cell.lattice, velocities, masses, incar.number("POTIM", 1.0), mass, 0.0, known or Thermostat()
    )
    return dynamics, goes_on


def target(setup: Setup, number: int) -> float:
    """Return g k T of the thermostat in ionic step ``number``: from TEBEG to TEEND."""
    begin, end = setup.incar.temperatures
    share = (number - 1) / max(setup.incar.steps - 1, 1)
    return degrees_of_freedom(setup.cell.n_ions) * BOLTZMANN * (begin + (end - begin) * share)


def configuration(cell: Cell, dynamics: NoseHoover) -> Cell:
    """Return the current state as a POSCAR would hold it."""
    positions = dynamics.positions @ cell.reciprocal.T
    thermostat = dynamics.thermostat if dynamics.mass else None
    return replace(cell.at(cell.lattice, positions), velocities=dynamics.velocities, thermostat=thermostat)


def thermal_velocities(masses: Array, temperature: float) -> Array:
    """Draw Maxwell-Boltzmann velocities of exactly ``temperature`` (K), without motion of the centre of mass."""
    velocities = np.random.default_rng(_SEED).normal(size=(len(masses), 3)) * np.sqrt(BOLTZMANN * temperature / masses)
    velocities -= (masses * velocities).sum(axis=0) / masses.sum()
    energy = (masses * velocities**2).sum()
    wanted = degrees_of_freedom(len(masses)) * BOLTZMANN * temperature
    scaled: Array = velocities * np.sqrt(wanted / energy) if energy else velocities
    return scaled
