"""Machine-learned potentials behind the engine seam: any ASE calculator, by one small class."""

from __future__ import annotations

import contextlib
import functools
import io
import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

from monty.json import MSONable

from sodalyte.errors import EngineError

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator
    from jobflow import Maker

    from sodalyte.inputs.engine import Correction
    from sodalyte.inputs.recipe import Recipe


@dataclass(frozen=True)
class Potential(MSONable, ABC):  # type: ignore[misc]
    """An interatomic potential with an ASE calculator. Subclasses say which.

    Attributes
    ----------
    level
        The level of theory, filled in from the installed model, and part of every calculation's identity.
    """

    package: ClassVar[str]
    extra: ClassVar[str]
    contained_correction: ClassVar[Correction]
    lattice_uncertainty: ClassVar[float | None] = None

    level: str = field(default="")

    def __post_init__(self) -> None:
        if find_spec(self.package) is None:
            raise EngineError(
                f"the engine {type(self).__name__} needs the package {self.package!r}; "
                f"install it with: pip install 'sodalyte[{self.extra}]'"
            )
        if not self.level:
            object.__setattr__(self, "level", self._describe())

    @abstractmethod
    def _describe(self) -> str:
        """Return the level of theory: model, its version, the package's version, what it was trained on."""

    @abstractmethod
    def calculator(self, reference: Atoms) -> Calculator:
        """Return a calculator. ``reference`` is the configuration at rest, for models that need one."""

    def load(self, reference: Atoms) -> Calculator:
        """Return the calculator, if it is still the one that ``level`` names.

        Raises
        ------
        EngineError
            The job was made with another version than the one installed where it runs.
        """
        if self.level != self._describe():
            raise EngineError(f"the job asks for {self.level}, but {self._describe()} is installed here")
        return self.calculator(reference)

    def relax(self, recipe: Recipe) -> Maker:
        """Return a Maker for cell and ions, space group kept."""
        return self._relaxation(recipe.relaxation.fmax, recipe.relaxation.max_steps, symprec=recipe.relaxation.symprec)

    def relax_ions(self, recipe: Recipe, *, keep_symmetry: bool = False) -> Maker:
        """Return a Maker for the ions of a strained cell: in its symmetry, or from a start that breaks it."""
        return self._relaxation(
            recipe.elasticity.fmax,
            recipe.elasticity.max_steps,
            symprec=recipe.strained_symprec if keep_symmetry else None,
            relax_cell=False,
            rattle=0.0 if keep_symmetry else recipe.elasticity.rattle,
        )

    def static(self, recipe: Recipe) -> Maker:  # noqa: ARG002 - a potential has no settings of its own
        """Return a Maker for one energy, with forces and stress."""
        return self._relaxation(fmax=1.0, max_steps=1, symprec=None)

    def dynamics(self, recipe: Recipe, temperature: float, steps: int) -> Maker:
        """Return a Maker for one segment of NVT dynamics."""
        from sodalyte.inputs.dynamics import NoseHooverMaker

        settings = recipe.dynamics
        return NoseHooverMaker(
            potential=self,
            temperature=temperature,
            steps=steps,
            time_step=settings.time_step,
            thermostat_time=settings.thermostat_time,
            chain_length=settings.chain_length,
            sample_interval=settings.sample_interval,
            seed=settings.seed,
        )

    def thermostats(self, recipe: Recipe) -> int:
        """Return how many thermostats are chained in its dynamics."""
        return recipe.dynamics.chain_length

    def _relaxation(self, fmax: float, max_steps: int, *, symprec: float | None, **settings: Any) -> Maker:
        from sodalyte.inputs.ase_relaxation import PotentialRelaxMaker

        return PotentialRelaxMaker(
            potential=self,
            fix_symmetry=symprec is not None,
            symprec=symprec,
            steps=max_steps,
            relax_kwargs={"fmax": fmax, "final_atoms_object_file": None},
            optimizer_kwargs={"optimizer": "BFGS"},
            ionic_step_data=None,
            tags=[self.level],
            **settings,
        )


@dataclass(frozen=True)
class CHGNet(Potential):
    """CHGNet 0.3.0 (Deng et al., Nat. Mach. Intell. 5, 1031 (2023)); its weights come inside its package.

    It was trained on MP2020-corrected energies, so its energies contain the anion correction. Its lattice uncertainty
    is the root-mean-square deviation of a and c of the six sodium compounds of the library whose cells were measured:
    Na3SbS4 and Na3PS4 (both polymorphs; the worst is c of t-Na3SbS4, +5.9 %), NaP (+2.3 %), and Na2S4 (c +15 %).
    """

    package = "chgnet"
    extra = "potential"
    contained_correction = "mp2020"
    lattice_uncertainty = 0.051

    def _describe(self) -> str:
        return f"CHGNet 0.3.0 (chgnet {version('chgnet')}), trained on PBE/PBE+U with MP2020 corrections"

    def calculator(self, reference: Atoms) -> Calculator:  # noqa: ARG002
        """Return CHGNet's calculator on the CPU."""
        return _load_chgnet()


@dataclass(frozen=True)
class SevenNet(Potential):
    """SevenNet-0 (Park et al., J. Chem. Theory Comput. 20, 4857 (2024)); GPL, an optional extra.

    It was trained on uncorrected Materials Project energies. Its lattice uncertainty is found as that of CHGNet; its
    worst is a of Na2S4, +2.7 %.
    """

    package = "sevenn"
    extra = "sevennet"
    contained_correction = "none"
    lattice_uncertainty = 0.013

    def _describe(self) -> str:
        return f"SevenNet-0 11Jul2024 (sevenn {version('sevenn')}), trained on PBE/PBE+U without corrections"

    def calculator(self, reference: Atoms) -> Calculator:  # noqa: ARG002
        """Return SevenNet's calculator on the CPU."""
        return _load_sevennet()


@functools.cache
def _load_chgnet() -> Calculator:
    with _quietly():
        from chgnet.model import CHGNet as Model
        from chgnet.model.dynamics import CHGNetCalculator

        return CHGNetCalculator(Model.load(model_name="0.3.0", use_device="cpu", verbose=False), use_device="cpu")


@functools.cache
def _load_sevennet() -> Calculator:
    with _quietly():
        from sevenn.calculator import SevenNetCalculator

        return SevenNetCalculator("7net-0", device="cpu")


@contextlib.contextmanager
def _quietly() -> Any:
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
