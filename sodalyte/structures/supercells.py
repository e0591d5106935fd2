"""Model cells: supercells of the conventional cell, with or without one Na defect."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pymatgen.analysis.ewald import EwaldSummation
from pymatgen.core import Structure
from scipy.spatial import Voronoi

from sodalyte.errors import StructureError
from sodalyte.structures.symmetry import conventional, reduced, symmetry

Defect = Literal["none", "na_vacancy", "na_interstitial"]

NET_CHARGE = "net_charge"
"""Key of a structure's properties under which its net charge reaches the engine, in elementary charges."""

MIN_VOID_RADIUS = 1.9
"""Distance, angstrom, from an interstitial to the nearest ion, below which there is no room for Na+: Shannon's radius
of Na+ (1.02 in sixfold coordination) and nearly as much for a neighbouring cation."""

_ENERGY_MARGIN = 0.5
"""Electrostatic energy, eV, above the lowest up to which a void may be taken: unscreened point charges say no more."""

_SAME = 1e-3
_DIGITS = 4


@dataclass(frozen=True)
class ModelCell:
    """A cell for molecular dynamics.

    Attributes
    ----------
    structure
        The supercell with its defect.
    defect
        Which one.
    net_charge
        Nominal ionic charge of the cell in elementary charges, every ion keeping its oxidation state: -1 for a
        missing Na+, +1 for an extra one, so that a closed-shell crystal stays one. It also stands in the structure's
        properties under ``NET_CHARGE``: VASP sets NELECT by it, an engine without charges computes the neutral cell.
    description
        Defect, concentration and site in words.
    na_sites
        Number of Na sites of the stoichiometric supercell.
    """

    structure: Structure
    defect: Defect
    net_charge: int
    description: str
    na_sites: int

    def __post_init__(self) -> None:
        if self.net_charge:
            self.structure.properties[NET_CHARGE] = self.net_charge


def supercell(structure: Structure, scaling: tuple[int, int, int] = (2, 2, 2)) -> Structure:
    """Repeat the conventional standard cell.

    Equal crystals give equal supercells, atom by atom, whatever cell they come in.

    Parameters
    ----------
    structure
        Any cell of an ordered crystal.
    scaling
        Repetitions along a, b and c of the conventional cell; (2, 2, 2) makes 128 atoms of tetragonal Na3SbS4.

    Returns
    -------
    Structure
        Sites grouped by element.

    Raises
    ------
    StructureError
        A repetition is below one, or the structure is disordered.
    """
    return _repeat(_standard_cell(structure), scaling)


def dynamics_cell(structure: Structure, *, defect: Defect, supercell: tuple[int, int, int]) -> ModelCell:
    """Make the cell in which Na diffuses: the supercell, with one Na vacancy or one Na interstitial.

    The vacancy takes a Na off the Wyckoff orbit with the largest multiplicity; of equal ones, the one with the
    first Wyckoff letter, then the first in the cell. The interstitial takes the largest void (a vertex of the periodic
    Voronoi diagram, far from all atoms) among those whose electrostatic energy for Na+ is not clearly above the
    lowest; of equal ones, that with the smallest coordinates. Width alone will not do: in Na3SbS4 and Na3PS4 the
    widest void is a face of the anion, 2.2 angstrom from Sb5+ or 2.4 angstrom from P5+.

    Parameters
    ----------
    structure
        Any cell of an ordered crystal with Na.
    defect
        "none", "na_vacancy" or "na_interstitial".
    supercell
        Repetitions along a, b and c of the conventional cell.

    Raises
    ------
    StructureError
        No Na, a repetition below one, a disordered structure, an unknown defect; for an interstitial, no void wide
        enough or no ionic charges.
    """
    cell = _standard_cell(structure)
    if "Na" not in cell.composition:
        raise StructureError(f"{cell.reduced_formula} holds no Na: there is nothing to move in a dynamics cell")
    perfect = _repeat(cell, supercell)
    na_sites = int(perfect.composition["Na"])
    if defect == "none":
        return ModelCell(perfect, defect, 0, f"stoichiometric cell, {na_sites} Na sites", na_sites)
    share = f"{na_sites} Na sites ({100 / na_sites:.1f} %)"
    if defect == "na_vacancy":
        index, orbit = _vacancy_site(cell)
        perfect.remove_sites([_index_of(perfect, cell[index].coords)])
        return ModelCell(perfect, defect, -1, f"1 Na vacancy in {share}, Na on {orbit}", na_sites)
    if defect == "na_interstitial":
        centre, radius = _interstitial_site(cell)
        neighbour = cell[_index_of(cell, centre)].specie.symbol
        perfect.append("Na", centre, coords_are_cartesian=True)
        site = f"in a void {radius:.2f} angstrom from the nearest ion ({neighbour})"
        return ModelCell(perfect.get_sorted_structure(), defect, 1, f"1 Na interstitial on {share}, {site}", na_sites)
    raise StructureError(f"defect {defect!r} is unknown; use none, na_vacancy or na_interstitial")


def _standard_cell(structure: Structure) -> Structure:
    return conventional(reduced(structure))


def _repeat(cell: Structure, scaling: tuple[int, int, int]) -> Structure:
    if len(scaling) != 3 or min(scaling) < 1:
        raise StructureError(f"supercell {scaling} must be three repetitions of at least one")
    return (cell * scaling).get_sorted_structure()


def _vacancy_site(cell: Structure) -> tuple[int, str]:
    """Index in the conventional cell of the Na to remove, and its Wyckoff position, such as "4d"."""
    dataset = symmetry(cell).get_symmetry_dataset()
    orbits = dataset.crystallographic_orbits.tolist()

    def rank(index: int) -> tuple[int, str, int]:
        return (-orbits.count(orbits[index]), dataset.wyckoffs[index], index)

    chosen = min((index for index, site in enumerate(cell) if site.specie.symbol == "Na"), key=rank)
    return chosen, f"{orbits.count(orbits[chosen])}{dataset.wyckoffs[chosen]}"


def _interstitial_site(cell: Structure) -> tuple[NDArray[np.float64], float]:
    """Centre (3,), Cartesian, and radius, both in angstrom, of the void that an extra Na+ takes."""
    centres, radii = _voids(cell)
    if radii.max() < MIN_VOID_RADIUS:
        raise StructureError(
            f"{cell.reduced_formula} has no room for a Na interstitial: the largest void has a radius of "
            f"{radii.max():.2f} angstrom, less than {MIN_VOID_RADIUS}; use a vacancy"
        )
    wide = np.flatnonzero(radii >= MIN_VOID_RADIUS)
    ionic = cell.copy()
    ionic.add_oxidation_state_by_guess(max_sites=-1)
    if "Na+" not in ionic.composition:
        raise StructureError(
            f"{cell.reduced_formula} has no ionic charges that would tell where a Na interstitial sits; use a vacancy"
        )
    energies = _na_energies(ionic, centres[wide])
    eligible = wide[energies < energies.min() + _ENERGY_MARGIN]
    chosen = eligible[np.argmax(np.round(radii[eligible], 3))]
    return cell.lattice.get_cartesian_coords(centres[chosen]), float(radii[chosen])


def _na_energies(ionic: Structure, centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ewald energies (n,), eV, of one more Na+ at each of the fractional ``centres`` (n, 3), up to a constant."""
    hosts = len(ionic)
    species = [*ionic.species, *["Na+"] * len(centres)]
    matrix = EwaldSummation(
        Structure(ionic.lattice, species, np.vstack([ionic.frac_coords, centres]))
    ).total_energy_matrix
    energies: NDArray[np.float64] = 2 * matrix[hosts:, :hosts].sum(axis=1) + np.diagonal(matrix)[hosts:]
    return energies


def _voids(cell: Structure) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centres (n, 3), fractional, and radii (n,), angstrom, of the symmetry-distinct empty spheres of a cell.

    The vertices of the periodic Voronoi diagram, sorted by coordinates.
    """
    images = np.array(list(product((-1, 0, 1), repeat=3)))[:, None]
    atoms = cell.lattice.get_cartesian_coords((images + cell.frac_coords).reshape(-1, 3))
    vertices = cell.lattice.get_fractional_coords(Voronoi(atoms).vertices)
    inside = vertices[((vertices > -_SAME) & (vertices < 1 - _SAME)).all(axis=1)]
    dataset = symmetry(cell).get_symmetry_dataset()
    orbits = np.einsum("oij,vj->voi", dataset.rotations, inside) + dataset.translations
    orbits = np.round(orbits, _DIGITS) % 1.0
    centres = np.unique([orbit[np.lexsort(orbit.T[::-1])[0]] for orbit in orbits], axis=0)
    return centres, cell.lattice.get_all_distances(centres, cell.frac_coords).min(axis=1)


def _index_of(structure: Structure, point: NDArray[np.float64]) -> int:
    """Index of the atom nearest to a Cartesian point, periodic images included."""
    fractional = structure.lattice.get_fractional_coords(point)
    return int(structure.lattice.get_all_distances(structure.frac_coords, fractional).argmin())


def sodium_spacing(structure: Structure) -> float:
    """Mean distance, angstrom, from a Na site to the nearest other: the length of a hop."""
    sodium = structure.copy()
    sodium.remove_species([species for species in sodium.composition if species.symbol != "Na"])
    sodium.make_supercell(2)
    distances = sodium.distance_matrix
    np.fill_diagonal(distances, np.inf)
    return float(distances.min(axis=1).mean())
