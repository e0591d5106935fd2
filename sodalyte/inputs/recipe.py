"""The recipe: every number that decides how a property is computed, frozen and validated."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
)

from sodalyte.errors import RecipeError, suggestion
from sodalyte.files import UnreadableFileError, read_text

MAX_SIZE = 1_000_000
"""Bytes of a recipe file."""

Kelvin = Annotated[float, Field(ge=1, le=5000)]
Repeats = Annotated[int, Field(ge=1, le=10)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Electronic(_Section):
    """Electronic structure; a machine-learned potential has none and ignores it."""

    functional: Literal["PBE", "PBEsol"] = "PBE"
    encut: PositiveFloat = Field(default=520.0, description="plane-wave cutoff, eV")
    kpoints: tuple[PositiveInt, PositiveInt, PositiveInt] = Field(
        default=(3, 3, 3), description="Gamma-centred grid, the same for unit cells and supercells"
    )
    kpoint_density: PositiveFloat | None = Field(
        default=None, description="in place of kpoints: Gamma-centred points per reciprocal volume, angstrom^3"
    )
    spin_polarised: bool = False


class Relaxation(_Section):
    """Relaxation of cell and ions with the space group kept.

    The Na3XS4 crystals are soft in c/a: 20 meV/angstrom leaves c of Na3SbS4 0.18 angstrom short with CHGNet.
    """

    fmax: PositiveFloat = Field(description="largest residual force (and stress times volume), eV/angstrom")
    max_steps: PositiveInt = 500
    symprec: PositiveFloat = Field(default=0.01, le=0.5, description="tolerance for finding the space group, angstrom")


class Elasticity(_Section):
    """Elastic tensor from strained cells with relaxed ions."""

    strains: tuple[float, ...] = Field(default=(-0.01, -0.005, 0.005, 0.01), description="Green-Lagrange strain")
    fmax: PositiveFloat = Field(description="largest residual force, eV/angstrom, of the strained cells")
    max_steps: PositiveInt = 500
    rattle: float = Field(
        default=0.01,
        ge=0.001,
        le=0.1,
        description="standard deviation, angstrom, of the displacements that break the symmetry",
    )

    @field_validator("strains")
    @classmethod
    def _two_sizes_of_either_sign(cls, strains: tuple[float, ...]) -> tuple[float, ...]:
        sizes = {abs(strain) for strain in strains}
        if len(sizes) < 2 or any(-strain not in strains for strain in strains) or max(sizes) > 0.05 or 0 in sizes:
            raise ValueError("needs at least two sizes, each with both signs, none zero or above 0.05")
        return strains


class Dynamics(_Section):
    """Molecular dynamics in the canonical ensemble, after Nose and Hoover."""

    temperatures: tuple[Kelvin, ...] = Field(min_length=1, description="kelvin")
    time_step: PositiveFloat = Field(default=2.0, le=5.0, description="femtoseconds")
    equilibration: PositiveFloat = Field(le=1e5, description="picoseconds, discarded")
    production: PositiveFloat = Field(le=1e5, description="picoseconds, analysed")
    thermostat_time: PositiveFloat = Field(default=100.0, description="time constant of the thermostat, femtoseconds")
    chain_length: PositiveInt = Field(default=3, description="thermostats in the chain, where the engine has one")
    segment_steps: PositiveInt = Field(default=500, ge=10, le=2000, description="steps in one resumable segment")
    sample_interval: PositiveInt = Field(default=5, le=100, description="steps between stored frames")
    supercell: tuple[Repeats, Repeats, Repeats] = (2, 2, 2)
    defect: Literal["none", "na_vacancy", "na_interstitial"] = "na_vacancy"
    seed: int = Field(default=1, ge=0, description="of the initial velocities")


class Stability(_Section):
    """Hull, electrochemical window and their Monte Carlo uncertainty.

    Molecular crystals such as S8 and P4S10 are so soft that the last meV/angstrom take hundreds of steps and change the
    energy by less than a meV/atom: competing phases have a criterion of their own.
    """

    fmax: PositiveFloat = Field(
        default=0.02, description="as that of the relaxation, for competing phases, eV/angstrom"
    )
    kpoint_density: PositiveFloat = Field(
        default=64.0,
        description="Gamma-centred k-points of competing phases per reciprocal volume, angstrom^3: the Materials "
        "Project's, which is 3x3x3 for the 16 atoms of Na3SbS4; metals get eight times as many",
    )
    entry_uncertainty: float = Field(default=0.025, ge=0, description="eV/atom, one standard deviation, uncorrelated")
    correction_uncertainty: float = Field(default=0.009, ge=0, description="eV per S, one standard deviation, shared")
    samples: PositiveInt = Field(default=500, description="Monte Carlo samples")


class Recipe(_Section):
    """How every property is computed. Immutable; ``paper()`` and ``quick()`` are the two that ship.

    Attributes
    ----------
    name
        Of the recipe, or of the file that overrides fields of one.
    """

    name: str = Field(pattern=r"^\w[\w .+-]{0,59}$")
    electronic: Electronic = Electronic()
    relaxation: Relaxation
    elasticity: Elasticity
    dynamics: Dynamics
    stability: Stability = Stability()

    @classmethod
    def paper(cls) -> Self:
        """Energy Environ. Sci. 2025, 18, 4288: PAW-PBE, 520 eV, 3x3x3, 2x2x2 supercells, Nose-Hoover NVT."""
        return cls(
            name="paper",
            relaxation=Relaxation(fmax=0.001),
            elasticity=Elasticity(fmax=0.001),
            dynamics=Dynamics(
                temperatures=(600.0, 700.0, 800.0, 900.0, 1000.0),
                equilibration=5.0,
                production=100.0,
                segment_steps=2000,
            ),
        )

    @classmethod
    def quick(cls) -> Self:
        """Minutes on a laptop: looser relaxation, one temperature, a short trajectory. Not for quoting."""
        return cls(
            name="quick",
            relaxation=Relaxation(fmax=0.002, max_steps=300),
            elasticity=Elasticity(fmax=0.002, max_steps=300),
            dynamics=Dynamics(
                temperatures=(600.0,), time_step=2.5, equilibration=0.2, production=3.0, segment_steps=320
            ),
            stability=Stability(fmax=0.03),
        )

    @property
    def label(self) -> str:
        """What stands beside every number: the name alone only for a recipe that ships, else with a digest of it."""
        if self in (self.paper(), self.quick()):
            return self.name
        return f"{self.name}-{hashlib.sha256(self.model_dump_json(exclude={'name'}).encode()).hexdigest()[:6]}"

    @property
    def strained_symprec(self) -> float:
        """Tolerance for the space group of strained cells, angstrom: so small that no strain is overlooked."""
        return min(self.relaxation.symprec, *map(abs, self.elasticity.strains))  # vectors are longer than 1 angstrom

    def left_open(self, *, thermostats: int) -> tuple[str, ...]:
        """Return what the paper does not say, and what is done instead.

        Parameters
        ----------
        thermostats
            How many the engine chains.
        """
        dynamics, defects = (
            self.dynamics,
            {"none": "none", "na_vacancy": "one Na vacancy", "na_interstitial": "one extra Na"},
        )
        return (
            f"temperatures: the paper names none; {', '.join(f'{kelvin:g}' for kelvin in dynamics.temperatures)} K",
            f"time step: not given; {dynamics.time_step:g} fs",
            f"length: not given; {dynamics.equilibration:g} ps to equilibrate, {dynamics.production:g} ps to analyse",
            f"Nose-Hoover thermostat: neither time constant nor chain given; {dynamics.thermostat_time:g} fs, "
            + ("a single one" if thermostats == 1 else f"a chain of {thermostats}"),
            f"defect: the paper does not say; {defects[dynamics.defect]} in the supercell",
            f"force criterion: not given; {1000 * self.relaxation.fmax:g} meV/angstrom",
            f"strains: not given; {', '.join(f'{100 * strain:+g} %' for strain in self.elasticity.strains)}",
        )

    def for_competing_phases(self) -> Self:
        """Return the recipe that relaxes the phases a material competes with."""
        return self.override(
            {
                "relaxation": {"fmax": self.stability.fmax},
                "electronic": {"kpoint_density": self.stability.kpoint_density},
            }
        )

    @classmethod
    def load(cls, name_or_path: str) -> Self:
        """Load ``paper``, ``quick`` or a TOML file that overrides fields of one of them (``base = "paper"``).

        Raises
        ------
        RecipeError
            The file is missing or malformed, a key is unknown (the nearest known key is named), or a value impossible.
        """
        shipped = {"paper": cls.paper, "quick": cls.quick}
        if name_or_path in shipped:
            return shipped[name_or_path]()
        path = Path(name_or_path)
        try:
            overrides = tomllib.loads(read_text(path, limit=MAX_SIZE)[0])
        except UnreadableFileError as error:
            hint = suggestion(name_or_path, shipped)
            raise RecipeError(
                f"recipe {name_or_path!r} is neither {' nor '.join(shipped)} nor a readable file ({error}); {hint}"
            ) from error
        except tomllib.TOMLDecodeError as error:
            raise RecipeError(f"recipe {path} is not valid TOML: {error}") from error
        base = overrides.pop("base", "paper")
        if not isinstance(base, str) or base not in shipped:
            raise RecipeError(f"recipe {path}: base {base!r} is unknown; use {' or '.join(shipped)}")
        if overrides.get("name", path.stem) in shipped:
            raise RecipeError(
                f"recipe {path}: its name {overrides.get('name', path.stem)!r} is that of a shipped recipe"
            )
        return shipped[base]().override({"name": path.stem, **overrides}, source=str(path))

    def override(self, changes: dict[str, Any], *, source: str = "override") -> Self:
        """Return a copy with ``changes``, a mapping like the TOML file's, validated as a whole.

        Raises
        ------
        RecipeError
            As :meth:`load`.
        """
        merged = self.model_dump()
        for key, value in changes.items():
            _check_known(key, merged, source)
            if isinstance(merged[key], dict):
                if not isinstance(value, dict):
                    raise RecipeError(f"recipe {source}: [{key}] is a section, not a value")
                for name in value:
                    _check_known(name, merged[key], source, section=key)
                merged[key] |= value
            else:
                merged[key] = value
        try:
            return type(self).model_validate(merged)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise RecipeError(f"recipe {source}: {where} = {first['input']!r}: {first['msg']}") from error


def _check_known(key: str, known: dict[str, Any], source: str, *, section: str = "") -> None:
    if key not in known:
        where = f"[{section}] " if section else ""
        raise RecipeError(f"recipe {source}: unknown key {where}{key!r}; {suggestion(key, known)}")
