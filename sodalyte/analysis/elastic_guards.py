"""What has to hold before the stresses of strained cells give elastic constants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from pymatgen.core.elasticity.strain import Strain
from pymatgen.core.elasticity.stress import Stress

from sodalyte.analysis.elastic_tensor import ElasticFit
from sodalyte.analysis.moduli import Bounds, moduli
from sodalyte.analysis.responses import GPA, Reference, Response, directions, symmetry_breaking
from sodalyte.analysis.results import Guard
from sodalyte.analysis.strains import VOIGT_COMPONENTS, StrainedCell

RESIDUAL_STRESS_LIMIT = 0.05
"""Largest stress component of a relaxed reference, GPa."""

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


def reference_relaxed(reference: Reference) -> Guard:
    """Ask for an unstrained cell without stress."""
    name, response = "reference relaxed", reference.response
    if not response.is_finite:
        return Guard(name=name, passed=False, detail="the unstrained cell has no finite energy and stress")
    stress = float(np.abs(np.asarray(response.stress)).max())
    seen = (
        f"largest stress of the unstrained cell {stress:.3g} GPa (limit {RESIDUAL_STRESS_LIMIT}), "
        f"largest force {response.max_force:.2g} eV/angstrom"
    )
    passed = response.converged and stress < RESIDUAL_STRESS_LIMIT
    return Guard(name=name, passed=passed, detail=seen if passed else f"the unstrained cell is not relaxed: {seen}")


def keeps_its_symmetry(reference: Reference) -> Guard:
    """Ask that the ions of the unstrained crystal come back when they are displaced."""
    name, energy = "unstrained cell keeps its symmetry", reference.displaced_energy
    if reference.leaves_symmetry:
        detail = (
            f"the {reference.polymorph} polymorph is unstable even without strain: displaced, its ions fall "
            f"{_depth(energy or 0.0, reference)} below their symmetric positions"
        )
        return Guard(name=name, passed=False, detail=detail)
    if energy is None or reference.displaced is None or not reference.displaced.converged:
        detail = "whether the ions of the unstrained cell keep their symmetry is not known: no converged answer"
        return Guard(name=name, passed=False, detail=detail)
    gain = f"gain no more than {_depth(reference.tolerance, reference)}"
    return Guard(name=name, passed=True, detail=f"displaced, the ions of the unstrained cell {gain}")


def unstrained_lowest(reference: Reference, energies: Mapping[StrainedCell, float]) -> Guard:
    """Ask that no strained cell lies below the unstrained one; ``energies`` as :meth:`Reference.strain_energies`."""
    below = reference.fallen(energies)
    if below:
        detail = (
            f"the {reference.polymorph} polymorph is unstable against {_named(below)}: the cell strained by "
            f"{below[0].label} lies {_depth(energies[below[0]], reference)} below the unstrained one"
        )
    else:
        detail = (
            f"none strained by {_named(energies)} lies more than {_depth(reference.tolerance, reference)} below the "
            "unstrained cell"
        )
    return Guard(name="unstrained cell lowest", passed=not below, detail=detail)


def symmetry_kept(
    reference: Reference, *, relaxed: Mapping[StrainedCell, float], symmetric: Mapping[StrainedCell, float]
) -> Guard:
    """Ask that no strained cell gains energy by losing its symmetry: then it does not answer linearly."""
    changes = symmetry_breaking(relaxed=relaxed, symmetric=symmetric)
    left = reference.fallen(changes)
    if left:
        detail = (
            f"strained by {_named(left)} the crystal loses its symmetry: with {left[0].label} the ions fall "
            f"{_depth(changes[left[0]], reference)} below their symmetric answer"
        )
    else:
        detail = (
            f"no cell gains more than {_depth(reference.tolerance, reference)} when its ions may leave their symmetry"
        )
    return Guard(name="symmetry kept", passed=not left, detail=detail)


def cells_converged(cells: Sequence[StrainedCell], answers: Mapping[str, Response]) -> Guard:
    """Ask for a converged answer of every cell."""
    absent = [cell.label for cell in cells if cell.label not in answers]
    loose = [cell.label for cell in cells if cell.label in answers and not answers[cell.label].converged]
    faults = {"without an answer": absent, "not converged": loose}
    seen = "; ".join(f"strained cells {fault}: {', '.join(labels)}" for fault, labels in faults.items() if labels)
    return Guard(name="strained cells converged", passed=not seen, detail=seen or f"all {len(cells)} converged")


def linear(cells: Sequence[StrainedCell], fit: ElasticFit) -> Guard:
    """Ask that the fit explains the stresses, and gives the same from small and from large strains."""
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
        detail=seen if passed else f"the stress is not linear in the strain{_ratios(fit)}: {seen}",
    )


def _ratios(fit: ElasticFit) -> str:
    """Say what G/B each size of strain alone would give, if both give one."""
    if len(fit.tensor) < len(VOIGT_COMPONENTS) or np.linalg.eigvalsh(fit.by_size).min() <= 0:
        return ""
    small, large = (moduli(tensor).pugh_ratio.hill for tensor in fit.by_size)
    return f" (G/B would be {small:.2f} by the small strains alone and {large:.2f} by the large)"


def energy_agrees(
    reference: Reference, cells: Sequence[StrainedCell], answers: Mapping[str, Response], fit: ElasticFit
) -> Guard:
    """Ask that energies and stresses tell of the same tensor."""
    energies = np.array([answers[cell.label].energy - reference.response.energy for cell in cells])
    strains = np.array([Strain(cell.strain).voigt for cell in cells])[:, : len(fit.tensor)]
    residual = Stress(fit.residual_stress).voigt[: len(fit.tensor)]
    work = strains @ residual + np.einsum("na,ab,nb->n", strains, fit.tensor, strains) / 2
    work *= reference.structure.volume * GPA
    difference, scale = float(np.linalg.norm(energies - work)), float(np.linalg.norm(energies))
    return Guard(
        name="energy and stress agree",
        passed=difference <= ENERGY_AGREEMENT_LIMIT * scale,
        detail=f"strain energies and the work of the fitted stress differ by {1e3 * difference:.2g} meV "
        f"of {1e3 * scale:.2g} meV (limit {100 * ENERGY_AGREEMENT_LIMIT:.0f} %)",
    )


def born_stable(fit: ElasticFit) -> Guard:
    """Ask that the elastic constants are positive definite beyond their uncertainty."""
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


def hill_mean(name: str, bounds: Bounds) -> Guard:
    """Warn where Voigt's and Reuss's bounds lie far apart."""
    spread = (bounds.voigt - bounds.reuss) / bounds.hill
    return Guard(
        name=f"Hill mean of the {name} modulus",
        passed=spread <= HILL_SPREAD_LIMIT,
        detail=f"Voigt and Reuss {name} moduli differ by {100 * spread:.2g} % of Hill's "
        f"(limit {100 * HILL_SPREAD_LIMIT:.0f} %)",
        required=False,
    )


def shears_at_fault(guards: Sequence[Guard], polymorph: str) -> Guard:
    """Warn that only the normal strains of a crystal answered as they should."""
    faults = "; ".join(guard.detail for guard in guards if not guard.passed)
    return Guard(
        name="sheared cells",
        passed=False,
        detail=f"{faults}; the modulus is that of the constrained {polymorph} shape, from normal strains alone",
        required=False,
    )


def does_not_stay(guard: Guard) -> Guard:
    """Warn, with a failed check of the relaxed cells, that the symmetric answer is not where the crystal stays."""
    detail = f"symmetric answer only: {guard.detail}"
    return Guard(name="crystal stays symmetric", passed=False, detail=detail, required=False)


def _named(cells: Iterable[StrainedCell]) -> str:
    return ", ".join(directions(cells))


def _depth(energy: float, reference: Reference) -> str:
    return f"{abs(reference.per_formula_unit(energy)):.3g} meV per formula unit"
