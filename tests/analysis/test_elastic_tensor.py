import itertools

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from pymatgen.core import Lattice, Structure
from pymatgen.core.elasticity.elastic import ElasticTensor
from pymatgen.core.elasticity.strain import DeformedStructureSet
from pymatgen.io.ase import AseAtomsAdaptor
from scipy.optimize import brentq

from sodalyte.analysis.elastic_tensor import fit_elastic_tensor, normal_strains_decouple
from sodalyte.analysis.strains import point_group_rotations, strained_cells
from sodalyte.errors import CalculationError

SIZES = (-0.01, -0.005, 0.005, 0.01)


def fcc(element: str, a: float) -> Structure:
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), [element], [[0, 0, 0]])


def ase_stress(structure: Structure, calculator) -> np.ndarray:
    atoms = AseAtomsAdaptor.get_atoms(structure)
    atoms.calc = calculator
    return atoms.get_stress(voigt=False) / units.GPa


def fit_with_calculator(structure: Structure, calculator):
    cells = strained_cells(structure, strains=SIZES)
    return fit_elastic_tensor(
        deformation_gradients=[cell.deformation_gradient for cell in cells],
        cauchy_stresses=[ase_stress(cell.structure, calculator) for cell in cells],
        reference_stress=ase_stress(structure, calculator),
        rotations=point_group_rotations(structure),
    )


def cauchy(tensor: np.ndarray, gradient: np.ndarray, prestress: np.ndarray | None = None) -> np.ndarray:
    """Cauchy stress of a crystal whose second Piola-Kirchhoff stress is linear in the Green-Lagrange strain."""
    strain = (gradient.T @ gradient - np.eye(3)) / 2
    second = np.einsum("ijkl,kl->ij", np.asarray(ElasticTensor.from_voigt(tensor)), strain)
    if prestress is not None:
        second = second + prestress
    return gradient @ second @ gradient.T / np.linalg.det(gradient)


def fit_made_up(structure: Structure, tensor: np.ndarray, noise: float = 0.0, scatter: float = 0.0, seed: int = 0):
    """Fit stresses made from ``tensor`` for a cell with noise (angstrom); the stresses scatter (GPa)."""
    rng = np.random.default_rng(seed)
    lattice = structure.lattice.matrix + rng.normal(0, noise, (3, 3))
    structure = Structure(lattice, structure.species, structure.frac_coords)
    gradients = [cell.deformation_gradient for cell in strained_cells(structure, strains=SIZES)]
    errors = rng.normal(0, scatter, (len(gradients) + 1, 3, 3))
    errors = (errors + errors.transpose(0, 2, 1)) / 2
    return fit_elastic_tensor(
        deformation_gradients=gradients,
        cauchy_stresses=[cauchy(tensor, f) + error for f, error in zip(gradients, errors[1:], strict=True)],
        reference_stress=errors[0],
        rotations=point_group_rotations(structure),
    )


def symmetric(upper: dict[tuple[int, int], float]) -> np.ndarray:
    tensor = np.zeros((6, 6))
    for (i, j), value in upper.items():
        tensor[i - 1, j - 1] = tensor[j - 1, i - 1] = value
    return tensor


TETRAGONAL = symmetric(
    {(1, 1): 49.8, (2, 2): 49.8, (3, 3): 42.9, (1, 2): 11.4, (1, 3): 15.7, (2, 3): 15.7}
    | {(4, 4): 11.1, (5, 5): 11.1, (6, 6): 7.3}
)
QUARTZ = symmetric(  # made up, about that of alpha quartz; x along a, z along c
    {(1, 1): 87.2, (2, 2): 87.2, (3, 3): 105.8, (1, 2): 6.6, (1, 3): 12.0, (2, 3): 12.0}
    | {(4, 4): 58.3, (5, 5): 58.3, (6, 6): (87.2 - 6.6) / 2, (1, 4): -17.2, (2, 4): 17.2, (5, 6): -17.2}
)
_ROOT = np.random.default_rng(3).normal(size=(6, 6))
TRICLINIC = 40 * np.eye(6) + 8 * _ROOT @ _ROOT.T

MADE_UP = {
    "cubic": (
        fcc("Cu", 3.6),
        symmetric({(i, i): 42.2 if i < 4 else 2.0 for i in range(1, 7)} | {(1, 2): 11.1, (1, 3): 11.1, (2, 3): 11.1}),
    ),
    "-42m": (
        Structure.from_spacegroup(
            "P-42_1c",
            Lattice.tetragonal(7.1708, 7.2376),
            ["Na", "Na", "Sb", "S"],
            [[0.5, 0, 0.589703], [0, 0, 0], [0, 0, 0.5], [0.665505, 0.282387, 0.816009]],
        ),
        TETRAGONAL,
    ),
    "trigonal": (
        Structure.from_spacegroup(
            "P3_221",
            Lattice.hexagonal(4.913, 5.405),
            ["Si", "O"],
            [[0.4697, 0, 0], [0.4135, 0.2669, 0.1191]],
        ),
        QUARTZ,
    ),
    "triclinic": (
        Structure(
            Lattice.from_parameters(5.1, 6.2, 7.3, 81, 95, 104),
            ["Na", "Na", "S", "S"],
            [[0.11, 0.23, 0.37], [0.89, 0.77, 0.63], [0.41, 0.59, 0.13], [0.59, 0.41, 0.87]],
        ),
        TRICLINIC,
    ),
}


@pytest.mark.parametrize("crystal", MADE_UP)
def test_a_known_tensor_is_recovered_from_the_symmetry_reduced_strains(crystal):
    structure, tensor = MADE_UP[crystal]
    fit = fit_made_up(structure, tensor)
    assert fit.tensor == pytest.approx(tensor, abs=1e-9 * tensor.max())
    assert fit.relative_residual < 1e-10
    assert fit.linearity < 1e-10
    assert fit.tensor_std.max() < 1e-8


@pytest.mark.parametrize("crystal", MADE_UP)
@pytest.mark.parametrize("noise", [1e-6, 1e-5, 1e-4])
def test_noise_in_the_cell_leaves_the_tensor_alone(crystal, noise):
    structure, tensor = MADE_UP[crystal]
    fit = fit_made_up(structure, tensor, noise=noise)
    assert fit.tensor == pytest.approx(tensor, abs=1e-3 * tensor.max())
    assert fit.eigenvalues == pytest.approx(np.linalg.eigvalsh(tensor), rel=1e-3)


@pytest.mark.parametrize("crystal", MADE_UP)
@pytest.mark.parametrize("noise", [0, 1e-4])
def test_cells_without_shear_give_the_constants_among_normal_strains(crystal, noise):
    structure, tensor = MADE_UP[crystal]
    lattice = structure.lattice.matrix + np.random.default_rng(2).normal(0, noise, (3, 3))
    structure = Structure(lattice, structure.species, structure.frac_coords)
    cells = [cell for cell in strained_cells(structure, strains=SIZES) if not cell.is_shear]
    fit = fit_elastic_tensor(
        deformation_gradients=[cell.deformation_gradient for cell in cells],
        cauchy_stresses=[cauchy(tensor, cell.deformation_gradient) for cell in cells],
        reference_stress=np.zeros((3, 3)),
        rotations=point_group_rotations(structure),
        components=3,
    )
    assert fit.tensor == pytest.approx(tensor[:3, :3], abs=1e-9 if not noise else 1e-3 * tensor.max())
    assert fit.eigenvalues == pytest.approx(np.linalg.eigvalsh(tensor[:3, :3]), rel=1e-3)
    assert fit.deviations.shape[1:] == (3, 3)
    assert fit.linearity < 1e-3


@pytest.mark.parametrize("noise", [0, 1e-4])
@pytest.mark.parametrize(  # Nye, Physical Properties of Crystals (1985), table 9
    ("space_group", "lattice", "decouple"),
    [
        ("P23", Lattice.cubic(6), True),
        ("P4/mmm", Lattice.tetragonal(6, 7), True),
        ("P-42m", Lattice.tetragonal(6, 7), True),
        ("P4/m", Lattice.tetragonal(6, 7), False),
        ("P6/m", Lattice.hexagonal(6, 7), True),
        ("P6/mmm", Lattice.hexagonal(6, 7), True),
        ("P-3", Lattice.hexagonal(6, 7), False),
        ("P-31m", Lattice.hexagonal(6, 7), False),
        ("P222", Lattice.orthorhombic(6, 7, 8), True),
        ("P2/m", Lattice.monoclinic(6, 7, 8, 100), False),
        ("P-1", Lattice.from_parameters(6, 7, 8, 80, 95, 104), False),
    ],
)
def test_symmetry_keeps_normal_strains_and_shears_apart_where_textbooks_say_so(space_group, lattice, decouple, noise):
    crystal = Structure.from_spacegroup(space_group, lattice, ["Na", "S"], [[0.13, 0.29, 0.38], [0, 0, 0]])
    matrix = lattice.matrix + np.random.default_rng(6).normal(0, noise, (3, 3))
    rotations = point_group_rotations(Structure(matrix, crystal.species, crystal.frac_coords))
    assert normal_strains_decouple(rotations) is decouple


def test_a_crystal_off_its_standard_orientation_couples():
    structure, _ = MADE_UP["-42m"]
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    turned = Structure(structure.lattice.matrix @ turn.T, structure.species, structure.frac_coords)
    assert not normal_strains_decouple(point_group_rotations(turned))


def test_lennard_jones_fcc_against_lattice_sums():
    epsilon, sigma = 0.0104, 3.40
    shells = np.array([shift for shift in itertools.product(range(-8, 9), repeat=3) if sum(shift) % 2 == 0])
    squared = np.sum(shells**2, axis=1)
    shells = shells[(squared > 0) & (squared < 2 * 14)] / 2  # in units of a; the cutoff lies in the empty 14th shell
    lengths = np.linalg.norm(shells, axis=1)

    def first(r):
        return 4 * epsilon * (-12 * sigma**12 / r**13 + 6 * sigma**6 / r**7)

    def second(r):
        return 4 * epsilon * (156 * sigma**12 / r**14 - 42 * sigma**6 / r**8)

    a = brentq(lambda a: np.sum(first(a * lengths) * lengths), 1.4 * sigma, 1.7 * sigma, xtol=1e-13)
    r, (x, y, _) = a * lengths, a * shells.T
    per_bond = (second(r) - first(r) / r) / r**2 / (2 * a**3 / 4) / units.GPa
    c11, c12 = np.sum(per_bond * x**4), np.sum(per_bond * x**2 * y**2)

    fit = fit_with_calculator(fcc("Ar", a), LennardJones(epsilon=epsilon, sigma=sigma, rc=a * 7**0.5))
    assert fit.tensor[0, 0] == pytest.approx(c11, rel=0.003)
    assert fit.tensor[0, 1] == pytest.approx(c12, rel=0.003)
    assert fit.tensor[3, 3] == pytest.approx(c12, rel=0.01)  # Cauchy relation of a pair potential at zero pressure
    true = symmetric({(i, i): c11 if i < 4 else c12 for i in range(1, 7)} | {(1, 2): c12, (1, 3): c12, (2, 3): c12})
    assert np.all(np.abs(fit.tensor - true) < 2 * fit.tensor_std + 1e-9)


COPPER_A = 3.58982557


@pytest.fixture(scope="module")
def copper_fit():
    return fit_with_calculator(fcc("Cu", COPPER_A), EMT())


def copper_energy_curvature(direction: np.ndarray) -> float:
    """Second derivative of the EMT energy density, GPa, along a deformation gradient 1 + t * direction."""

    def energy(t: float) -> float:
        atoms = bulk("Cu", "fcc", a=COPPER_A, cubic=True)
        atoms.set_cell(atoms.cell[:] @ (np.eye(3) + t * direction).T, scale_atoms=True)
        atoms.calc = EMT()
        return atoms.get_potential_energy()

    step, weights = 2e-3, {-2: -1, -1: 16, 0: -30, 1: 16, 2: -1}
    curvature = sum(weight * energy(n * step) for n, weight in weights.items()) / (12 * step**2)
    return curvature / COPPER_A**3 / units.GPa


def test_emt_copper_against_second_derivatives_of_its_energy(copper_fit):
    stretch, shear = np.zeros((3, 3)), np.zeros((3, 3))
    stretch[0, 0] = shear[1, 2] = 1
    c11, c44 = copper_energy_curvature(stretch), copper_energy_curvature(shear)
    c12 = (copper_energy_curvature(np.eye(3)) / 3 - c11) / 2
    tensor = copper_fit.tensor
    assert [tensor[0, 0], tensor[0, 1], tensor[3, 3]] == pytest.approx([c11, c12, c44], rel=0.005)
    assert copper_fit.r_squared > 0.9999


@pytest.mark.parametrize("noise", [1e-6, 1e-4])
def test_emt_copper_with_noise_in_its_cell(copper_fit, noise):
    exact = copper_fit.tensor
    crystal = fcc("Cu", COPPER_A)
    lattice = crystal.lattice.matrix + np.random.default_rng(1).normal(0, noise, (3, 3))
    fit = fit_with_calculator(Structure(lattice, crystal.species, crystal.frac_coords), EMT())
    assert fit.tensor == pytest.approx(exact, abs=1e-3 * exact.max())
    assert np.linalg.eigvalsh(fit.tensor) == pytest.approx(np.linalg.eigvalsh(exact), rel=1e-3)


def test_pymatgen_agrees_from_all_strains_without_symmetry():
    copper = fcc("Cu", COPPER_A)
    deformed = DeformedStructureSet(copper, norm_strains=SIZES, shear_strains=SIZES)
    stresses = [ase_stress(structure, EMT()) for structure in deformed]
    with pytest.warns(UserWarning, match="Pseudo-inverse"):
        peer = ElasticTensor.from_pseudoinverse(
            [f.green_lagrange_strain for f in deformed.deformations],
            [
                np.linalg.det(f) * np.linalg.inv(f) @ stress @ np.linalg.inv(f).T
                for f, stress in zip(deformed.deformations, stresses, strict=True)
            ],
        )
    ours = fit_elastic_tensor(
        deformation_gradients=deformed.deformations,
        cauchy_stresses=stresses,
        reference_stress=ase_stress(copper, EMT()),
        rotations=point_group_rotations(copper),
    )
    assert ours.tensor == pytest.approx(np.asarray(peer.voigt), abs=0.02)


def test_residual_stress_is_found_and_does_not_enter_the_tensor():
    structure, tensor = MADE_UP["-42m"]
    prestress = np.array([[0.04, 0.01, 0.0], [0.01, -0.02, 0.03], [0.0, 0.03, 0.01]])
    gradients = [cell.deformation_gradient for cell in strained_cells(structure, strains=SIZES)]
    fit = fit_elastic_tensor(
        deformation_gradients=gradients,
        cauchy_stresses=[cauchy(tensor, f, prestress) for f in gradients],
        reference_stress=prestress,
        rotations=point_group_rotations(structure),
    )
    assert fit.residual_stress == pytest.approx(prestress, abs=1e-12)
    assert fit.tensor == pytest.approx(tensor, abs=1e-8)


def test_tensor_keeps_the_orientation_of_the_cell():
    structure, tensor = MADE_UP["-42m"]
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    turned = ElasticTensor.from_voigt(tensor).rotate(turn * np.linalg.det(turn), tol=1e-6).voigt
    crystal = Structure(structure.lattice.matrix @ turn.T, structure.species, structure.frac_coords)
    assert fit_made_up(crystal, turned).tensor == pytest.approx(np.asarray(turned), abs=1e-8)


def test_uncertainty_covers_the_scatter_of_the_stresses():
    structure, tensor = MADE_UP["-42m"]
    fits = [fit_made_up(structure, tensor, scatter=0.01, seed=seed) for seed in range(20)]
    allowed = np.abs(tensor) > 0
    pulls = np.array([((fit.tensor - tensor) / np.where(allowed, fit.tensor_std, 1))[allowed] for fit in fits])
    assert 0.4 < np.sqrt(np.mean(pulls**2)) < 1.0  # about 0.63: the drift counts scatter twice
    assert np.mean(np.abs(pulls) < 2) > 0.95


def test_odd_anharmonicity_shows_in_the_linearity():
    structure, tensor = MADE_UP["cubic"]
    cells = strained_cells(structure, strains=SIZES)
    stiffening = [1 + 2000 * np.abs(cell.strain).max() ** 2 for cell in cells]
    fit = fit_elastic_tensor(
        deformation_gradients=[cell.deformation_gradient for cell in cells],
        cauchy_stresses=[
            factor * cauchy(tensor, cell.deformation_gradient) for factor, cell in zip(stiffening, cells, strict=True)
        ],
        reference_stress=np.zeros((3, 3)),
        rotations=point_group_rotations(structure),
    )
    assert fit.linearity == pytest.approx(2000 * (0.01**2 - 0.005**2) / 1.19, rel=0.05)
    assert fit.tensor_std[0, 0] > 0.1 * tensor[0, 0]


def test_one_size_of_strain_is_not_enough():
    structure, tensor = MADE_UP["cubic"]
    cells = strained_cells(structure, strains=(-0.01, 0.01))
    with pytest.raises(CalculationError, match="two sizes"):
        fit_elastic_tensor(
            deformation_gradients=[cell.deformation_gradient for cell in cells],
            cauchy_stresses=[cauchy(tensor, cell.deformation_gradient) for cell in cells],
            reference_stress=np.zeros((3, 3)),
            rotations=point_group_rotations(structure),
        )


@pytest.mark.parametrize("noise", [0, 1e-5, 1e-4])
@pytest.mark.parametrize("lost", ["e_zz", "e_xy", "e_xx -"])
def test_strains_that_leave_a_constant_open_are_refused_whatever_the_noise(lost, noise):
    structure, tensor = MADE_UP["-42m"]
    lattice = structure.lattice.matrix + np.random.default_rng(4).normal(0, noise, (3, 3))
    structure = Structure(lattice, structure.species, structure.frac_coords)
    cells = [cell for cell in strained_cells(structure, strains=SIZES) if not cell.label.startswith(lost)]
    with pytest.raises(CalculationError, match="do not determine all elastic constants"):
        fit_elastic_tensor(
            deformation_gradients=[cell.deformation_gradient for cell in cells],
            cauchy_stresses=[cauchy(tensor, cell.deformation_gradient) for cell in cells],
            reference_stress=np.zeros((3, 3)),
            rotations=point_group_rotations(structure),
        )
