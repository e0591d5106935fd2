"""XDATCAR with OSZICAR and INCAR beside it: what is left when vasprun.xml is lost."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from sodalyte.errors import CalculationError
from sodalyte.inputs.vasp.reading.frames import Frame, Header
from sodalyte.inputs.vasp.reading.numbers import number, parse

_CONFIGURATION = b"Direct configuration="
_TAG = re.compile(r"(?:^|;)\s*(\w+)\s*=\s*([^\s;#!]+)", re.MULTILINE)
_ENERGY = re.compile(r"(\w+)=\s*(\S+)")
_ELECTRONIC = re.compile(r"^[A-Z]{3}:\s*(\d+)\s+(\S+)\s+(\S+)\s+(\S+)")
_DEFAULTS = {"NSW": "0", "NELM": "60", "EDIFF": "1E-4", "NBLOCK": "1"}


@dataclass
class _Energies:
    """One ionic step in OSZICAR."""

    electronic_steps: int = 0
    changes: tuple[float, float] = (np.nan, np.nan)
    values: dict[str, float] = field(default_factory=dict)


class Xdatcar:
    """The ionic steps of ``XDATCAR``, with energies and temperatures from ``OSZICAR``.

    Attributes as those of :class:`sodalyte.inputs.vasp.reading.vasprun.Vasprun`. There are no stresses and no forces.

    Raises
    ------
    CalculationError
        The file is not VASP's, a configuration in it is damaged, or the INCAR beside it, which gives the time step, is
        missing. A file that ends early just has fewer steps.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.complete = False
        tags = {key.upper(): value for key, value in _TAG.findall(_read(path, "INCAR"))}
        tags = _DEFAULTS | tags
        try:
            if int(tags["NBLOCK"]) != 1:
                raise CalculationError(f"{path} holds every {tags['NBLOCK']}th step only; read vasprun.xml instead")
            with _opened(path) as file:
                numbers = _numbers(file)
            self.header = Header(
                source=str(path),
                numbers=numbers,
                time_step=float(tags["POTIM"]),
                steps_asked=int(tags["NSW"]),
                max_electronic_steps=int(tags["NELM"]),
                energy_criterion=float(tags["EDIFF"]),
                degrees_of_freedom=3 * len(numbers) - 3,
            )
        except KeyError as error:
            raise CalculationError(f"{path} does not say {error}, and no INCAR beside it does") from error
        except (OSError, EOFError, ValueError) as error:
            raise CalculationError(f"{path}, or the INCAR beside it, is damaged ({error})") from error

    def __iter__(self) -> Iterator[Frame]:
        energies = _energies(self.path)
        step, known = 0, False
        for cell, fractional in self._configurations():
            found = next(energies, None)
            if found is None and known:
                break
            known, found = found is not None, found or _Energies()
            step += 1
            kinetic = found.values.get("EK", np.nan)
            yield Frame(
                step=step,
                cell=cell,
                fractional=fractional,
                free_energy=found.values.get("F", np.nan),
                e_0_energy=found.values.get("E0", np.nan),
                kinetic=kinetic,
                thermostat_potential=found.values.get("SP", np.nan),
                thermostat_kinetic=found.values.get("SK", np.nan),
                conserved=found.values.get("E", np.nan),
                temperature=self.header.temperature(kinetic),
                stress=None,
                forces=None,
                electronic_steps=found.electronic_steps,
                last_change=found.changes[0],
                scf_converged=known and self.header.is_converged(found.electronic_steps, *found.changes),
            )
        self.complete = 0 < step == self.header.steps_asked

    def _configurations(self) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        n_atoms = len(self.header.numbers)
        cell = np.empty((0, 3))
        count = 0
        with _opened(self.path) as file:
            try:
                while line := file.readline():
                    if not line.startswith(_CONFIGURATION):
                        scale = float(file.readline())
                        cell = scale * parse(b"".join(file.readline() for _ in range(3)), 9).reshape(3, 3)
                        file.readline(), file.readline()
                        line = file.readline()
                    rows = [file.readline() for _ in range(n_atoms)]
                    if not rows[-1].endswith(b"\n"):
                        return
                    count += 1
                    yield cell, parse(b"".join(rows), 3 * n_atoms).reshape(n_atoms, 3)
            except (EOFError, gzip.BadGzipFile):
                return
            except ValueError as error:
                if file.readline():
                    raise CalculationError(
                        f"{self.path}: the configuration after the {count}th is damaged ({error})"
                    ) from error


def _numbers(file: BinaryIO) -> NDArray[np.int64]:
    lines = [file.readline() for _ in range(7)]
    symbols = [word.decode().split("_")[0].split("/")[0] for word in lines[5].split()]
    return np.repeat([atomic_numbers[symbol] for symbol in symbols], [int(word) for word in lines[6].split()])


def _energies(path: Path) -> Iterator[_Energies]:
    """Yield the ionic steps of the OSZICAR beside ``path``."""
    step = _Energies()
    for line in _read(path, "OSZICAR").splitlines():
        if electronic := _ELECTRONIC.match(line):
            step.electronic_steps = int(electronic[1])
            step.changes = (_value(electronic[3]), _value(electronic[4]))
        elif "F=" in line and "E0=" in line:
            step.values = {name: _value(value) for name, value in _ENERGY.findall(line)}
            yield step
            step = _Energies()


def _value(text: str) -> float:
    try:
        return number(text)
    except ValueError:
        return np.nan


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as plain:
            yield cast("BinaryIO", gzip.GzipFile(fileobj=plain)) if path.suffix == ".gz" else plain
    except OSError as error:
        raise CalculationError(f"{path} cannot be read: {error.strerror or error}") from error


def _read(path: Path, name: str) -> str:
    """Return the text of a file beside ``path``, packed or not; empty if there is none."""
    for neighbour in (path.with_name(name), path.with_name(f"{name}.gz")):
        if neighbour.exists():
            with _opened(neighbour) as file:
                return file.read().decode(errors="replace")
    return ""
