"""The folder in which VASP runs: what earlier attempts left there, and from where the next one goes on.

Every start of VASP finds a folder without old output, so that nothing stale is read: the output of the attempt before
is moved to ``attempts/N``. A job that is started again, after a correction, a kill or a walltime, finds its past there.
"""

from __future__ import annotations

import json
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from monty.io import zopen
from monty.os.path import zpath
from monty.shutil import decompress_file
from numpy.typing import NDArray
from pymatgen.io.vasp.inputs import Poscar

from sodalyte.errors import CalculationError
from sodalyte.inputs.vasp.reading import VaspFrames, read_dynamics

ATTEMPTS = "attempts"
STOPCAR = "STOPCAR"
BANK = "CONTCAR.banked"
"""Copy of the last CONTCAR that was seen whole while VASP ran and its electrons converged."""

KEEP = "kept.json"
"""How many ionic steps of an attempt count, where not all do, and the POSCAR from which the next one goes on."""

SAME_PLACE = 1e-5
"""Distance, angstrom, up to which positions are equal: vasprun.xml has eight decimals of a lattice vector."""

CORRECTIONS = "corrections.jsonl"
"""What went wrong with VASP and what was done about it: an object with ``problem`` and ``actions`` in each line."""

_LONGEST_STRIDE = 0.5
_INPUTS = ("INCAR", "KPOINTS", "POSCAR")
_OUTPUTS = (
    "OUTCAR",
    "OSZICAR",
    "vasprun.xml",
    "vaspout.h5",
    "XDATCAR",
    "CONTCAR",
    "REPORT",
    "vasp.out",
    "std_err.txt",
    "PCDAT",
    "DOSCAR",
    "EIGENVAL",
    "IBZKPT",
    BANK,
    KEEP,
)
_STALE = ("error.*.tar.gz", STOPCAR)


@dataclass(frozen=True)
class Attempt:
    """One start of VASP: its output lies in ``folder``."""

    folder: Path

    def frames(self, *, forces: bool = False) -> VaspFrames | None:
        """Return its ionic steps, or None when it did not finish one."""
        try:
            return read_dynamics(self.folder, forces=forces)
        except CalculationError:
            return None

    def start(self) -> str:
        """Return the POSCAR it started from."""
        return _read(self.folder / "POSCAR")

    def end(self) -> str | None:
        """Return the CONTCAR it left, if it is whole."""
        return _whole(self.folder / "CONTCAR")

    def continuation(self) -> tuple[int, str]:
        """Return how many of its ionic steps of dynamics count, and the POSCAR from which the next one goes on.

        VASP leaves in CONTCAR the configuration after its last step, which it would compute next. One that was cut
        short when VASP was killed, or that does not fit the steps, gives way to an earlier copy; without one the
        attempt does not count.
        """
        try:
            kept = json.loads(_read(self.folder / KEEP))
            return int(kept["steps"]), str(kept["contcar"])
        except FileNotFoundError:
            return self._last_place([self.end(), self.banked()])
        except (OSError, ValueError, KeyError):
            return 0, self.start()

    def continuation_before(self, step: int) -> tuple[int, str]:
        """Return the same where no ionic step from ``step`` (from one) on counts."""
        steps, text = self._last_place([self.banked()])
        return (steps, text) if steps < step else (0, self.start())

    def banked(self) -> str | None:
        """Return the earlier copy of CONTCAR, if there is one."""
        return _whole(self.folder / BANK)

    def _last_place(self, contcars: list[str | None]) -> tuple[int, str]:
        """Return the first of ``contcars`` that fits the ionic steps, and after how many of them it stands."""
        if (frames := self.frames()) is not None:
            for text in contcars:
                if text and (steps := following_step(frames, text)) is not None:
                    return steps, text
        return 0, self.start()

    def converged(self) -> bool:
        """Tell whether VASP says that the relaxation reached the accuracy required."""
        path = self.folder / "OUTCAR"
        if not path.is_file():
            return False
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 200_000))
            return b"reached required accuracy - stopping" in file.read()


class RunFolder:
    """The folder of one job, whose attempts outlive the process.

    Parameters
    ----------
    path
        The folder, made by the launcher; it is the same one when the job is started again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()

    @property
    def current(self) -> Attempt:
        """The attempt whose output lies in the folder itself."""
        return Attempt(self.path)

    def attempts(self) -> list[Attempt]:
        """Return the attempts whose output was moved away, in order."""
        folders = (self.path / ATTEMPTS).glob("[0-9]*")
        return [Attempt(folder) for folder in sorted(folders, key=lambda folder: int(folder.name))]

    def unpack(self) -> None:
        """Undo the compression with which a finished job ends."""
        for path in [*self.path.glob("*.gz"), *self.path.glob(f"{ATTEMPTS}/*/*.gz")]:
            if path.name.removesuffix(".gz") in _OUTPUTS + _INPUTS:
                decompress_file(str(path))

    def archive(self) -> Attempt | None:
        """Move the output of the last attempt, with copies of its inputs, out of the way; None if there is none."""
        found = [name for name in _OUTPUTS if (self.path / name).exists()]
        for pattern in _STALE:
            for path in self.path.glob(pattern):
                path.unlink()
        if not (self.path / "vasp.out").exists():
            return None
        folder = self.path / ATTEMPTS / str(len(self.attempts()))
        folder.mkdir(parents=True)
        for name in _INPUTS:
            if (self.path / name).exists():
                shutil.copy(self.path / name, folder / name)
        for name in found:
            (self.path / name).rename(folder / name)
        return Attempt(folder)

    def forget(self) -> None:
        """Remove everything that attempts left."""
        self.archive()
        shutil.rmtree(self.path / ATTEMPTS, ignore_errors=True)

    def note_correction(self, problem: str, actions: tuple[str, ...]) -> None:
        """Note, for good, what went wrong and what was done about it."""
        with (self.path / CORRECTIONS).open("a") as file:
            file.write(json.dumps({"problem": problem, "actions": actions}) + "\n")

    def corrections(self) -> list[dict[str, Any]]:
        """Return what went wrong and what was done about it, of all attempts, oldest first."""
        try:
            lines = (self.path / CORRECTIONS).read_text().splitlines()
        except OSError:
            return []
        return [json.loads(line) for line in lines if line.endswith("}")]

    def discard_from(self, step: int) -> None:
        """Note that ionic steps from ``step`` (from one) on do not count, and from where to go on instead."""
        steps, text = self.current.continuation_before(step)
        write(self.path / KEEP, json.dumps({"steps": steps, "contcar": text}))

    def bank(self) -> None:
        """Keep a copy of CONTCAR if it is whole; to which ionic step it belongs its positions tell."""
        if text := _whole(self.path / "CONTCAR"):
            write(self.path / BANK, text)


def following_step(frames: VaspFrames, contcar: str) -> int | None:
    """Return the number of ionic steps after which ``contcar`` is the next configuration, or None if it fits nowhere.

    It is the configuration that follows the last step, or, of a CONTCAR that is older than the steps, an earlier one.
    """
    place = Poscar.from_str(contcar).structure.frac_coords
    for index in range(frames.n_steps - 1, -1, -1):
        if _distance(place, frames.fractional[index], frames.cells[index]) < SAME_PLACE:
            return index
    last = frames.fractional[-1]
    stride = _distance(last, frames.fractional[-2], frames.cells[-1]) if frames.n_steps > 1 else _LONGEST_STRIDE
    near = _distance(place, last, frames.cells[-1]) < 2 * max(stride, 0.05)
    return frames.n_steps if near else None


def _distance(one: NDArray[np.float64], other: NDArray[np.float64], cell: NDArray[np.float64]) -> float:
    """Return the largest distance, angstrom, of an atom from itself, nearest images."""
    moves = one - other
    return float(np.linalg.norm((moves - np.rint(moves)) @ cell, axis=1).max())


def ionic_steps(oszicar: Path) -> int:
    """Return how many ionic steps a running VASP has finished."""
    return len(electronic_steps(oszicar))


def electronic_steps(oszicar: Path) -> list[int]:
    """Return the number of electronic steps of every finished ionic step."""
    counts: list[int] = []
    running = 0
    try:
        with oszicar.open("rb") as file:
            for line in file:
                if b" F= " in line and line.endswith(b"\n"):
                    counts.append(running)
                    running = 0
                elif line[3:4] == b":":
                    running += 1
    except FileNotFoundError:
        return []
    return counts


def write(path: Path, text: str) -> None:
    """Write a small file so that it is there whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text)
    partial.replace(path)


def _read(path: Path) -> str:
    with zopen(zpath(str(path)), mode="rt", encoding="utf-8") as file:
        return str(file.read())


def _whole(path: Path) -> str | None:
    """Return the text of a POSCAR that ends with its last line, else None."""
    try:
        text = _read(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            structure = Poscar.from_str(text).structure
    except (OSError, ValueError, IndexError, KeyError):
        return None
    lines = text.rstrip("\n").split("\n")
    if not text.endswith("\n") or len(lines) < 8 + len(structure):
        return None
    velocities = structure.site_properties.get("velocities")
    return None if velocities is not None and len(velocities) != len(structure) else text
