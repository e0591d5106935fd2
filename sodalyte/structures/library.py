"""Published crystals with their sources and grades, and the way from a material's name to its structure."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Composition, Structure

from sodalyte.errors import StructureError
from sodalyte.structures.crystal import Crystal, Gap, Grade, Role
from sodalyte.structures.files import read_structure, require_sodium
from sodalyte.structures.symmetry import conventional, crystal_system, reduced, symmetry

_NOT_PHASES: frozenset[Role] = frozenset({"doped-electrolyte", "element-artefact", "prototype"})


@dataclass(frozen=True)
class MeasuredLattice:
    """Measured conventional cell of a polymorph: ``a`` and ``c`` in angstrom, ``density`` in g/cm^3."""

    a: float
    c: float
    density: float
    source: str


@dataclass(frozen=True)
class Material:
    """A sodium compound to be computed.

    Attributes
    ----------
    formula
        Reduced formula.
    polymorph
        Crystal system in words.
    structure
        Conventional cell of the library, or the cell of the file.
    id, grade
        Of the library crystal; None for a file.
    path
        The file it was read from; None for a library crystal.
    notes
        What had to be changed or guessed when the file was read.
    experimental
        Measured lattice of the same formula and space group, if the library holds one.
    """

    formula: str
    polymorph: str
    structure: Structure
    source: str
    id: str | None = None
    grade: Grade | None = None
    path: Path | None = None
    notes: tuple[str, ...] = ()
    experimental: MeasuredLattice | None = None

    @property
    def label(self) -> str:
        """What it was asked for by: the library's id, or the file's name."""
        return self.path.name if self.path else str(self.id or self.formula)

    @property
    def variant(self) -> str:
        """Polymorph in results; with the label unless it is the library's own choice for formula and polymorph."""
        preferred = _preferred(Composition(self.formula), self.polymorph)
        return self.polymorph if preferred and preferred.id == self.id else f"{self.polymorph} ({self.label})"


@cache
def _document() -> dict[str, list[dict[str, Any]]]:
    text = resources.files("sodalyte.structures").joinpath("crystals.yaml").read_text(encoding="utf-8")
    document: dict[str, list[dict[str, Any]]] = yaml.safe_load(text)
    return document


@cache
def crystals() -> tuple[Crystal, ...]:
    """Every crystal of the library, in the order of its file, grade C included."""
    return tuple(
        Crystal(**{key: value for key, value in entry.items() if value is not None})
        for entry in _document()["structures"]
    )


def crystal(identifier: str) -> Crystal:
    """Return the crystal with this library id.

    Raises
    ------
    StructureError
        No such id; the nearest known names are given.
    """
    for candidate in crystals():
        if candidate.id == identifier:
            return candidate
    raise StructureError(f"{identifier!r} is not a crystal of the library{_nearest(identifier)}")


@cache
def phases(chemsys: str) -> tuple[Crystal, ...]:
    """Every known phase of a chemical system and of its subsystems, one crystal per polymorph.

    Grade A and B, ordered, no artefacts and no prototypes. Crystals of one formula and space group that
    pymatgen's StructureMatcher finds equal are one polymorph. Of these a metal-free one (S8, black P, stibnite:
    molecules, chains or layers held by dispersion, whose density PBE loses) is taken from experiment; otherwise
    the better grade counts, then a computed cell, which is nearer to the minimum sought.

    Parameters
    ----------
    chemsys
        Elements joined by hyphens in any order, for example ``"Na-Sb-S"``.

    Returns
    -------
    tuple of Crystal
        Sorted by number of elements, chemical system, formula and space group.

    Raises
    ------
    StructureError
        ``chemsys`` holds something that is not an element.
    """
    elements = _elements(chemsys)
    matcher = StructureMatcher()
    chosen: list[Crystal] = []
    known = (c for c in crystals() if _is_phase(c) and elements.issuperset(c.chemsys.split("-")))
    for candidate in sorted(known, key=_preference):
        rivals = (
            reduced(c.structure)
            for c in chosen
            if c.formula == candidate.formula and c.space_group.number == candidate.space_group.number
        )
        if not any(matcher.fit(rival, reduced(candidate.structure), skip_structure_reduction=True) for rival in rivals):
            chosen.append(candidate)
    return tuple(sorted(chosen, key=lambda c: (c.chemsys.count("-"), c.chemsys, c.formula, c.space_group.number)))


def known_gaps(chemsys: str) -> tuple[Gap, ...]:
    """Phases of a chemical system and of its subsystems that the library knows it lacks.

    Raises
    ------
    StructureError
        ``chemsys`` holds something that is not an element.
    """
    elements = _elements(chemsys)
    return tuple(gap for gap in _gaps() if elements.issuperset(_symbols(Composition(gap.formula))))


def load(material: str | Path, polymorph: str | None = None) -> Material:
    """Find a material by formula, library id or structure file.

    A formula, reduced or not and in any order of elements, gives its ground state as far as is known without
    computing it: equilibrium phases before metastable ones, then the better grade, then the lowest symmetry (the
    space group with the smallest number), since symmetry rises on heating. Grade C is given only when asked for
    by its exact library id.

    Parameters
    ----------
    material
        ``"Na3SbS4"``, ``"S4SbNa3"``, ``"Na3SbS4_t"``, or the path of a CIF, POSCAR or other file that pymatgen
        reads. A path has a folder or an extension, or is an existing file that no formula of the library names.
    polymorph
        Crystal system in words; None takes the ground state. A file or an id must agree with it.

    Raises
    ------
    StructureError
        Unknown material or polymorph, only grade C known, file missing or unreadable, disordered, without Na,
        with atoms on top of each other, or with species that are not elements.
    """
    text = str(material).strip()
    polymorph = polymorph.strip().lower() if polymorph else None
    composition = _composition(text)
    path = Path(text)
    named = next((c for c in crystals() if c.id == text), None)
    if named is not None and (polymorph in (None, named.polymorph) or composition is None):
        if polymorph not in (None, named.polymorph):
            raise StructureError(f"{named.id} is {named.polymorph}, not {polymorph}")
        return _from_library(named)
    has_formula = composition is not None and bool(_with_formula(composition))
    if "/" in text or path.suffix[1:].isalpha() or (path.is_file() and not has_formula):
        return _from_file(path, polymorph)
    if composition is None or not has_formula:
        raise StructureError(_unknown(text, composition))
    return _from_library(_ground_state(composition, polymorph))


def _from_library(chosen: Crystal) -> Material:
    _require_order(chosen)
    require_sodium(Composition(chosen.formula), chosen.id)
    return Material(
        formula=chosen.formula,
        polymorph=chosen.polymorph,
        structure=chosen.structure,
        source=f"{chosen.id}, grade {chosen.grade}, {chosen.kind}: {chosen.source}",
        id=chosen.id,
        grade=chosen.grade,
        experimental=_measured(chosen.formula, chosen.space_group.number),
    )


def _require_order(chosen: Crystal) -> None:
    if not chosen.is_ordered:
        raise StructureError(
            f"{chosen.id} has partial occupancies: name the ordered host and dope it, or give a file of an ordered cell"
        )


def _from_file(path: Path, polymorph: str | None) -> Material:
    structure, notes = read_structure(path)
    number = symmetry(structure).get_space_group_number()
    if polymorph not in (None, crystal_system(number)):
        raise StructureError(f"{path} is {crystal_system(number)}, not {polymorph}")
    return Material(
        formula=structure.reduced_formula,
        polymorph=crystal_system(number),
        structure=structure,
        source=f"file {path.name}",
        path=path,
        notes=notes,
        experimental=_measured(structure.reduced_formula, number),
    )


def _preferred(composition: Composition, polymorph: str | None) -> Crystal | None:
    named = [c for c in _with_formula(composition) if polymorph in (None, c.polymorph) and _is_phase(c)]
    return min(
        named, key=lambda c: ("metastable" in c.role, c.grade, c.space_group.number, *_preference(c)), default=None
    )


def _ground_state(composition: Composition, polymorph: str | None) -> Crystal:
    formula = composition.reduced_formula
    preferred = _preferred(composition, polymorph)
    if preferred:
        return preferred
    named = [c for c in _with_formula(composition) if polymorph in (None, c.polymorph)]
    if not named:
        words = sorted({c.polymorph for c in _with_formula(composition)})
        raise StructureError(f"{formula} has no polymorph {polymorph!r} in the library: {', '.join(words)} known")
    for candidate in named:
        _require_order(candidate)
    label = f"{polymorph} {formula}" if polymorph else formula
    ids = " or ".join(c.id for c in named)
    raise StructureError(f"{label} is known only as grade C ({named[0].kind}); ask for it by its library id {ids}")


def _measured(formula: str, number: int) -> MeasuredLattice | None:
    """Measured lattice of a polymorph: the library's best-graded one."""
    measured = [
        c
        for c in crystals()
        if c.is_measured and c.is_ordered and (c.formula, c.space_group.number) == (formula, number)
    ]
    if not measured:
        return None
    best = min(measured, key=lambda c: c.grade)
    cell = conventional(best.structure)
    return MeasuredLattice(
        a=cell.lattice.a, c=cell.lattice.c, density=float(cell.density), source=f"{best.id}: {best.source}"
    )


def _is_phase(candidate: Crystal) -> bool:
    return candidate.grade != "C" and candidate.is_ordered and candidate.role not in _NOT_PHASES


def _preference(candidate: Crystal) -> tuple[bool, str, bool]:
    """Sort key among equal polymorphs, the best first; see :func:`phases`."""
    metal_free = not any(element.is_metal for element in Composition(candidate.formula).elements)
    return (metal_free and not candidate.is_measured, candidate.grade, candidate.is_measured)


def _with_formula(composition: Composition) -> list[Crystal]:
    return [c for c in crystals() if c.formula == composition.reduced_formula]


def _composition(text: str) -> Composition | None:
    try:
        return Composition(text, strict=True) or None
    except ValueError:
        return None


def _symbols(composition: Composition) -> set[str]:
    return {element.symbol for element in composition.elements}


def _elements(chemsys: str) -> set[str]:
    words = [word.strip() for word in chemsys.split("-")]
    for word in words:
        composition = _composition(word)
        if composition is None or _symbols(composition) != {word}:
            raise StructureError(f"{word!r} in chemical system {chemsys!r} is not an element; write Na-Sb-S")
    return set(words)


@cache
def _gaps() -> tuple[Gap, ...]:
    return tuple(
        Gap(formula=formula, reason=entry["why"], priority=entry["priority"])
        for entry in _document()["not_found"]
        for formula in entry["formulas"]
    )


def _unknown(text: str, composition: Composition | None) -> str:
    if composition is None:
        return f"{text!r} is neither a formula, nor a library id, nor a file{_nearest(text)}"
    for gap in _gaps():
        if Composition(gap.formula).reduced_formula == composition.reduced_formula:
            return f"{text} is not in the library ({gap.reason}); give a structure file"
    return f"{text} is not in the library; give a structure file{_nearest(text)}"


def _nearest(text: str) -> str:
    """Known sodium compounds whose names look like ``text``, as the end of a sentence."""
    sodium = [c for c in crystals() if "Na" in c.chemsys.split("-")]
    known = {name.lower(): name for c in sodium for name in (c.id, c.formula)}
    close = difflib.get_close_matches(text.lower(), known, n=3, cutoff=0.5)
    return (
        f"; nearest known names: {', '.join(known[name] for name in close)}"
        if close
        else "; known are, for example, Na3SbS4 and Na3PS4"
    )
