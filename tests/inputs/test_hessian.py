import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS

from sodalyte.inputs.einstein import EinsteinCalculator
from sodalyte.inputs.hessian import GuidedBFGS, Springs, hessian

SPRING = 1.5  # of the Einstein crystal, eV/angstrom^2


@pytest.fixture
def crystal():
    return bulk("NaCl", "rocksalt", a=5.6, cubic=True)


def test_springs_pull_as_their_energy_says(crystal):
    moved = crystal.copy()
    moved.rattle(0.1, seed=1)
    moved.set_cell(moved.cell.array * 1.01, scale_atoms=True)
    moved.calc = Springs(crystal)
    settings = {"eps": 1e-4, "force_consistent": False}
    assert moved.get_forces() == pytest.approx(calculate_numerical_forces(moved, **settings), abs=1e-6)
    assert moved.get_stress() == pytest.approx(calculate_numerical_stress(moved, **settings), abs=1e-6)


def test_the_hessian_of_independent_oscillators_is_their_spring(crystal):
    found = hessian(crystal, EinsteinCalculator(crystal), cell=False)
    assert found == pytest.approx(SPRING * np.eye(24), abs=1e-6)


def test_no_direction_is_softer_than_the_floor(crystal):
    assert np.linalg.eigvalsh(hessian(crystal, Springs(crystal), cell=True)).min() > 0.299


def test_with_the_right_hessian_a_harmonic_crystal_relaxes_at_once(crystal):
    steps = {}
    for name in ("plain", "guided"):
        atoms = crystal.copy()
        atoms.rattle(0.1, seed=2)
        atoms.calc = EinsteinCalculator(crystal)
        guess = hessian(crystal, EinsteinCalculator(crystal), cell=True)
        moved = FrechetCellFilter(atoms)
        motion = {
            "plain": lambda moved: BFGS(moved, logfile=None),
            "guided": lambda moved, guess=guess: GuidedBFGS(moved, first_guess=guess, logfile=None),
        }[name](moved)
        assert motion.run(fmax=1e-3, steps=300)
        steps[name] = motion.nsteps
    assert steps["guided"] <= 4
    assert steps["plain"] > 3 * steps["guided"]
