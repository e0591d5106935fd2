"""The engine seam: what VASP, GPAW and machine-learned potentials have in common."""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Literal, Protocol

from sodalyte.errors import EngineError, suggestion

if TYPE_CHECKING:
    from jobflow import Maker

    from sodalyte.inputs.recipe import Recipe

Correction = Literal["none", "mp2020"]

_SHIPPED = {
    "chgnet": "sodalyte.inputs.potential:CHGNet",
    "sevennet": "sodalyte.inputs.potential:SevenNet",
    "einstein": "sodalyte.inputs.einstein:EinsteinCrystal",
    "gpaw": "sodalyte.inputs.gpaw:Gpaw",
    "gpaw-d3": "sodalyte.inputs.dispersion:GpawD3",
    "vasp": "sodalyte.inputs.vasp.engine:Vasp",
    "rehearsal-einstein": "sodalyte.inputs.vasp.engine:rehearsal_einstein",
    "rehearsal-chgnet": "sodalyte.inputs.vasp.engine:rehearsal_chgnet",
}


class Engine(Protocol):
    """Something that gives energies, forces and stresses, as configured jobflow Makers."""

    @property
    def level(self) -> str:
        """Method, model and versions in words. Energies of unequal level never meet in one hull."""
        ...

    @property
    def contained_correction(self) -> Correction:
        """The anion correction that the energies already hold, so that it is never applied twice."""
        ...

    @property
    def lattice_uncertainty(self) -> float | None:
        """Relative standard uncertainty of lattice constants, from crystals of known cell, or None if unknown."""
        ...

    def relax(self, recipe: Recipe) -> Maker:
        """Return a Maker that relaxes cell and ions and keeps the space group.

        Its ``make(structure)`` gives a document with ``structure``, ``output.energy`` (eV per cell),
        ``output.forces`` (eV/angstrom), ``output.stress`` (kbar, as VASP: compressive positive; see
        :func:`sodalyte.workflows.relaxation.tensile_stress`) and ``state`` ("successful" when converged).
        """
        ...

    def relax_ions(self, recipe: Recipe, *, keep_symmetry: bool = False) -> Maker:
        """Return a Maker that relaxes the ions of a strained cell, for elasticity.

        With ``keep_symmetry`` the ions keep the space group that the strained cell has; without it they start slightly
        displaced, so that they find out whether they leave it.
        """
        ...

    def static(self, recipe: Recipe) -> Maker:
        """Return a Maker for one energy, with forces and stress; documents as :meth:`relax`."""
        ...

    def dynamics(self, recipe: Recipe, temperature: float, steps: int) -> Maker:
        """Return a Maker for one segment of NVT dynamics of at most ``steps`` steps at ``temperature`` (K).

        Its ``make(structure, previous=None)`` continues exactly from the segment document ``previous`` and gives a
        :class:`sodalyte.inputs.dynamics.SegmentDoc`.
        """
        ...

    def thermostats(self, recipe: Recipe) -> int:
        """Return how many thermostats are chained in its dynamics."""
        ...


def configured(engine: Engine, recipe: Recipe) -> Engine:
    """Return the engine with the electronic settings of ``recipe``, so that its ``level`` names them, if it has any."""
    adapt = getattr(engine, "for_recipe", None)
    return adapt(recipe) if adapt else engine


def engine_names() -> list[str]:
    """Return the names that ``--engine`` knows: those shipped and those of installed plug-ins."""
    return sorted({*_SHIPPED, *(point.name for point in entry_points(group="sodalyte.engines"))})


def get_engine(name: str) -> Engine:
    """Return the engine called ``name``.

    Engines of other packages register under the entry-point group ``sodalyte.engines``.

    Raises
    ------
    EngineError
        The name is unknown, or the engine's package is not installed (the extra to install is named).
    """
    if name not in engine_names():
        raise EngineError(f"unknown engine {name!r}; {suggestion(name, engine_names())}")
    if name in _SHIPPED:
        module, _, attribute = _SHIPPED[name].partition(":")
        factory = getattr(importlib.import_module(module), attribute)
    else:
        factory = next(iter(entry_points(group="sodalyte.engines", name=name))).load()
    engine: Engine = factory()
    return engine


def prepare_engine(name: str, recipe: Recipe, *, start_from: str | None = None) -> Engine:
    """Return the engine called ``name`` with the electronic settings of ``recipe``.

    Parameters
    ----------
    start_from
        A potential from whose relaxed cell and Hessian the engine's relaxations start.

    Raises
    ------
    EngineError
        As :func:`get_engine`; or the engine cannot start from another one.
    """
    engine = configured(get_engine(name), recipe)
    if start_from is None:
        return engine
    if not hasattr(engine, "starting_from"):
        raise EngineError(f"--start-from is for the engine gpaw; {name} cannot start from {start_from}")
    started: Engine = engine.starting_from(get_engine(start_from))
    return started
