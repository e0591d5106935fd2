"""One segment of dynamics with VASP, sized by the time left, resumable at any step."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase import units
from atomate2.vasp.jobs.base import BaseVaspMaker
from jobflow import CURRENT_JOB, job
from pymatgen.core import Structure
from pymatgen.io.vasp.inputs import Incar, VaspInput

from sodalyte.database.trajectories import TRAJECTORY_ROOT, Segment, write_segment
from sodalyte.errors import CalculationError, StoppedError
from sodalyte.inputs.dynamics import SegmentDoc, State
from sodalyte.inputs.vasp.level import ORIGINAL, check_level
from sodalyte.inputs.vasp.origin import check_origin
from sodalyte.inputs.vasp.relaxation import as_asked, compress, write_inputs
from sodalyte.inputs.vasp.run_folder import RunFolder
from sodalyte.inputs.vasp.segments import Joined, join_attempts, structure_of
from sodalyte.inputs.vasp.sets import SulfideSet, masses, nose_mass
from sodalyte.inputs.vasp.supervision import Run, Watch, supervise
from sodalyte.interruption import time_left

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sodalyte.inputs.vasp.engine import Vasp

MAX_STEPS = 2000
"""Steps of one segment, at most: what is read, stored and lost together."""

_MEMORY = 500e6
_BYTES_PER_ATOM = 8 * 3 * 4  # positions as written, unwrapped, joined, and one copy
_ENOUGH = 10


@dataclass
class VaspDynamicsMaker(BaseVaspMaker):  # type: ignore[misc]
    """NVT dynamics with VASP's Nose-Hoover thermostat (MDALGO = 2).

    Velocities of the first segment are drawn here, from the Maxwell-Boltzmann distribution, the centre of mass at rest.
    VASP's first step computes the configuration it starts from, and its CONTCAR is the one after the last: a segment
    from step n holds the frames n, n+1, ... and ends with the state from which the next one goes on. That CONTCAR is
    the next POSCAR to the letter, with all that VASP writes into it.

    Attributes
    ----------
    engine
        Which VASP, and the level of theory.
    temperature, steps, time_step, thermostat_time, sample_interval, seed, revision
        As those of :class:`sodalyte.inputs.dynamics.NoseHooverMaker`; there are fewer steps also where memory is short.
    """

    engine: Vasp | None = None
    input_set_generator: SulfideSet = field(default_factory=SulfideSet)
    temperature: float = 300.0
    steps: int = MAX_STEPS
    time_step: float = 2.0
    thermostat_time: float = 100.0
    sample_interval: int = 5
    seed: int = 1
    revision: int = 1
    name: str = "dynamics"

    def inputs(self, structure: Structure, *, potcar_spec: bool = False) -> VaspInput:
        """Return what VASP will read in the first segment; see :meth:`VaspRelaxMaker.inputs`."""
        cell = structure.get_sorted_structure()
        smass = nose_mass(cell, temperature=self.temperature, thermostat_time=self.thermostat_time)
        velocities = draw_velocities(cell, self.temperature, self.seed).tolist()
        drawn = cell.copy(site_properties={"velocities": velocities})
        return as_asked(
            self.input_set_generator, drawn, potcar_spec=potcar_spec, NSW=_steps_at_once(self.steps, cell), SMASS=smass
        )

    @job(output_schema=SegmentDoc)
    def make(self, structure: Structure, previous: SegmentDoc | None = None) -> SegmentDoc:
        """Run one segment.

        Parameters
        ----------
        structure
            The model cell; only its cell, species and net charge matter when ``previous`` is given.
        previous
            The segment to continue.

        Raises
        ------
        CalculationError
            VASP gave no usable answer; the cause is named. Steps that it did are kept in the run folder, from which the
            job goes on when it is started again.
        StoppedError
            There was no time for a single step.
        EngineError
            A potential is missing or wrong.
        """
        return _Segment(self, structure, previous).run()


class _Segment:
    def __init__(self, maker: VaspDynamicsMaker, structure: Structure, previous: SegmentDoc | None) -> None:
        if maker.engine is None:
            raise ValueError("the Maker needs an engine")
        self._maker, self._engine = maker, maker.engine
        self._structure = structure
        self._previous = previous
        self._folder = RunFolder(Path.cwd())
        self._first = previous.state.step if previous else 0
        self._wanted = _steps_at_once(maker.steps, structure)
        self._continuations: dict[int, tuple[int, str]] = {}
        self._pace = previous.step_seconds if previous else None
        self._supervised = Run(
            self._folder,
            prepare=self._prepare,
            dynamics=True,
            watch=Watch.from_environment(rehearsal=bool(self._engine.rehearsal)),
            environment={"SODALYTE_REHEARSAL_MODEL": self._engine.rehearsal} if self._engine.rehearsal else {},
        )

    def run(self) -> SegmentDoc:
        maker = self._maker
        self._folder.unpack()
        inputs = maker.inputs(self._structure)
        write_inputs(self._folder, inputs)
        drawn = str(inputs.poscar.get_str(significant_figures=16))
        self._start = self._previous.state.restart if self._previous else drawn
        for name in ("POSCAR", f"POSCAR{ORIGINAL}"):
            (self._folder.path / name).write_text(self._start)
        problem = self._supervise()
        self._folder.archive()
        joined = self._join()
        if problem and (joined is None or joined.n_steps < min(_ENOUGH, self._wanted)):
            raise problem
        if joined is None:
            raise StoppedError(f"no time was left for dynamics at {maker.temperature:g} K from step {self._first} on")
        for attempt in self._folder.attempts():
            check_level(self._folder.path, attempt.folder)
            if attempt.frames() is not None:
                check_origin(attempt.folder, self._folder.path / "POTCAR", rehearsal=bool(self._engine.rehearsal))
        document = self._document(joined)
        compress(self._folder)
        return document

    def _supervise(self) -> CalculationError | None:
        """Run VASP until all steps are done, or until it cannot go on for a reason that is returned."""
        try:
            while self._done() < self._wanted:
                before = self._done()
                supervise(self._supervised)
                self._pace = self._supervised.step_seconds() or self._pace
                self._folder.archive()
                if self._supervised.stop_asked or self._done() == before:
                    break
        except CalculationError as error:
            return error
        return None

    def _prepare(self) -> int:
        """Write from where VASP starts, and for how many steps."""
        self._folder.archive()
        done = self._done()
        attempts = self._folder.attempts()
        (self._folder.path / "POSCAR").write_text(self._continuation(len(attempts) - 1)[1] if attempts else self._start)
        incar = Incar.from_file(self._folder.path / "INCAR")
        incar["NSW"] = steps_in_time(self._wanted - done, self._pace, time_left() - self._supervised.watch.margin)
        incar.write_file(self._folder.path / "INCAR")
        return self._first + done

    def _done(self) -> int:
        """Return how many steps count."""
        return sum(self._continuation(index)[0] for index in range(len(self._folder.attempts())))

    def _continuation(self, index: int) -> tuple[int, str]:
        if index not in self._continuations:
            self._continuations[index] = self._folder.attempts()[index].continuation()
        return self._continuations[index]

    def _join(self) -> Joined | None:
        start = self._previous.state.positions if self._previous else structure_of(self._start).cart_coords
        return join_attempts(
            self._folder.attempts(),
            np.array(start),
            time_step=self._maker.time_step,
            first_step=self._first,
            conserved=self._previous.state.conserved if self._previous else None,
        )

    def _document(self, joined: Joined) -> SegmentDoc:
        maker, last = self._maker, self._first + joined.n_steps
        steps = np.arange(self._first, last)
        kept = steps % maker.sample_interval == 0
        uuid = CURRENT_JOB.job.uuid
        segment: Segment = write_segment(
            Path(os.environ.get(TRAJECTORY_ROOT, ".")),
            f"{uuid[:2]}/{uuid}.h5",
            numbers=joined.numbers,
            cell=joined.cell,
            positions=joined.positions[kept].astype(np.float32),
            steps=steps[kept],
            energies=joined.energies[kept],
            temperatures=joined.temperatures[kept],
            conserved=joined.conserved[kept],
            time_step=maker.time_step,
            sample_interval=maker.sample_interval,
            first_step=self._first,
            last_step=last,
            attributes={"level": self._engine.level, "thermostat_temperature": maker.temperature},
        )
        return SegmentDoc(
            segment=segment,
            state=State(
                step=last,
                positions=joined.following_positions.tolist(),
                momenta=_momenta(structure_of(joined.following)).tolist(),
                thermostat=[],
                restart=joined.following,
                conserved=float(joined.conserved[-1]),
            ),
            level=self._engine.level,
            temperature=maker.temperature,
            step_seconds=self._pace,
        )


def _steps_at_once(steps: int, structure: Structure) -> int:
    """Return how many of ``steps`` one segment takes, so that its frames fit into memory."""
    return min(steps, MAX_STEPS, max(1, int(_MEMORY / (_BYTES_PER_ATOM * len(structure)))))


def steps_in_time(steps: int, pace: float | None, seconds: float) -> int:
    """Return how many of ``steps`` fit into the time, at least one.

    Parameters
    ----------
    pace
        Seconds that a step takes, if that is known.
    seconds
        The time left; infinite without a limit.
    """
    if not pace or math.isinf(seconds):
        return steps
    return max(1, min(steps, int(seconds / pace)))


def draw_velocities(structure: Structure, temperature: float, seed: int) -> NDArray[np.float64]:
    """Return velocities, angstrom/fs, of a temperature (K), the centre of mass at rest; shape (n_atoms, 3)."""
    mass = np.array(masses(structure))[:, None]
    velocities = np.random.default_rng(seed).normal(size=(len(structure), 3)) * np.sqrt(units.kB * temperature / mass)
    velocities -= (mass * velocities).sum(axis=0) / mass.sum()
    present = (mass * velocities**2).sum() / (3 * (len(structure) - 1) * units.kB)
    scaled: NDArray[np.float64] = velocities * np.sqrt(temperature / present) * units.fs
    return scaled


def _momenta(structure: Structure) -> NDArray[np.float64]:
    """Return momenta in ASE units from velocities in angstrom/fs."""
    momenta: NDArray[np.float64] = (
        np.array(structure.site_properties["velocities"], dtype=float) / units.fs * np.array(masses(structure))[:, None]
    )
    return momenta
