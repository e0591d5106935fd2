"""Moduli of a polycrystal from the elastic tensor of its crystal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from pymatgen.core.elasticity.elastic import ElasticTensor

from sodalyte.errors import CalculationError

PUGH_DUCTILE = 0.571
"""G/B below which a metal counts as ductile: Pugh, Philos. Mag. 45, 823 (1954), doi:10.1080/14786440808520496."""


@dataclass(frozen=True)
class Bounds:
    """Voigt's upper and Reuss's lower bound of a polycrystal, and Hill's value (a ratio's from Hill's moduli)."""

    voigt: float
    reuss: float
    hill: float


@dataclass(frozen=True)
class Moduli:
    """Moduli of an isotropic polycrystal; none depends on the orientation of the tensor.

    Attributes
    ----------
    bulk, shear
        GPa.
    pugh_ratio
        G/B.
    youngs_modulus
        From Hill's moduli, GPa.
    poisson_ratio
        From Hill's moduli.
    cauchy_pressure
        Mean of C12 - C66, C13 - C55 and C23 - C44, GPa. It is rotationally invariant (B_V - 5 G_V / 3) and equals
        C12 - C44 in a cubic and (C12 - C66 + 2 C13 - 2 C44) / 3 in a tetragonal crystal.
    universal_anisotropy
        5 G_V/G_R + B_V/B_R - 6, zero for an isotropic crystal.
    """

    bulk: Bounds
    shear: Bounds
    pugh_ratio: Bounds
    youngs_modulus: float
    poisson_ratio: float
    cauchy_pressure: float
    universal_anisotropy: float


def bulk_modulus(tensor: ArrayLike) -> Bounds:
    """Voigt, Reuss and Hill averages of the bulk modulus, GPa.

    Parameters
    ----------
    tensor
        Elastic constants in Voigt notation, GPa: all, shape (6, 6), or those among normal strains, shape (3, 3), which
        give the same answer where normal strains and shears do not couple.

    Raises
    ------
    CalculationError
        The constants are not positive definite (Born stability): their averages have no meaning.

    References
    ----------
    Hill, Proc. Phys. Soc. A 65, 349 (1952), doi:10.1088/0370-1298/65/5/307; Mouhat and Coudert, Phys. Rev. B 90, 224104
    (2014), doi:10.1103/PhysRevB.90.224104 (stability).
    """
    constants = np.asarray(tensor, dtype=float)
    smallest = np.linalg.eigvalsh(constants).min()
    if smallest <= 0:
        raise CalculationError(
            f"moduli need a stable crystal, but the smallest eigenvalue of its elastic tensor is {smallest:.3g} GPa"
        )
    voigt = float(constants[:3, :3].mean())
    reuss = float(1 / np.linalg.inv(constants)[:3, :3].sum())
    return Bounds(voigt, reuss, (voigt + reuss) / 2)


def moduli(tensor: ArrayLike) -> Moduli:
    """Voigt, Reuss and Hill averages of an elastic tensor, and what follows from them.

    Parameters
    ----------
    tensor
        Elastic constants in Voigt notation, GPa, shape (6, 6), in any orientation.

    Raises
    ------
    CalculationError
        As :func:`bulk_modulus`.

    References
    ----------
    As :func:`bulk_modulus`, and Ranganathan and Ostoja-Starzewski, Phys. Rev. Lett. 101, 055504 (2008),
    doi:10.1103/PhysRevLett.101.055504 (anisotropy).
    """
    bulk = bulk_modulus(tensor)
    elastic = ElasticTensor.from_voigt(np.asarray(tensor, dtype=float))
    shear = Bounds(float(elastic.g_voigt), float(elastic.g_reuss), float(elastic.g_vrh))
    return Moduli(
        bulk=bulk,
        shear=shear,
        pugh_ratio=Bounds(shear.voigt / bulk.voigt, shear.reuss / bulk.reuss, shear.hill / bulk.hill),
        youngs_modulus=float(elastic.y_mod) / 1e9,
        poisson_ratio=float(elastic.homogeneous_poisson),
        cauchy_pressure=bulk.voigt - 5 / 3 * shear.voigt,
        universal_anisotropy=float(elastic.universal_anisotropy),
    )
