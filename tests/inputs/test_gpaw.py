"""GPAW where it is installed (scripts/install --with gpaw), on cells that take seconds."""

from dataclasses import replace

import numpy as np
import pytest
from ase.units import GPa
from installed import needs_gpaw
from jobflow import run_locally
from pymatgen.io.ase import AseAtomsAdaptor

from sodalyte.database.trajectories import TRAJECTORY_ROOT, read_trajectory
from sodalyte.errors import EngineError
from sodalyte.inputs import gpaw
from sodalyte.inputs.dynamics import SegmentDoc
from sodalyte.inputs.engine import configured, get_engine
from sodalyte.inputs.gpaw import Gpaw, PlaneWaves
from sodalyte.inputs.gpaw_setups import pulay_stress
from sodalyte.inputs.guided_relaxation import GuidedRelaxMaker
from sodalyte.inputs.potential import CHGNet
from sodalyte.inputs.recipe import Recipe
from sodalyte.structures import crystal, reduced

COARSE = Gpaw(kpoints=(1, 1, 1))


@pytest.fixture
def sodium_sulfide():
    atoms = AseAtomsAdaptor.get_atoms(reduced(crystal("Na2S").structure), msonable=False)
    atoms.positions[0, 0] += 0.1
    return atoms


def test_the_level_names_method_cutoff_and_versions():
    engine = configured(get_engine("gpaw"), Recipe.paper())
    assert engine.level.startswith("PBE, PAW, plane waves to 520 eV (GPAW 2")
    other = configured(engine, Recipe.paper().override({"electronic": {"encut": 600, "spin_polarised": True}}))
    assert other.level.startswith("PBE, PAW, plane waves to 600 eV, spin-polarised")
    assert engine.contained_correction == "none"


def test_a_functional_without_data_sets_is_refused_before_anything_runs():
    with pytest.raises(EngineError, match="no PAW data sets for PBEsol"):
        configured(get_engine("gpaw"), Recipe.paper().override({"electronic": {"functional": "PBEsol"}}))


def test_the_papers_grid_is_kept_and_competing_phases_get_its_density():
    paper = Gpaw().for_recipe(Recipe.paper())
    competing = Gpaw().for_recipe(Recipe.paper().for_competing_phases())
    cells = {
        name: AseAtomsAdaptor.get_atoms(reduced(crystal(name).structure), msonable=False)
        for name in ("Na3SbS4_t_PBE", "Na2S", "Na_bcc")
    }
    assert paper.grid(cells["Na3SbS4_t_PBE"]) == competing.grid(cells["Na3SbS4_t_PBE"]) == (3, 3, 3)
    assert min(competing.grid(cells["Na2S"])) >= 5
    assert min(competing.grid(cells["Na_bcc"])) >= 14, "sodium is a metal"


def test_without_gpaw_its_level_is_known_and_a_calculation_says_what_to_install(monkeypatch, sodium_sulfide):
    monkeypatch.setattr(gpaw, "find_spec", lambda _: None)
    with pytest.raises(EngineError, match="scripts/install --with gpaw"):
        Gpaw().load(sodium_sulfide)


def test_a_maker_survives_the_way_to_the_worker():
    maker = get_engine("gpaw").starting_from(CHGNet()).relax(Recipe.paper())
    again = GuidedRelaxMaker.from_dict(maker.as_dict())
    assert again.potential.level == maker.potential.level
    assert again.guide == CHGNet()
    assert again.as_dict() == maker.as_dict()


@needs_gpaw
def test_forces_and_stress_are_the_derivatives_of_the_energy_at_fixed_cutoff(monkeypatch, tmp_path, sodium_sulfide):
    """Without the correction for the plane-wave set the stress is 0.2 GPa off."""
    monkeypatch.chdir(tmp_path)

    def energy(moved):
        return PlaneWaves(COARSE, sodium_sulfide)(moved)["energy"]

    answer = PlaneWaves(COARSE, sodium_sulfide)(sodium_sulfide)
    step, size = 0.01, 0.004
    direction = np.zeros((3, 3))
    direction[0] = [1, 0, 0]
    energies, stretched = [], []
    for sign in (1, -1):
        moved = sodium_sulfide.copy()
        moved.positions += sign * step * direction
        energies.append(energy(moved))
        moved = sodium_sulfide.copy()
        moved.set_cell(moved.cell.array * (1 + sign * size), scale_atoms=True)
        stretched.append(energy(moved))
    force = -(energies[0] - energies[1]) / (2 * step)
    assert answer["forces"][0, 0] == pytest.approx(force, abs=0.005)
    trace = (stretched[0] - stretched[1]) / (2 * size) / sodium_sulfide.get_volume()
    assert sum(answer["stress"][:3]) / GPa == pytest.approx(trace / GPa, abs=0.1)
    assert pulay_stress(sodium_sulfide, encut=520) / GPa < -0.01


@needs_gpaw
def test_a_crystal_that_turns_out_a_metal_gets_more_bands(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    sodium = AseAtomsAdaptor.get_atoms(reduced(crystal("Na_bcc").structure), msonable=False)
    engine = Gpaw(kpoints=(4, 4, 4), encut=300.0)
    known, mistaken = PlaneWaves(engine, sodium), PlaneWaves(engine, sodium)
    assert known._bands is None
    mistaken._bands = -1
    assert mistaken(sodium)["energy"] == pytest.approx(known(sodium)["energy"], abs=1e-5)
    assert mistaken._bands is None


@needs_gpaw
def test_a_killed_relaxation_goes_on_from_its_last_ionic_step(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    start = reduced(crystal("Na2S").structure)
    start.scale_lattice(1.04 * start.volume)
    recipe = Recipe.quick().override({"electronic": {"kpoints": [1, 1, 1], "encut": 300}})
    document, computed = run_twice(monkeypatch, lambda: get_engine("gpaw").relax(recipe).make(start))
    assert document.is_force_converged
    assert document.structure.get_space_group_info()[0] == "Fm-3m"
    (record,) = tmp_path.glob("ionic_steps-*.jsonl")
    assert computed == len(record.read_text().splitlines()) + 1, "only the interrupted step was computed twice"


def run_twice(monkeypatch, make_job, *, interrupted_at=3):
    """Run a job that is interrupted while it computes a step, and run it again; return its output and the steps."""
    computed = []
    compute = PlaneWaves.__call__

    def counted(self, atoms):
        computed.append(atoms)
        if len(computed) == interrupted_at:
            raise KeyboardInterrupt
        return compute(self, atoms)

    monkeypatch.setattr(PlaneWaves, "__call__", counted)
    job = make_job()
    with pytest.raises(KeyboardInterrupt):
        run_locally(job, log=False, raise_immediately=True)
    job = make_job()
    return run_locally(job, log=False, raise_immediately=True)[job.uuid][1].output, len(computed)


@needs_gpaw
@pytest.mark.slow
def test_dynamics_of_a_small_cell_conserve_energy_and_go_on_after_a_kill(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(TRAJECTORY_ROOT, str(tmp_path))
    recipe = Recipe.quick().override(
        {"electronic": {"kpoints": [1, 1, 1], "encut": 300}, "dynamics": {"sample_interval": 1, "time_step": 1.0}}
    )
    structure = reduced(crystal("Na2S").structure)
    maker = get_engine("gpaw").dynamics(recipe, 300.0, 8)
    output, computed = run_twice(monkeypatch, lambda: maker.make(structure), interrupted_at=5)
    document = SegmentDoc.model_validate(output)
    (record,) = tmp_path.glob("ionic_steps-*.jsonl")
    assert computed == len(record.read_text().splitlines()) + 1 == 10, "the start and eight steps, one of them twice"
    trajectory = read_trajectory([document.segment], tmp_path)
    assert np.ptp(trajectory.conserved) < 0.05 * np.ptp(trajectory.energies)


@needs_gpaw
@pytest.mark.slow
def test_spin_polarised_a_closed_shell_has_the_same_energy(monkeypatch, tmp_path, sodium_sulfide):
    monkeypatch.chdir(tmp_path)
    plain, polarised = (
        PlaneWaves(replace(COARSE, encut=300.0, spin_polarised=spin), sodium_sulfide)(sodium_sulfide)["energy"]
        for spin in (False, True)
    )
    assert polarised == pytest.approx(plain, abs=1e-4)


@needs_gpaw
@pytest.mark.slow
def test_energies_do_not_depend_on_the_smearing(monkeypatch, tmp_path):
    """Sodium: 0.05 against 0.2 eV changes the free energy by 13 meV, the extrapolated energy hardly."""
    monkeypatch.chdir(tmp_path)
    atoms = AseAtomsAdaptor.get_atoms(crystal("Na_bcc").structure, msonable=False)
    narrow, wide = (
        PlaneWaves(replace(Gpaw(kpoints=(12, 12, 12)), smearing=width), atoms)(atoms)["energy"] for width in (0.05, 0.2)
    )
    assert narrow == pytest.approx(wide, abs=0.004 * len(atoms))
