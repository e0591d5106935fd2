"""Every crystal of the library: its formula and symmetry, and radii, lattices and densities from elsewhere."""

import numpy as np
import pytest
from pymatgen.analysis.molecule_structure_comparator import CovalentRadius
from pymatgen.core import Composition
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from sodalyte.errors import StructureError
from sodalyte.structures import crystal, crystal_system, crystals

CRYSTALS = {crystal.id: crystal for crystal in crystals()}


def test_library_holds_every_crystal_once():
    assert len(crystals()) == len(CRYSTALS) == 85


@pytest.mark.parametrize("identifier", CRYSTALS)
def test_formula_and_elements(identifier):
    known = CRYSTALS[identifier]
    composition = known.structure.composition
    assert composition.fractional_composition.almost_equals(Composition(known.formula).fractional_composition)
    assert known.chemsys == composition.chemical_system
    if known.is_ordered:
        assert known.formula == composition.reduced_formula


@pytest.mark.parametrize("identifier", CRYSTALS)
def test_space_group_and_wyckoff_multiplicities(identifier):
    known = CRYSTALS[identifier]
    analyzer = SpacegroupAnalyzer(known.structure, symprec=0.01)
    assert analyzer.get_space_group_number() == known.space_group.number
    assert analyzer.get_crystal_system() == known.polymorph
    assert sum(int(site.wyckoff[:-1]) for site in known.sites) == len(known.structure)


@pytest.mark.parametrize("identifier", CRYSTALS)
def test_distances_against_covalent_radii(identifier):
    """Cordero et al., Dalton Trans. 2832 (2008): bonds are between 0.8 and 1.35 times the sum of the radii."""
    structure = CRYSTALS[identifier].structure
    radii = np.array([CovalentRadius.radius[max(site.species, key=site.species.get).symbol] for site in structure])
    first, second, _, distances = structure.get_neighbor_list(5.0)
    ratios = distances / (radii[first] + radii[second])
    nearest = [ratios[first == index].min() for index in range(len(structure))]
    assert min(nearest) > 0.8
    assert max(nearest) < 1.35


@pytest.mark.parametrize("identifier", CRYSTALS)
def test_source_and_grade(identifier):
    known = CRYSTALS[identifier]
    assert len(known.source) > 15
    assert known.grade in "ABC"
    assert known.kind
    if known.role == "prototype" or "hypothetical geometry" in known.kind or "predicted" in known.name:
        assert known.grade == "C"


@pytest.mark.parametrize(
    ("identifier", "a", "c"),
    [
        ("Na3SbS4_t", 7.1708, 7.2376),  # Hayashi et al., Nat. Commun. 10, 5266 (2019)
        ("Na3SbS4_t_PBE", 7.2159, 7.3283),
        ("Na3SbS4_c", 7.17, 7.17),  # Graf & Schaefer, ZAAC 425, 67 (1976)
        ("Na3PS4_t", 6.952, 7.0757),  # Jansen & Henseler, J. Solid State Chem. 99, 110 (1992)
        ("Na3PS4_c", 7.06985, 7.06985),  # Nishimura et al., J. Mater. Chem. A 5, 25025 (2017)
        ("Na2S", 6.571, 6.571),  # PBE: Deng et al., J. Electrochem. Soc. 163, A67 (2016)
    ],
)
def test_lattice_parameters_against_publications(identifier, a, c):
    lattice = CRYSTALS[identifier].structure.lattice
    assert lattice.a == pytest.approx(a, abs=5e-3)
    assert lattice.c == pytest.approx(c, abs=5e-3)


@pytest.mark.parametrize(
    ("identifier", "density"),
    [
        ("Sb2S3_exp", 4.653),
        ("Sb2S3", 4.278),  # PBE
        ("S_alpha_Fddd_exp", 2.067),
        ("S_alpha_Fddd_MP", 1.470),  # PBE loses the dispersion
        ("Na3SbS3", 2.863),
        ("Na3SbS4_t", 318.97 * 2 / (0.602214 * 7.1708**2 * 7.2376)),
        ("Na3PS4_t", 228.18 * 2 / (0.602214 * 6.952**2 * 7.0757)),
    ],
)
def test_densities_against_publications(identifier, density):
    assert CRYSTALS[identifier].structure.density == pytest.approx(density, abs=2e-3)


@pytest.mark.parametrize(
    ("identifier", "density"),
    [
        *(("Na2S", 1.856), ("NaCl", 2.165), ("NaBr", 3.203), ("NaI", 3.667), ("CaS", 2.59), ("MgS", 2.68)),
        *(("Si_ref", 2.329), ("Ge_ref", 5.323), ("W_ref", 19.25), ("Mo_ref", 10.28), ("La_ref", 6.162)),
        *(("Sb_A7", 6.697), ("P_black_exp", 2.69), ("P_Hittorf_exp", 2.36), ("Ca_ref", 1.55), ("Sn_beta", 7.287)),
    ],
)
def test_densities_against_handbook(identifier, density):
    """CRC Handbook of Chemistry and Physics; PBE is within 7 % where dispersion does not matter."""
    assert CRYSTALS[identifier].structure.density == pytest.approx(density, rel=0.07)


@pytest.mark.parametrize(
    ("identifier", "centre", "length"),
    [
        *(("Na3SbS4_t_PBE", "Sb", 2.34), ("Na3SbS4_t", "Sb", 2.34), ("Na3SbS4_c", "Sb", 2.34)),
        *(("Na3PS4_t", "P", 2.05), ("Na3PS4_c", "P", 2.05), ("Na2WS4_model", "W", 2.18)),
    ],
)
def test_tetrahedral_anions(identifier, centre, length):
    """Four bonds, of the length known for the thioanion within 0.035 angstrom, nearly at the tetrahedral angle."""
    structure = CRYSTALS[identifier].structure
    for index, site in enumerate(structure):
        if site.specie.symbol == centre:
            bonds = np.array([near.coords - site.coords for near in structure.get_neighbors(site, 2.8)])
            assert np.linalg.norm(bonds, axis=1) == pytest.approx([length] * 4, abs=0.035), index
            units = bonds / np.linalg.norm(bonds, axis=1, keepdims=True)
            angles = np.degrees(np.arccos((units @ units.T)[np.triu_indices(4, 1)]))
            assert angles == pytest.approx([109.47] * 6, abs=3), index


def test_structure_is_a_fresh_copy():
    known = CRYSTALS["Na3SbS4_t"]
    known.structure.remove_sites([0])
    assert len(known.structure) == 16


@pytest.mark.parametrize(
    ("number", "system"),
    [
        *((1, "triclinic"), (2, "triclinic"), (3, "monoclinic"), (15, "monoclinic"), (16, "orthorhombic")),
        *((74, "orthorhombic"), (75, "tetragonal"), (114, "tetragonal"), (142, "tetragonal"), (143, "trigonal")),
        *((167, "trigonal"), (168, "hexagonal"), (194, "hexagonal"), (195, "cubic"), (217, "cubic"), (230, "cubic")),
    ],
)
def test_crystal_system(number, system):
    assert crystal_system(number) == system


def test_unknown_id_names_the_nearest():
    with pytest.raises(StructureError, match="Na3SbS4_t"):
        crystal("Na3SbS4_x")
