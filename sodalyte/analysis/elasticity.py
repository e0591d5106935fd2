"""Elastic moduli and ductility from the stresses of strained cells, or the reason why there are none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from pymatgen.core import Structure
from pymatgen.core.elasticity.strain import Strain
from pymatgen.core.elasticity.stress import Stress
from pymatgen.core.units import Unit

from sodalyte.analysis.elastic_tensor import Array, ElasticFit, fit_elastic_tensor, normal_strains_decouple
from sodalyte.analysis.moduli import PUGH_DUCTILE, Bounds, bulk_modulus, moduli
from sodalyte.analysis.results import Guard, Result, Subject, judge
from sodalyte.analysis.strains import VOIGT_COMPONENTS, StrainedCell, point_group_rotations

RESIDUAL_STRESS_LIMIT = 0.05
"""Largest stress component of a relaxed reference, GPa."""

ENERGY_TOLERANCE = 1e-5
"""How far a strained cell may lie below the unstrained one, eV/atom: the noise of a single-precision potential."""

RESIDUAL_LIMIT = 0.15
"""Largest part of a cell's stress change that the fit may leave unexplained."""

LINEARITY_LIMIT = 0.20
"""Largest relative difference between the stiffness at the small and at the large strains, in any eigenstrain.

It counts as an uncertainty, so it need not be small: soft sulfides differ by 10 % between 0.5 and 1 % of strain.
"""

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
        ``shear_modulus`` (Hill, GPa) and ``pugh_ratio``. All are refused when the reference is not relaxed, a strained
        cell is missing, unconverged or below the unstrained one, the stress is not linear in the strain or does not
        match the energy, or the tensor is not stable beyond its uncertainty. Where symmetry keeps normal strains and
        shears apart, the cells without shear then still give the bulk modulus, if they pass the same guards alone; it
        comes with a warning.

    Raises
    ------
    CalculationError
        ``cells`` do not determine the tensor.
    """
    rotations = point_group_rotations(structure, symprec=symprec)
    assess = partial(
        _assess,
        polymorph=subject.polymorph,
        structure=structure,
        rotations=rotations,
        reference=reference,
        answers={label: answer for label, answer in responses.items() if _finite(answer)},
    )
    whole = bulk = assess(cells, components=6)
    if whole.fit is None and normal_strains_decouple(rotations):
        bulk = assess([cell for cell in cells if not cell.is_shear], components=3)
        if bulk.fit is not None:
            bulk = replace(bulk, guards=(*bulk.guards, _constrained(whole.guards, subject.polymorph)))

    def tensor(fit: ElasticFit) -> dict[str, Any]:
        energies = [{"label": cell.label, "energy": responses[cell.label].energy - reference.energy} for cell in cells]
        return {"data": _tensor_data(fit) | {"strain_energies": energies}}

    return [
        _result(subject, "elastic_tensor", whole, tensor, means=("bulk", "shear")),
        _result(subject, "bulk_modulus", bulk, partial(_averaged, average=bulk_modulus), means=("bulk",)),
        _result(subject, "shear_modulus", whole, partial(_averaged, average=_shear_modulus), means=("shear",)),
        _result(subject, "pugh_ratio", whole, _pugh_ratio, means=("bulk", "shear")),
    ]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Assessment:
    """A fit to strained cells, None where a required guard failed, and the guards over these cells."""

    fit: ElasticFit | None = None
    guards: tuple[Guard, ...]


def _assess(
    cells: Sequence[StrainedCell],
    *,
    components: Literal[3, 6],
    polymorph: str,
    structure: Structure,
    rotations: Array,
    reference: Response,
    answers: Mapping[str, Response],
) -> _Assessment:
    """Fit ``cells``, or stop at the first guards that leave nothing to fit."""
    guards: tuple[Guard, ...] = (_relaxed(reference),)
    if not _all_passed(guards):
        return _Assessment(guards=guards)
    guards += (
        _ground_state(cells, answers, reference, structure, polymorph),
        _converged(cells, answers),
    )
    if not _all_passed(guards):
        return _Assessment(guards=guards)
    fit = fit_elastic_tensor(
        deformation_gradients=np.array([cell.deformation_gradient for cell in cells]),
        cauchy_stresses=np.array([answers[cell.label].stress for cell in cells]),
        reference_stress=reference.stress,
        rotations=rotations,
        components=components,
    )
    energies = np.array([answers[cell.label].energy - reference.energy for cell in cells])
    guards += (_linear(cells, fit), _energy_agreement(cells, energies, fit, structure.volume), _born_stable(fit))
    return _Assessment(fit=fit if _all_passed(guards) else None, guards=guards)


def _all_passed(guards: Sequence[Guard]) -> bool:
    return all(guard.passed for guard in guards)


def _result(
    subject: Subject,
    name: str,
    assessment: _Assessment,
    answer: Callable[[ElasticFit], dict[str, Any]],
    *,
    means: Sequence[str],
) -> Result:
    """Judge the fields that ``answer`` gives; ``means`` are the Hill means that they rest on."""
    guards, fields = assessment.guards, {}
    if assessment.fit is not None:
        guards += tuple(_hill(mean, _MEANS[mean](assessment.fit.tensor)) for mean in means)
        fields = answer(assessment.fit) | {"uncertainty_basis": _UNCERTAINTY_BASIS}
    return judge(subject, property=name, unit=_UNITS[name], guards=guards, **fields)


def _shear_modulus(tensor: ArrayLike) -> Bounds:
    return moduli(tensor).shear


_MEANS: dict[str, Callable[[ArrayLike], Bounds]] = {"bulk": bulk_modulus, "shear": _shear_modulus}


def _averaged(fit: ElasticFit, *, average: Callable[[ArrayLike], Bounds]) -> dict[str, Any]:
    """Hill's value, its uncertainty from the change along each independent deviation of the tensor, and the bounds."""
    bounds = average(fit.tensor)
    changes = [
        (average(fit.tensor + deviation).hill - average(fit.tensor - deviation).hill) / 2
        for deviation in fit.deviations
    ]
    return {"value": bounds.hill, "uncertainty": float(np.linalg.norm(changes)), "data": asdict(bounds)}


def _pugh_ratio(fit: ElasticFit) -> dict[str, Any]:
    ratio = _averaged(fit, average=lambda tensor: moduli(tensor).pugh_ratio)
    ratio["data"] |= {
        "ductile": ratio["value"] < PUGH_DUCTILE,
        "ductile_below": PUGH_DUCTILE,
        "criterion": "Pugh's threshold comes from metals; for an ionic solid it ranks, it does not decide",
    }
    return ratio


def _tensor_data(fit: ElasticFit) -> dict[str, Any]:
    averages = moduli(fit.tensor)
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


def _finite(response: Response) -> bool:
    return bool(np.isfinite(response.energy) and np.isfinite(np.asarray(response.stress)).all())


def _relaxed(reference: Response) -> Guard:
    if not _finite(reference):
        return Guard(
            name="reference relaxed", passed=False, detail="the unstrained cell has no finite energy and stress"
        )
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


def _ground_state(
    cells: Sequence[StrainedCell],
    answers: Mapping[str, Response],
    reference: Response,
    structure: Structure,
    polymorph: str,
) -> Guard:
    """Compare the energies that there are with the reference's, less the work of its residual stress."""
    prestress, tolerance = structure.volume * _GPA * np.asarray(reference.stress), ENERGY_TOLERANCE * len(structure)
    energies = {
        cell: answers[cell.label].energy - reference.energy - float(np.sum(prestress * cell.strain))
        for cell in cells
        if cell.label in answers
    }
    below = [cell for cell, energy in energies.items() if energy < -tolerance]
    if not below:
        detail = (
            f"none strained by {_directions(cells)} lies more than {1e3 * tolerance:.2g} meV below the unstrained cell"
        )
    else:
        lowest = min(below, key=lambda cell: energies[cell])
        detail = (
            f"the {polymorph} polymorph is unstable against {_directions(below)}: the cell strained by {lowest.label} "
            f"lies {-1e3 * energies[lowest]:.3g} meV below the unstrained one ({len(structure)} atoms)"
        )
    return Guard(name="unstrained cell lowest", passed=not below, detail=detail)


def _directions(cells: Sequence[StrainedCell]) -> str:
    names = (f"{'shear ' if cell.is_shear else ''}{cell.label.split()[0]}" for cell in cells)
    return ", ".join(dict.fromkeys(names))


def _converged(cells: Sequence[StrainedCell], answers: Mapping[str, Response]) -> Guard:
    absent = [cell.label for cell in cells if cell.label not in answers]
    loose = [cell.label for cell in cells if cell.label in answers and not answers[cell.label].converged]
    faults = {"without an answer": absent, "not converged": loose}
    seen = "; ".join(f"strained cells {fault}: {', '.join(labels)}" for fault, labels in faults.items() if labels)
    return Guard(name="strained cells converged", passed=not seen, detail=seen or f"all {len(cells)} converged")


def _linear(cells: Sequence[StrainedCell], fit: ElasticFit) -> Guard:
    worst = int(np.argmax(fit.cell_residuals))
    residual = float(fit.cell_residuals[worst])
    passed = residual <= RESIDUAL_LIMIT and fit.linearity <= LINEARITY_LIMIT
    seen = (
        f"the fit leaves at most {100 * residual:.2g} % of a stress, at {cells[worst].label} "
        f"(limit {100 * RESIDUAL_LIMIT:.0f} %); small and large strains give stiffnesses that differ by "
        f"{100 * fit.linearity:.2g} % (limit {100 * LINEARITY_LIMIT:.0f} %)"
    )
    return Guard(
        name="linear response",
        passed=passed,
        detail=seen if passed else f"the stress is not linear in the strain: {seen}",
    )


def _energy_agreement(cells: Sequence[StrainedCell], energies: Array, fit: ElasticFit, volume: float) -> Guard:
    strains = np.array([Strain(cell.strain).voigt for cell in cells])[:, : len(fit.tensor)]
    residual = Stress(fit.residual_stress).voigt[: len(fit.tensor)]
    work = volume * _GPA * (strains @ residual + np.einsum("na,ab,nb->n", strains, fit.tensor, strains) / 2)
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
    seen = f"smallest eigenvalue of the elastic constants {values[0]:.3g} GPa, along e_{softest}"
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


def _constrained(guards: Sequence[Guard], polymorph: str) -> Guard:
    faults = "; ".join(guard.detail for guard in guards if not guard.passed)
    return Guard(
        name="sheared cells",
        passed=False,
        detail=f"{faults}; the modulus is that of the constrained {polymorph} shape, from normal strains alone",
        required=False,
    )
