"""Open PAW-DFT: GPAW with plane waves, behind the engine seam."""

from __future__ import annotations

import functools
import hashlib
import warnings
from dataclasses import dataclass, fields, replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.units import Ha
from pymatgen.core import Element
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.vasp import Kpoints

from sodalyte.errors import CalculationError, EngineError
from sodalyte.inputs.potential import Potential
from sodalyte.inputs.recorded import RecordedCalculator

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator
    from jobflow import Maker

    from sodalyte.inputs.engine import Engine
    from sodalyte.inputs.recipe import Recipe

_METAL_FACTOR = 8
"""Metals get as many times the k-points that the recipe's density asks for."""

_SHIPPED_VERSIONS = ("26.7.0", "1.2.1")


@dataclass(frozen=True)
class Gpaw(Potential):
    """PAW-DFT in plane waves (GPAW, 10.1063/5.0182685), by default PBE at 520 eV.

    Where the recipe gives a density of k-points, metals get twice as many along each direction: at the density of
    3x3x3 points in Na3SbS4 the energy of antimony is wrong by 0.011 eV/atom. Energies are extrapolated to zero
    smearing. Stresses are corrected for the dependence of the plane-wave set on the cell (Pulay stress, 0.1 GPa in
    Na3SbS4), so that a relaxation finds the minimum of the energy at fixed cutoff.

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
        """Return the engine with the electronic settings of ``recipe``."""
        settings = recipe.electronic
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

    def relax_ions(self, recipe: Recipe) -> Maker:
        """Return a Maker for the ions of a strained cell, from a symmetry-broken start."""
        return super(Gpaw, self.for_recipe(recipe)).relax_ions(recipe)

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
        return GuidedRelaxMaker(**{each.name: getattr(maker, each.name) for each in fields(maker)}, guide=self.guide)

    def calculator(self, reference: Atoms) -> Calculator:
        """Return a calculator that records what it computes in the working directory, and goes on from there.

        Raises
        ------
        EngineError
            GPAW is not installed.
        """
        if find_spec(self.package) is None:
            raise EngineError("this calculation needs GPAW; install it with: scripts/install --with gpaw")
        settings = hashlib.sha256(repr(self).encode()).hexdigest()[:8]
        return RecordedCalculator(PlaneWaves(self, reference), Path.cwd() / f"ionic_steps-{settings}.jsonl")

    def grid(self, atoms: Atoms) -> tuple[int, int, int]:
        """Return the divisions of the Gamma-centred grid of k-points for a cell."""
        first, second, third = self.kpoints
        if self.kpoint_density is not None:
            density = self.kpoint_density * (_METAL_FACTOR if _is_metal(atoms) else 1)
            structure = AseAtomsAdaptor.get_structure(atoms)
            first, second, third = Kpoints.automatic_density_by_vol(structure, density, force_gamma=True).kpts[0]
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
        self._calculator: Any = None

    def __call__(self, atoms: Atoms) -> dict[str, Any]:
        """Return energy (eV, zero smearing), forces (eV/angstrom) and stress (eV/angstrom^3, Voigt) of ``atoms``.

        Raises
        ------
        CalculationError
            The self-consistent cycle does not converge.
        """
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
        pulay = pulay_stress(atoms, encut=self._engine.encut)
        return {
            "energy": atoms.get_potential_energy(),
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
            convergence={"density": density, "eigenstates": eigenstates},
            txt=f"gpaw-{len(list(Path().glob('gpaw-*.txt'))) + 1}.txt",
        )


def pulay_stress(atoms: Atoms, *, encut: float) -> float:
    """Return what a stress computed with a fixed number of plane waves lacks, tensile positive, eV/angstrom^3.

    At a fixed cutoff the energy E of a larger cell is lower by -2/3 E_cut dE/dE_cut per relative change of volume;
    dE/dE_cut is estimated by the kinetic energy of the PAW atoms, as GPAW's older plane-wave mode does
    (``dedecut="estimate"``).

    Parameters
    ----------
    encut
        Plane-wave cutoff, eV.
    """
    slope = sum(_cutoff_slope(symbol, encut) for symbol in atoms.get_chemical_symbols())
    return 2 / 3 * encut * slope / float(atoms.get_volume())


@functools.cache
def _cutoff_slope(symbol: str, encut: float) -> float:
    """Return dE/dE_cut of an atom, dimensionless."""
    from gpaw.setup import create_setup
    from gpaw.utilities.ekin import dekindecut, ekin

    wave_numbers, kinetic, _ = ekin(create_setup(symbol))
    return -float(dekindecut(wave_numbers, kinetic, encut / Ha))


def _is_metal(atoms: Atoms) -> bool:
    elements = {Element(symbol) for symbol in atoms.get_chemical_symbols()}
    is_semimetal = len(elements) == 1 and all(element.is_metalloid for element in elements)
    return is_semimetal or all(element.is_metal for element in elements)


def _versions() -> tuple[str, str]:
    """Return the versions of GPAW and its setups: those installed, else those that made the shipped results."""
    try:
        return version("gpaw"), version("gpaw-data")
    except PackageNotFoundError:
        return _SHIPPED_VERSIONS
