"""vaspout.h5, which VASP 6 writes when it was built with HDF5; names of its contents as in py4vasp."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
from ase.data import atomic_numbers

from sodalyte.errors import CalculationError
from sodalyte.inputs.vasp.reading.frames import Frame, Header

_GROUP = "intermediate/ion_dynamics"
_SPECIES = ("results/positions", "input/poscar")
_BLOCK = 256
_TAGS = {
    "ion-electron TOTEN": "free_energy",
    "free energy TOTEN": "free_energy",
    "energy(sigma->0)": "e_0_energy",
    "kinetic energy EKIN": "kinetic",
    "nose potential ES": "thermostat_potential",
    "nose kinetic EPS": "thermostat_kinetic",
    "total energy ETOTAL": "conserved",
}
_DEFAULTS = {"POTIM": 0.5, "NSW": 0, "NELM": 60, "EDIFF": 1e-4}


class Vaspout:
    """The ionic steps of ``vaspout.h5``; attributes as those of :class:`sodalyte.inputs.vasp.reading.vasprun.Vasprun`.

    Of dynamics, the file holds no energy extrapolated to zero smearing.

    Raises
    ------
    CalculationError
        The file cannot be read, which is so when VASP was killed, or it holds no ionic steps.
    """

    def __init__(self, path: Path, *, forces: bool = False) -> None:
        self.path = path
        self._forces = forces
        try:
            with h5py.File(path, "r") as file:
                self.header = _header(file, path)
                self._length = min(
                    len(file[f"{_GROUP}/{name}"]) for name in ("position_ions", "lattice_vectors", "energies")
                )
                self._electronic_steps = _electronic_steps(file, self._length)
                self.complete = "results/positions/position_ions" in file
        except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise CalculationError(f"{path} is damaged or not a vaspout.h5 ({error})") from error

    def __iter__(self) -> Iterator[Frame]:
        try:
            with h5py.File(self.path, "r") as file:
                for start in range(0, self._length, _BLOCK):
                    yield from self._block(file, start, min(start + _BLOCK, self._length))
        except (OSError, KeyError, RuntimeError, TypeError) as error:
            raise CalculationError(f"{self.path} is damaged ({error})") from error

    def _block(self, file: h5py.File, start: int, end: int) -> Iterator[Frame]:
        group = file[_GROUP]
        scale = float(group["scale"][()]) if "scale" in group else 1.0
        cells, positions = scale * group["lattice_vectors"][start:end], group["position_ions"][start:end]
        if not (np.isfinite(cells).all() and np.isfinite(positions).all()):
            raise CalculationError(f"{self.path}: positions are not finite; the run has exploded")
        energies = _energies(group, start, end)
        stress = group["stress"][start:end] if "stress" in group else [None] * (end - start)
        wanted = self._forces and "forces" in group
        forces = group["forces"][start:end] if wanted else [None] * (end - start)
        for place, index in enumerate(range(start, end)):
            count, change, change_of_bands = self._electronic_steps[index]
            scalars = {name: float(energies[name][place]) if name in energies else np.nan for name in _TAGS.values()}
            yield Frame(
                step=index + 1,
                cell=cells[place],
                fractional=positions[place],
                temperature=self.header.temperature(scalars["kinetic"]),
                stress=stress[place],
                forces=forces[place],
                electronic_steps=count,
                last_change=change,
                scf_converged=self.header.is_converged(count, change, change_of_bands),
                **scalars,
            )


def _energies(group: h5py.Group, start: int, end: int) -> dict[str, np.ndarray]:
    tags = [" ".join(tag.decode().split()) for tag in group["energies_tags"][:]]
    values = group["energies"][start:end]
    return {_TAGS[tag]: values[:, column] for column, tag in enumerate(tags) if tag in _TAGS}


def _electronic_steps(file: h5py.File, length: int) -> list[tuple[int, float, float]]:
    """Return number of electronic steps, last change of the energy and of the bands' energy, for every ionic step.

    A step that was under way when VASP was killed may follow. Where steps of a machine-learned force field lie between,
    the file does not say to which ionic steps its electronic ones belong.
    """
    group = file[_GROUP]
    rows = group["oszicar"][:] if "oszicar" in group else np.empty((0, 4))
    starts = np.flatnonzero(rows[:, 0] == 1)
    ends = [*starts[1:], len(rows)]
    if not length <= len(starts) <= length + 1:
        raise ValueError("it does not tell which electronic steps converged; read vasprun.xml instead")
    return [
        (int(end - start), float(rows[end - 1, 2]), float(rows[end - 1, 3]))
        for start, end in zip(starts, ends, strict=True)
    ]


def _header(file: h5py.File, path: Path) -> Header:
    species = next(file[name] for name in _SPECIES if f"{name}/ion_types" in file)
    symbols = [symbol.decode().strip().split("_")[0].split("/")[0] for symbol in species["ion_types"][:]]
    numbers = np.repeat([atomic_numbers[symbol] for symbol in symbols], species["number_ion_types"][:])
    incar = {
        name: file[f"input/incar/{name}"][()] if f"input/incar/{name}" in file else default
        for name, default in _DEFAULTS.items()
    }
    free = 3 * len(numbers)
    if "selective_dynamics_ions" in species:
        free = int(np.count_nonzero(species["selective_dynamics_ions"][:]))
    return Header(
        source=str(path),
        numbers=numbers,
        time_step=float(incar["POTIM"]),
        steps_asked=int(incar["NSW"]),
        max_electronic_steps=int(incar["NELM"]),
        energy_criterion=float(incar["EDIFF"]),
        degrees_of_freedom=max(free if free < 3 * len(numbers) else free - 3, 1),
    )
