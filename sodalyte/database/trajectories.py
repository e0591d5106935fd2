"""Trajectories: immutable segment files, and the index records that databases keep of them.

Frames never go into a database document, which MongoDB limits to 16 MB, about a thousand frames.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, field_validator

from sodalyte.database import h5md
from sodalyte.database.h5md import Series
from sodalyte.errors import CalculationError

TRAJECTORY_ROOT = "SODALYTE_TRAJECTORIES"
"""Environment variable that names the folder to which segment paths are relative."""

_CELL_TOLERANCE = 1e-6
_WAY_OUT = "restore the file, or run in a fresh workspace"


class Segment(BaseModel):
    """Index record of one segment file.

    Attributes
    ----------
    path
        Of the file, relative to the trajectory root.
    first_step, last_step
        The segment starts from the state at ``first_step`` and ends with the state at ``last_step``.
    n_frames, n_atoms
        Shape of the positions.
    time_step
        fs.
    sample_interval
        Steps between frames.
    sha256
        Of the file.
    """

    model_config = ConfigDict(frozen=True)

    path: str
    first_step: int
    last_step: int
    n_frames: int
    n_atoms: int
    time_step: float
    sample_interval: int
    sha256: str

    @field_validator("path")
    @classmethod
    def _stays_below_the_root(cls, path: str) -> str:
        if not path or PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise ValueError("a segment path is relative and stays below the trajectory root")
        return path


@dataclass(frozen=True)
class Trajectory:
    """Frames of consecutive segments, joined.

    Attributes
    ----------
    positions
        Unwrapped, angstrom, shape (n_frames, n_atoms, 3).
    cell
        Rows are lattice vectors, angstrom, shape (3, 3), or (n_frames, 3, 3) if it changes.
    numbers
        Atomic numbers, shape (n_atoms,).
    steps
        Shape (n_frames,).
    times
        ps, zero at step zero, shape (n_frames,).
    energies, conserved
        Potential energy and conserved quantity, eV, shape (n_frames,).
    temperatures
        K, shape (n_frames,).
    frame_interval
        ps.
    """

    positions: NDArray[np.float32]
    cell: NDArray[np.float64]
    numbers: NDArray[np.int64]
    steps: NDArray[np.int64]
    times: NDArray[np.float64]
    energies: NDArray[np.float64]
    temperatures: NDArray[np.float64]
    conserved: NDArray[np.float64]
    frame_interval: float


def write_segment(
    root: Path,
    name: str,
    *,
    numbers: ArrayLike,
    cell: ArrayLike,
    positions: NDArray[np.float32],
    steps: ArrayLike,
    energies: ArrayLike,
    temperatures: ArrayLike,
    conserved: ArrayLike,
    time_step: float,
    sample_interval: int,
    first_step: int,
    last_step: int,
    attributes: Mapping[str, str | float] | None = None,
) -> Segment:
    """Write one segment and return its index record; a file never appears under its name before it is complete.

    Parameters
    ----------
    root
        Folder to which the record's path is relative.
    name
        Path of the file below ``root``.
    numbers, cell, steps, energies, temperatures, conserved
        As in :class:`Trajectory`; a segment may be too short to hold a frame.
    positions
        Unwrapped, angstrom, shape (n_frames, n_atoms, 3).
    time_step, sample_interval, first_step, last_step
        As in :class:`Segment`.
    attributes
        What else to keep in the file, such as the level of theory.

    Raises
    ------
    CalculationError
        Positions are not finite, or the file cannot be written.
    """
    series = Series(
        numbers=np.asarray(numbers, dtype=np.int64),
        cell=np.asarray(cell, dtype=np.float64),
        steps=np.asarray(steps, dtype=np.int64),
        energies=np.asarray(energies, dtype=np.float64),
        temperatures=np.asarray(temperatures, dtype=np.float64),
        conserved=np.asarray(conserved, dtype=np.float64),
    )
    if positions.shape != (len(series.steps), len(series.numbers), 3):
        raise ValueError(
            f"positions of shape {positions.shape} for {len(series.steps)} frames of {len(series.numbers)} atoms"
        )
    if not np.isfinite(positions).all():
        raise CalculationError(f"segment {name}: positions are not finite, the dynamics has exploded")
    times = {
        "time_step": time_step,
        "sample_interval": sample_interval,
        "first_step": first_step,
        "last_step": last_step,
    }
    path = root / name
    try:
        parameters = {**times, **(attributes or {})}
        h5md.write(path, series=series, positions=positions, time_step=time_step, parameters=parameters)
        checksum = _sha256(path)
    except (OSError, RuntimeError) as error:
        raise CalculationError(f"segment {path} cannot be written: {error}") from error
    return Segment(path=name, n_frames=len(series.steps), n_atoms=len(series.numbers), sha256=checksum, **times)


def read_trajectory(segments: Sequence[Segment], root: Path, *, verify: bool = False) -> Trajectory:
    """Join consecutive segments; a frame that two of them share at their seam is kept once.

    Memory beyond the joined positions is one chunk of frames.

    Parameters
    ----------
    segments
        At least one, in order.
    root
        Folder to which their paths are relative.
    verify
        Compare the checksum of every file with its record.

    Raises
    ------
    CalculationError
        A file is missing, damaged or not the recorded one, or two segments do not fit together: steps are missing
        between them, their atoms, cells or time steps differ, or positions jump at the seam.
    """
    _check_records(segments)
    first = segments[0]
    positions = np.empty((sum(segment.n_frames for segment in segments), first.n_atoms, 3), dtype=np.float32)
    joined: list[Series] = []
    length, last_step = 0, -1
    for segment in segments:
        with _reading(segment, root, verify=verify) as file:
            series = Series.read(file, after=last_step)
            added = len(series.steps)
            if added == 0:
                continue
            _check_series(segment, series, joined[-1] if joined else None, last_step)
            frames, place = np.s_[segment.n_frames - added :], np.s_[length : length + added]
            file[h5md.POSITIONS].read_direct(positions, frames, place)
        if joined:
            _check_seam(segment, positions[length - 1 : length + 1], series.cell)
        joined.append(series)
        length, last_step = length + added, int(series.steps[-1])
    if not joined:
        raise CalculationError(f"there is no frame in {first.path} and what follows it")
    steps = np.concatenate([series.steps for series in joined])
    return Trajectory(
        positions=positions[:length],
        cell=_join_cells(joined),
        numbers=joined[0].numbers,
        steps=steps,
        times=steps * (first.time_step / 1000),
        energies=np.concatenate([series.energies for series in joined]),
        temperatures=np.concatenate([series.temperatures for series in joined]),
        conserved=np.concatenate([series.conserved for series in joined]),
        frame_interval=first.sample_interval * first.time_step / 1000,
    )


@contextmanager
def _reading(segment: Segment, root: Path, *, verify: bool) -> Iterator[h5py.File]:
    path = root / segment.path
    try:
        if verify and _sha256(path) != segment.sha256:
            raise CalculationError(f"segment {path} is not what was recorded: its checksum differs; {_WAY_OUT}")
        with h5py.File(path, "r") as file:
            if file[h5md.POSITIONS].shape != (segment.n_frames, segment.n_atoms, 3):
                raise CalculationError(f"segment {path} does not hold the frames that its record counts")
            yield file
    except FileNotFoundError as error:
        raise CalculationError(f"segment {path} is missing; {_WAY_OUT}") from error
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise CalculationError(f"segment {path} is damaged or not a trajectory ({error}); {_WAY_OUT}") from error


def _check_records(segments: Sequence[Segment]) -> None:
    if not segments:
        raise ValueError("a trajectory has at least one segment")
    for previous, segment in pairwise(segments):
        if segment.first_step != previous.last_step:
            raise CalculationError(
                f"segment {segment.path} starts from step {segment.first_step}, but {previous.path} before it ends "
                f"with step {previous.last_step}"
            )
        if any(
            getattr(segment, name) != getattr(previous, name) for name in ("n_atoms", "time_step", "sample_interval")
        ):
            raise CalculationError(
                f"segment {segment.path} has another number of atoms, time step or sample interval than "
                f"{previous.path} before it"
            )


def _check_series(segment: Segment, series: Series, previous: Series | None, last_step: int) -> None:
    steps = series.steps if last_step < 0 else np.append(last_step, series.steps)
    if (np.diff(steps) != segment.sample_interval).any():
        raise CalculationError(f"segment {segment.path}: frames are missing in it or before it")
    if previous is None:
        return
    if not np.array_equal(series.numbers, previous.numbers):
        raise CalculationError(f"segment {segment.path} holds other atoms than the one before it")
    if series.cell.ndim == previous.cell.ndim == 2 and not _same_cell(series.cell, previous.cell):
        raise CalculationError(f"segment {segment.path} has another cell than the one before it")


def _check_seam(segment: Segment, seam: NDArray[np.float32], cell: NDArray[np.float64]) -> None:
    """Refuse neighbouring frames, shape (2, n_atoms, 3), between which an atom moves by half a lattice vector."""
    if np.linalg.norm(seam[1] - seam[0], axis=-1).max() > np.linalg.norm(cell, axis=-1).min() / 2:
        raise CalculationError(f"segment {segment.path}: positions jump at its start, as if they had been wrapped")


def _join_cells(joined: Sequence[Series]) -> NDArray[np.float64]:
    if all(series.cell.ndim == 2 for series in joined):
        return joined[0].cell
    return np.concatenate([np.broadcast_to(series.cell, (len(series.steps), 3, 3)) for series in joined])


def _same_cell(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    return np.allclose(one, other, rtol=0, atol=_CELL_TOLERANCE)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
