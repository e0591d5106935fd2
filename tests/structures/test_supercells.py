import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from sodalyte.errors import StructureError
from sodalyte.structures import crystal, dynamics_cell, load, reduced, sodium_spacing, supercell

ELECTROLYTES = ["Na3SbS4_t_PBE", "Na3SbS4_t", "Na3SbS4_c", "Na3PS4_t", "Na3PS4_c"]
CHARGES = {"Na": 1, "Sb": 5, "P": 5, "S": -2}
TWICE = (2, 2, 2)


@pytest.mark.parametrize("identifier", ELECTROLYTES)
def test_paper_supercell_has_128_atoms(identifier):
    structure = crystal(identifier).structure
    cell = supercell(structure, TWICE)
    assert len(cell) == 128
    assert cell.composition["Na"] == 48
    assert cell.density == pytest.approx(structure.density, rel=1e-6)
    assert cell.lattice.abc == pytest.approx([2 * length for length in structure.lattice.abc], abs=1e-5)
    assert cell.symbol_set == tuple(sorted(cell.symbol_set))
    assert [site.specie for site in cell] == sorted(site.specie for site in cell)


def test_supercell_follows_its_scaling_and_forgets_the_cell_it_came_in():
    structure = crystal("Na3SbS4_t").structure
    cell = supercell(structure, (1, 2, 3))
    assert len(cell) == 96
    assert cell.lattice.abc == pytest.approx((7.1708, 2 * 7.1708, 3 * 7.2376), abs=1e-5)
    assert supercell(structure * (2, 1, 1), (1, 2, 3)).as_dict() == cell.as_dict()


@pytest.mark.parametrize("identifier", ELECTROLYTES)
@pytest.mark.parametrize(
    ("defect", "atoms", "charge"), [("none", 128, 0), ("na_vacancy", 127, -1), ("na_interstitial", 129, 1)]
)
def test_nominal_charge_is_the_sum_of_oxidation_states(identifier, defect, atoms, charge):
    model = dynamics_cell(crystal(identifier).structure, defect=defect, supercell=TWICE)
    assert len(model.structure) == atoms
    assert model.net_charge == charge == sum(CHARGES[site.specie.symbol] for site in model.structure)
    assert (model.defect, model.na_sites) == (defect, 48)
    assert "48 Na sites" in model.description
    assert ("2.1 %" in model.description) == (defect != "none")
    assert model.structure.is_valid(tol=1.9)


@pytest.mark.parametrize(
    ("identifier", "orbit", "equivalent"),
    [("Na3SbS4_t_PBE", "4d", 32), ("Na3PS4_t", "4d", 32), ("Na3SbS4_c", "6b", 48), ("Na3PS4_c", "6b", 48)],
)
def test_vacancy_is_on_the_larger_orbit(identifier, orbit, equivalent):
    structure = crystal(identifier).structure
    model = dynamics_cell(structure, defect="na_vacancy", supercell=TWICE)
    perfect = supercell(structure, TWICE)
    distances = perfect.lattice.get_all_distances(perfect.frac_coords, model.structure.frac_coords)
    (missing,) = np.flatnonzero(distances.min(axis=1) > 0.1)
    assert perfect[missing].specie.symbol == "Na"
    orbits = SpacegroupAnalyzer(perfect).get_symmetry_dataset().equivalent_atoms
    assert np.count_nonzero(orbits == orbits[missing]) == equivalent
    assert f"Na on {orbit}" in model.description


def interstitial(identifier):
    """Return the distances (angstrom, by element) from the added Na to its host."""
    structure = crystal(identifier).structure
    model = dynamics_cell(structure, defect="na_interstitial", supercell=TWICE)
    perfect = supercell(structure, TWICE)
    distances = perfect.lattice.get_all_distances(model.structure.frac_coords, perfect.frac_coords)
    (added,) = np.flatnonzero(distances.min(axis=1) > 0.1)
    assert model.structure[added].specie.symbol == "Na"
    return {
        symbol: np.sort(distances[added, [site.specie.symbol == symbol for site in perfect]])
        for symbol in perfect.symbol_set
    }


@pytest.mark.parametrize("identifier", ELECTROLYTES)
def test_interstitial_keeps_away_from_every_ion(identifier):
    distances = interstitial(identifier)
    assert min(distances["Na"][0], distances["S"][0]) >= 1.9
    assert distances["Sb" if "Sb" in distances else "P"][0] > 2.9


def test_interstitials_of_textbook_crystals():
    """Rock salt: tetrahedral hole, sqrt(3)/4 a from 4 Na and 4 Cl; antifluorite: octahedral hole between 6 S."""
    rock_salt, a = interstitial("NaCl"), crystal("NaCl").lattice["a"]
    assert rock_salt["Na"][:4] == pytest.approx([3**0.5 / 4 * a] * 4, abs=2e-3)
    assert rock_salt["Cl"][:4] == pytest.approx([3**0.5 / 4 * a] * 4, abs=2e-3)
    antifluorite, a = interstitial("Na2S"), crystal("Na2S").lattice["a"]
    assert antifluorite["S"][:6] == pytest.approx([a / 2] * 6, abs=2e-3)
    assert antifluorite["Na"][:8] == pytest.approx([3**0.5 / 4 * a] * 8, abs=2e-3)


@pytest.mark.parametrize("defect", ["none", "na_vacancy", "na_interstitial"])
def test_equal_crystals_give_equal_model_cells(defect):
    structure = load("Na3SbS4").structure
    order = np.random.default_rng(1).permutation(len(structure))
    shuffled = Structure.from_sites([structure[int(index)] for index in order]) * (1, 1, 2)
    first = dynamics_cell(structure, defect=defect, supercell=TWICE)
    second = dynamics_cell(shuffled, defect=defect, supercell=TWICE)
    assert first.structure.as_dict() == second.structure.as_dict()
    assert first.description == second.description
    assert reduced(first.structure).as_dict() == reduced(second.structure).as_dict()


def test_refusals():
    rock_salt = crystal("NaCl").structure
    with pytest.raises(StructureError, match="holds no Na"):
        dynamics_cell(crystal("Sb2S3").structure, defect="na_vacancy", supercell=TWICE)
    with pytest.raises(StructureError, match="disordered"):
        dynamics_cell(crystal("Na2.88Sb0.88W0.12S4_c").structure, defect="none", supercell=TWICE)
    with pytest.raises(StructureError, match="at least one"):
        supercell(rock_salt, (2, 0, 2))
    with pytest.raises(StructureError, match="at least one"):
        supercell(rock_salt, (2, 2))
    with pytest.raises(StructureError, match="unknown"):
        dynamics_cell(rock_salt, defect="s_vacancy", supercell=TWICE)
    with pytest.raises(StructureError, match="no ionic charges"):
        dynamics_cell(crystal("Na_bcc").structure, defect="na_interstitial", supercell=TWICE)


@pytest.mark.parametrize(("a", "fits"), [(4.35, False), (4.43, True)])
def test_interstitial_needs_a_void_of_1_9_angstrom(a, fits):
    """The widest void of rock salt is sqrt(3)/4 a."""
    structure = Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    if fits:
        assert dynamics_cell(structure, defect="na_interstitial", supercell=TWICE).net_charge == 1
    else:
        with pytest.raises(StructureError, match=r"no room.*1\.88 angstrom"):
            dynamics_cell(structure, defect="na_interstitial", supercell=TWICE)


def test_sodium_spacing_of_textbook_crystals():
    """Na neighbours in rock salt are a/sqrt(2) apart, in antifluorite a/2, in cubic Na3PS4 (6b) a/2."""
    for identifier, fraction in (("NaCl", 0.5**0.5), ("Na2S", 0.5), ("Na3PS4_c", 0.5)):
        known = crystal(identifier)
        assert sodium_spacing(known.structure) == pytest.approx(fraction * known.lattice["a"], abs=1e-6)
        assert sodium_spacing(reduced(known.structure)) == pytest.approx(fraction * known.lattice["a"], abs=1e-4)
