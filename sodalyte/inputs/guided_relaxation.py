"""Relaxations whose steps are dear: they start from a guess of the Hessian, and if wanted of the cell."""

from __future__ import annotations

import contextlib
import io
import warnings
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING

from atomate2.ase.utils import AseRelaxer
from pymatgen.io.ase import AseAtomsAdaptor

from sodalyte.inputs.ase_relaxation import PotentialRelaxMaker
from sodalyte.inputs.hessian import GuidedBFGS, Springs, hessian

if TYPE_CHECKING:
    from pathlib import Path

    from ase import Atoms
    from atomate2.ase.schemas import AseResult
    from pymatgen.core import Structure

    from sodalyte.inputs.potential import Potential


@dataclass
class GuidedRelaxMaker(PotentialRelaxMaker):
    """A relaxation that knows where it is steep before its first step.

    The optimiser's first Hessian is that of springs between neighbours, or that of ``guide``.

    Attributes
    ----------
    guide
        A cheap potential: the relaxation starts from the cell that it relaxes, with its Hessian.
    """

    guide: Potential | None = None

    @classmethod
    def from_plain(cls, maker: PotentialRelaxMaker, guide: Potential | None = None) -> GuidedRelaxMaker:
        """Return the Maker that does what ``maker`` does, in fewer steps."""
        return cls(**{each.name: getattr(maker, each.name) for each in fields(maker)}, guide=guide)

    def run_ase(self, mol_or_struct: Structure, prev_dir: str | Path | None = None) -> AseResult:  # noqa: ARG002
        """Relax ``mol_or_struct``."""
        atoms = AseAtomsAdaptor.get_atoms(mol_or_struct, msonable=False)
        if self.rattle:
            atoms.rattle(self.rattle, seed=self.seed)
        calculator = self.potential.load(atoms.copy())  # type: ignore[union-attr] # whose k-points no guide decides
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Only FixAtoms and FixCartesian")  # FixSymmetry is not for the document
            atoms = self._guided(atoms)
            guide = self.guide.load(atoms.copy()) if self.guide else None
            optimiser = partial(GuidedBFGS, guess=lambda now: hessian(now, guide or Springs(now), cell=self.relax_cell))
            return self._relaxer(calculator, optimiser).relax(atoms, steps=self.steps, **self.relax_kwargs)

    def _guided(self, atoms: Atoms) -> Atoms:
        """Return the atoms as the guide relaxes them; a start that breaks the symmetry is left alone."""
        if self.guide is None or self.rattle:
            return atoms
        relaxer = self._relaxer(self.guide.load(atoms.copy()), "BFGS")
        with contextlib.redirect_stdout(io.StringIO()):
            relaxed = relaxer.relax(atoms, steps=self.steps, **self.relax_kwargs).final_mol_or_struct
        return AseAtomsAdaptor.get_atoms(relaxed, msonable=False)

    def _relaxer(self, calculator: object, optimiser: object) -> AseRelaxer:
        return AseRelaxer(
            calculator,
            optimizer=optimiser,
            relax_cell=self.relax_cell,
            fix_symmetry=self.fix_symmetry,
            symprec=self.symprec,
        )
