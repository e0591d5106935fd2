"""The elastic tensor from strains and stresses: a least-squares fit in the constants that symmetry allows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial, reduce
from itertools import permutations
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pymatgen.core.elasticity.stress import Stress

from sodalyte.analysis.strains import VOIGT_COMPONENTS, green_lagrange
from sodalyte.errors import CalculationError

Array = NDArray[np.float64]

_KELVIN = np.array([1.0, 1.0, 1.0, 2**0.5, 2**0.5, 2**0.5])
_NOISE = 1e-3  # directions of a fit and invariants weaker than this, relative to the strongest, are noise of the cell


def _symmetric_basis() -> Array:
    """Orthonormal basis of the symmetric 3x3 tensors in Voigt's order, shape (6, 3, 3) (Kelvin notation)."""
    basis = np.zeros((6, 3, 3))
    for unit, weight, (i, j) in zip(basis, _KELVIN, VOIGT_COMPONENTS.values(), strict=True):
        unit[i, j] = unit[j, i] = 1 / weight
    return basis


_BASIS = _symmetric_basis()


@dataclass(frozen=True, eq=False)
class ElasticFit:
    """A fitted elastic tensor and how far it can be trusted.

    Attributes
    ----------
    tensor
        Second-order elastic constants in Voigt notation, GPa, in the Cartesian frame of the strains: all, shape (6, 6),
        or those among normal strains, shape (3, 3).
    deviations
        Independent one-standard-uncertainty displacements of ``tensor``, GPa, shape (k, ...): the covariance of its
        elements is the sum of their outer products. They hold the scatter of the fit and, fully correlated, the
        difference between the tensors of the large and of the small strains.
    residual_stress
        Stress of the fit at zero strain, GPa, tensile positive, shape (3, 3).
    cell_residuals
        For each strained cell, what the fit leaves of its stress, relative to its change of stress; shape (n,).
    relative_residual
        The same over all strained cells, root mean square.
    linearity
        Largest relative difference between the stiffnesses that the large and the small strains alone give to an
        eigenstrain of the tensor.
    by_size
        The tensors that the small and the large strains alone give, GPa, shape (2, ...).
    """

    tensor: Array
    deviations: Array
    residual_stress: Array
    cell_residuals: Array
    relative_residual: float
    linearity: float
    by_size: Array

    @property
    def tensor_std(self) -> Array:
        """Standard uncertainty of each element of ``tensor``, GPa, shape (6, 6)."""
        return np.asarray(np.sqrt(np.sum(self.deviations**2, axis=0)), dtype=np.float64)

    @property
    def r_squared(self) -> float:
        """Part of the stress changes' sum of squares that the fit explains."""
        return 1.0 - self.relative_residual**2

    @property
    def eigenvalues(self) -> Array:
        """Eigenvalues of ``tensor``, GPa, ascending; all positive in a stable crystal."""
        return np.asarray(np.linalg.eigvalsh(self.tensor), dtype=np.float64)


def fit_elastic_tensor(
    *,
    deformation_gradients: ArrayLike,
    cauchy_stresses: ArrayLike,
    reference_stress: ArrayLike,
    rotations: ArrayLike,
    components: Literal[3, 6] = 6,
) -> ElasticFit:
    r"""Fit the elastic tensor to the stresses of strained cells.

    The second Piola-Kirchhoff stress is expanded in the Green-Lagrange strain,

    .. math:: S = S_0 + C : E + \tfrac{1}{2} E : C_3 : E,

    with C and C_3 restricted to what the point group leaves unchanged and what derives from an energy (fully symmetric
    in their strain indices). This is the fit to all (strain, stress) pairs expanded by all rotations, but exactly
    symmetric, with major symmetry, and with each calculated cell counted once in its statistics. The residual stress
    S_0 is free in all six components, so that a reference cell slightly off its symmetry does not bias the shear
    constants. The third-order term takes the anharmonicity out of S_0 and of the residuals; C is that of central
    differences. Strain directions that only noise in the cell distinguishes are cut off by a truncated singular value
    decomposition.

    Parameters
    ----------
    deformation_gradients
        F of each strained cell, shape (n, 3, 3).
    cauchy_stresses
        Stress of each strained cell with relaxed ions, GPa, tensile positive, shape (n, 3, 3).
    reference_stress
        Stress of the unstrained cell, GPa, shape (3, 3): one more datum of the fit.
    rotations
        Point group in the same Cartesian frame, shape (m, 3, 3), see
        :func:`~sodalyte.analysis.strains.point_group_rotations`.
    components
        6 for the whole tensor; 3 for the constants among normal strains, which strained cells without shear determine.

    Raises
    ------
    CalculationError
        The strains have one size only, or do not determine all those constants that symmetry allows.

    Notes
    -----
    The scatter is taken as equal and independent in the six stress components of all cells. The uncertainty is
    conservative, by about 1.5 where scatter alone makes the large and the small strains disagree.
    Large and small strains are those above and below the middle of the range of sizes.

    References
    ----------
    Tadmor, Miller, Elliott, Continuum Mechanics and Thermodynamics (Cambridge, 2012), section 6.5 (stress and strain
    measures); Mehrabadi and Cowin, Q. J. Mech. Appl. Math. 43, 15 (1990), doi:10.1093/qjmam/43.1.15 (Kelvin notation).
    """
    gradients = np.concatenate([[np.eye(3)], np.asarray(deformation_gradients, dtype=float)])
    cauchy = np.concatenate([[np.asarray(reference_stress)], np.asarray(cauchy_stresses, dtype=float)])
    strains = _kelvin(green_lagrange(gradients))
    stresses = _kelvin(np.array([Stress(s).piola_kirchoff_2(f) for s, f in zip(cauchy, gradients, strict=True)]))
    size = np.abs(green_lagrange(gradients)).max(axis=(1, 2))
    middle = (size[1:].min() + size[1:].max()) / 2 if len(size) > 1 else 0.0
    if size[1:].min(initial=np.inf) > 0.99 * middle:
        raise CalculationError("an elastic tensor needs strains of at least two sizes: add a smaller or a larger one")
    small, large = size < middle, (size == 0) | (size >= middle)

    second, third = (_invariants(np.asarray(rotations, dtype=float), rank) for rank in (2, 3))
    wanted = second[:, :components, :components]
    solve = partial(_least_squares, second=second, third=third, wanted=wanted)
    fit = solve(strains, stresses)
    by_size = np.array([solve(strains[part], stresses[part]).constants for part in (small, large)])
    drift = by_size[1] - by_size[0]
    axes, lengths, _ = np.linalg.svd(np.column_stack([fit.spread, drift]), full_matrices=False)
    tensor, change = (np.einsum("p,pij->ij", constants, wanted) for constants in (fit.constants, drift))
    stiffness, eigenstrains = np.linalg.eigh(tensor)
    softening = np.einsum("ia,ij,ja->a", eigenstrains, change, eigenstrains)
    left = np.linalg.norm(fit.residuals, axis=1)
    signal = np.linalg.norm(stresses - fit.residual_stress, axis=1)
    to_voigt = np.outer(_KELVIN, _KELVIN)[:components, :components]
    with np.errstate(divide="ignore", invalid="ignore"):  # no response at all gives nan, which passes no guard
        return ElasticFit(
            tensor=tensor / to_voigt,
            deviations=np.einsum("pa,pij->aij", axes * lengths, wanted) / to_voigt,
            residual_stress=np.einsum("a,aij->ij", fit.residual_stress, _BASIS),
            cell_residuals=left[1:] / signal[1:],
            relative_residual=float(np.linalg.norm(left[1:]) / np.linalg.norm(signal[1:])),
            linearity=float(np.max(np.abs(softening / stiffness))),
            by_size=np.einsum("sp,pij->sij", by_size, wanted) / to_voigt,
        )


def normal_strains_decouple(rotations: ArrayLike) -> bool:
    """Whether symmetry forbids that a normal strain causes a shear stress: C_ij = 0 for i <= 3 < j.

    So it does in cubic, hexagonal and orthorhombic crystals and in the tetragonal ones of Laue class 4/mmm, in their
    standard orientation. ``rotations`` is the point group, shape (m, 3, 3).
    """
    allowed = _invariants(np.asarray(rotations, dtype=float), 2)
    return bool(np.abs(allowed[:, :3, 3:]).max() < _NOISE)


@dataclass(frozen=True, eq=False)
class _Solution:
    """What least squares gives.

    Attributes
    ----------
    residual_stress
        Stress at zero strain, GPa, shape (6,).
    constants
        Coefficients of the invariant tensors of rank 2, GPa, shape (k,); of least norm where strains leave them open.
    spread
        Independent one-standard-uncertainty displacements of ``constants``, shape (k, q).
    residuals
        Stresses less the fit, GPa, shape (n, 6).
    """

    residual_stress: Array
    constants: Array
    spread: Array
    residuals: Array


def _least_squares(strains: Array, stresses: Array, *, second: Array, third: Array, wanted: Array) -> _Solution:
    """Fit stresses (n, 6) at strains (n, 6) by a constant and invariant tensors of rank 2 and 3, all Kelvin.

    ``wanted`` is the part of ``second``, shape (k, ...), that the strains must determine.
    """
    largest = np.abs(strains).max()
    unit = strains / largest
    columns = [
        np.repeat(np.eye(6)[:, None, :], len(unit), axis=1),
        np.einsum("pij,nj->pni", second, unit),
        np.einsum("pijk,nj,nk->pni", third, unit, unit) / 2,
    ]
    first, last = 6, 6 + len(second)
    design = np.concatenate(columns).reshape(-1, stresses.size).T
    left, singular, right = np.linalg.svd(design, full_matrices=False)
    kept = singular > _NOISE * singular[0]
    left, singular, right = left[:, kept], singular[kept], right[kept]
    resolved = np.tensordot(right[:, first:last], wanted, axes=1)
    if np.sum(wanted**2) - np.sum(resolved**2) > 0.01:
        raise CalculationError(
            "the strains do not determine all elastic constants that the point group allows: "
            "calculate every strained cell, with both signs"
        )
    projection = left.T @ stresses.ravel()
    residuals = stresses - (left @ projection).reshape(stresses.shape)
    scatter = np.linalg.norm(residuals) / max(stresses.size - len(singular), 1) ** 0.5
    inverse = right.T / singular
    parameters = inverse @ projection
    return _Solution(
        residual_stress=parameters[:first],
        constants=parameters[first:last] / largest,
        spread=scatter * inverse[first:last] / largest,
        residuals=residuals,
    )


def _kelvin(tensors: Array) -> Array:
    """Symmetric tensors (..., 3, 3) as vectors (..., 6) of equal length."""
    return np.asarray(np.einsum("aij,...ij->...a", _BASIS, tensors))


def _invariants(rotations: Array, rank: int) -> Array:
    """Orthonormal basis, shape (p, 6, ..., 6), of the invariant fully symmetric tensors over Kelvin vectors."""
    kelvin = np.einsum("aij,rik,rjl,bkl->rab", _BASIS, rotations, rotations, _BASIS)
    group = np.mean([reduce(np.kron, [rotation] * rank) for rotation in kelvin], axis=0)
    unit = np.eye(6**rank).reshape(-1, *[6] * rank)
    orders = [(0, *order) for order in permutations(range(1, rank + 1))]
    exchange = np.mean([unit.transpose(order) for order in orders], axis=0).reshape(group.shape)
    projector = group @ exchange
    weights, vectors = np.linalg.eigh((projector + projector.T) / 2)
    return np.asarray(vectors[:, weights > 0.5].T.reshape(-1, *[6] * rank))
