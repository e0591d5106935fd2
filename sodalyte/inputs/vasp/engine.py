"""The engine ``vasp``, and its rehearsals: the same code with a stand-in for the executable."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from monty.json import MSONable

from sodalyte.configuration import POTCAR_FUNCTIONAL

if TYPE_CHECKING:
    from jobflow import Maker

    from sodalyte.inputs.engine import Correction
    from sodalyte.inputs.recipe import Recipe


def _functional() -> str:
    return os.environ.get(POTCAR_FUNCTIONAL) or "PBE"


@dataclass(frozen=True)
class Vasp(MSONable):  # type: ignore[misc]
    """PAW-PBE with VASP, through atomate2's input generator, custodian and emmet's documents.

    Attributes
    ----------
    functional
        Set of potentials; energies of the Materials Project are of PBE.
    rehearsal
        The potential that computes in VASP's place, or nothing: then VASP itself runs.
    level
        Level of theory, filled in; a rehearsal's says that it is none.
    """

    contained_correction: ClassVar[Correction] = "none"

    functional: str = field(default_factory=_functional)
    rehearsal: str = ""
    level: str = ""

    def __post_init__(self) -> None:
        if not self.level:
            object.__setattr__(self, "level", self._describe())

    def _describe(self) -> str:
        if self.rehearsal:
            from sodalyte.inputs.engine import get_engine

            return f"REHEARSAL, not DFT: {get_engine(self.rehearsal).level}, through the files of VASP"
        return f"VASP, PAW-PBE, potentials {self.functional} as chosen by the Materials Project"

    @property
    def lattice_uncertainty(self) -> float | None:
        """Relative standard uncertainty of lattice constants: unknown for VASP, that of the model in a rehearsal."""
        from sodalyte.inputs.engine import get_engine

        return get_engine(self.rehearsal).lattice_uncertainty if self.rehearsal else None

    def relax(self, recipe: Recipe) -> Maker:
        """Return a Maker for cell and ions, space group kept."""
        from sodalyte.inputs.vasp.relaxation import VaspRelaxMaker
        from sodalyte.inputs.vasp.sets import relaxation_set

        return VaspRelaxMaker(engine=self, input_set_generator=relaxation_set(recipe, **self._potentials()))

    def relax_ions(self, recipe: Recipe, *, keep_symmetry: bool = False) -> Maker:
        """Return a Maker for the ions of a strained cell: in its symmetry, or from a start that breaks it."""
        from sodalyte.inputs.vasp.relaxation import VaspRelaxMaker
        from sodalyte.inputs.vasp.sets import ions_set

        return VaspRelaxMaker(
            engine=self,
            input_set_generator=ions_set(recipe, keep_symmetry=keep_symmetry, **self._potentials()),
            rattle=0.0 if keep_symmetry else recipe.elasticity.rattle,
        )

    def static(self, recipe: Recipe) -> Maker:
        """Return a Maker for one energy, with forces and stress."""
        from sodalyte.inputs.vasp.relaxation import VaspRelaxMaker
        from sodalyte.inputs.vasp.sets import static_set

        return VaspRelaxMaker(engine=self, input_set_generator=static_set(recipe, **self._potentials()), name="static")

    def dynamics(self, recipe: Recipe, temperature: float, steps: int) -> Maker:
        """Return a Maker for one segment of NVT dynamics."""
        from sodalyte.inputs.vasp.dynamics import VaspDynamicsMaker
        from sodalyte.inputs.vasp.sets import dynamics_set

        settings = recipe.dynamics
        return VaspDynamicsMaker(
            engine=self,
            input_set_generator=dynamics_set(recipe, temperature, **self._potentials()),
            temperature=temperature,
            steps=steps,
            time_step=settings.time_step,
            thermostat_time=settings.thermostat_time,
            sample_interval=settings.sample_interval,
            seed=settings.seed,
        )

    def thermostats(self, recipe: Recipe) -> int:  # noqa: ARG002
        """Return how many thermostats are chained in its dynamics: VASP has one."""
        return 1

    def _potentials(self) -> dict[str, Any]:
        return {"functional": self.functional, "rehearsal": bool(self.rehearsal)}


def rehearsal_einstein() -> Vasp:
    """Return the engine ``rehearsal-einstein``: instant, for tests of the production path."""
    return Vasp(functional="PBE", rehearsal="einstein")


def rehearsal_chgnet() -> Vasp:
    """Return the engine ``rehearsal-chgnet``: CHGNet's physics on the production path."""
    return Vasp(functional="PBE", rehearsal="chgnet")
