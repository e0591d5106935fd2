"""One calculation: its ionic steps, from the model to the files, with the faults and stops that come between."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING

from sodalyte.launchers.rehearsal import mishaps
from sodalyte.launchers.rehearsal.electronic import Electrons
from sodalyte.launchers.rehearsal.fortran import STAMP
from sodalyte.launchers.rehearsal.outcar import Outcar
from sodalyte.launchers.rehearsal.setup import VERSION
from sodalyte.launchers.rehearsal.steps import Step
from sodalyte.launchers.rehearsal.textfiles import (
    OSZICAR_HEAD,
    iteration_line,
    step_line,
    write_contcar,
    xdatcar_frame,
    xdatcar_head,
)
from sodalyte.launchers.rehearsal.vasprun import Vasprun

if TYPE_CHECKING:
    from sodalyte.launchers.rehearsal.cell import Cell
    from sodalyte.launchers.rehearsal.electronic import Iteration
    from sodalyte.launchers.rehearsal.faults import Script
    from sodalyte.launchers.rehearsal.model import Answer, Model
    from sodalyte.launchers.rehearsal.setup import Setup
    from sodalyte.launchers.rehearsal.steps import Motion
    from sodalyte.launchers.rehearsal.streams import Streams


class Calculation:
    """Runs the steps that a driver asks for.

    Attributes
    ----------
    steps
        Ionic steps done.
    stopped
        Whether a STOPCAR ended it.
    """

    def __init__(self, setup: Setup, model: Model, streams: Streams, script: Script, began: float) -> None:
        self.setup = setup
        self.model = model
        self.electrons = Electrons(setup.incar, setup.cell.n_ions)
        self.steps = 0
        self.stopped = False
        self._streams = streams
        self._script = script
        self._began = began
        self._vasprun = Vasprun(streams.vasprun, setup)
        self._outcar = Outcar(streams.outcar, setup)
        self._energy = 0.0
        self._final = setup.cell

    def begin(self, initial: Cell) -> None:
        """Write the heads of all files; ``initial`` is the POSCAR, with velocities in dynamics."""
        cell, say = self.setup.cell, self._streams.say
        say(f" vasp.{VERSION} REHEARSAL ({self.setup.model}) {STAMP}\n")
        say(f" POSCAR found type information on POSCAR {' '.join(cell.symbols)}\n")
        say(f" POSCAR found : {len(cell.symbols):2d} types and {cell.n_ions:7d} ions\n")
        say(" POSCAR, INCAR and KPOINTS ok, starting setup\n FFT: planning ... GRIDC\n entering main loop\n")
        self._vasprun.header(initial)
        self._outcar.header()
        self._streams.xdatcar.write(xdatcar_head(cell))
        self._streams.flush()

    def step(self, cell: Cell, answer: Answer, *, last: bool, following: Cell, motion: Motion | None = None) -> bool:
        """Write an ionic step.

        Parameters
        ----------
        cell, answer
            What was computed.
        last
            Whether the calculation would end here anyway.
        following
            The configuration that a continuation starts from.

        Returns
        -------
        bool
            Whether the calculation ends here.

        Raises
        ------
        Mishap
            A fault ends the calculation.
        """
        began = time.perf_counter()
        self.steps += 1
        if fault := self._script.due(self.steps, "hang"):
            mishaps.wait(fault)
        iterations, converged, aborted = self._converge(answer.energy)
        self._fail_in_step()
        self._outcar.electrons_end(converged=converged)
        request = aborted or self._streams.stop_request()
        self.stopped = bool(request)
        if self.stopped:
            self._tell(f" {'hard' if request == 'LABORT' else 'soft'} stop encountered!  aborting job ...")
        step = Step(
            self.steps,
            cell,
            following,
            answer,
            iterations,
            converged,
            last or self.stopped,
            motion,
            time.perf_counter() - began,
        )
        self._write(step)
        self._fail_after_step()
        return step.last

    def end(self, *, converged: bool = False) -> None:
        """Write the ends of all files; ``converged`` says that a relaxation reached its aim."""
        if converged:
            self._tell(" reached required accuracy - stopping structural energy minimisation")
        self._vasprun.end(self._final)
        self._outcar.end(time.perf_counter() - self._began)
        self._streams.say(" writing wavefunctions\n")
        self._streams.flush()

    def _converge(self, energy: float) -> tuple[list[Iteration], bool, str]:
        streams, first = self._streams, self.steps == 1
        fails = self._script.lasting(self.steps, "noscf") is not None
        slow = self._script.lasting(self.steps, "walltime")
        self._vasprun.open_step()
        streams.both(OSZICAR_HEAD if not first else OSZICAR_HEAD.rstrip("\n") + f"   {STAMP}\n")
        iterations: list[Iteration] = []
        converged, aborted = False, ""
        work = self.setup.bands * self.setup.sampling.n_points * self.setup.incar.spins
        for iteration in self.electrons.converge(energy, first=first, fails=fails):
            iterations.append(iteration)
            streams.both(iteration_line(iteration, work))
            self._vasprun.iteration(iteration)
            self._outcar.iteration(self.steps, iteration)
            if iteration.number == 1:
                self._interrupt_loop()
                if slow:
                    streams.flush()
                    mishaps.wait(slow, default=2.0)
            converged = iteration.converged
            if streams.asks_to_abort():
                aborted = streams.stop_request()
                break
        if not converged and not aborted:
            streams.say(mishaps.UNCONVERGED)
        return iterations, converged and not aborted, aborted

    def _interrupt_loop(self) -> None:
        """Print the warnings of this step; end at a deadly one."""
        for kind, text in mishaps.WARNINGS.items():
            if self._script.due(self.steps, kind):
                self._streams.say(text.format(electrons=self.setup.electrons, other=self.setup.electrons - 1))
                self._streams.flush()
        for kind, text in mishaps.DEADLY_IN_LOOP.items():
            if self._script.due(self.steps, kind):
                self._streams.say(text)
                raise mishaps.Mishap(1)

    def _fail_in_step(self) -> None:
        """Let the faults happen that leave a step unfinished."""
        streams = self._streams
        if self._script.due(self.steps, "truncate"):
            streams.cut(streams.vasprun)
            self._vasprun = Vasprun(io.StringIO(), self.setup)
        if self._script.due(self.steps, "disk_full"):
            streams.cut(streams.vasprun, streams.outcar, streams.oszicar)
            raise mishaps.disk_full()
        if fault := self._script.due(self.steps, *mishaps.SIGNALS):
            streams.flush()
            raise mishaps.Mishap(-mishaps.SIGNALS[fault.fault])

    def _fail_after_step(self) -> None:
        for kind, text in mishaps.DEADLY_AFTER_STEP.items():
            if self._script.due(self.steps, kind):
                self._streams.say(text)
                raise mishaps.Mishap(1)

    def _write(self, step: Step) -> None:
        streams, incar = self._streams, self.setup.incar
        self._vasprun.close_step(step)
        self._outcar.step(step)
        self._outcar.step_end(step.seconds)
        streams.both(step_line(step, step.answer.energy - self._energy))
        if (step.number - 1) % max(incar.integer("NBLOCK", 1), 1) == 0:
            if incar.freedom == 3 and step.number > 1:
                streams.xdatcar.write(xdatcar_head(step.cell))
            streams.xdatcar.write(xdatcar_frame(step.cell, step.number))
        write_contcar(streams.contcar, step.following, incar.number("POTIM", 0.5))
        self._energy, self._final = step.answer.energy, step.following
        streams.flush()

    def _tell(self, line: str) -> None:
        self._outcar.line(line)
        self._streams.say(line + "\n")
