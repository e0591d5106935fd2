"""Which file of a run is read: vaspout.h5, else vasprun.xml, else XDATCAR with OSZICAR."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from sodalyte.errors import CalculationError
from sodalyte.inputs.vasp.reading.frames import Frame, VaspFrames, join
from sodalyte.inputs.vasp.reading.vaspout import Vaspout
from sodalyte.inputs.vasp.reading.vasprun import Vasprun
from sodalyte.inputs.vasp.reading.xdatcar import Xdatcar

FILES = ("vaspout.h5", "vasprun.xml", "vasprun.xml.gz", "XDATCAR", "XDATCAR.gz")
"""In the order in which they are tried."""


def iter_frames(path: Path | str, *, forces: bool = False) -> Iterator[Frame]:
    """Yield the ionic steps of a run one by one; memory does not grow with their number.

    Parameters
    ----------
    path
        A file, or the folder of a run; there the first readable one of ``FILES`` is taken.
    forces
        Read them, too.

    Raises
    ------
    CalculationError
        As :func:`read_dynamics`.
    """
    problems = []
    for candidate in _candidates(Path(path)):
        try:
            reader = _reader(candidate, forces=forces)
        except CalculationError as error:
            problems.append(str(error))
            continue
        yield from reader
        return
    raise CalculationError("; ".join(problems))


def read_dynamics(path: Path | str, *, forces: bool = False) -> VaspFrames:
    """Read all ionic steps of a run of dynamics or of a relaxation, also of one that was killed.

    Parameters
    ----------
    path
        A file, or the folder of a run. There the first complete one of ``FILES`` is taken, else the one with the most
        ionic steps.
    forces
        Read them, too.

    Raises
    ------
    CalculationError
        There is no such file, it holds no complete ionic step, one before the last is damaged, or positions jump.
    """
    problems = []
    best: VaspFrames | None = None
    for candidate in _candidates(Path(path)):
        try:
            reader = _reader(candidate, forces=forces)
            frames = replace(join(reader.header, reader, forces=forces), complete=reader.complete)
        except CalculationError as error:
            problems.append(str(error))
            continue
        if frames.complete:
            return frames
        if best is None or frames.n_steps > best.n_steps:
            best = frames
    if best is None:
        raise CalculationError("; ".join(problems))
    return best


def _candidates(path: Path) -> list[Path]:
    if path.is_dir():
        found = [path / name for name in FILES if (path / name).is_file()]
        if not found:
            raise CalculationError(f"{path} holds none of {', '.join(FILES)}")
        return found
    if not path.is_file():
        raise CalculationError(f"{path} does not exist; name a run's folder or a file of it")
    return [path]


def _reader(path: Path, *, forces: bool) -> Vaspout | Vasprun | Xdatcar:
    if path.suffix == ".h5":
        return Vaspout(path, forces=forces)
    return Xdatcar(path) if path.name.startswith("XDATCAR") else Vasprun(path, forces=forces)
