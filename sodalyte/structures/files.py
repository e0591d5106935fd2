"""Reading structure files, and refusing what cannot be computed as it stands."""

from __future__ import annotations

import json
import warnings
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
from monty.io import zopen
from pymatgen.core import Composition, DummySpecies, Structure
from pymatgen.io.cif import CifParser

from sodalyte.errors import StructureError

MIN_DISTANCE = 1.0
"""Shortest distance, angstrom, between atoms of anything but hydrogen (N2, the shortest bond, has 1.10)."""

MAX_SIZE = 20_000_000
"""Bytes of a structure file, unpacked."""

_CIF, _POSCAR, _JSON = ("*.cif*", "*.mcif*"), ("*poscar*", "*contcar*", "*.vasp*"), ("*.json*",)
_CONTRADICTIONS = ("Missing elements", "Incorrect stoichiometry")
_ISOTOPES = frozenset({"D", "T"})


def read_structure(path: Path) -> tuple[Structure, tuple[str, ...]]:
    """Read one ordered sodium compound from a file.

    Parameters
    ----------
    path
        CIF, POSCAR or pymatgen's JSON, packed or not; its name tells which.

    Returns
    -------
    structure
        Elements, lattice and positions of the file; charges, magnetic moments and other properties are dropped.
    notes
        What the reader changed or doubted, such as coordinates rounded to special positions.

    Raises
    ------
    StructureError
        The file is missing, broken, holds several structures or contradicts its own formula, or the structure is
        disordered, holds something else than elements, has no Na, or has atoms closer than 1 angstrom.
    """
    if not path.is_file():
        raise StructureError(f"{path} is not a file; give a formula, a library id or a structure file")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        structure, remarks = _parse(path)
    remarks += [str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)]
    notes = tuple(dict.fromkeys(_one_line(remark) for remark in remarks))
    if any("false names" in note for note in notes):
        raise StructureError(f"{path} does not name its elements; write them above the atom counts")
    _check(structure, path)
    species = [site.specie.symbol for site in structure]
    return Structure(structure.lattice.matrix, species, structure.frac_coords), notes


def require_sodium(composition: Composition, where: object) -> None:
    """Refuse a composition without Na.

    Raises
    ------
    StructureError
        No Na in it; ``where`` says in what.
    """
    if "Na" not in composition:
        raise StructureError(f"{where} holds no Na: give a sodium compound")


def _parse(path: Path) -> tuple[Structure, list[str]]:
    def named(patterns: tuple[str, ...]) -> bool:
        return any(fnmatch(path.name.lower(), pattern) for pattern in patterns)

    try:
        text = _text(path)
        if named(_CIF):
            return _parse_cif(text, path)
        if named(_JSON):
            return _parse_json(text), []
        if named(_POSCAR):
            return Structure.from_str(text, fmt="poscar"), []
    except StructureError:
        raise
    except Exception as error:  # parsers raise whatever a broken file makes them stumble over
        reason = _one_line(str(error)) or type(error).__name__
        raise StructureError(f"{path} cannot be read as a structure: {reason}") from error
    raise StructureError(
        f"{path} cannot be read as a structure: call it *.cif, POSCAR, *.vasp or *.json after its format"
    )


def _text(path: Path) -> str:
    with zopen(path, mode="rb") as file:
        content = file.read(MAX_SIZE + 1)
    if len(content) > MAX_SIZE:
        raise StructureError(f"{path} holds more than {MAX_SIZE // 1_000_000} MB; give a crystal of fewer atoms")
    return bytes(content).decode(errors="replace")


def _parse_json(text: str) -> Structure:
    """Read a structure without its properties, which pymatgen would make by importing whatever module they name."""
    document = json.loads(text)
    sites = [{name: value for name, value in site.items() if name != "properties"} for site in document["sites"]]
    structure: Structure = Structure.from_dict({"lattice": document["lattice"], "sites": sites})
    return structure


def _parse_cif(text: str, path: Path) -> tuple[Structure, list[str]]:
    parser = CifParser.from_str(text, check_cif=False)
    structures = parser.parse_structures(primitive=False, on_error="raise")
    if len(structures) > 1:
        raise StructureError(f"{path} holds {len(structures)} structures; keep one data block")
    contradiction = parser.check(structures[0]) or ""
    if structures[0].is_ordered and contradiction.startswith(_CONTRADICTIONS):
        detail, _, _ = _one_line(contradiction).partition(" ratios=")
        raise StructureError(f"{path} contradicts its own formula: {detail}; complete its sites")
    return structures[0], list(parser.warnings)


def _check(structure: Structure, path: Path) -> None:
    for element in structure.composition.elements:
        name = str(element) if isinstance(element, DummySpecies) else element.name
        if isinstance(element, DummySpecies) or name in _ISOTOPES:
            raise StructureError(f"{path} holds {name}, which no engine knows as an element; replace it")
    for site in structure:
        if not site.is_ordered:
            raise StructureError(
                f"{path} has partial occupancies ({site.species_string}): write an ordered supercell instead, "
                "such as pymatgen's OrderDisorderedStructureTransformation gives, or dope an ordered host"
            )
    require_sodium(structure.composition, path)
    if not (structure.volume > 0 and np.isfinite(structure.frac_coords).all()):
        raise StructureError(f"{path} has a cell without volume or coordinates that are not numbers; check the file")
    first, second, _, distances = structure.get_neighbor_list(MIN_DISTANCE)
    if len(distances):
        nearest = int(distances.argmin())
        pair = " and ".join(f"{structure[i].specie.symbol} (site {i + 1})" for i in (first[nearest], second[nearest]))
        raise StructureError(
            f"{path}: {pair} are {distances[nearest]:.2f} angstrom apart; remove one or check the cell"
        )


def _one_line(text: str) -> str:
    return " ".join(text.split())
