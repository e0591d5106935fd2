"""What a VASP calculation will cost: its size counted, its time estimated.

Electrons, bands, k-points and plane waves are counted as VASP counts them. Core hours are an order of magnitude: the
number of floating-point operations of an electronic step (Kresse and Furthmueller, 10.1016/0927-0256(96)00008-0),
divided by the speed of a core that a published run of VASP had. A timing of one's own, an OUTCAR, replaces that speed.
"""

from __future__ import annotations

import gzip
import math
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import mean, median
from typing import TYPE_CHECKING

import numpy as np

from sodalyte.errors import EngineError, UsageError
from sodalyte.structures.supercells import NET_CHARGE

if TYPE_CHECKING:
    from pymatgen.core import Structure
    from pymatgen.io.vasp.inputs import Incar

UNCERTAINTY = 3.0
"""Factor, either way, within which core hours are expected with the published speed."""

GAMMA_GAIN = 2.0
"""Gain of the executable for the Gamma point alone, whose wave functions are real: half the coefficients."""

_HBAR2_2M = 3.80998  # eV angstrom^2
_PROJECTORS = 8  # of an atom: two s and two p channels
_SPHERE = 4 / 3 * math.pi * 2.5**3  # angstrom^3, in which an atom's projectors live
_APPLICATIONS = 4  # of the Hamiltonian to a band, in one electronic step

_TRANSFORM_SPEED = 1.9e9
_MATRIX_SPEED = 1e10
_BASIS = (
    "floating-point operations at the speed of a core in a published run (VASP 5.2.11, 56 atoms, 384 electrons, "
    "4 k-points, 24 cores of 2011, 30 s an electronic step: OUTCAR of pymatgen's public test files); "
    f"an order of magnitude, good to a factor of {UNCERTAINTY:g} either way"
)

_SETS = ("PBE_64", "PBE_54", "PBE_52", "PBE")

_FIRST_ELECTRONIC_STEPS = 15
_ELECTRONIC_STEPS = {"dynamics": 7, "relaxation": 9}
_IONIC_STEPS = 30
STEPS_BASIS = (
    f"assumed: {_FIRST_ELECTRONIC_STEPS} electronic steps in the first ionic step, then "
    f"{_ELECTRONIC_STEPS['dynamics']} in dynamics and {_ELECTRONIC_STEPS['relaxation']} in relaxations; "
    f"{_IONIC_STEPS} ionic steps in a relaxation"
)


@dataclass(frozen=True)
class Size:
    """How large a calculation is.

    Attributes
    ----------
    n_atoms, electrons, bands
        Ions, valence electrons and bands (VASP's default for NBANDS).
    kpoints, grid_kpoints
        After symmetry, and of the whole grid.
    plane_waves
        Mean number at a k-point.
    grid_points
        Of the grid for Fourier transforms of wave functions.
    spins
        1 or 2.
    real_space
        Whether potentials are projected in real space (LREAL).
    volume
        angstrom^3.
    """

    n_atoms: int
    electrons: float
    bands: int
    kpoints: int
    grid_kpoints: int
    plane_waves: int
    grid_points: int
    spins: int
    real_space: bool
    volume: float

    @property
    def is_gamma_only(self) -> bool:
        """Whether the executable for the Gamma point can be used."""
        return self.grid_kpoints == 1

    def core_seconds(self) -> float:
        """Return the estimated time of one electronic step on one core, s."""
        projectors = _PROJECTORS * self.n_atoms
        transforms = 2 * 5 * self.grid_points * math.log2(self.grid_points)
        matrices = 24.0 * self.bands**2 * self.plane_waves
        if self.real_space:
            transforms += 8 * projectors * _SPHERE * self.grid_points / self.volume
        else:
            matrices += _APPLICATIONS * self.bands * 16.0 * projectors * self.plane_waves
        seconds = _APPLICATIONS * self.bands * transforms / _TRANSFORM_SPEED + matrices / _MATRIX_SPEED
        return self.spins * self.kpoints * seconds / (GAMMA_GAIN if self.is_gamma_only else 1)


@dataclass(frozen=True)
class Pace:
    """How fast cores are.

    Attributes
    ----------
    factor
        Time of an electronic step, relative to that of :meth:`Size.core_seconds`.
    basis
        Where the factor comes from, in words.
    """

    factor: float = 1.0
    basis: str = _BASIS


def size_of(structure: Structure, incar: Incar, grid: tuple[int, int, int], valences: dict[str, float]) -> Size:
    """Count electrons, bands, k-points and plane waves.

    Parameters
    ----------
    structure
        A net charge in its properties is honoured.
    incar
        ENCUT (eV) is needed; ISYM, ISPIN, LREAL, PREC and NBANDS have VASP's defaults.
    grid
        Gamma-centred.
    valences
        Electrons that the potentials leave free, by element.
    """
    electrons = sum(valences[site.specie.symbol] for site in structure) - structure.properties.get(NET_CHARGE, 0)
    encut = float(incar["ENCUT"])
    accurate = str(incar.get("PREC", "Normal")).lower().startswith(("a", "h"))
    return Size(
        n_atoms=len(structure),
        electrons=electrons,
        bands=int(incar.get("NBANDS", default_bands(electrons, len(structure)))),
        kpoints=irreducible_kpoints(structure, grid, isym=int(incar.get("ISYM", 2))),
        grid_kpoints=math.prod(grid),
        plane_waves=plane_waves(structure.volume, encut),
        grid_points=round(structure.volume * ((2 if accurate else 1.5) * _wave_vector(encut) / math.pi) ** 3),
        spins=int(incar.get("ISPIN", 1)),
        real_space=str(incar.get("LREAL", False)).lower() not in {"false", ".false.", "f"},
        volume=structure.volume,
    )


def core_hours(size: Size, *, ionic_steps: int, dynamics: bool, pace: Pace | None = None) -> float:
    """Return the estimated core hours of a calculation of ``ionic_steps`` ionic steps."""
    following = _ELECTRONIC_STEPS["dynamics" if dynamics else "relaxation"]
    electronic_steps = _FIRST_ELECTRONIC_STEPS + following * (ionic_steps - 1)
    return electronic_steps * size.core_seconds() * (pace or Pace()).factor / 3600


def expected_ionic_steps(incar: Incar) -> int:
    """Return how many ionic steps a static or a relaxation is expected to take."""
    allowed = int(incar.get("NSW", 0))
    return min(allowed, _IONIC_STEPS) if allowed else 1


def plane_waves(volume: float, encut: float) -> int:
    """Return the mean number of plane waves at a k-point.

    Parameters
    ----------
    volume
        angstrom^3.
    encut
        eV.
    """
    return round(volume * _wave_vector(encut) ** 3 / (6 * math.pi**2))


def _wave_vector(encut: float) -> float:
    return math.sqrt(encut / _HBAR2_2M)


def default_bands(electrons: float, n_atoms: int) -> int:
    """Return VASP's default for NBANDS without magnetic moments (https://www.vasp.at/wiki/NBANDS)."""
    return max(int(electrons + 2) // 2 + max(n_atoms // 2, 3), int(0.6 * electrons))


def irreducible_kpoints(structure: Structure, grid: tuple[int, int, int], *, isym: int) -> int:
    """Return the number of k-points of a Gamma-centred grid that VASP computes.

    Parameters
    ----------
    isym
        ISYM: negative, no symmetry at all; 0, time reversal only; positive, the crystal's.
    """
    import spglib

    if isym < 0:
        return math.prod(grid)
    if isym == 0:
        own_images = math.prod(2 - n % 2 for n in grid)
        return (math.prod(grid) + own_images) // 2
    numbers = [site.specie.Z for site in structure]
    cell = (structure.lattice.matrix, structure.frac_coords, numbers)
    mapping, _ = spglib.get_ir_reciprocal_mesh(grid, cell, is_time_reversal=True, symprec=1e-5)
    return len(np.unique(mapping))


def valence_electrons(symbols: dict[str, str], functional: str) -> dict[str, float]:
    """Return the electrons that potentials leave free, from pymatgen's record of genuine POTCARs: it needs no licence.

    Parameters
    ----------
    symbols
        Name of the potential, such as ``Na_pv``, by element.
    functional
        Set of potentials: PBE, PBE_52, PBE_54 or PBE_64.

    Raises
    ------
    EngineError
        A potential is not in the record.
    """
    known = _recorded(functional)
    unknown = sorted(set(symbols.values()) - set(known))
    if unknown:
        raise EngineError(
            f"the number of electrons of {', '.join(unknown)} (set {functional}) is not known to pymatgen"
        )
    return {element: known[symbol] for element, symbol in symbols.items()}


@cache
def _recorded(functional: str) -> dict[str, float]:
    """Return the electrons of each potential: of the set, else of another one that holds it."""
    from monty.serialization import loadfn
    from pymatgen.io.vasp.inputs import POTCAR_STATS_PATH

    record = loadfn(POTCAR_STATS_PATH)
    entries = (entry for name in (*_SETS, functional) for variants in record[name].values() for entry in variants)
    return {str(entry["symbol"]): float(entry["ZVAL"]) for entry in entries}


_COUNTS = {
    "kpoints": re.compile(r"NKPTS\s*=\s*(\d+)"),
    "bands": re.compile(r"NBANDS\s*=\s*(\d+)"),
    "n_atoms": re.compile(r"NIONS\s*=\s*(\d+)"),
    "spins": re.compile(r"ISPIN\s*=\s*(\d+)"),
}
_GRID = re.compile(r"dimension x,y,z NGX =\s*(\d+)\s+NGY =\s*(\d+)\s+NGZ =\s*(\d+)")
_NUMBERS = {
    "cores": re.compile(r"running\s+(?:on\s+)?(\d+)\s+(?:nodes|total cores|mpi-ranks)"),
    "threads": re.compile(r"with\s+(\d+)\s+threads/rank"),
    "electrons": re.compile(r"NELECT\s*=\s*([\d.]+)"),
    "volume": re.compile(r"volume of cell\s*:\s*([\d.]+)"),
}
_WAVES = re.compile(r"k-point\s+\d+\s*:.*plane waves:\s*(\d+)")
_REAL_SPACE = re.compile(r"LREAL\s*=\s*([TF])")
_LOOP = re.compile(r"LOOP:\s+cpu time\s*[\d.]+: real time\s*([\d.]+)")


def read_pace(path: Path) -> Pace:
    """Return how fast the cores were in a run of which there is the OUTCAR, packed or not.

    Raises
    ------
    UsageError
        The file cannot be read, or holds no timing of electronic steps.
    """
    counts: dict[str, int] = {}
    numbers: dict[str, float] = {"threads": 1}
    waves, loops, grid, real_space, gamma = [], [], 0, False, False
    if not path.is_file():
        raise UsageError(f"there is no file {path}; name an OUTCAR of VASP")
    try:
        with gzip.open(path, "rt", errors="replace") if path.suffix == ".gz" else path.open(errors="replace") as file:
            for line in file:
                gamma = gamma or "gamma-only" in line
                for name, pattern in _COUNTS.items():
                    if name not in counts and (found := pattern.search(line)):
                        counts[name] = int(found[1])
                for name, pattern in _NUMBERS.items():
                    if found := pattern.search(line):
                        numbers[name] = float(found[1])
                if not grid and (found := _GRID.search(line)):
                    grid = math.prod(int(n) for n in found.groups())
                if found := _REAL_SPACE.search(line):
                    real_space = found[1] == "T"
                waves += [int(found[1])] if (found := _WAVES.search(line)) else []
                loops += [float(found[1])] if (found := _LOOP.search(line)) else []
        size = Size(
            **counts,
            electrons=numbers["electrons"],
            grid_kpoints=1 if gamma else max(counts["kpoints"], 2),
            plane_waves=round(mean(waves) * (2 if gamma else 1)),
            grid_points=grid,
            real_space=real_space,
            volume=numbers["volume"],
        )
        factor = median(loops) * numbers["cores"] * numbers["threads"] / size.core_seconds()
    except (OSError, EOFError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise UsageError(
            f"{path} is not an OUTCAR with timings of electronic steps ({error!r}); name another"
        ) from error
    return Pace(
        factor=factor,
        basis=f"the time of electronic steps in {path} ({numbers['cores']:g} cores, {counts['n_atoms']} atoms), "
        "scaled with the number of floating-point operations",
    )
