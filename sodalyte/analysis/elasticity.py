"""Elastic moduli and ductility from the stresses of strained cells, or the reason why there are none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from sodalyte.analysis import elastic_guards
from sodalyte.analysis.elastic_tensor import Array, ElasticFit, fit_elastic_tensor, normal_strains_decouple
from sodalyte.analysis.moduli import PUGH_DUCTILE, Bounds, bulk_modulus, moduli
from sodalyte.analysis.responses import Reference, Response, directions, symmetry_breaking
from sodalyte.analysis.results import SYMMETRIC, Guard, Result, Subject, judge
from sodalyte.analysis.strains import StrainedCell, point_group_rotations

_UNITS = {"elastic_tensor": "GPa", "bulk_modulus": "GPa", "shear_modulus": "GPa", "pugh_ratio": "1"}
_UNCERTAINTY_BASIS = (
    "scatter of the stress-strain fit and difference between the tensors of the small and the large strains; "
    "not the error of the level of theory"
)
_ORIENTATION = "Cartesian frame of the reference cell; Voigt order xx, yy, zz, yz, xz, xy"
_CRITERION = "Pugh's threshold comes from metals; for an ionic solid it ranks, it does not decide"


def elasticity_results(
    subject: Subject,
    *,
    reference: Reference,
    cells: Sequence[StrainedCell],
    relaxed: Mapping[str, Response],
    symmetric: Mapping[str, Response],
    symprec: float = 0.01,
) -> list[Result]:
    """Elastic tensor, bulk and shear modulus and Pugh ratio, each with its guards.

    Parameters
    ----------
    subject
        Of what and how the results speak.
    reference
        The relaxed crystal that was strained.
    cells
        Every strained cell that the tensor needs, see :func:`~sodalyte.analysis.strains.strained_cells`.
    relaxed
        The answers that there are, by the label of their cell, of ions that were free to leave the cell's symmetry.
    symmetric
        Those of ions that kept it.
    symprec
        Tolerance for finding the space group, angstrom.

    Returns
    -------
    list of Result
        ``elastic_tensor`` (in ``data``), ``bulk_modulus`` and ``shear_modulus`` (Hill, GPa) and ``pugh_ratio`` are the
        material's. All are refused when the reference is not relaxed or leaves its symmetry, a strained cell is
        missing, unconverged, below the unstrained one or below its own symmetric answer, the stress is not linear in
        the strain or does not match the energy, or the tensor is not stable beyond its uncertainty. Where symmetry
        keeps normal strains and shears apart, the cells without shear then still give the bulk modulus, if they pass
        the same guards alone; it comes with a warning.

        The same four with ``symmetric_`` before their names are the answer of ions that keep the symmetry of the
        strained cell. They pass their own guards, and warn where the crystal does not stay there.

        ``structural_instability`` says how far below the symmetric crystal its ions fall when they are displaced or
        the cell is strained, meV per formula unit, zero in a stable crystal, and holds the energies of all cells.

    Raises
    ------
    CalculationError
        ``cells`` do not determine the tensor.
    """
    relaxed, symmetric = (
        {label: each for label, each in found.items() if each.is_finite} for found in (relaxed, symmetric)
    )
    crystal = _Crystal(reference=reference, rotations=point_group_rotations(reference.structure, symprec=symprec))

    def stays(cells: Sequence[StrainedCell]) -> tuple[Guard, ...]:
        unstrained = elastic_guards.keeps_its_symmetry(reference)
        if not unstrained.passed:
            return (unstrained,)
        free, kept = (reference.strain_energies(cells, found) for found in (relaxed, symmetric))
        return (
            unstrained,
            elastic_guards.unstrained_lowest(reference, free),
            elastic_guards.symmetry_kept(reference, relaxed=free, symmetric=kept),
        )

    def stays_symmetric(cells: Sequence[StrainedCell]) -> tuple[Guard, ...]:
        return (elastic_guards.unstrained_lowest(reference, reference.strain_energies(cells, symmetric)),)

    warnings: tuple[Guard, ...] = ()
    if reference.response.is_finite:
        warnings = tuple(elastic_guards.does_not_stay(guard) for guard in stays(cells) if not guard.passed)
    return [
        *_judged(
            subject,
            crystal.answers(cells, relaxed, checks=stays),
            ions="free to leave the symmetry of the strained cell",
            ratio=_ductility,
        ),
        *_judged(
            subject,
            crystal.answers(cells, symmetric, checks=stays_symmetric),
            prefix=SYMMETRIC,
            ions="within the symmetry of the strained cell",
            ratio=partial(_averaged, average=_pugh_ratio),
            warnings=warnings,
        ),
        _instability(subject, reference, cells, relaxed=relaxed, symmetric=symmetric),
    ]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Assessment:
    """A fit to strained cells, None where a required guard failed, and the guards over these cells."""

    fit: ElasticFit | None = None
    guards: tuple[Guard, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Answers:
    """A fit to all cells, and the one that gives the bulk modulus."""

    whole: _Assessment
    bulk: _Assessment


_Checks = Callable[[Sequence[StrainedCell]], tuple[Guard, ...]]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Crystal:
    reference: Reference
    rotations: Array

    def answers(self, cells: Sequence[StrainedCell], found: Mapping[str, Response], *, checks: _Checks) -> _Answers:
        """Fit all cells, or failing that those without shear, if they can stand alone."""
        whole = bulk = self._assess(cells, found, components=6, checks=checks)
        if whole.fit is None and normal_strains_decouple(self.rotations):
            bulk = self._assess([cell for cell in cells if not cell.is_shear], found, components=3, checks=checks)
            if bulk.fit is not None:
                warning = elastic_guards.shears_at_fault(whole.guards, self.reference.polymorph)
                bulk = replace(bulk, guards=(*bulk.guards, warning))
        return _Answers(whole=whole, bulk=bulk)

    def _assess(
        self,
        cells: Sequence[StrainedCell],
        found: Mapping[str, Response],
        *,
        components: Literal[3, 6],
        checks: _Checks,
    ) -> _Assessment:
        """Fit ``cells``, or stop at the first guards that leave nothing to fit."""
        guards: tuple[Guard, ...] = (elastic_guards.reference_relaxed(self.reference),)
        if not _all_passed(guards):
            return _Assessment(guards=guards)
        for more in (checks(cells), (elastic_guards.cells_converged(cells, found),)):
            guards += more
            if not _all_passed(guards):
                return _Assessment(guards=guards)
        fit = fit_elastic_tensor(
            deformation_gradients=np.array([cell.deformation_gradient for cell in cells]),
            cauchy_stresses=np.array([found[cell.label].stress for cell in cells]),
            reference_stress=self.reference.response.stress,
            rotations=self.rotations,
            components=components,
        )
        guards += (
            elastic_guards.linear(cells, fit),
            elastic_guards.energy_agrees(self.reference, cells, found, fit),
            elastic_guards.born_stable(fit),
        )
        return _Assessment(fit=fit if _all_passed(guards) else None, guards=guards)


def _all_passed(guards: Sequence[Guard]) -> bool:
    return all(guard.passed for guard in guards)


def _judged(
    subject: Subject,
    answers: _Answers,
    *,
    prefix: str = "",
    ions: str,
    ratio: Callable[[ElasticFit], dict[str, Any]],
    warnings: tuple[Guard, ...] = (),
) -> list[Result]:
    """Judge the four properties; ``ions`` says what the ions were free to do."""

    def result(
        name: str, assessment: _Assessment, answer: Callable[[ElasticFit], dict[str, Any]], *means: str
    ) -> Result:
        guards, fields = assessment.guards, {}
        if assessment.fit is not None:
            guards += warnings
            guards += tuple(elastic_guards.hill_mean(mean, _MEANS[mean](assessment.fit.tensor)) for mean in means)
            fields = answer(assessment.fit) | {"uncertainty_basis": _UNCERTAINTY_BASIS}
        return judge(subject, property=prefix + name, unit=_UNITS[name], guards=guards, **fields)

    return [
        result("elastic_tensor", answers.whole, partial(_tensor, ions=ions), "bulk", "shear"),
        result("bulk_modulus", answers.bulk, partial(_averaged, average=bulk_modulus), "bulk"),
        result("shear_modulus", answers.whole, partial(_averaged, average=_shear_modulus), "shear"),
        result("pugh_ratio", answers.whole, ratio, "bulk", "shear"),
    ]


def _instability(
    subject: Subject,
    reference: Reference,
    cells: Sequence[StrainedCell],
    *,
    relaxed: Mapping[str, Response],
    symmetric: Mapping[str, Response],
) -> Result:
    """Say how deep the ions fall; one cell in which they fell is an answer, whatever became of the others."""
    guards: tuple[Guard, ...] = (elastic_guards.reference_relaxed(reference),)
    fields: dict[str, Any] = {}
    if reference.response.is_finite:
        free, kept = (reference.strain_energies(cells, found) for found in (relaxed, symmetric))
        below, left = reference.fallen(free), reference.fallen(symmetry_breaking(relaxed=free, symmetric=kept))
        depths = [-free[cell] for cell in below]
        if reference.leaves_symmetry:
            depths.append(-(reference.displaced_energy or 0.0))
            below = left = []  # any strain gives a way down that needs none
        else:
            guards += (
                elastic_guards.keeps_its_symmetry(reference),
                elastic_guards.cells_converged(cells, relaxed),
            )
        if depths:
            guards = (guards[0], *(guard.model_copy(update={"required": False}) for guard in guards[1:]))
        energies: dict[str, tuple[float | None, float | None]] = {"unstrained": (0.0, reference.displaced_energy)}
        energies |= {cell.label: (kept.get(cell), free.get(cell)) for cell in cells}
        fields = {
            "value": reference.per_formula_unit(max(depths, default=0.0)),
            "uncertainty": reference.per_formula_unit(reference.tolerance),
            "uncertainty_basis": "noise of the energies; not the error of the level of theory",
            "data": {
                "stable_unstrained": not reference.leaves_symmetry,
                "unstable_against": directions(below),
                "loses_symmetry_under": directions(left),
                "formula_units_per_cell": reference.formula_units,
                "strain_energies": [
                    {
                        "label": label,
                        "symmetric": None if own is None else reference.per_formula_unit(own),
                        "relaxed": None if displaced is None else reference.per_formula_unit(displaced),
                    }
                    for label, (own, displaced) in energies.items()
                ],
            },
        }
    return judge(subject, property="structural_instability", unit="meV/f.u.", guards=guards, **fields)


def _shear_modulus(tensor: ArrayLike) -> Bounds:
    return moduli(tensor).shear


def _pugh_ratio(tensor: ArrayLike) -> Bounds:
    return moduli(tensor).pugh_ratio


_MEANS: dict[str, Callable[[ArrayLike], Bounds]] = {"bulk": bulk_modulus, "shear": _shear_modulus}


def _averaged(fit: ElasticFit, *, average: Callable[[ArrayLike], Bounds]) -> dict[str, Any]:
    """Hill's value, its uncertainty from the change along each independent deviation of the tensor, and the bounds."""
    bounds = average(fit.tensor)
    changes = [
        (average(fit.tensor + deviation).hill - average(fit.tensor - deviation).hill) / 2
        for deviation in fit.deviations
    ]
    return {"value": bounds.hill, "uncertainty": float(np.linalg.norm(changes)), "data": asdict(bounds)}


def _ductility(fit: ElasticFit) -> dict[str, Any]:
    ratio = _averaged(fit, average=_pugh_ratio)
    ratio["data"] |= {
        "ductile": ratio["value"] < PUGH_DUCTILE,
        "ductile_below": PUGH_DUCTILE,
        "criterion": _CRITERION,
    }
    return ratio


def _tensor(fit: ElasticFit, *, ions: str) -> dict[str, Any]:
    averages = moduli(fit.tensor)
    data = {
        "tensor": fit.tensor.tolist(),
        "tensor_std": fit.tensor_std.tolist(),
        "orientation": _ORIENTATION,
        "ions": f"relaxed, {ions}",
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
    return {"data": data}
