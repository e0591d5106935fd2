"""Input sets: the recipe in VASP's words, on atomate2's input generator.

Every tag that decides a result stands here; nothing comes from the defaults of atomate2 (PBEsol, 680 eV, spin) or from
a user's ``atomate2.yaml``. GGA is left out, so that the POTCAR decides: with ``GGA = PE`` emmet calls the run type
"PBE", which MaterialsProject2020Compatibility rejects.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ase import units
from atomate2.vasp.sets.base import VaspInputGenerator
from pymatgen.core import Element
from pymatgen.io.vasp.inputs import Kpoints

from sodalyte.errors import EngineError
from sodalyte.inputs.kpoints import gamma_centred_grid
from sodalyte.inputs.vasp.potcars import load_potcar, potcar_symbols
from sodalyte.structures.supercells import NET_CHARGE

if TYPE_CHECKING:
    from pymatgen.core import Structure
    from pymatgen.io.vasp.inputs import Incar, Potcar, VaspInput

    from sodalyte.inputs.recipe import Recipe

PARALLEL = "SODALYTE_VASP_PARALLEL"
"""Environment variable: how VASP shares its work, such as ``NCORE=4 KPAR=2``; no part of a job's identity."""

_PARALLEL_TAGS = ("NCORE", "NPAR", "KPAR", "NSIM")

_COMMON = {
    "ALGO": "Fast",
    "ISMEAR": 0,
    "LASPH": True,
    "LCHARG": False,
    "LMAXMIX": 4,
    "LREAL": False,
    "LWAVE": False,
    "NELM": 200,
    "PREC": "Accurate",
    "SIGMA": 0.05,
}


@dataclass
class SulfideSet(VaspInputGenerator):  # type: ignore[misc]
    """One kind of calculation at the recipe's level.

    Attributes
    ----------
    tags
        The INCAR, apart from what depends on the structure.
    grid
        Gamma-centred k-point grid.
    density
        In place of ``grid``: as that of :func:`sodalyte.inputs.kpoints.gamma_centred_grid`.
    functional
        Set of potentials.
    rehearsal
        Whether the potentials are a rehearsal's.
    """

    config_dict: dict[str, Any] = field(default_factory=lambda: {"INCAR": {}, "KPOINTS": {}, "POTCAR": {}})
    auto_ismear: bool = False
    inherit_incar: bool = False
    tags: dict[str, Any] = field(default_factory=dict)
    grid: tuple[int, int, int] = (1, 1, 1)
    density: float | None = None
    functional: str = "PBE"
    rehearsal: bool = False

    def __post_init__(self) -> None:
        """Hand ``tags`` on to pymatgen's machinery, which deletes none of them."""
        self.config_dict = {"INCAR": dict(self.tags), "KPOINTS": {}, "POTCAR": {}, "POTCAR_FUNCTIONAL": self.functional}
        self.user_incar_settings = dict(self.tags)
        super().__post_init__()

    @property
    def incar(self) -> Incar:
        """The INCAR; a net charge sets NELECT, for which the potentials are needed."""
        incar = super().incar
        if charge := net_charge(self.structure):
            incar["NELECT"] = self.nelect - charge
        return incar

    def get_input_set(
        self, structure: Structure | None = None, prev_dir: Any = None, potcar_spec: bool = False
    ) -> VaspInput:
        """Return the inputs; in a preview (``potcar_spec``) without potentials a charged cell's NELECT is left out."""
        if potcar_spec and structure is not None and net_charge(structure):
            try:
                load_potcar(
                    potcar_symbols(structure.symbol_set, self.functional), self.functional, rehearsal=self.rehearsal
                )
            except EngineError:
                structure = structure.copy()  # shares its properties
                structure.properties = {key: value for key, value in structure.properties.items() if key != NET_CHARGE}
        return super().get_input_set(structure, prev_dir, potcar_spec)

    @property
    def kpoints_updates(self) -> Kpoints:
        """The KPOINTS."""
        grid = self.grid if self.density is None else gamma_centred_grid(self.structure, self.density)
        return Kpoints.gamma_automatic(tuple(grid))

    @property
    def potcar_symbols(self) -> list[str]:
        """Symbols of the potentials, in the order of the POSCAR."""
        return potcar_symbols(self.poscar.site_symbols, self.functional)

    @property
    def potcar(self) -> Potcar:
        """The POTCAR, from the user's library."""
        return load_potcar(self.potcar_symbols, self.functional, rehearsal=self.rehearsal)


def net_charge(structure: Structure) -> int:
    """Return the net charge of a cell in elementary charges: what its maker noted, else zero."""
    return int(structure.properties.get(NET_CHARGE, 0))


def relaxation_set(recipe: Recipe, *, functional: str, rehearsal: bool) -> SulfideSet:
    """Return the set that relaxes cell and ions, symmetry kept."""
    settings = recipe.relaxation
    tags = {"IBRION": 2, "ISIF": 3, "NSW": settings.max_steps, **_accuracy(settings.fmax)}
    return _set(recipe, tags, functional=functional, rehearsal=rehearsal)


def ions_set(recipe: Recipe, *, keep_symmetry: bool, functional: str, rehearsal: bool) -> SulfideSet:
    """Return the set that relaxes the ions of a strained cell, in its symmetry or without any."""
    settings = recipe.elasticity
    tags = {"IBRION": 2, "ISIF": 2, "NSW": settings.max_steps, **_accuracy(settings.fmax)}
    if not keep_symmetry:
        tags["ISYM"] = 0
    return _set(recipe, tags, functional=functional, rehearsal=rehearsal)


def static_set(recipe: Recipe, *, functional: str, rehearsal: bool) -> SulfideSet:
    """Return the set for one energy, with forces and stress."""
    tags = {"IBRION": -1, "ISIF": 2, "NSW": 0, "EDIFF": _accuracy(recipe.relaxation.fmax)["EDIFF"]}
    return _set(recipe, tags, functional=functional, rehearsal=rehearsal)


def dynamics_set(recipe: Recipe, temperature: float, *, functional: str, rehearsal: bool) -> SulfideSet:
    """Return the set for dynamics; NSW and SMASS follow when structure and time left are known.

    Forces need not be better than the thermostat is rough: PREC is Normal and projection is in real space, as VASP
    advises for cells of more than a few dozen atoms.
    """
    tags = {
        "EDIFF": 1e-5,
        "IBRION": 0,
        "ISIF": 2,
        "ISYM": 0,
        "KBLOCK": 100,
        "LREAL": "Auto",
        "MAXMIX": 20,
        "MDALGO": 2,
        "NBLOCK": 1,
        "NELMIN": 4,
        "POTIM": recipe.dynamics.time_step,
        "PREC": "Normal",
        "TEBEG": temperature,
        "TEEND": temperature,
    }
    return _set(recipe, tags, functional=functional, rehearsal=rehearsal)


def nose_mass(structure: Structure, *, temperature: float, thermostat_time: float) -> float:
    """Return SMASS, the mass of VASP's Nose thermostat, amu times the squared length of the first lattice vector.

    Q = (3N - 3) kB T tau^2 with the time constant tau (fs), as a Nose-Hoover chain's first thermostat; temperature then
    oscillates with the period sqrt(2) pi tau. VASP's ``SMASS = 0`` is the mass for a period of 40 steps.
    """
    freedom = 3 * (len(structure) - 1)
    mass = freedom * units.kB * temperature * (thermostat_time * units.fs) ** 2
    return float(mass / structure.lattice.a**2)


def _accuracy(fmax: float) -> dict[str, float]:
    """Return EDIFFG and the EDIFF (eV) that makes forces good to a fraction of it: a ten-thousandth, at most 1e-6."""
    return {"EDIFF": min(1e-6, 10.0 ** math.floor(math.log10(fmax) - 4)), "EDIFFG": -fmax}


def _set(recipe: Recipe, tags: dict[str, Any], *, functional: str, rehearsal: bool) -> SulfideSet:
    electronic = recipe.electronic
    if electronic.functional != "PBE":
        raise EngineError(
            f"the engine vasp computes with PBE, which its potentials are made for, not with {electronic.functional}"
        )
    spin = {"ISPIN": 2 if electronic.spin_polarised else 1}
    return SulfideSet(
        tags=_COMMON | {"ENCUT": electronic.encut} | spin | tags,
        grid=electronic.kpoints,
        density=electronic.kpoint_density,
        functional=functional,
        rehearsal=rehearsal,
    )


def parallel_tags() -> dict[str, int]:
    """Return the tags of the environment that say how VASP shares its work.

    Raises
    ------
    EngineError
        The variable holds another tag, which could change results, or no number.
    """
    tags: dict[str, int] = {}
    for word in os.environ.get(PARALLEL, "").split():
        name, _, number = word.upper().partition("=")
        if name not in _PARALLEL_TAGS or not number.isdigit() or not int(number):
            raise EngineError(f"{PARALLEL} holds {word!r}; it takes {', '.join(_PARALLEL_TAGS)} with a number")
        tags[name] = int(number)
    return tags


def masses(structure: Structure) -> list[float]:
    """Return the atomic masses, amu."""
    return [float(Element(site.specie.symbol).atomic_mass) for site in structure]
