"""A published crystal as facts: the record behind each entry of the library's file."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pymatgen.core import Composition, Lattice, Structure

from sodalyte.structures.symmetry import crystal_system

Grade = Literal["A", "B", "C"]
Role = Literal[
    "electrolyte",
    "related-electrolyte",
    "doped-electrolyte",
    "element",
    "element-artefact",
    "dopant-element",
    "anode",
    "competing",
    "competing-metastable",
    "competing-dopant",
    "dopant-host",
    "prototype",
]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SpaceGroup(_Frozen):
    """Space group by Hermann-Mauguin symbol (pymatgen's spelling) and number."""

    symbol: str
    number: int = Field(ge=1, le=230)


class Site(_Frozen):
    """A symmetry-unique site: occupancies by element, Wyckoff position and fractional coordinates."""

    species: dict[str, float]
    wyckoff: str
    xyz: tuple[float, float, float]

    @field_validator("species", mode="before")
    @classmethod
    def _full_occupancy(cls, species: str | dict[str, float]) -> dict[str, float]:
        return {species: 1.0} if isinstance(species, str) else species


class Crystal(_Frozen):
    """A published, or plainly labelled, crystal structure as facts with their source.

    Attributes
    ----------
    formula
        Reduced formula as pymatgen writes it (``Na2PS3`` for Na4P2S6).
    chemsys
        Elements in alphabetical order, joined by hyphens.
    grade
        A: published experiment or public DFT; B: literature cell with coordinates from a potential;
        C: hypothetical or placeholder geometry.
    kind
        How the numbers were obtained; begins with "experiment" when the lattice was measured.
    lattice
        Conventional cell: ``a``, ``b``, ``c`` in angstrom, ``alpha``, ``beta``, ``gamma`` in degrees.
    facts
        Further published numbers, each with its unit in its name.
    """

    id: str
    formula: str
    name: str
    chemsys: str
    role: Role
    grade: Grade
    kind: str
    space_group: SpaceGroup
    lattice: dict[str, float]
    sites: tuple[Site, ...]
    source: str
    notes: str = ""
    facts: dict[str, Any] = Field(default_factory=dict)

    @field_validator("formula")
    @classmethod
    def _reduced_formula(cls, formula: str) -> str:
        return str(Composition(formula).reduced_formula)

    @field_validator("chemsys")
    @classmethod
    def _alphabetical(cls, chemsys: str) -> str:
        return "-".join(sorted(chemsys.split("-")))

    @property
    def polymorph(self) -> str:
        """Crystal system in words; it names a polymorph of a formula."""
        return crystal_system(self.space_group.number)

    @property
    def is_ordered(self) -> bool:
        """Whether every site is fully occupied by one element."""
        return all(list(site.species.values()) == [1.0] for site in self.sites)

    @property
    def is_measured(self) -> bool:
        """Whether the lattice parameters come from diffraction."""
        return self.kind.startswith("experiment")

    @property
    def structure(self) -> Structure:
        """Conventional cell, a fresh copy."""
        return self._structure.copy()

    @cached_property
    def _structure(self) -> Structure:
        return Structure.from_spacegroup(
            self.space_group.symbol,
            Lattice.from_parameters(**self.lattice),
            [site.species for site in self.sites],
            [site.xyz for site in self.sites],
        )


class Gap(_Frozen):
    """A phase known to exist, or reported, whose structure the library lacks."""

    formula: str
    reason: str
    priority: Literal["high", "medium", "low"]
