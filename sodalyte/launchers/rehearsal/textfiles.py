"""CONTCAR, XDATCAR and the lines of OSZICAR and the standard output."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sodalyte.launchers.rehearsal.fortran import STAMP, scientific, table, vector

if TYPE_CHECKING:
    from sodalyte.launchers.rehearsal.cell import Array, Cell, Thermostat
    from sodalyte.launchers.rehearsal.electronic import Iteration
    from sodalyte.launchers.rehearsal.steps import Step

OSZICAR_HEAD = "       N       E                     dE             d eps       ncg     rms          rms(c)\n"


def iteration_line(iteration: Iteration, work: int) -> str:
    """Return the line of an electronic step; ``work`` is the number of orbitals treated."""
    change = iteration.change
    return (
        f"{iteration.solver}: {iteration.number:3d}  {scientific(iteration.energy, 20, 12)} {scientific(change, 14, 5)}"
        f" {scientific(-abs(change) / 2, 14, 5)} {work:6d}  {scientific(abs(change) / 10, 10, 3)}\n"
    )


def step_line(step: Step, change: float) -> str:
    """Return the line of an ionic step; ``change`` is that of the energy (eV)."""
    energy, motion = scientific(step.answer.energy, 14, 8), step.motion
    if motion is None:
        return f"{step.number:4d} F= {energy} E0= {energy}  d E ={scientific(change, 12, 6)}\n"
    return (
        f"{step.number:7d} T= {motion.temperature:5.0f}. E= {scientific(step.total, 14, 8)} F= {energy} E0= {energy} "
        f" EK= {scientific(motion.kinetic, 11, 5)} SP= {scientific(motion.thermostat_potential, 8, 2)}"
        f" SK= {scientific(motion.thermostat_kinetic, 8, 2)}\n"
    )


def xdatcar_head(cell: Cell) -> str:
    """Return the head of an XDATCAR."""
    return (
        f"{stamped(cell.comment)}\n           1\n{table(cell.lattice, '%12.6f', before=' ')}"
        f"{_kinds(cell)}\n{vector(cell.counts, '%4d')}\n"
    )


def xdatcar_frame(cell: Cell, number: int) -> str:
    """Return a configuration of an XDATCAR."""
    return f"Direct configuration={number:6d}\n{table(cell.positions % 1.0, '%12.8f', before=' ')}"


def stamped(comment: str) -> str:
    """Return a comment that says what the file is not."""
    return comment if STAMP in comment else f"{comment} {STAMP}".strip()


def write_contcar(path: Path, cell: Cell, time_step: float) -> None:
    """Replace a CONTCAR in one instant, so that it is whole at any time.

    Behind the positions come the velocities and, in dynamics with a thermostat, the block in which VASP keeps its
    predictor and the thermostat: 1, POTIM, four numbers of Nose's (s, its change per step, two that are 0 here), and
    three vectors per ion.
    """
    text = f"{stamped(cell.comment)}\n   1.00000000000000     \n{table(cell.lattice, '%22.16f', before=' ')}"
    text += f"{_kinds(cell)}\n{vector(cell.counts, '%6d')}\nDirect\n{table(cell.positions % 1.0, '%20.16f')} \n"
    velocities = cell.velocities if cell.velocities is not None else np.zeros((cell.n_ions, 3))
    text += _real(velocities)
    if cell.thermostat is not None:
        text += _thermostat(cell, cell.thermostat, velocities, time_step)
    temporary = path.with_name(f"{path.name}.part")
    temporary.write_text(text)
    temporary.replace(path)


def _thermostat(cell: Cell, thermostat: Thermostat, velocities: Array, time_step: float) -> str:
    s = np.exp(thermostat.eta)
    moves = velocities @ cell.reciprocal.T * time_step
    text = f"\n           1\n{time_step:19.14f}     \n"
    text += _real([[s, s * thermostat.xi * time_step, 0.0, 0.0]])
    return text + _real((cell.positions + moves) % 1.0) + _real(moves) + _real(np.zeros_like(moves))


def _real(rows: Array | list[list[float]]) -> str:
    return "".join("".join(scientific(value, 16, 8) for value in row) + "\n" for row in rows)


def _kinds(cell: Cell) -> str:
    return "".join(f"   {symbol:2s}" for symbol in cell.symbols)
