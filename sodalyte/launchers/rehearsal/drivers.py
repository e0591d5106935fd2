"""Which configurations are computed: one, a walk downhill, or a trajectory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sodalyte.launchers.rehearsal import nose_hoover
from sodalyte.launchers.rehearsal.steps import KBAR

if TYPE_CHECKING:
    from sodalyte.launchers.rehearsal.calculation import Calculation
    from sodalyte.launchers.rehearsal.model import Answer

_TYPICAL_STIFFNESS = 35.0
"""eV/angstrom^2; with POTIM = 0.5 the first step is that of ASE's BFGS."""


def run(calculation: Calculation) -> None:
    """Do what the INCAR asks for.

    Raises
    ------
    Mishap
        A fault ends it.
    """
    incar = calculation.setup.incar
    if incar.is_dynamics:
        _dynamics(calculation)
    elif incar.is_relaxation:
        _relaxation(calculation)
    else:
        cell = calculation.setup.cell
        calculation.begin(cell)
        calculation.step(cell, calculation.model(cell), last=True, following=cell)
        calculation.end()


def _relaxation(calculation: Calculation) -> None:
    """Go downhill by BFGS, which stands for VASP's own minimisers, along symmetric forces and stress.

    POTIM scales the first step, as in VASP.
    """
    from ase.optimize import BFGS

    from sodalyte.launchers.rehearsal.downhill import atoms_of, cell_of, compute, target_of

    setup = calculation.setup
    atoms = atoms_of(setup.cell, calculation.model)
    optimiser = BFGS(
        target_of(atoms, setup.incar),
        logfile=None,
        maxstep=0.1,
        alpha=_TYPICAL_STIFFNESS / setup.incar.number("POTIM", 0.5),
    )
    calculation.begin(setup.cell)
    before: float | None = None
    for number in range(1, setup.incar.steps + 1):
        cell = cell_of(setup.cell, atoms)
        answer = compute(atoms)
        converged = _is_relaxed(calculation, answer, cell.volume, before)
        before = answer.energy
        if calculation.step(cell, answer, last=converged or number == setup.incar.steps, following=cell):
            break
        optimiser.step()
    calculation.end(converged=converged and not calculation.stopped)


def _is_relaxed(calculation: Calculation, answer: Answer, volume: float, before: float | None) -> bool:
    """Apply EDIFFG: a change of energy where it is positive, forces (and those on the cell) where it is negative."""
    incar = calculation.setup.incar
    if incar.ediffg > 0:
        return before is not None and abs(answer.energy - before) < incar.ediffg
    largest = np.linalg.norm(answer.forces, axis=1).max()
    if incar.freedom == 3:
        stress = answer.stress + np.eye(3) * incar.number("PSTRESS", 0.0) / KBAR
        largest = max(largest, np.abs(stress).max() * volume / len(answer.forces))
    return bool(largest < -incar.ediffg)


def _dynamics(calculation: Calculation) -> None:
    """Follow the ions; a configuration is computed once, also across a continuation."""
    setup = calculation.setup
    dynamics, goes_on = nose_hoover.start(setup)
    calculation.begin(nose_hoover.configuration(setup.cell, dynamics))
    for number in range(1, setup.incar.steps + 1):
        dynamics.target = nose_hoover.target(setup, number)
        cell = nose_hoover.configuration(setup.cell, dynamics)
        answer = calculation.model(cell)
        if goes_on or number > 1:
            dynamics.arrive(answer.forces)
        motion = dynamics.motion()
        dynamics.depart(answer.forces)
        following = nose_hoover.configuration(setup.cell, dynamics)
        if calculation.step(cell, answer, last=number == setup.incar.steps, following=following, motion=motion):
            break
    calculation.end()
