"""The thermostat is reversible, conserves its energy, has VASP's mass, and goes on where it was."""

from types import SimpleNamespace

import numpy as np
import pytest
from pymatgen.core import Structure
from pymatgen.io.vasp import Poscar
from rehearsals import DYNAMICS, read

from sodalyte.launchers.rehearsal.cell import Cell, Thermostat
from sodalyte.launchers.rehearsal.incar import Incar
from sodalyte.launchers.rehearsal.nose_hoover import BOLTZMANN, INERTIA, NoseHoover, nose_period, thermal_velocities

SPRING = 1.5  # eV/angstrom^2


def oscillators(n=64, temperature=600.0, period=40.0, time_step=2.0):
    masses = np.full((n, 1), 22.99 * INERTIA)
    freedom = 3 * n - 3
    energy = freedom * BOLTZMANN * temperature
    mass = 2 * energy * (period * time_step / (2 * np.pi)) ** 2
    velocities = thermal_velocities(masses, temperature)
    return NoseHoover(np.zeros((n, 3)), velocities, masses, time_step, mass, energy, Thermostat())


def forces(dynamics):
    return -SPRING * dynamics.positions


def advance(dynamics, steps):
    for _ in range(steps):
        dynamics.depart(forces(dynamics))
        dynamics.arrive(forces(dynamics))


def conserved(dynamics):
    return sum(dynamics.motion()[:3]) + SPRING / 2 * (dynamics.positions**2).sum()


def test_reversible():
    dynamics = oscillators()
    positions, velocities = dynamics.positions.copy(), dynamics.velocities.copy()
    advance(dynamics, 300)
    assert np.abs(dynamics.positions - positions).max() > 0.1
    dynamics.velocities = -dynamics.velocities
    dynamics.thermostat = Thermostat(dynamics.thermostat.eta, -dynamics.thermostat.xi)
    advance(dynamics, 300)
    np.testing.assert_allclose(dynamics.positions, positions, atol=1e-9)
    np.testing.assert_allclose(dynamics.velocities, -velocities, atol=1e-9)
    assert dynamics.thermostat.eta == pytest.approx(0, abs=1e-9)


def test_conserved_energy_over_10_ps():
    dynamics = oscillators()
    values = []
    for _ in range(5000):
        advance(dynamics, 1)
        values.append(conserved(dynamics))
    per_ion = np.array(values) / len(dynamics.positions)
    drift = np.polyfit(np.arange(5000) * 0.002, per_ion, 1)[0]
    assert abs(drift) < 1e-6  # eV per ion and ps
    assert np.ptp(per_ion) < 3e-3


def test_error_falls_with_the_square_of_the_step():
    spread = []
    for time_step in (2.0, 1.0):
        dynamics = oscillators(time_step=time_step, period=80.0 / time_step)
        values = []
        for _ in range(int(400 / time_step)):
            advance(dynamics, 1)
            values.append(conserved(dynamics))
        spread.append(np.ptp(values))
    assert spread[0] / spread[1] == pytest.approx(4, rel=0.2)


def test_centre_of_mass_rests():
    rng = np.random.default_rng(3)
    dynamics = oscillators()
    dynamics.masses = rng.uniform(1, 100, size=(64, 1)) * INERTIA
    dynamics.velocities = thermal_velocities(dynamics.masses, 600.0)
    advance(dynamics, 100)
    np.testing.assert_allclose((dynamics.masses * dynamics.velocities).sum(axis=0), 0, atol=1e-9)


def test_thermostat_oscillates_with_its_period():
    """Free particles: T swings about its mean with omega^2 = 2 g k T/Q (Nose 1984), 40 steps for SMASS = 0."""
    dynamics = oscillators()
    dynamics.velocities *= 1.001
    temperatures = []
    for _ in range(400):
        dynamics.depart(0 * dynamics.positions)
        dynamics.arrive(0 * dynamics.positions)
        temperatures.append(dynamics.motion().temperature)
    spectrum = np.abs(np.fft.rfft(np.array(temperatures) - np.mean(temperatures)))
    assert spectrum.argmax() == 400 / 40


def test_smass_is_a_mass_times_the_squared_first_vector():
    """The period of Q = 1 u |a|^2 for 64 Si at 2000 K in a cell of 10.8618 angstrom, by Nose's formula in SI units."""
    incar = Incar.parse("IBRION = 0\nNSW = 10\nMDALGO = 2\nSMASS = 1.0\nPOTIM = 3\nTEBEG = 2000\n")
    setup = SimpleNamespace(incar=incar, cell=SimpleNamespace(n_ions=64, lattice=10.8618 * np.eye(3)))
    q = 1.66053907e-27 * (10.8618e-10) ** 2
    omega = np.sqrt(2 * 189 * 1.380649e-23 * 2000 / q)
    assert nose_period(setup) == pytest.approx(2 * np.pi / omega / 3e-15, rel=1e-6)


def frames(folder):
    return np.array([step["structure"].frac_coords for step in read(folder).ionic_steps])


def continued(campaign, first, name, **tags):
    """Write a folder that goes on from the CONTCAR of another, as pymatgen copies it."""
    poscar = Poscar.from_file(first / "CONTCAR", check_for_potcar=False)
    structure = poscar.structure
    plain = Structure(structure.lattice, structure.species, structure.frac_coords)
    folder = campaign.folder(name, plain, DYNAMICS, **tags)
    copy = Poscar(
        plain,
        velocities=poscar.velocities,
        predictor_corrector=poscar.predictor_corrector,
        predictor_corrector_preamble=poscar.predictor_corrector_preamble,
    )
    copy.write_file(folder / "POSCAR")
    return folder


@pytest.mark.parametrize("tags", [{}, {"MDALGO": 0, "SMASS": 0.5}, {"MDALGO": 0, "SMASS": -3}], ids=["2", "0", "NVE"])
def test_a_continuation_is_the_uninterrupted_run(campaign, rock_salt, tags):
    cell = rock_salt * (2, 1, 1)
    whole = campaign.folder("whole", cell, DYNAMICS, NSW=20, **tags)
    first = campaign.folder("first", cell, DYNAMICS, NSW=12, **tags)
    campaign.run(whole)
    campaign.run(first)
    second = continued(campaign, first, "second", NSW=8, **tags)
    campaign.run(second)
    np.testing.assert_allclose(np.vstack([frames(first), frames(second)]), frames(whole), atol=2e-8)
    totals = [step["total"] for step in read(first).ionic_steps + read(second).ionic_steps]
    np.testing.assert_allclose(totals, [step["total"] for step in read(whole).ionic_steps], atol=1e-6)


def test_contcar_is_the_next_configuration(campaign, rock_salt):
    folder = campaign.folder("run", rock_salt, DYNAMICS)
    campaign.run(folder)
    poscar = Poscar.from_file(folder / "CONTCAR", check_for_potcar=False)
    run = read(folder)
    moved = poscar.structure.frac_coords - run.ionic_steps[-1]["structure"].frac_coords
    moved = (moved - np.round(moved)) @ rock_salt.lattice.matrix
    np.testing.assert_allclose(moved, 2.0 * np.array(poscar.velocities), atol=1e-6)
    np.testing.assert_allclose(run.final_structure.frac_coords % 1, poscar.structure.frac_coords % 1, atol=1e-8)


def test_thermostat_in_the_block_that_pymatgen_knows(campaign, rock_salt):
    """1, POTIM, four numbers, three vectors per ion; the first of the numbers is Nose's s = exp(eta)."""
    folder = campaign.folder("run", rock_salt, DYNAMICS)
    campaign.run(folder)
    text = (folder / "CONTCAR").read_text()
    key, potim, numbers = Poscar.from_str(text).predictor_corrector_preamble.splitlines()
    assert (int(key), float(potim), len(numbers.split())) == (1, 2.0, 4)
    assert np.shape(Poscar.from_str(text).predictor_corrector) == (8, 3, 3)
    energy = 21 * BOLTZMANN * 600
    last = read(folder).ionic_steps[-1]["nosepot"]
    # from the last step to the middle of the one that CONTCAR leads to is half a step
    thermostat = Cell.parse(text).thermostat
    assert energy * (thermostat.eta - thermostat.xi * 1.0) == pytest.approx(last, abs=0.02 * abs(last) + 1e-3)


def test_microcanonical_writes_no_thermostat(campaign, rock_salt):
    folder = campaign.folder("run", rock_salt, DYNAMICS, MDALGO=0, SMASS=-3)
    campaign.run(folder)
    assert Poscar.from_file(folder / "CONTCAR", check_for_potcar=False).predictor_corrector is None
    assert {step["nosepot"] for step in read(folder).ionic_steps} == {0.0}


def test_first_temperature_is_tebeg_and_velocities_are_vasp_s(campaign, rock_salt):
    folder = campaign.folder("run", rock_salt, DYNAMICS)
    campaign.run(folder)
    kinetic = read(folder).ionic_steps[0]["kinetic"]
    assert 2 * kinetic / (21 * 8.617333262e-5) == pytest.approx(600, rel=1e-6)
    lines = [line for line in (folder / "OSZICAR").read_text().splitlines() if "T=" in line]
    assert len(lines) == 10
    assert lines[0].startswith("      1 T=   600. E= ")


def test_the_thermostat_follows_teend(campaign, rock_salt):
    folder = campaign.folder("run", rock_salt * (2, 1, 1), DYNAMICS, NSW=400, TEBEG=300, TEEND=900)
    campaign.run(folder)
    temperatures = np.array([2 * step["kinetic"] / (45 * BOLTZMANN) for step in read(folder).ionic_steps])
    assert temperatures[-100:].mean() / temperatures[:100].mean() > 1.5


def test_nblock_thins_xdatcar(campaign, rock_salt):
    folder = campaign.folder("run", rock_salt, DYNAMICS, NBLOCK=3)
    campaign.run(folder)
    heads = [line for line in (folder / "XDATCAR").read_text().splitlines() if line.startswith("Direct")]
    assert [int(line.split("=")[1]) for line in heads] == [1, 4, 7, 10]
