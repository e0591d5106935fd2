"""How each fault shows: VASP's own words, and how the process ends."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sodalyte.launchers.rehearsal.faults import Fault, Kind

WARNINGS: dict[Kind, str] = {
    "brmix": (
        " BRMIX: very serious problems\n  the old and the new charge density differ\n"
        "  old charge density: {electrons:10.5f} new {other:10.5f}\n"
    ),
    "subspace": " WARNING: Sub-Space-Matrix is not hermitian in DAV            1\n",
}
"""Printed among the electronic steps; the calculation goes on."""

DEADLY_IN_LOOP: dict[Kind, str] = {"edddav": " Error EDDDAV: Call to ZHEGV failed. Returncode = 25 2 8\n"}
"""Printed among the electronic steps; the calculation ends."""

DEADLY_AFTER_STEP: dict[Kind, str] = {
    "zbrent": (
        " ZBRENT: fatal error in bracketing\n     please rerun with smaller EDIFF, or copy CONTCAR\n"
        "     to POSCAR and continue\n"
    ),
}
"""Printed after an ionic step; the calculation ends."""

DEADLY_AT_START: dict[Kind, str] = {
    "posmap": " POSMAP internal error: symmetry equivalent atom not found,       1\n",
    "read_error": " Error reading item 'NELM' from file INCAR.\n Error code was IERR= 5 ... .\n",
}
"""Printed before the first step; the calculation ends."""

SIGNALS: dict[Kind, signal.Signals] = {"kill": signal.SIGKILL, "segfault": signal.SIGSEGV}

DISK_FULL = 38
"""Exit status of a Fortran program that cannot write."""

UNCONVERGED = (
    " WARNING: The electronic self-consistency was not achieved in the given\n"
    " number of steps (NELM). The forces and other quantities evaluated might\n not be reliable.\n"
)

_FOREVER = 1e6


class Mishap(Exception):  # noqa: N818 - not an error of the program
    """A fault ends the calculation; ``status`` is the exit status."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status


def wait(fault: Fault, default: float = _FOREVER) -> None:
    """Stand still for as long as a fault says."""
    time.sleep(fault.seconds or default)


def die(number: signal.Signals) -> None:
    """End this process by a signal."""
    if number == signal.SIGSEGV:
        sys.stderr.write("forrtl: severe (174): SIGSEGV, segmentation fault occurred\n")
        sys.stderr.flush()
    os.kill(os.getpid(), number)


def disk_full() -> Mishap:
    """Say what the Fortran library says when the disk is full."""
    sys.stderr.write("forrtl: No space left on device\nforrtl: severe (38): error during write, unit 22, file OUTCAR\n")
    return Mishap(DISK_FULL)
