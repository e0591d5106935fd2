from itertools import pairwise
from typing import ClassVar

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import all_changes
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS
from pymatgen.io.ase import AseAtomsAdaptor

from sodalyte.inputs.einstein import EinsteinCalculator
from sodalyte.inputs.hessian import GuidedBFGS, Springs, hessian
from sodalyte.structures import load

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


def test_a_displaced_thiophosphate_is_as_stiff_as_in_pbe():
    """GPAW, PBE at 520 eV: random displacements of 0.01 angstrom raise tetragonal Na3PS4 by 23.8 meV per 16 atoms."""
    crystal = AseAtomsAdaptor.get_atoms(load("Na3PS4").structure, msonable=False)
    moved = crystal.copy()
    moved.rattle(0.01, seed=0)
    moved.calc = Springs(crystal)
    assert 0.0238 < moved.get_potential_energy() < 2 * 0.0238


def test_a_tetrahedron_bends_as_in_raman_spectra():
    """The mode nu_2 of PS4, in which only sulfur moves, lies at about 220 cm-1."""
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    tetrahedron = Atoms("PS4", positions=np.vstack([np.zeros(3), 2.05 * corners / np.sqrt(3)]), cell=[20, 20, 20])
    bent = tetrahedron.copy()
    bent.positions[1:] += 1e-3 * corners * [1, 1, -2]
    bent.calc = Springs(tetrahedron)
    stiffness = 2 * bent.get_potential_energy() / np.sum((bent.positions - tetrahedron.positions) ** 2)
    frequency = np.sqrt(stiffness * units._e / 1e-20 / (32.06 * units._amu)) / (2 * np.pi * 100 * units._c)
    assert frequency == pytest.approx(220, rel=0.25)


def test_the_hessian_of_independent_oscillators_is_their_spring(crystal):
    found = hessian(crystal, EinsteinCalculator(crystal), cell=False)
    assert found == pytest.approx(SPRING * np.eye(24), abs=1e-6)


def test_no_direction_is_softer_than_the_floor(crystal):
    assert np.linalg.eigvalsh(hessian(crystal, Springs(crystal), cell=True)).min() > 0.299


@pytest.mark.parametrize("cells", [1, 2])
def test_a_step_strains_a_large_cell_as_far_as_a_small_one(crystal, cells):
    """ASE's limit of 0.2 angstrom counts a strain once for each atom: 0.3 % in a cell of 64."""
    atoms = crystal * (cells, cells, cells)
    atoms.calc = EinsteinCalculator(atoms)
    moved = FrechetCellFilter(atoms)
    motion = GuidedBFGS(moved, guess=lambda _: np.eye(3 * len(atoms) + 9), logfile=None)
    step = np.zeros((len(atoms) + 3, 3))
    step[-3:] = 0.1 * len(atoms) * np.eye(3)
    shortened = motion.determine_step(step.ravel(), None).reshape(-1, 3)
    assert shortened[-3:] / len(atoms) == pytest.approx(0.02 * np.eye(3))


def test_no_atom_moves_farther_than_ase_allows(crystal):
    crystal.calc = EinsteinCalculator(crystal)
    motion = GuidedBFGS(crystal, guess=lambda _: np.eye(24), logfile=None)
    step = np.zeros((8, 3))
    step[3] = 3.0, 0.0, 4.0
    step[5] = 0.0, 1.0, 0.0
    assert motion.determine_step(step.ravel(), None).reshape(-1, 3) == pytest.approx(step * motion.maxstep / 5)
    assert motion.determine_step(step.ravel() / 50, None) == pytest.approx(step.ravel() / 50)


class Molecules(Springs):
    """Stiff molecules that hardly feel each other, and a pull on the cell until its volume is half as large again."""

    implemented_properties: ClassVar = ["energy", "forces", "stress"]

    def __init__(self, reference):
        super().__init__(reference)
        self._volume = 1.5 * reference.get_volume()

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        missing = 1 - self.atoms.get_volume() / self._volume
        self.results["energy"] += 5 * missing**2
        self.results["stress"][:3] -= 10 * missing / self._volume


def test_the_hessian_is_made_anew_when_the_cell_has_strained_by_a_twentieth():
    """Else what strains and bonds have to do with each other is that of a cell long left."""
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    atoms = Atoms("PS4", positions=np.vstack([np.zeros(3), 2.05 * corners / np.sqrt(3)]), cell=[7, 7.5, 8], pbc=True)
    atoms.calc = Molecules(atoms)
    cells = []

    def guess(now):
        cells.append(now.cell.array.copy())
        return hessian(now, Springs(now), cell=True)

    assert GuidedBFGS(FrechetCellFilter(atoms), guess=guess, logfile=None).run(fmax=1e-3, steps=100)
    strains = [np.linalg.norm(np.linalg.solve(a, b) - np.eye(3), axis=1).max() for a, b in pairwise(cells)]
    assert len(strains) >= 2
    assert all(0.05 < strain < 0.05 + 0.021 for strain in strains)
    assert atoms.get_volume() == pytest.approx(1.5 * 7 * 7.5 * 8, rel=0.01)
    assert atoms.get_distance(0, 1) == pytest.approx(2.05, abs=0.001)


@pytest.mark.parametrize("cell", [False, True])
def test_the_hessian_is_made_anew_when_an_ion_has_moved_far(crystal, cell):
    """An ion that falls off its site ends where the springs of its start say nothing."""
    atoms = crystal.copy()
    atoms.positions[3] += [0.7, 0.0, 0.7]
    atoms.calc = EinsteinCalculator(crystal)
    places = []

    def guess(now):
        places.append(now.get_scaled_positions()[3] @ crystal.cell.array)
        return 5 * np.eye(24 + 9 * cell)

    assert GuidedBFGS(FrechetCellFilter(atoms) if cell else atoms, guess=guess, logfile=None).run(fmax=1e-3, steps=100)
    moved = [np.linalg.norm(b - a) for a, b in pairwise(places)]
    assert len(moved) >= 1
    assert all(0.4 < distance < 0.6 for distance in moved)
    assert atoms.get_scaled_positions()[3] == pytest.approx(crystal.get_scaled_positions()[3], abs=1e-3)


def test_with_the_right_hessian_a_harmonic_crystal_relaxes_at_once(crystal):
    def harmonic(_):
        return hessian(crystal, EinsteinCalculator(crystal), cell=True)

    steps = {}
    for name in ("plain", "guided"):
        atoms = crystal.copy()
        atoms.rattle(0.1, seed=2)
        atoms.calc = EinsteinCalculator(crystal)
        moved = FrechetCellFilter(atoms)
        motion = {
            "plain": lambda moved: BFGS(moved, logfile=None),
            "guided": lambda moved: GuidedBFGS(moved, guess=harmonic, logfile=None),
        }[name](moved)
        assert motion.run(fmax=1e-3, steps=300)
        steps[name] = motion.nsteps
    assert steps["guided"] <= 4
    assert steps["plain"] > 3 * steps["guided"]
