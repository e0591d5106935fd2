"""One segment of canonical molecular dynamics with any ASE potential, exactly resumable."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms, units
from ase.md.nose_hoover_chain import NoseHooverChainNVT, NoseHooverChainThermostat
from ase.md.velocitydistribution import Stationary, thermalize_momenta
from jobflow import CURRENT_JOB, Maker, job
from pydantic import BaseModel, ConfigDict
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from sodalyte.database.trajectories import TRAJECTORY_ROOT, Segment, write_segment
from sodalyte.errors import CalculationError, StoppedError
from sodalyte.interruption import stop_requested, time_left

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sodalyte.inputs.potential import Potential

_MARGIN = 20.0
"""Seconds before the deadline at which a segment ends with the steps it has: enough to write and store them."""


class State(BaseModel):
    """Everything that the next step depends on, to the last bit.

    ``positions`` (angstrom, never wrapped) and ``momenta`` (ASE units) have shape (n_atoms, 3); ``thermostat`` holds
    the chain's coordinates and momenta, each of shape (chain_length,). An engine that continues from a file of its own
    keeps the text of that file in ``restart``, and in ``conserved`` (eV) where the conserved energy goes on.
    """

    model_config = ConfigDict(frozen=True)

    step: int
    positions: list[list[float]]
    momenta: list[list[float]]
    thermostat: list[list[float]]
    restart: str = ""
    conserved: float | None = None


class SegmentDoc(BaseModel):
    """What a segment of dynamics leaves behind: its frames' file, and the state from which the next one continues.

    Attributes
    ----------
    segment
        The index record of the frames.
    state
        After the last step.
    level
        Level of theory.
    temperature
        Of the thermostat, K.
    step_seconds
        Wall time of a step, where it was measured.
    """

    model_config = ConfigDict(frozen=True)

    segment: Segment
    state: State
    level: str
    temperature: float
    step_seconds: float | None = None


@dataclass
class NoseHooverMaker(Maker):  # type: ignore[misc]
    """NVT dynamics with a Nose-Hoover chain (Martyna, Klein and Tuckerman, 10.1063/1.463940).

    Velocities start from the Maxwell-Boltzmann distribution; the centre of mass rests; the thermostat
    acts on the 3N - 3 remaining degrees of freedom.

    Attributes
    ----------
    potential
        Gives the ASE calculator and the level of theory.
    temperature
        K.
    steps
        Steps of this segment, fewer when a stop is requested or time runs out.
    time_step, thermostat_time
        fs.
    sample_interval
        Steps between stored frames.
    seed
        Of the initial velocities.
    revision
        To be raised with every change of this class that changes trajectories: it is part of a job's identity.
    """

    potential: Potential
    temperature: float
    steps: int
    time_step: float
    thermostat_time: float
    chain_length: int
    sample_interval: int
    seed: int
    revision: int = 1
    name: str = "dynamics"

    @job(output_schema=SegmentDoc)
    def make(self, structure: Structure, previous: SegmentDoc | None = None) -> SegmentDoc:
        """Run one segment.

        Parameters
        ----------
        structure
            The model cell; only its cell and species matter when ``previous`` is given.
        previous
            The segment to continue.

        Raises
        ------
        CalculationError
            The atoms flew apart.
        StoppedError
            There was no time for a single step.
        """
        atoms = AseAtomsAdaptor.get_atoms(structure, msonable=False)
        atoms.calc = self.potential.load(atoms.copy())
        state = previous.state if previous else None
        first = state.step if state else 0
        if state:
            atoms.set_positions(state.positions)
            atoms.set_momenta(state.momenta)
        else:
            self._draw_velocities(atoms)
        motion = self._integrator(atoms, state)
        frames: list[_Frame] = [] if state else [_Frame.of(atoms, motion, 0)]
        last = first
        for step in range(first + 1, first + self.steps + 1):
            if stop_requested() or time_left() < _MARGIN:
                break
            motion.step()
            last = step
            if step % self.sample_interval == 0:
                frames.append(_Frame.of(atoms, motion, step))
        if last == first:
            raise StoppedError(f"no time is left for dynamics at {self.temperature:g} K from step {first} on")
        if not np.isfinite(atoms.get_positions()).all():
            raise CalculationError(f"dynamics at {self.temperature:g} K blew up between steps {first} and {last}")
        return SegmentDoc(
            segment=self._write(atoms, frames, first, last),
            state=State(
                step=last,
                positions=atoms.get_positions().tolist(),
                momenta=atoms.get_momenta().tolist(),
                thermostat=[motion._thermostat._eta.tolist(), motion._thermostat._p_eta.tolist()],
            ),
            level=self.potential.level,
            temperature=self.temperature,
        )

    def _draw_velocities(self, atoms: Atoms) -> None:
        thermalize_momenta(atoms, temperature_K=self.temperature, rng=np.random.default_rng(self.seed))
        Stationary(atoms)
        atoms.set_momenta(atoms.get_momenta() * np.sqrt(self.temperature / kinetic_temperature(atoms)))

    def _integrator(self, atoms: Atoms, state: State | None) -> NoseHooverChainNVT:
        settings = {
            "temperature_K": self.temperature,
            "tdamp": self.thermostat_time * units.fs,
            "tchain": self.chain_length,
        }
        motion = NoseHooverChainNVT(atoms, timestep=self.time_step * units.fs, **settings)
        # ASE counts 3N degrees of freedom; with the centre of mass at rest they are 3(N - 1).
        thermostat = NoseHooverChainThermostat(num_atoms_global=len(atoms) - 1, masses=motion.masses, **settings)
        if state:
            thermostat._eta[:], thermostat._p_eta[:] = state.thermostat
        motion._thermostat = thermostat
        return motion

    def _write(self, atoms: Atoms, frames: list[_Frame], first: int, last: int) -> Segment:
        root = Path(os.environ.get(TRAJECTORY_ROOT, "."))
        uuid = CURRENT_JOB.job.uuid
        return write_segment(
            root,
            f"{uuid[:2]}/{uuid}.h5",
            numbers=atoms.get_atomic_numbers(),
            cell=atoms.cell.array,
            positions=np.array([frame.positions for frame in frames], dtype=np.float32).reshape(-1, len(atoms), 3),
            steps=np.array([frame.step for frame in frames]),
            energies=np.array([frame.potential_energy for frame in frames]),
            temperatures=np.array([frame.temperature for frame in frames]),
            conserved=np.array([frame.conserved_energy for frame in frames]),
            time_step=self.time_step,
            sample_interval=self.sample_interval,
            first_step=first,
            last_step=last,
            attributes={"level": self.potential.level, "thermostat_temperature": self.temperature},
        )


@dataclass(frozen=True)
class _Frame:
    step: int
    positions: NDArray[np.float64]
    potential_energy: float
    temperature: float
    conserved_energy: float

    @classmethod
    def of(cls, atoms: Atoms, motion: NoseHooverChainNVT, step: int) -> _Frame:
        potential_energy = float(atoms.get_potential_energy())
        thermostat_energy = motion._thermostat.get_thermostat_energy()
        return cls(
            step=step,
            positions=atoms.get_positions(),
            potential_energy=potential_energy,
            temperature=kinetic_temperature(atoms),
            conserved_energy=potential_energy + float(atoms.get_kinetic_energy()) + thermostat_energy,
        )


def kinetic_temperature(atoms: Atoms) -> float:
    """Return the temperature (K) of the motion relative to the centre of mass, which has 3N - 3 degrees of freedom."""
    return float(2 * atoms.get_kinetic_energy() / (3 * (len(atoms) - 1) * units.kB))
