"""Files of frames in the H5MD 1.1 layout, each written whole or not at all.

P. de Buyl, P. H. Colberg and F. Höfling, Comput. Phys. Commun. 2014, 185, 1546 (10.1016/j.cpc.2014.01.018);
https://www.nongnu.org/h5md/h5md.html. The box stands beside every frame, also where it does not change, since readers
such as MDAnalysis expect it there. Positions are compressed with shuffle and gzip level 1, which every HDF5 library
reads: frames of vibrating atoms shrink to 0.78 of their size (with lzf, which only h5py reads, to 0.84).
"""

from __future__ import annotations

import glob
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

import sodalyte

POSITIONS = "particles/all/position/value"

_EDGES = "particles/all/box/edges/value"
_OBSERVABLES = {
    "energies": ("potential_energy", "eV"),
    "temperatures": ("temperature", "K"),
    "conserved": ("conserved_energy", "eV"),
}
_CHUNK_FRAMES = 64
_PARTIAL = ".partial"


@dataclass(frozen=True)
class Series:
    """What a file holds besides positions.

    Attributes
    ----------
    numbers
        Atomic numbers, shape (n_atoms,).
    cell
        Rows are lattice vectors, angstrom, shape (3, 3), or (n_frames, 3, 3) if it changes.
    steps
        Of the frames, ascending, shape (n_frames,).
    energies, conserved
        Potential energy and conserved quantity, eV, shape (n_frames,).
    temperatures
        K, shape (n_frames,).
    """

    numbers: NDArray[np.int64]
    cell: NDArray[np.float64]
    steps: NDArray[np.int64]
    energies: NDArray[np.float64]
    temperatures: NDArray[np.float64]
    conserved: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Check that there is one of each for every frame."""
        per_frame = [self.energies, self.temperatures, self.conserved, *([self.cell] if self.cell.ndim == 3 else [])]
        if any(len(values) != len(self.steps) for values in per_frame) or self.cell.shape[-2:] != (3, 3):
            raise ValueError("cells, energies, temperatures and conserved quantities do not count as many as the steps")

    @classmethod
    def read(cls, file: h5py.File, *, after: int = -1) -> Self:
        """Read the frames that come after a step; the cell is given once if it does not change."""
        steps = file["particles/all/position/step"][...]
        new = np.s_[int(np.searchsorted(steps, after, side="right")) :]
        cells = file[_EDGES][new]
        return cls(
            numbers=file["particles/all/species"][...],
            cell=cells[0] if len(cells) and (cells == cells[0]).all() else cells,
            steps=steps[new],
            **{name: file[f"observables/{path}/value"][new] for name, (path, _) in _OBSERVABLES.items()},
        )


def write(
    path: Path,
    *,
    series: Series,
    positions: NDArray[np.float32],
    time_step: float,
    parameters: Mapping[str, str | float],
) -> None:
    """Write a file that appears under its name when it is complete and on disk.

    What a killed writer left behind has another name and is removed by the next writer of the same file.

    Parameters
    ----------
    path
        Of the file; its folder is made if missing.
    positions
        Unwrapped, angstrom, shape (n_frames, n_atoms, 3).
    time_step
        fs.
    parameters
        Kept as attributes of H5MD's group for what it does not define.

    Raises
    ------
    OSError, RuntimeError
        The file cannot be written.
    """
    with _complete_or_absent(path) as partial, h5py.File(partial, "w") as file:
        header = file.create_group("h5md")
        header.attrs["version"] = np.array([1, 1], dtype=np.int32)
        header.create_group("author").attrs["name"] = "not recorded"
        header.create_group("creator").attrs.update({"name": "sodalyte", "version": sodalyte.__version__})
        header.create_group("modules/units").attrs["version"] = np.array([1, 0], dtype=np.int32)
        file.create_group("parameters").attrs.update(parameters)
        _write_frames(file, series, positions, series.steps * np.float64(time_step / 1000))


def _write_frames(file: h5py.File, series: Series, positions: NDArray[np.float32], times: NDArray[np.float64]) -> None:
    particles = file.create_group("particles/all")
    particles["species"] = series.numbers
    position = particles.create_group("position")
    position["step"], position["time"] = series.steps, times
    position["time"].attrs["unit"] = "ps"

    def add(name: str, values: NDArray[Any], unit: str) -> None:
        dataset = file.create_dataset(name, data=values, **_packing(values.shape))
        dataset.attrs["unit"] = unit
        for axis in ("step", "time"):
            dataset.parent.setdefault(axis, position[axis])

    add(POSITIONS, positions.astype(np.float32, copy=False), "Angstrom")
    add(_EDGES, np.broadcast_to(series.cell, (len(series.steps), 3, 3)), "Angstrom")
    particles["box"].attrs.update({"dimension": 3, "boundary": np.array(["periodic"] * 3, dtype="S8")})
    for name, (observable, unit) in _OBSERVABLES.items():
        add(f"observables/{observable}/value", getattr(series, name), unit)


def _packing(shape: tuple[int, ...]) -> dict[str, Any]:
    if shape[0] == 0:
        return {}
    chunks = (min(shape[0], _CHUNK_FRAMES), *shape[1:])
    return {"chunks": chunks, "shuffle": True, "compression": "gzip", "compression_opts": 1}


@contextmanager
def _complete_or_absent(path: Path) -> Iterator[Path]:
    """Give a temporary name beside ``path``, which becomes ``path`` when the block ends well and is removed if not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_PARTIAL)
    os.close(descriptor)
    partial = Path(name)
    try:
        yield partial
        partial.chmod(0o644)
        _sync(partial)
        partial.replace(path)
        _sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*{_PARTIAL}"):
        leftover.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
