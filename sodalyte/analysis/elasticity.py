"""Elastic moduli and ductility from the stresses of strained cells, or the reason why there are none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pymatgen.core import Structure
from pymatgen.core.elasticity.elastic import ElasticTensor
from pymatgen.core.units import Unit

from sodalyte.analysis.elastic_tensor import ElasticFit, fit_elastic_tensor
from sodalyte.analysis.moduli import PUGH_DUCTILE, Bounds, Moduli, moduli
from sodalyte.analysis.results import Guard, Result, Subject, judge
from sodalyte.analysis.strains import VOIGT_COMPONENTS, StrainedCell, point_group_rotations

RESIDUAL_STRESS_LIMIT = 0.05
"""Largest stress component of a relaxed reference, GPa."""

ENERGY_TOLERANCE = 1e-5
"""How far a strained cell may lie below the unstrained one, eV/atom: the noise of a single-precision potential."""

RESIDUAL_LIMIT = 0.15
"""Largest part of a cell's stress change that the fit may leave unexplained."""

LINEARITY_LIMIT = 0.10
"""Largest relative difference between the stiffness at the small and at the large strains, in any eigenstrain."""

ENERGY_AGREEMENT_LIMIT = 0.5
"""Largest relative difference, root mean square, between strain energies and the work of the fitted stress.

It is wide because a fixed plane-wave cutoff makes energies of strained cells uneven; a stress of wrong sign or unit is
off by 100 % or more.
"""

HILL_SPREAD_LIMIT = 0.5
"""Difference between Voigt and Reuss, relative to Hill, above which their mean says little."""

_GPA = float(Unit("GPa").get_conversion_factor(Unit("eV ang^-3")))
_UNITS = {"elastic_tensor": "GPa", "bulk_modulus": "GPa", "shear_modulus": "GPa", "pugh_ratio": "1"}
_UNCERTAINTY_BASIS = (
    "scatter of the stress-strain fit and difference between the tensors of the small and the large strains; "
    "not the error of the level of theory"
)
_ORIENTATION = "Cartesian frame of the reference cell; Voigt order xx, yy, zz, yz, xz, xy"


@dataclass(frozen=True, kw_only=True, eq=False)
class Response:
    """What an engine answered for one cell with relaxed ions.

    Attributes
    ----------
    energy
        eV per cell.
    stress
        Cauchy stress, GPa, tensile positive, shape (3, 3).
    max_force
        Largest force on an atom, eV/angstrom.
    converged
        Whether the engine reached the recipe's force criterion, and its electrons theirs.
    """

    energy: float
    stress: ArrayLike
    max_force: float
    converged: bool


def elasticity_results(
    subject: Subject,
    *,
    structure: Structure,
    reference: Response,
    cells: Sequence[StrainedCell],
    responses: Mapping[str, Response],
    symprec: float = 0.01,
) -> list[Result]:
    """Elastic tensor, bulk and shear modulus and Pugh ratio, each with its guards.

    Parameters
    ----------
    subject
        Of what and how the results speak.
    structure
        The relaxed reference that was strained.
    reference
        Its answer.
    cells
        Every strained cell that the tensor needs, see :func:`~sodalyte.analysis.strains.strained_cells`.
    responses
        The answers that there are, by the label of their cell.
    symprec
        Tolerance for finding the space group, angstrom.

    Returns
    -------
    list of Result
        ``elastic_tensor`` (in ``data``; its energies are eV per cell relative to the reference), ``bulk_modulus`` and
        ``shear_modulus`` (Hill, GPa) and ``pugh_ratio``. All are refused when a cell is missing or unconverged, the
        reference is not relaxed, a strained cell lies below the unstrained one, the stress is not linear in the strain
        or does not match the energy, or the tensor is not stable beyond its uncertainty.

    Raises
    ------
    CalculationError
        ``cells`` do not determine the tensor.
    """
    labels = [cell.label for cell in cells]
    absent = [label for label in labels if label not in responses or not _finite(responses[label])]
    if absent or not _finite(reference):
        lacking = absent if _finite(reference) else ["unstrained", *absent]
        guard = Guard(name="cells complete", passed=False, detail=f"cells without an answer: {', '.join(lacking)}")
        return [judge(subject, property=name, unit=unit, guards=(guard,)) for name, unit in _UNITS.items()]

    answers = [responses[label] for label in labels]
    fit = fit_elastic_tensor(
        deformation_gradients=np.array([cell.deformation_gradient for cell in cells]),
        cauchy_stresses=np.array([answer.stress for answer in answers]),
        reference_stress=reference.stress,
        rotations=point_group_rotations(structure, symprec=symprec),
    )
    strains = np.array([cell.strain for cell in cells])
    energies = np.array([answer.energy - reference.energy for answer in answers])
    volume = structure.volume
    work = volume * _GPA * np.einsum("nij,ij->n", strains, np.asarray(reference.stress))
    guards = (
        _converged(labels, answers),
        _relaxed(reference),
        _ground_state(labels, energies - work, len(structure), subject.polymorph),
        _linear(labels, fit),
        _energy_agreement(fit, strains, energies, volume),
        _born_stable(fit),
    )
    if not all(guard.passed for guard in guards):
        return [judge(subject, property=name, unit=unit, guards=guards) for name, unit in _UNITS.items()]

    averages = moduli(fit.tensor)
    hill_bulk, hill_shear = _hill("bulk", averages.bulk), _hill("shear", averages.shear)

    def result(name: str, *warnings: Guard, **fields: Any) -> Result:
        return judge(
            subject,
            property=name,
            unit=_UNITS[name],
            guards=guards + warnings,
            uncertainty_basis=_UNCERTAINTY_BASIS,
            **fields,
        )

    return [
        result(
            "elastic_tensor",
            hill_bulk,
            hill_shear,
            data=_tensor_data(fit, averages)
            | {
                "strain_energies": [
                    {"label": label, "energy": float(energy)} for label, energy in zip(labels, energies, strict=True)
                ]
            },
        ),
        result(
            "bulk_modulus",
            hill_bulk,
            value=averages.bulk.hill,
            uncertainty=_standard_uncertainty(fit, lambda average: average.bulk.hill),
            data=asdict(averages.bulk),
        ),
        result(
            "shear_modulus",
            hill_shear,
            value=averages.shear.hill,
            uncertainty=_standard_uncertainty(fit, lambda average: average.shear.hill),
            data=asdict(averages.shear),
        ),
        result(
            "pugh_ratio",
            hill_bulk,
            hill_shear,
            value=averages.pugh_ratio.hill,
            uncertainty=_standard_uncertainty(fit, lambda average: average.pugh_ratio.hill),
            data=asdict(averages.pugh_ratio)
            | {
                "ductile": averages.pugh_ratio.hill < PUGH_DUCTILE,
                "ductile_below": PUGH_DUCTILE,
                "criterion": "Pugh's threshold comes from metals; for an ionic solid it ranks, it does not decide",
            },
        ),
    ]


def _tensor_data(fit: ElasticFit, averages: Moduli) -> dict[str, Any]:
    return {
        "tensor": fit.tensor.tolist(),
        "tensor_std": fit.tensor_std.tolist(),
        "orientation": _ORIENTATION,
        "ions": "relaxed",
        "residual_stress": fit.residual_stress.tolist(),
        "r_squared": fit.r_squared,
        "relative_residual": fit.relative_residual,
        "linearity": fit.linearity,
        "eigenvalues": fit.eigenvalues.tolist(),
        **{
            bound: {"bulk": getattr(averages.bulk, bound), "shear": getattr(averages.shear, bound)}
            for bound in ("voigt", "reuss", "hill")
        },
        "youngs_modulus": averages.youngs_modulus,
        "poisson_ratio": averages.poisson_ratio,
        "cauchy_pressure": averages.cauchy_pressure,
        "universal_anisotropy": averages.universal_anisotropy,
    }


def _standard_uncertainty(fit: ElasticFit, quantity: Callable[[Moduli], float]) -> float:
    """Uncertainty of a quantity from its change along each independent deviation of the tensor."""
    changes = [
        (quantity(moduli(fit.tensor + deviation)) - quantity(moduli(fit.tensor - deviation))) / 2
        for deviation in fit.deviations
    ]
    return float(np.linalg.norm(changes))


def _finite(response: Response) -> bool:
    return bool(np.isfinite(response.energy) and np.isfinite(np.asarray(response.stress)).all())


def _converged(labels: Sequence[str], answers: Sequence[Response]) -> Guard:
    loose = [label for label, answer in zip(labels, answers, strict=True) if not answer.converged]
    return Guard(
        name="strained cells converged",
        passed=not loose,
        detail=f"strained cells not converged: {', '.join(loose)}" if loose else f"all {len(labels)} converged",
    )


def _relaxed(reference: Response) -> Guard:
    stress = float(np.abs(np.asarray(reference.stress)).max())
    seen = (
        f"largest stress of the unstrained cell {stress:.3g} GPa (limit {RESIDUAL_STRESS_LIMIT}), "
        f"largest force {reference.max_force:.2g} eV/angstrom"
    )
    passed = reference.converged and stress < RESIDUAL_STRESS_LIMIT
    return Guard(
        name="reference relaxed",
        passed=passed,
        detail=seen if passed else f"the unstrained cell is not relaxed: {seen}",
    )


def _ground_state(labels: Sequence[str], energies: NDArray[np.float64], n_atoms: int, polymorph: str) -> Guard:
    """Energies in eV per cell, relative to the reference and less the work of its residual stress."""
    lowest = int(np.argmin(energies))
    label, energy = labels[lowest], float(energies[lowest])
    passed = energy >= -ENERGY_TOLERANCE * n_atoms
    return Guard(
        name="unstrained cell lowest",
        passed=passed,
        detail=f"the lowest strained cell, {label}, lies {1e3 * energy:.3g} meV above the unstrained one"
        if passed
        else f"the {polymorph} polymorph is unstable against {label.split()[0]}: "
        f"the cell strained by {label} lies {-1e3 * energy:.3g} meV below the unstrained one",
    )


def _linear(labels: Sequence[str], fit: ElasticFit) -> Guard:
    worst = int(np.argmax(fit.cell_residuals))
    residual = float(fit.cell_residuals[worst])
    return Guard(
        name="linear response",
        passed=residual <= RESIDUAL_LIMIT and fit.linearity <= LINEARITY_LIMIT,
        detail=f"small and large strains give stiffnesses that differ by {100 * fit.linearity:.2g} % "
        f"(limit {100 * LINEARITY_LIMIT:.0f} %); the fit leaves at most {100 * residual:.2g} % of a stress, "
        f"at {labels[worst]} (limit {100 * RESIDUAL_LIMIT:.0f} %)",
    )


def _energy_agreement(
    fit: ElasticFit, strains: NDArray[np.float64], energies: NDArray[np.float64], volume: float
) -> Guard:
    stiffness = ElasticTensor.from_voigt(fit.tensor)
    stress = fit.residual_stress + np.einsum("ijkl,nkl->nij", stiffness, strains) / 2
    work = volume * _GPA * np.einsum("nij,nij->n", stress, strains)
    difference, scale = float(np.linalg.norm(energies - work)), float(np.linalg.norm(energies))
    return Guard(
        name="energy and stress agree",
        passed=difference <= ENERGY_AGREEMENT_LIMIT * scale,
        detail=f"strain energies and the work of the fitted stress differ by {1e3 * difference:.2g} meV "
        f"of {1e3 * scale:.2g} meV (limit {100 * ENERGY_AGREEMENT_LIMIT:.0f} %)",
    )


def _born_stable(fit: ElasticFit) -> Guard:
    values, vectors = np.linalg.eigh(fit.tensor)
    softest = tuple(VOIGT_COMPONENTS)[int(np.argmax(np.abs(vectors[:, 0])))]
    within = min(
        float(np.linalg.eigvalsh(fit.tensor + sign * deviation).min())
        for deviation in fit.deviations
        for sign in (-1, 1)
    )
    seen = f"smallest eigenvalue of the elastic tensor {values[0]:.3g} GPa, along e_{softest}"
    if within > 0:
        detail = seen
    elif values[0] > 0:
        detail = f"not stable beyond its uncertainty: {seen}, down to {within:.3g} GPa"
    else:
        detail = f"mechanically unstable: {seen}"
    return Guard(name="Born stability", passed=within > 0, detail=detail)


def _hill(name: str, bounds: Bounds) -> Guard:
    spread = (bounds.voigt - bounds.reuss) / bounds.hill
    return Guard(
        name=f"Hill mean of the {name} modulus",
        passed=spread <= HILL_SPREAD_LIMIT,
        detail=f"Voigt and Reuss {name} moduli differ by {100 * spread:.2g} % of Hill's "
        f"(limit {100 * HILL_SPREAD_LIMIT:.0f} %)",
        required=False,
    )
