import json

import numpy as np
import pytest
import spglib
from monty.json import MontyDecoder, MontyEncoder
from pymatgen.core import Lattice, Structure
from pymatgen.core.elasticity.strain import Strain
from pymatgen.core.tensors import symmetry_reduce
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from sodalyte.analysis.strains import VOIGT_COMPONENTS, has_symmetry, point_group_rotations, strained_cells
from sodalyte.errors import StructureError, UsageError
from sodalyte.inputs.recipe import Recipe

SIZES = (-0.01, -0.005, 0.005, 0.01)

CRYSTALS = {
    "m-3m": Structure.from_spacegroup("Fm-3m", Lattice.cubic(6.53), ["S", "Na"], [[0, 0, 0], [0.25] * 3]),
    "-42m": Structure.from_spacegroup(
        "P-42_1c",
        Lattice.tetragonal(7.1708, 7.2376),
        ["Na", "Na", "Sb", "S"],
        [[0.5, 0, 0.589703], [0, 0, 0], [0, 0, 0.5], [0.665505, 0.282387, 0.816009]],
    ),
    "mmm": Structure.from_spacegroup(
        "Pnma", Lattice.orthorhombic(5.2, 4.1, 8.9), ["Na", "S"], [[0.1, 0.25, 0.6], [0.3, 0.25, 0.1]]
    ),
    "32": Structure.from_spacegroup(
        "P3_221", Lattice.hexagonal(4.913, 5.405), ["Si", "O"], [[0.4697, 0, 0], [0.4135, 0.2669, 0.1191]]
    ),
    "-1": Structure(
        Lattice.from_parameters(5.1, 6.2, 7.3, 81, 95, 104),
        ["Na", "Na", "S", "S"],
        [[0.11, 0.23, 0.37], [0.89, 0.77, 0.63], [0.41, 0.59, 0.13], [0.59, 0.41, 0.87]],
    ),
}
ORDER_OF_PROPER_GROUP = {"m-3m": 24, "-42m": 8, "mmm": 4, "32": 6, "-1": 1}


def noisy(structure: Structure, amplitude: float, seed: int = 0) -> Structure:
    noise = np.random.default_rng(seed).normal(0, amplitude, (3, 3))
    return Structure(structure.lattice.matrix + noise, structure.species, structure.frac_coords)


@pytest.mark.parametrize("point_group", CRYSTALS)
@pytest.mark.parametrize("noise", [0, 1e-6, 1e-4])
def test_rotations_form_the_point_group_exactly_whatever_the_noise(point_group, noise):
    rotations = point_group_rotations(noisy(CRYSTALS[point_group], noise))
    assert len(rotations) == ORDER_OF_PROPER_GROUP[point_group]
    assert rotations @ rotations.transpose(0, 2, 1) == pytest.approx(
        np.broadcast_to(np.eye(3), rotations.shape), abs=1e-13
    )
    assert np.linalg.det(rotations) == pytest.approx(1)
    for product in np.einsum("aij,bjk->abik", rotations, rotations).reshape(-1, 3, 3):
        assert np.abs(rotations - product).max(axis=(1, 2)).min() < 1e-13


def test_rotations_act_in_the_frame_of_the_lattice():
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    crystal = CRYSTALS["-42m"]
    turned = Structure(crystal.lattice.matrix @ turn.T, crystal.species, crystal.frac_coords)
    expected = turn @ point_group_rotations(crystal) @ turn.T
    assert point_group_rotations(turned) == pytest.approx(expected, abs=1e-12)


def test_magnetic_moments_do_not_lower_the_symmetry():
    crystal = CRYSTALS["m-3m"].copy(site_properties={"magmom": np.linspace(0, 1, 12)})
    assert len(point_group_rotations(crystal)) == 24


def test_no_symmetry_is_a_structure_error():
    collapsed = Structure(Lattice.cubic(4), ["Na", "Na"], [[0, 0, 0], [0, 0, 0]])
    with pytest.raises(StructureError, match="Na"):
        point_group_rotations(collapsed)


@pytest.mark.parametrize("noise", [0, 1e-6, 1e-4])
@pytest.mark.parametrize(
    ("point_group", "two_signs", "one_sign"),
    [
        ("m-3m", ["xx"], ["yz"]),
        ("-42m", ["xx", "zz"], ["yz", "xy"]),
        ("mmm", ["xx", "yy", "zz"], ["yz", "xz", "xy"]),
        ("32", ["xx", "yy", "zz", "yz"], ["xz", "xy"]),
        ("-1", list(VOIGT_COMPONENTS), []),
    ],
)
def test_strains_are_reduced_by_the_point_group(point_group, two_signs, one_sign, noise):
    labels = [cell.label for cell in strained_cells(noisy(CRYSTALS[point_group], noise), strains=SIZES)]
    expected = {f"e_{name} {size:+g}" for name in two_signs for size in SIZES}
    expected |= {f"e_{name} {size:+g}" for name in one_sign for size in SIZES if size > 0}
    assert set(labels) == expected
    assert len(labels) == len(expected)


@pytest.mark.parametrize("point_group", CRYSTALS)
def test_as_many_cells_as_pymatgen_keeps(point_group):
    crystal = CRYSTALS[point_group]
    all_strains = [
        Strain.from_index_amount(index, size) for index in VOIGT_COMPONENTS.values() for size in (-0.01, 0.01)
    ]
    reduced = symmetry_reduce(all_strains, crystal)
    assert len(strained_cells(crystal, strains=(-0.01, 0.01))) == len(reduced)


def test_cells_are_strained_without_being_turned():
    crystal = CRYSTALS["-42m"]
    for cell in strained_cells(crystal, strains=SIZES):
        assert cell.deformation_gradient == pytest.approx(cell.deformation_gradient.T, abs=1e-15)
        component, size = cell.label.removeprefix("e_").split()
        expected = Strain.from_index_amount(VOIGT_COMPONENTS[component], float(size))
        assert cell.strain == pytest.approx(np.asarray(expected), abs=1e-14)
        assert cell.structure.frac_coords == pytest.approx(crystal.frac_coords)
        metric = cell.structure.lattice.matrix @ cell.structure.lattice.matrix.T
        change = metric - crystal.lattice.matrix @ crystal.lattice.matrix.T
        assert change == pytest.approx(2 * crystal.lattice.matrix @ cell.strain @ crystal.lattice.matrix.T, abs=1e-12)


@pytest.mark.parametrize("noise", [0, 1e-4])
@pytest.mark.parametrize("point_group", CRYSTALS)
def test_shears_are_told_from_normal_strains(point_group, noise):
    for cell in strained_cells(noisy(CRYSTALS[point_group], noise), strains=SIZES):
        assert cell.is_shear == cell.label.startswith(("e_yz", "e_xz", "e_xy"))


def test_order_does_not_depend_on_the_order_of_the_sizes():
    labels = [cell.label for cell in strained_cells(CRYSTALS["m-3m"], strains=SIZES)]
    assert labels == ["e_xx +0.005", "e_xx -0.005", "e_xx +0.01", "e_xx -0.01", "e_yz +0.005", "e_yz +0.01"]
    assert labels == [cell.label for cell in strained_cells(CRYSTALS["m-3m"], strains=SIZES[::-1])]


def test_a_cell_survives_json():
    cell = strained_cells(CRYSTALS["-42m"], strains=SIZES)[-1]
    copy = json.loads(json.dumps(cell, cls=MontyEncoder), cls=MontyDecoder)
    assert copy.label == cell.label
    assert copy.structure == cell.structure
    assert np.array_equal(copy.strain, cell.strain)


@pytest.mark.parametrize("sizes", [(), (0.0, 0.01), (0.5, -0.5)])
def test_impossible_sizes_are_refused(sizes):
    with pytest.raises(UsageError, match="strains"):
        strained_cells(CRYSTALS["m-3m"], strains=sizes)


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("m-3m", {"xx": True, "yz": True}),
        ("-42m", {"xx": True, "zz": True, "yz": True, "xy": True}),
        ("32", {"xx": True, "yz": True, "xy": False}),  # only the twofold axis along x survives, and not that shear
        ("-1", dict.fromkeys(VOIGT_COMPONENTS, True)),  # inversion survives any strain
    ],
)
def test_which_strained_cells_have_a_symmetry_that_ions_could_leave(name, left):
    cells = strained_cells(CRYSTALS[name], strains=SIZES)
    found = {cell.label[2:4]: has_symmetry(cell.structure, symprec=0.005) for cell in cells}
    assert {component: found[component] for component in left} == left


@pytest.mark.parametrize("size", [0.0005, 0.005])
def test_the_tolerance_for_strained_cells_overlooks_no_strain(size):
    recipe = Recipe.paper().override({"elasticity": {"strains": [-2 * size, -size, size, 2 * size]}})
    crystal = CRYSTALS["m-3m"]
    assert SpacegroupAnalyzer(crystal, symprec=recipe.strained_symprec).get_space_group_number() == 225
    for cell in strained_cells(crystal, strains=recipe.elasticity.strains):
        lattice, sites = cell.structure.lattice.matrix, cell.structure.frac_coords
        cell_of_spglib = (lattice, sites, cell.structure.atomic_numbers)
        found = spglib.get_symmetry_dataset(cell_of_spglib, symprec=recipe.strained_symprec)
        assert found.number < 195, cell.label  # no longer cubic
