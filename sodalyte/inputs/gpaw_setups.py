"""GPAW's PAW data sets in plane waves: what a finite cutoff does to stresses, and for which elements it is too low."""

from __future__ import annotations

import functools
import itertools
import os
from typing import TYPE_CHECKING

import numpy as np
from ase.units import Ha

from sodalyte.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ase import Atoms
    from numpy.typing import NDArray

LIMIT = 0.16
"""Largest :func:`sensitivity`, eV, of an element that may be computed.

At 520 eV it is 0.004 of S, 0.11 of Sb and 0.16 of Pb, but 0.50 of F, 1.1 of O and 1.8 of N. Against energies at 494 and
546 eV the estimated Pulay stress of Na2S, NaCl, InSb and Sn is off by 0.02 to 0.14 GPa, but that of NaF by 0.9 and of
MgO by 5.5 (at 1000 eV by 0.0 and 1.3): the lattice constant of NaF comes out 0.5 % too small. Moving NaF by 0.05
angstrom as a whole changes its energy by 0.05 meV/atom, those of InSb, PbS, SnTe, NaCl, MgS and CaS by 0.002 at most.
"""

_STEP = 50.0
"""Of the cutoffs, eV, that are proposed instead."""

_LAUNCHED = ("PMIX_RANK", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "I_MPI_MPIRUN")
"""Environment variables by which GPAW recognises a process that an MPI launcher started."""


def import_gpaw() -> None:
    """Import GPAW for this process alone, also where that is a task of an MPI launcher, which GPAW refuses."""
    launched = {name: os.environ.pop(name) for name in _LAUNCHED if name in os.environ}
    try:
        import gpaw.mpi  # noqa: F401
    finally:
        os.environ.update(launched)


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


def check_cutoff(symbols: Iterable[str], *, encut: float) -> None:
    """Refuse elements for whose PAW data sets a plane-wave cutoff (eV) is too low.

    Raises
    ------
    EngineError
        One is more sensitive to the cutoff than ``LIMIT``, or GPAW has no PAW data set of it.
    """
    found = {symbol: sensitivity(symbol, encut) for symbol in sorted(set(symbols))}
    demanding = [symbol for symbol, energy in found.items() if energy > LIMIT]
    if not demanding:
        return
    enough = next(
        cutoff
        for cutoff in itertools.count(_STEP * (encut // _STEP + 1), _STEP)
        if all(sensitivity(symbol, cutoff) <= LIMIT for symbol in demanding)
    )
    raise EngineError(
        f"{encut:g} eV is too low a cutoff for GPAW's PAW data set of {' and '.join(demanding)}: an atom's energy "
        f"depends on the number of plane waves by {max(found.values()):.2g} eV (limit {LIMIT}), and cells would be "
        f"wrong; set electronic.encut to {enough:g} or more in a recipe of your own"
    )


def sensitivity(symbol: str, encut: float) -> float:
    """Return by how much an atom's energy, eV, depends on the number of plane waves, at ``encut`` (eV) or above.

    It is the largest 2/3 E dE/dE_cut: what the atom adds to the Pulay stress times the volume. It oscillates with the
    cutoff, so that a small value at the very cutoff says little.
    """
    wave_numbers, kinetic = _atom(symbol)
    cutoffs = wave_numbers**2 / 2 * Ha
    first = max(int(np.searchsorted(cutoffs, encut)) - 1, 1)
    return float(np.max(2 / 3 * (cutoffs * kinetic)[first:] / wave_numbers[first:], initial=0.0))


def _cutoff_slope(symbol: str, encut: float) -> float:
    """Return dE/dE_cut of an atom, dimensionless."""
    from gpaw.utilities.ekin import dekindecut

    return -float(dekindecut(*_atom(symbol), encut / Ha))


@functools.cache
def _atom(symbol: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return wave numbers (1/bohr) and the kinetic energy of a PAW atom by wave number (Ha bohr)."""
    import_gpaw()
    from gpaw.setup import create_setup
    from gpaw.utilities.ekin import ekin

    try:
        wave_numbers, kinetic, _ = ekin(create_setup(symbol))
    except FileNotFoundError as error:
        raise EngineError(f"GPAW has no PAW data set of {symbol}") from error
    return wave_numbers, kinetic
