"""The relaxed cell: lattice constants and density against experiment, and whether it is still the same crystal."""

from __future__ import annotations

from collections.abc import Mapping

from pymatgen.core import Structure

from sodalyte.analysis.results import Guard, Result, Subject, judge
from sodalyte.structures.symmetry import conventional, symmetry

MAX_VOLUME_CHANGE = 0.15


def relaxation_results(
    subject: Subject,
    *,
    start: Structure,
    relaxed: Structure | None,
    converged: bool,
    experiment: Mapping[str, float | str] | None,
    lattice_uncertainty: float | None,
) -> list[Result]:
    """Report the conventional cell of a relaxed crystal.

    Parameters
    ----------
    start, relaxed
        The crystal before and after; ``relaxed`` is None when the relaxation failed.
    converged
        Whether the relaxation reached its tolerance.
    experiment
        Measured ``lattice_a``, ``lattice_c`` (angstrom), ``density`` (g/cm^3) and their ``source``, as far as known.
    lattice_uncertainty
        Relative standard uncertainty of the engine's lattice constants, from crystals of known cell.

    Returns
    -------
    list of Result
        ``lattice_a``, ``lattice_c`` (angstrom) and ``density`` (g/cm^3); refused when the relaxation did not converge
        or changed the space group.
    """
    guards = [_converged(relaxed if converged else None)]
    values = dict.fromkeys(("lattice_a", "lattice_c", "density"))
    if relaxed is not None:
        a, _, c = conventional(relaxed).lattice.abc
        values = {"lattice_a": a, "lattice_c": c, "density": float(relaxed.density)}
        guards += [_same_space_group(start, relaxed), _similar_volume(start, relaxed)]
    relative = {"lattice_a": 1, "lattice_c": 1, "density": 3}
    return [
        judge(
            subject,
            guards=tuple(guards),
            property=name,
            unit="g/cm^3" if name == "density" else "angstrom",
            value=value,
            uncertainty=None
            if value is None or lattice_uncertainty is None
            else relative[name] * lattice_uncertainty * value,
            uncertainty_basis=None
            if lattice_uncertainty is None
            else "root-mean-square deviation of this engine's lattice constants from measured ones",
            data=_against(experiment, name, value),
        )
        for name, value in values.items()
    ]


def _converged(relaxed: Structure | None) -> Guard:
    passed = relaxed is not None
    return Guard(
        name="relaxation converged",
        passed=passed,
        detail="forces and stress reached the recipe's tolerance"
        if passed
        else "the relaxation did not reach the recipe's tolerance within its steps",
    )


def _same_space_group(start: Structure, relaxed: Structure) -> Guard:
    before, after = (symmetry(structure).get_space_group_symbol() for structure in (start, relaxed))
    same = before == after
    detail = f"space group {after} kept" if same else f"relaxed from {before} into {after}: another polymorph"
    return Guard(name="space group kept", passed=same, detail=detail)


def _similar_volume(start: Structure, relaxed: Structure) -> Guard:
    change = relaxed.volume / len(relaxed) / (start.volume / len(start)) - 1
    return Guard(
        name="volume plausible",
        passed=abs(change) <= MAX_VOLUME_CHANGE,
        detail=f"the volume changed by {change:+.1%} from the starting crystal",
        required=False,
    )


def _against(experiment: Mapping[str, float | str] | None, name: str, value: float | None) -> dict[str, object]:
    measured = (experiment or {}).get(name)
    deviation = None
    if isinstance(measured, float) and value is not None:
        deviation = 100 * (value / measured - 1)
    return {
        "experiment": measured,
        "deviation_percent": deviation,
        "source": (experiment or {}).get("source") if measured is not None else None,
    }
