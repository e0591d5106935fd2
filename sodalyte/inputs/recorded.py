"""A calculator that remembers, so that long ionic motion goes on after a kill from its last finished step."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from ase.calculators.calculator import Calculator, all_changes

from sodalyte.errors import StoppedError
from sodalyte.interruption import stop_requested, time_left
from sodalyte.progress import tell_progress

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ase import Atoms

_SAME = 1e-6
"""Largest difference, angstrom, of coordinates of one configuration computed on two machines."""

_MARGIN = 1.3
"""A step is begun only if this many times the last step's duration is left."""


class RecordedCalculator(Calculator):  # type: ignore[misc]
    """Answers from a file as long as the configurations asked for are those recorded there, and then computes.

    Optimisers and integrators are deterministic: started again from the beginning they ask for the same configurations
    in the same order, get the recorded answers at once, and arrive in the state in which they were killed.

    Parameters
    ----------
    compute
        Returns energy (eV), forces (eV/angstrom) and stress (eV/angstrom^3, Voigt) of a configuration.
    path
        One JSON document per line and configuration, each written before it is used; a torn last line does not count.
        Beside it stands how far the calculation is (:mod:`sodalyte.progress`).
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "forces", "stress"]

    def __init__(self, compute: Callable[[Atoms], dict[str, Any]], path: Path) -> None:
        super().__init__()
        self._compute = compute
        self._path = path
        self._records = _read(path)
        self._asked = 0
        self._duration = 0.0

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Recall or compute energy, forces and stress.

        Raises
        ------
        StoppedError
            The process was asked to stop, or has too little time left for another step.
        """
        super().calculate(atoms, properties, system_changes)
        recorded = self._records[self._asked] if self._asked < len(self._records) else None
        if recorded is None or not _is_of(recorded, self.atoms):
            recorded = self._compute_and_record()
        self._asked += 1
        self.results: dict[str, Any] = {
            "energy": recorded["energy"],
            "forces": np.array(recorded["forces"]),
            "stress": np.array(recorded["stress"]),
        }

    def _compute_and_record(self) -> dict[str, Any]:
        if stop_requested() or time_left() < _MARGIN * self._duration:
            raise StoppedError(f"stopped before ionic step {self._asked + 1}; started again, it goes on from there")
        started = time.monotonic()
        answer = self._compute(self.atoms)
        self._duration = time.monotonic() - started
        record = {
            "cell": self.atoms.cell.array.tolist(),
            "positions": self.atoms.positions.tolist(),
            "energy": float(answer["energy"]),
            "forces": np.asarray(answer["forces"]).tolist(),
            "stress": np.asarray(answer["stress"]).tolist(),
            "seconds": round(self._duration, 2),
        }
        if self._asked < len(self._records):
            _keep(self._path, self._asked)
        self._records = [*self._records[: self._asked], record]
        with self._path.open("a") as file:
            file.write(f"{json.dumps(record)}\n")
            file.flush()
            os.fsync(file.fileno())
        largest = float(np.linalg.norm(record["forces"], axis=1).max())
        tell_progress(self._path.parent, step=len(self._records), max_force=largest)
        return record


def _read(path: Path) -> list[dict[str, Any]]:
    """Return the recorded configurations; the file is cut behind the last whole one."""
    if not path.exists():
        return []
    whole = [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    _keep(path, len(whole))
    return [json.loads(line) for line in whole]


def _keep(path: Path, count: int) -> None:
    """Cut a file behind its first ``count`` lines, in one system call: a kill loses none of them."""
    os.truncate(path, sum(map(len, path.read_bytes().splitlines(keepends=True)[:count])))


def _is_of(record: dict[str, Any], atoms: Atoms) -> bool:
    return bool(
        np.shape(record["positions"]) == atoms.positions.shape
        and np.allclose(record["positions"], atoms.positions, rtol=0, atol=_SAME)
        and np.allclose(record["cell"], atoms.cell.array, rtol=0, atol=_SAME)
    )
