"""``sodalyte-vasp-rehearsal``: started in a folder with INCAR, POSCAR, POTCAR and KPOINTS, it behaves as ``vasp_std``.

It computes with a potential (``SODALYTE_REHEARSAL_MODEL``), goes wrong where ``SODALYTE_REHEARSAL_FAULTS`` says so, and
counts in ``SODALYTE_REHEARSAL_MEMORY`` (see :mod:`~sodalyte.launchers.rehearsal.memory` for the ledger there). All that
it writes is marked as not a DFT result. It tells nothing of convergence with ENCUT and k-points, of the electrons'
convergence, of VASP's time and memory.

VPMDK (https://github.com/klxuyfk/VPMDK) runs potentials from VASP's inputs too; this one exists for the faithfulness of
its files to atomate2, custodian and emmet, for raw PBE-like energies, and for its faults.

Exit status 0 as VASP, 1 where VASP or the rehearsal refuses the inputs or a fault ends it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sodalyte.launchers.rehearsal.calculation import Calculation
    from sodalyte.launchers.rehearsal.faults import Script
    from sodalyte.launchers.rehearsal.memory import Memory
    from sodalyte.launchers.rehearsal.setup import Setup
    from sodalyte.launchers.rehearsal.streams import Streams

_RANKS = ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID")


def main() -> None:
    """Run in the current folder and exit."""
    if _rank() > 0:
        sys.exit(0)
    began = time.perf_counter()
    from sodalyte.launchers.rehearsal.streams import Streams

    streams = Streams(Path.cwd())
    streams.say(" running    1 mpi-ranks, with    1 threads/rank, on    1 nodes\n")
    streams.flush()
    warnings.simplefilter("ignore")  # VASP prints none of Python's
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    sys.exit(_Call(streams, began).run())


def _rank() -> int:
    """Return the rank that an MPI launcher gave this process; the first of its variables counts."""
    ranks = [os.environ[name] for name in _RANKS if os.environ.get(name, "").isdigit()]
    return int(ranks[0]) if ranks else 0


class _Call:
    """One start of the executable, from its inputs to its line in the ledger."""

    def __init__(self, streams: Streams, began: float) -> None:
        from sodalyte.launchers.rehearsal.memory import Memory

        self._streams = streams
        self._began = began
        self._memory: Memory = Memory.here()
        self._attempt = self._memory.attempt(streams.folder)
        self._finished = False
        self._setup: Setup | None = None
        self._script: Script | None = None
        self._calculation: Calculation | None = None

    def run(self) -> int:
        from sodalyte.errors import SodalyteError
        from sodalyte.launchers.rehearsal.incar import InputError
        from sodalyte.launchers.rehearsal.mishaps import Mishap

        signal.signal(signal.SIGTERM, self._terminated)
        try:
            self._compute()
        except (InputError, SodalyteError) as error:
            self._streams.say(str(error).rstrip("\n") + "\n")
            self._finish("refused")
            return 1
        except Mishap as mishap:
            self._finish("killed" if mishap.status < 0 else "error")
            return self._leave(mishap.status)
        else:
            self._finish("stopped" if self._calculation and self._calculation.stopped else "done")
            return 0
        finally:
            self._finish("crashed")

    def _compute(self) -> None:
        from sodalyte.launchers.rehearsal import drivers
        from sodalyte.launchers.rehearsal.calculation import Calculation
        from sodalyte.launchers.rehearsal.model import Model, model_name
        from sodalyte.launchers.rehearsal.setup import Setup

        self._setup = setup = Setup.read(self._streams.folder, model_name())
        self._script = self._faults(setup)
        self._streams.touch_requested(setup.incar.tags)
        model = Model(setup.cell, setup.incar, self._memory, _symmetry(setup))
        self._calculation = Calculation(setup, model, self._streams, self._script, self._began)
        drivers.run(self._calculation)

    def _faults(self, setup: Setup) -> Script:
        """Return the faults of this call; one that happens before the first step happens here."""
        from sodalyte.launchers.rehearsal.faults import FAULT_FILE, Script, read_faults
        from sodalyte.launchers.rehearsal.mishaps import DEADLY_AT_START, Mishap

        path = os.environ.get(FAULT_FILE)
        faults = read_faults(Path(path)) if path else []
        applying = [
            fault
            for fault in faults
            if fault.applies(stage=setup.incar.stage, attempt=self._attempt, formula=setup.cell.formula)
        ]
        self._script = script = Script(applying, self._memory)
        for kind, text in DEADLY_AT_START.items():
            if script.due(10**9, kind):
                self._streams.say(text)
                raise Mishap(1)
        return script

    def _finish(self, ended: str) -> None:
        """Write the line of the ledger, once."""
        if self._finished:
            return
        self._finished = True
        self._streams.flush()
        setup, calculation = self._setup, self._calculation
        entry: dict[str, Any] = {"folder": str(self._streams.folder), "stage": "", "attempt": self._attempt}
        if setup is not None:
            entry |= {
                "stage": setup.incar.stage,
                "formula": setup.cell.formula,
                "model": setup.model,
                "ions": setup.cell.n_ions,
                "electrons": setup.electrons,
                "k_points": setup.sampling.n_points,
                "bands": setup.bands,
                "plane_waves": setup.plane_waves,
                "encut": setup.encut,
                "spins": setup.incar.spins,
            }
        entry |= {
            "ionic_steps": calculation.steps if calculation else 0,
            "electronic_steps": calculation.electrons.iterations if calculation else 0,
            "seconds": round(time.perf_counter() - self._began, 3),
            "faults": list(self._script.fired) if self._script else [],
            "ended": ended,
        }
        self._memory.record(entry)

    @staticmethod
    def _leave(status: int) -> int:
        if status < 0:
            from sodalyte.launchers.rehearsal.mishaps import die

            die(signal.Signals(-status))
        return status

    def _terminated(self, number: int, _frame: object) -> None:
        self._finish("terminated")
        os._exit(128 + number)


def _symmetry(setup: Setup) -> Any:
    """Return the space group that forces and stress are to keep, or None."""
    if setup.incar.symmetry <= 0 or setup.incar.is_dynamics:
        return None
    from sodalyte.launchers.rehearsal.symmetry import Symmetry

    return Symmetry.find(setup.cell, setup.incar.number("SYMPREC", 1e-5))


if __name__ == "__main__":
    main()
