"""Relaxations and statics with a potential, as an atomate2 Maker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from atomate2.ase.jobs import AseRelaxMaker
from pymatgen.io.ase import AseAtomsAdaptor

if TYPE_CHECKING:
    from pathlib import Path

    from ase.calculators.calculator import Calculator
    from atomate2.ase.schemas import AseResult
    from pymatgen.core import Structure

    from sodalyte.inputs.potential import Potential

_SEED = 0


@dataclass
class PotentialRelaxMaker(AseRelaxMaker):  # type: ignore[misc]
    """atomate2's ASE relaxation with one of our potentials.

    Attributes
    ----------
    potential
        Gives the calculator; its level of theory is part of the job's identity.
    rattle
        Standard deviation, angstrom, of the random displacements of the start, which break its symmetry.
    """

    potential: Potential | None = None
    rattle: float = 0.0
    name: str = "relaxation"

    def run_ase(self, mol_or_struct: Structure, prev_dir: str | Path | None = None) -> AseResult:
        """Relax ``mol_or_struct``."""
        atoms = AseAtomsAdaptor.get_atoms(mol_or_struct, msonable=False)
        self._calculator: Calculator = self.potential.load(atoms.copy())  # type: ignore[union-attr]
        if self.rattle:
            atoms.rattle(self.rattle, seed=_SEED)
        return super().run_ase(atoms, prev_dir=prev_dir)
