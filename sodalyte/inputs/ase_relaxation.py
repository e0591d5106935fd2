"""Relaxations and statics with a potential, as an atomate2 Maker."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from atomate2.ase.jobs import AseRelaxMaker
from atomate2.ase.schemas import AseStructureTaskDoc, AseTaskDoc
from jobflow import job
from pymatgen.io.ase import AseAtomsAdaptor

if TYPE_CHECKING:
    from pathlib import Path

    from ase.calculators.calculator import Calculator
    from atomate2.ase.schemas import AseResult
    from pymatgen.core import Structure

    from sodalyte.inputs.potential import Potential


@dataclass
class PotentialRelaxMaker(AseRelaxMaker):  # type: ignore[misc]
    """atomate2's ASE relaxation with one of our potentials.

    Attributes
    ----------
    potential
        Gives the calculator; its level of theory is part of the job's identity.
    rattle, seed
        Standard deviation, angstrom, and seed of the random displacements of the start, which break its symmetry.
    revision
        To be raised with every change of this class that changes results: it is part of a job's identity.
    """

    potential: Potential | None = None
    rattle: float = 0.0
    seed: int = 0
    revision: int = 1
    name: str = "relaxation"

    @job(data=["trajectory"], output_schema=AseStructureTaskDoc)
    def make(self, structure: Structure, prev_dir: str | Path | None = None) -> AseStructureTaskDoc:
        """Relax ``structure``; ``prev_dir`` is accepted as by every Maker, and not used."""
        return AseTaskDoc.to_mol_or_struct_metadata_doc(
            type(self.potential).__name__,
            self.run_ase(structure, prev_dir=prev_dir),
            self.steps,
            relax_kwargs=self.relax_kwargs,
            optimizer_kwargs=self.optimizer_kwargs,
            relax_cell=self.relax_cell,
            fix_symmetry=self.fix_symmetry,
            symprec=self.symprec,
            ionic_step_data=self.ionic_step_data,
            tags=self.tags,
        )

    def run_ase(self, mol_or_struct: Structure, prev_dir: str | Path | None = None) -> AseResult:
        """Relax ``mol_or_struct``."""
        atoms = AseAtomsAdaptor.get_atoms(mol_or_struct, msonable=False)
        self._calculator: Calculator = self.potential.load(atoms.copy())  # type: ignore[union-attr]
        if self.rattle:
            atoms.rattle(self.rattle, seed=self.seed)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Only FixAtoms and FixCartesian")  # FixSymmetry is not for the document
            return super().run_ase(atoms, prev_dir=prev_dir)
