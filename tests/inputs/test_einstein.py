import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress

from sodalyte.inputs.einstein import EinsteinCalculator


def test_forces_and_stress_are_the_derivatives_of_the_energy():
    reference = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    atoms = reference.copy()
    atoms.set_cell(
        atoms.cell.array @ (np.eye(3) + 0.02 * np.random.default_rng(0).normal(size=(3, 3))), scale_atoms=True
    )
    atoms.rattle(0.1, seed=1)
    atoms.calc = EinsteinCalculator(reference)
    settings = {"eps": 1e-4, "force_consistent": False}
    assert atoms.get_forces() == pytest.approx(calculate_numerical_forces(atoms, **settings), abs=1e-6)
    assert atoms.get_stress() == pytest.approx(calculate_numerical_stress(atoms, **settings), abs=1e-6)
