"""What a driver hands to the writers: one ionic step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sodalyte.launchers.rehearsal.cell import Cell
    from sodalyte.launchers.rehearsal.electronic import Iteration
    from sodalyte.launchers.rehearsal.model import Answer

KBAR = 1602.1766208
"""kbar per eV/angstrom^3."""


class Motion(NamedTuple):
    """Energies of the ions' motion (eV) and their temperature (K)."""

    kinetic: float
    thermostat_potential: float
    thermostat_kinetic: float
    temperature: float


@dataclass(frozen=True)
class Step:
    """One ionic step.

    Attributes
    ----------
    number
        From 1.
    cell
        The configuration that was computed.
    following
        The one that comes next (in dynamics, with its velocities), for a continuation.
    iterations
        Its electronic steps.
    converged
        Whether they ended because of EDIFF.
    last
        Whether the calculation ends here.
    """

    number: int
    cell: Cell
    following: Cell
    answer: Answer
    iterations: list[Iteration]
    converged: bool
    last: bool
    motion: Motion | None = None
    seconds: float = 0.0

    @property
    def total(self) -> float:
        """Energy that dynamics conserves, eV."""
        motion = self.motion
        return self.answer.energy + (sum(motion[:3]) if motion else 0.0)
