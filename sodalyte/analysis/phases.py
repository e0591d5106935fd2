"""Which relaxed phases may meet in one hull, and what is wrong with the others.

A hull is only as good as the phases that it is made of. One that is required but missing, not converged or relaxed into
another structure makes it worthless; an optional one is left out and named.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from ase.data import covalent_radii
from pymatgen.core import Element, Structure

from sodalyte.analysis.results import Guard
from sodalyte.structures.symmetry import symmetry

SWELLING = 0.10
"""Relative change of the volume on relaxation above which a phase is pointed out.

Ionic and covalent crystals change by less. Molecular and layered ones held together by dispersion, which PBE lacks,
swell by 0.3 to 0.8 (alpha-S8 by 0.4), at a cost of 10 to 40 meV/atom: a warning, not a fault.
"""

_BOND = 1.15  # a bond, in sums of covalent radii ...
_NO_BOND = 1.30  # ... and no bond; in between either is accepted
_LOOSE_SYMPREC = 0.1  # angstrom


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One relaxed phase of a chemical system.

    Attributes
    ----------
    id
        Unique name, such as the crystal library's.
    structure
        Relaxed cell.
    energy
        Of that cell as the engine gives it, eV.
    converged
        Whether the relaxation reached its criterion.
    level
        Level of theory of the energy.
    source
        uuid of the calculation.
    crystal
        Cell that the relaxation started from; without it nothing can be said about what the relaxation did.
    """

    id: str
    structure: Structure
    energy: float
    converged: bool
    level: str
    source: str
    crystal: Structure | None = None

    @property
    def formula(self) -> str:
        """Reduced formula."""
        return str(self.structure.reduced_formula)


def admit(
    material: Phase,
    phases: Iterable[Phase],
    *,
    level: str,
    required_ids: Collection[str] = (),
    optional_ids: Collection[str] = (),
    known_gaps: Sequence[str] = (),
) -> tuple[list[Phase], tuple[Guard, ...]]:
    """Choose the phases that may enter the hull of a material, and say what is wrong with the others.

    Of elemental sodium only the body-centred cubic phase is admitted, the reference of the voltage; databases also
    hold a hypothetical alpha-Mn-type cell that PBE puts 12 meV/atom lower.

    Parameters
    ----------
    required_ids
        Phases without which the hull is refused.
    optional_ids
        Phases that are named where they are missing: a lower polymorph moves the limits of a window.

    Returns
    -------
    phases : list of Phase
        Those of the material's elements that are sound, sorted by id.
    guards : tuple of Guard
        To accompany, or refuse, every number of that hull.
    """
    known = {phase.id: phase for phase in (*phases, material)}
    elements = set(material.structure.elements)
    relevant = [known[name] for name in sorted(known) if set(known[name].structure.elements) <= elements]
    missing = {*required_ids, *optional_ids} - set(known)
    required = {material.id} | (set(required_ids) & (missing | {phase.id for phase in relevant}))
    faults = dict.fromkeys(missing, "missing")
    faults |= {phase.id: fault for phase in relevant if (fault := _fault(phase))}
    fatal = {name: fault for name, fault in faults.items() if name in required}
    left_out = {name: fault for name, fault in faults.items() if name not in required}
    sound = [phase for phase in relevant if phase.id not in faults]
    sound = [phase for phase in sound if phase.formula != "Na" or _is_bcc(phase.structure)]
    levels = {level, *(phase.level for phase in sound)}
    references = {phase.structure.elements[0] for phase in sound if phase.structure.composition.is_element}
    unreferenced = sorted(element.symbol for element in elements - references)
    competitors = sorted(
        {
            phase.formula
            for phase in sound
            if phase.formula != material.formula and not phase.structure.composition.is_element
        }
    )
    swollen = [remark for phase in sound if (remark := _swelling(phase))]
    transformed = [remark for phase in sound if (remark := _transformation(phase))]
    return sound, (
        verdict(
            "complete phase set",
            not fatal,
            yes=f"{len(sound)} phases, all {len(required)} required ones among them",
            no=f"required phases are not usable: {_listed(fatal)}",
        ),
        verdict(
            "one level of theory",
            len(levels) == 1,
            yes=level,
            no=f"energies of different levels cannot meet in one hull: {', '.join(sorted(levels))}",
        ),
        verdict(
            "elemental references",
            not unreferenced,
            yes="every element, sodium as the body-centred cubic metal",
            no=f"no usable elemental phase of {', '.join(unreferenced)}"
            + (" (body-centred cubic)" if "Na" in unreferenced else ""),
        ),
        verdict(
            "competing phases known",
            bool(competitors),
            yes=", ".join(competitors),
            no=f"no compound that {material.formula} could decompose into is known",
        ),
        verdict(
            "optional phases",
            not left_out,
            yes="none left out",
            no=f"left out: {_listed(left_out)}",
            required=False,
        ),
        verdict(
            "volumes kept",
            not swollen,
            yes=f"no volume is further than {SWELLING:.0%} from that of the published crystal",
            no=f"volumes are not those of the published crystals: {', '.join(swollen)}; molecules and layers swell "
            "where a level of theory lacks dispersion, and their energy is then off by 10 to 40 meV/atom",
            required=False,
        ),
        verdict(
            "space groups kept",
            not transformed,
            yes="every phase kept its space group",
            no="; ".join(transformed),
            required=False,
        ),
        verdict(
            "known gaps",
            not known_gaps,
            yes="none",
            no="not in the hull: " + "; ".join(known_gaps),
            required=False,
        ),
    )


def changed_bonds(before: Structure, after: Structure) -> list[str]:
    """Say which bonds of the anions and their network formed or broke between two cells of one composition.

    Compares the number of bonds per atom for each pair of elements, leaving out alkali, alkaline-earth and rare-earth
    cations. A bond counts as broken if it was shorter than 1.15 covalent radii (Cordero et al., 10.1039/b801115j) and
    is longer than 1.30, as formed in the reverse case; neither cell needs to be a copy of the other.
    """
    tight_before, tight_after = (_bonds_per_atom(cell, _BOND) for cell in (before, after))
    loose_before, loose_after = (_bonds_per_atom(cell, _NO_BOND) for cell in (before, after))
    broken = [f"{pair} bonds broken" for pair, n in tight_before.items() if n > loose_after[pair] + 1e-6]
    formed = [f"{pair} bonds formed" for pair, n in tight_after.items() if n > loose_before[pair] + 1e-6]
    return sorted(broken + formed)


def _bonds_per_atom(structure: Structure, stretch: float) -> Counter[str]:
    network = [site for site in structure if not _is_plain_cation(site.specie)]
    if not network:
        return Counter()
    radii = np.array([covalent_radii[site.specie.Z] for site in network])
    centres, neighbours, _, distances = Structure.from_sites(network).get_neighbor_list(2 * stretch * radii.max())
    bonded = distances < stretch * (radii[centres] + radii[neighbours])
    pairs = Counter(
        "-".join(sorted((network[i].specie.symbol, network[j].specie.symbol)))
        for i, j in zip(centres[bonded], neighbours[bonded], strict=True)
    )
    return Counter({pair: count / 2 / len(structure) for pair, count in pairs.items()})


def _is_plain_cation(element: Element) -> bool:
    return bool(element.is_alkali or element.is_alkaline or element.is_rare_earth)


def _is_bcc(structure: Structure) -> bool:
    analyzer = symmetry(structure, symprec=_LOOSE_SYMPREC)
    return bool(analyzer.get_space_group_number() == 229 and len(analyzer.find_primitive()) == 1)


def _fault(phase: Phase) -> str:
    """Say why a phase cannot be used; empty if it can."""
    if not phase.converged:
        return "not converged"
    if not math.isfinite(phase.energy):
        return "energy not finite"
    return ", ".join(changed_bonds(phase.crystal, phase.structure)) if phase.crystal is not None else ""


def _swelling(phase: Phase) -> str:
    """Say by how much the volume of a phase changed; empty if by little."""
    if phase.crystal is None:
        return ""
    change = phase.structure.volume / len(phase.structure) / (phase.crystal.volume / len(phase.crystal)) - 1
    return f"{phase.id} {change:+.0%}" if abs(change) > SWELLING else ""


def _transformation(phase: Phase) -> str:
    """Say into which space group a phase went; empty if it kept its own."""
    if phase.crystal is None:
        return ""
    before, after = (
        symmetry(cell, symprec=_LOOSE_SYMPREC).get_space_group_symbol() for cell in (phase.crystal, phase.structure)
    )
    return f"{phase.id} went from {before} to {after}" if before != after else ""


def verdict(name: str, passed: bool, *, yes: str = "", no: str, required: bool = True) -> Guard:
    """Make a guard that says ``yes`` if it passed and ``no`` if not."""
    return Guard(name=name, passed=passed, detail=yes if passed else no, required=required)


def _listed(faults: dict[str, str]) -> str:
    return ", ".join(f"{name} ({fault})" for name, fault in sorted(faults.items()))
