"""The inputs of one calculation, read and checked together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sodalyte.launchers.rehearsal.cell import Cell, Potential, check_species, parse_potcar
from sodalyte.launchers.rehearsal.incar import Incar, InputError
from sodalyte.launchers.rehearsal.sampling import Sampling, default_bands, fft_grid, plane_waves, read_sampling

if TYPE_CHECKING:
    from sodalyte.launchers.rehearsal.cell import Array

VERSION = "6.4.3"
"""Of the VASP whose formats are written."""


@dataclass(frozen=True)
class Setup:
    """What INCAR, POSCAR, POTCAR and KPOINTS ask for."""

    incar: Incar
    cell: Cell
    potentials: list[Potential]
    sampling: Sampling
    model: str

    @classmethod
    def read(cls, folder: Path, model: str) -> Setup:
        """Read and check the input files of ``folder``.

        Raises
        ------
        InputError
            A file is missing or wrong, or asks for what cannot be honoured.
        """
        incar = Incar.parse(_text(folder / "INCAR"))
        cell = Cell.parse(_text(folder / "POSCAR"))
        potentials = parse_potcar(_text(folder / "POTCAR"))
        incar.check()
        check_species(cell, potentials)
        kpoints = _text(folder / "KPOINTS") if (folder / "KPOINTS").exists() else None
        return cls(incar, cell, potentials, read_sampling(kpoints, cell, incar), model)

    @cached_property
    def masses(self) -> Array:
        """Atomic mass of every ion, u."""
        return np.repeat([potential.mass for potential in self.potentials], self.cell.counts)

    @cached_property
    def encut(self) -> float:
        """ENCUT, eV."""
        return self.incar.number("ENCUT", max(potential.enmax for potential in self.potentials))

    @cached_property
    def electrons(self) -> float:
        """NELECT."""
        pairs = zip(self.cell.counts, self.potentials, strict=True)
        return self.incar.number("NELECT", sum(count * potential.valence for count, potential in pairs))

    @cached_property
    def bands(self) -> int:
        """NBANDS."""
        moments = self.incar.tags.get("MAGMOM", [1.0] * self.cell.n_ions)
        moment = float(np.sum(moments)) if self.incar.spins == 2 else 0.0
        return self.incar.integer("NBANDS", default_bands(self.electrons, self.cell.n_ions, moment))

    @cached_property
    def plane_waves(self) -> int:
        """Mean number of plane waves per k-point."""
        return plane_waves(self.cell.volume, self.encut)

    @cached_property
    def grids(self) -> tuple[list[int], list[int]]:
        """Coarse and fine FFT grid."""
        accurate = self.incar.word("PREC", "normal")[:1] in {"a", "h"}
        return fft_grid(self.cell.lattice, self.encut, accurate=accurate)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f" ERROR: the file {path.name} cannot be read ({type(error).__name__})\n") from error
