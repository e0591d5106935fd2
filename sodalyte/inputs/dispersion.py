"""PAW-DFT with a dispersion correction, for crystals that van der Waals forces hold together."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ase.stress import full_3x3_to_voigt_6_stress
from ase.units import Bohr, Ha

from sodalyte.errors import EngineError
from sodalyte.inputs.gpaw import Gpaw

if TYPE_CHECKING:
    from collections.abc import Callable

    from ase import Atoms

_PACKAGE = "dftd3"
_PINNED_VERSION = "1.7.0"


@dataclass(frozen=True)
class GpawD3(Gpaw):
    """GPAW with Grimme's D3 correction in its rational damping, two-body terms only (10.1002/jcc.21759).

    PBE alone does not hold molecular crystals together: it makes sulfur's density 29 % too small. The correction is
    that of the functional, computed by simple-dftd3; it is what VASP adds with ``IVDW = 12``.
    """

    def _describe(self) -> str:
        plain = super()._describe().removeprefix(self.functional)
        return f"{self.functional}-D3(BJ){plain.removesuffix(')')}, s-dftd3 {_version()})"

    def plane_waves(self, reference: Atoms) -> Callable[[Atoms], dict[str, Any]]:
        """Return what computes energies, forces and stresses, correction included.

        Raises
        ------
        EngineError
            simple-dftd3 is not installed.
        """
        if find_spec(_PACKAGE) is None:
            raise EngineError("this calculation needs dftd3; install it with: scripts/install --with gpaw")
        compute = super().plane_waves(reference)

        def corrected(atoms: Atoms) -> dict[str, Any]:
            plain, correction = compute(atoms), dispersion(atoms, functional=self.functional)
            return {name: plain[name] + correction[name] for name in correction}

        return corrected


def dispersion(atoms: Atoms, *, functional: str) -> dict[str, Any]:
    """Return energy (eV), forces (eV/angstrom) and stress (eV/angstrom^3, Voigt) of D3(BJ) for a functional."""
    from dftd3.interface import DispersionModel, RationalDampingParam

    model = DispersionModel(
        atoms.numbers, atoms.positions / Bohr, lattice=atoms.cell.array / Bohr, periodic=atoms.pbc.copy()
    )
    damping = RationalDampingParam(method=functional, atm=False)
    found = model.get_dispersion(damping, grad=True)
    return {
        "energy": float(found["energy"]) * Ha,
        "forces": -found["gradient"] * (Ha / Bohr),
        "stress": full_3x3_to_voigt_6_stress(found["virial"]) * Ha / atoms.get_volume(),
    }


def _version() -> str:
    """Return the version of simple-dftd3: the one installed, else the one that is pinned."""
    try:
        return version(_PACKAGE)
    except PackageNotFoundError:
        return _PINNED_VERSION
