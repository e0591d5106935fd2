from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer
from scipy.spatial.transform import Rotation

from sodalyte.errors import StructureError
from sodalyte.structures import conventional, crystal, crystals, load, reduced

ORDERED = [known.id for known in crystals() if known.is_ordered]


@cache
def canonical_cell(identifier):
    return reduced(crystal(identifier).structure)


def disguised(structure, seed):
    """Return the same crystal as another supercell, turned, shifted, its sites shuffled."""
    random = np.random.default_rng(seed)
    while True:
        matrix = random.integers(-1, 2, (3, 3))
        if 1 <= round(np.linalg.det(matrix)) * len(structure) <= max(100, len(structure)):
            break
    cell = structure.make_supercell(matrix.tolist(), in_place=False)
    lattice = Lattice(cell.lattice.matrix @ Rotation.random(rng=random).as_matrix())
    order = random.permutation(len(cell))
    return Structure(lattice, [cell.species[i] for i in order], (cell.frac_coords + random.random(3))[order])


@settings(max_examples=30, deadline=None, derandomize=True)
@given(identifier=st.sampled_from(ORDERED), seed=st.integers(0, 2**32 - 1))
def test_reduced_recognises_a_crystal_in_any_disguise(identifier, seed):
    structure = crystal(identifier).structure
    canonical = canonical_cell(identifier)
    assert reduced(disguised(structure, seed)).as_dict() == canonical.as_dict()
    assert reduced(disguised(canonical, seed)).as_dict() == canonical.as_dict()


@pytest.mark.parametrize("identifier", ORDERED)
def test_reduced_is_idempotent_and_keeps_the_crystal(identifier):
    known = crystal(identifier)
    canonical = canonical_cell(identifier)
    assert reduced(canonical).as_dict() == canonical.as_dict()
    analyzer = SpacegroupAnalyzer(canonical, symprec=0.01)
    assert analyzer.get_space_group_number() == known.space_group.number
    assert len(canonical) == len(analyzer.find_primitive())
    assert canonical.density == pytest.approx(known.structure.density, rel=1e-6)
    assert canonical.frac_coords.min() >= 0
    assert canonical.frac_coords.max() < 1


@pytest.mark.parametrize("identifier", ["Na3SbS4_t", "Na3PS4_c", "NaSbS2_C2c", "Al2S3", "WCl6", "P4S10"])
def test_reduced_agrees_with_structure_matcher(identifier):
    matcher = StructureMatcher(ltol=1e-4, stol=1e-4, angle_tol=1e-2, scale=False)
    assert matcher.fit(crystal(identifier).structure, reduced(crystal(identifier).structure))


def test_reduced_keeps_handedness():
    """P6_1 (169) must not become its mirror image P6_5 (170)."""
    structure = crystal("Al2S3").structure
    mirrored = Structure(structure.lattice, structure.species, -structure.frac_coords)
    assert SpacegroupAnalyzer(reduced(mirrored)).get_space_group_number() == 170
    assert reduced(mirrored).as_dict() != reduced(structure).as_dict()


def test_reduced_tells_different_crystals_apart():
    cells = [str(canonical_cell(identifier).as_dict()) for identifier in ORDERED]
    assert len(set(cells)) == len(ORDERED)
    strained = load("Na3SbS4").structure
    strained.apply_strain([0.005, 0, 0])
    assert reduced(strained).as_dict() != reduced(load("Na3SbS4").structure).as_dict()


def test_reduced_forgets_site_properties_and_keeps_a_defect():
    structure = crystal("Na3SbS4_t").structure
    canonical = reduced(structure)
    decorated = structure.copy().add_site_property("magmom", [0.0] * 16)
    assert reduced(decorated).as_dict() == canonical.as_dict()
    structure.remove_sites([0])
    assert len(reduced(structure)) == 15


def test_conventional_cell_is_the_one_of_the_international_tables():
    for identifier in ("Na3SbS4_t", "Na3PS4_c", "Na2S5", "Sb_A7", "Na_bcc", "La2S3"):
        known = crystal(identifier)
        cell = conventional(reduced(known.structure))
        assert cell.lattice.parameters == pytest.approx(known.structure.lattice.parameters, abs=1e-5)
        assert len(cell) == len(known.structure)


def test_disorder_and_coincidence_are_refused():
    with pytest.raises(StructureError, match="disordered"):
        reduced(crystal("Na2.88Sb0.88W0.12S4_c").structure)
    with pytest.raises(StructureError, match="coincide"):
        reduced(Structure(Lattice.cubic(3), ["Na", "Na"], [[0, 0, 0], [0, 0, 0]]))
