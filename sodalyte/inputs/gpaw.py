"""Open PAW-DFT: GPAW with plane waves, behind the engine seam."""

from __future__ import annotations

import gc
import hashlib
import os
import warnings
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pymatgen.io.ase import AseAtomsAdaptor

from sodalyte.configuration import GPAW_COMMAND
from sodalyte.errors import CalculationError, EngineError
from sodalyte.inputs.gpaw_parallel import ParallelPlaneWaves
from sodalyte.inputs.gpaw_setups import check_cutoff, import_gpaw, pulay_stress
from sodalyte.inputs.kpoints import gamma_centred_grid, is_metal
from sodalyte.inputs.potential import Potential
from sodalyte.inputs.recorded import RecordedCalculator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ase import Atoms
    from ase.calculators.calculator import Calculator
    from jobflow import Maker

    from sodalyte.inputs.engine import Engine
    from sodalyte.inputs.recipe import Recipe

_SHIPPED_VERSIONS = ("26.7.0", "1.2.1")

_EMPTY_BANDS = 4
"""Of crystals that are no metals: GPAW's own choice, a fifth of the occupied ones and four, takes a sixth longer."""

_EMPTY = 1e-4
"""Occupation of the highest band up to which it counts as empty."""

_FIRST_MIXING = 0.3
"""Part of the change of the density that the first iteration takes over; with GPAW's 0.05 it is lost."""


@dataclass(frozen=True)
class Gpaw(Potential):
    """PAW-DFT in plane waves (GPAW, 10.1063/5.0182685), by default PBE at 520 eV.

    Energies are extrapolated to zero smearing. Stresses are corrected for the dependence of the plane-wave set on the
    cell (Pulay stress, 0.1 GPa in Na3SbS4), so that a relaxation finds the minimum of the energy at fixed cutoff.

    Attributes
    ----------
    functional, encut, kpoints, kpoint_density, spin_polarised
        As in the recipe's section on the electronic structure.
    smearing
        Width of the Fermi-Dirac distribution, eV.
    convergence
        Of the self-consistency: residual of the density (electrons per valence electron) and of the eigenstates
        (eV^2 per valence electron).
    guide
        A potential from whose relaxed cell and Hessian relaxations start.
    """

    package = "gpaw"
    extra = "gpaw"
    contained_correction = "none"

    functional: str = "PBE"
    encut: float = 520.0
    kpoints: tuple[int, int, int] = (3, 3, 3)
    kpoint_density: float | None = None
    spin_polarised: bool = False
    smearing: float = 0.05
    convergence: tuple[float, float] = (1e-5, 1e-8)
    guide: Potential | None = None

    def __post_init__(self) -> None:
        # Unlike a potential, GPAW need not be installed: its shipped results can be used without it.
        if not self.level:
            object.__setattr__(self, "level", self._describe())

    def _describe(self) -> str:
        spin = ", spin-polarised" if self.spin_polarised else ""
        gpaw, setups = _versions()
        return (
            f"{self.functional}, PAW, plane waves to {self.encut:g} eV{spin} (GPAW {gpaw}, setups gpaw-data {setups})"
        )

    def for_recipe(self, recipe: Recipe) -> Gpaw:
        """Return the engine with the electronic settings of ``recipe``.

        Raises
        ------
        EngineError
            The functional is not PBE.
        """
        settings = recipe.electronic
        if settings.functional != "PBE":
            raise EngineError(
                f"GPAW has no PAW data sets for {settings.functional} and does not take those of PBE for it; "
                "set electronic.functional to PBE"
            )
        return replace(
            self,
            level="",
            functional=settings.functional,
            encut=settings.encut,
            kpoints=settings.kpoints,
            kpoint_density=settings.kpoint_density,
            spin_polarised=settings.spin_polarised,
        )

    def starting_from(self, guide: Engine) -> Gpaw:
        """Return the engine whose relaxations start from the cell and the Hessian of a potential.

        Raises
        ------
        EngineError
            ``guide`` is no potential.
        """
        if not isinstance(guide, Potential) or isinstance(guide, Gpaw):
            raise EngineError("--start-from needs a potential such as chgnet or sevennet")
        return replace(self, guide=guide)

    def relax(self, recipe: Recipe) -> Maker:
        """Return a Maker for cell and ions, space group kept."""
        return super(Gpaw, self.for_recipe(recipe)).relax(recipe)

    def relax_ions(self, recipe: Recipe, *, keep_symmetry: bool = False) -> Maker:
        """Return a Maker for the ions of a strained cell: in its symmetry, or from a start that breaks it."""
        return super(Gpaw, self.for_recipe(recipe)).relax_ions(recipe, keep_symmetry=keep_symmetry)

    def static(self, recipe: Recipe) -> Maker:
        """Return a Maker for one energy, with forces and stress."""
        return super(Gpaw, self.for_recipe(recipe)).static(recipe)

    def dynamics(self, recipe: Recipe, temperature: float, steps: int) -> Maker:
        """Return a Maker for one segment of NVT dynamics."""
        return super(Gpaw, self.for_recipe(recipe)).dynamics(recipe, temperature, steps)

    def _relaxation(self, fmax: float, max_steps: int, *, symprec: float | None, **settings: Any) -> Maker:
        from sodalyte.inputs.guided_relaxation import GuidedRelaxMaker

        maker = super()._relaxation(fmax, max_steps, symprec=symprec, **settings)
        if max_steps <= 1:
            return maker
        return GuidedRelaxMaker.from_plain(maker, self.guide)

    def calculator(self, reference: Atoms) -> Calculator:
        """Return a calculator that records what it computes in the working directory, and goes on from there.

        Raises
        ------
        EngineError
            GPAW is not installed, or as :meth:`check_elements`.
        """
        if find_spec(self.package) is None:
            raise EngineError("this calculation needs GPAW; install it with: scripts/install --with gpaw")
        self.check_elements(reference.get_chemical_symbols())
        settings = hashlib.sha256(repr(self).encode()).hexdigest()[:8]
        return RecordedCalculator(self.plane_waves(reference), Path.cwd() / f"ionic_steps-{settings}.jsonl")

    def check_elements(self, symbols: Iterable[str]) -> None:
        """Refuse elements whose PAW data sets the cutoff is too low for; where GPAW is not installed nobody can tell.

        Raises
        ------
        EngineError
            As :func:`sodalyte.inputs.gpaw_setups.check_cutoff`.
        """
        if find_spec(self.package):
            check_cutoff(symbols, encut=self.encut)

    def plane_waves(self, reference: Atoms) -> Callable[[Atoms], dict[str, Any]]:
        """Return what computes energies, forces and stresses, by as many ranks as the environment's command starts."""
        gc.collect()  # of the last calculation, which ASE's optimisers keep in cycles: its ranks and wave functions
        if command := os.environ.get(GPAW_COMMAND):
            return ParallelPlaneWaves(self, reference, command)
        return PlaneWaves(self, reference)

    def grid(self, atoms: Atoms) -> tuple[int, int, int]:
        """Return the divisions of the Gamma-centred grid of k-points for a cell."""
        first, second, third = self.kpoints
        if self.kpoint_density is not None:
            first, second, third = gamma_centred_grid(AseAtomsAdaptor.get_structure(atoms), self.kpoint_density)
        return first, second, third


class PlaneWaves:
    """Energies, forces and stresses of one system at an engine's settings; configurations follow one another.

    Parameters
    ----------
    engine
        The settings.
    reference
        The configuration whose cell decides about the k-points.
    """

    def __init__(self, engine: Gpaw, reference: Atoms) -> None:
        self._engine = engine
        self._grid = engine.grid(reference)
        self._bands = None if is_metal(AseAtomsAdaptor.get_structure(reference)) else -_EMPTY_BANDS
        self._calculator: Any = None

    def __call__(self, atoms: Atoms) -> dict[str, Any]:
        """Return energy (eV, zero smearing), forces (eV/angstrom) and stress (eV/angstrom^3, Voigt) of ``atoms``.

        Raises
        ------
        CalculationError
            The self-consistent cycle does not converge.
        """
        import_gpaw()
        from gpaw import KohnShamConvergenceError
        from gpaw.new.symmetry import SymmetryBrokenError

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                try:
                    return self._answer(atoms)
                except SymmetryBrokenError:
                    self._calculator = None
                    return self._answer(atoms)
            except KohnShamConvergenceError as error:
                raise CalculationError(
                    f"the self-consistent cycle of GPAW did not converge; see the last gpaw-*.txt in {Path.cwd()}"
                ) from error

    def _answer(self, atoms: Atoms) -> dict[str, Any]:
        if self._calculator is None:
            self._calculator = self._set_up()
        atoms = atoms.copy()
        atoms.calc = self._calculator
        energy = atoms.get_potential_energy()
        if self._bands is not None and self._calculator.occupations()[..., -1].max() > _EMPTY:
            self._bands = self._calculator = None  # more of a metal than its elements tell
            return self._answer(atoms)
        pulay = pulay_stress(atoms, encut=self._engine.encut)
        return {
            "energy": energy,
            "forces": atoms.get_forces(),
            "stress": atoms.get_stress() + pulay * np.array([1, 1, 1, 0, 0, 0]),
        }

    def _set_up(self) -> Any:
        from gpaw import GPAW, PW, FermiDirac

        engine = self._engine
        density, eigenstates = engine.convergence
        return GPAW(
            mode=PW(engine.encut),
            xc=engine.functional,
            kpts={"size": self._grid, "gamma": True},
            occupations=FermiDirac(engine.smearing),
            spinpol=engine.spin_polarised,
            nbands=self._bands,
            mixer={"backend": "msr1", "beta": _FIRST_MIXING},
            parallel={"domain": 1},  # ranks share the k-points, and then the bands
            convergence={"density": density, "eigenstates": eigenstates},
            txt=f"gpaw-{len(list(Path().glob('gpaw-*.txt'))) + 1}.txt",
        )


def _versions() -> tuple[str, str]:
    """Return the versions of GPAW and its setups: those installed, else those that made the shipped results."""
    try:
        return version("gpaw"), version("gpaw-data")
    except PackageNotFoundError:
        return _SHIPPED_VERSIONS
