"""The D3 correction against its authors' number and against its own derivatives; GPAW with it where both are there."""

from importlib.util import find_spec

import numpy as np
import pytest
from ase.build import molecule
from ase.units import GPa
from installed import needs_gpaw
from jobflow import run_locally
from pymatgen.io.ase import AseAtomsAdaptor

from sodalyte.errors import EngineError
from sodalyte.inputs import dispersion as module
from sodalyte.inputs.dispersion import GpawD3, dispersion
from sodalyte.inputs.engine import get_engine, prepare_engine
from sodalyte.inputs.gpaw import Gpaw, PlaneWaves
from sodalyte.inputs.recipe import Recipe
from sodalyte.structures import crystal, reduced

needs_d3 = pytest.mark.skipif(find_spec("dftd3") is None, reason="dftd3 is missing: scripts/install --with gpaw")


@pytest.fixture
def sulfur():
    return AseAtomsAdaptor.get_atoms(reduced(crystal("S_alpha_Fddd_exp").structure), msonable=False)


def test_the_level_names_the_correction_so_that_it_never_meets_plain_pbe_in_a_hull():
    recipe = Recipe.paper()
    plain, corrected = prepare_engine("gpaw", recipe), prepare_engine("gpaw-d3", recipe)
    assert corrected.level.startswith("PBE-D3(BJ), PAW, plane waves to 520 eV (GPAW ")
    assert ", s-dftd3 1." in corrected.level
    assert corrected.level != plain.level
    assert type(Gpaw.from_dict(plain.as_dict())) is Gpaw


def test_without_its_package_a_calculation_says_what_to_install(monkeypatch, sulfur):
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(EngineError, match="needs dftd3"):
        GpawD3().plane_waves(sulfur)


@needs_d3
def test_the_energy_of_water_is_that_of_the_packages_documentation():
    water = molecule("H2O")
    water.center(vacuum=5.0)
    assert dispersion(water, functional="PBE")["energy"] == pytest.approx(-0.009781920198843976, abs=1e-9)


@needs_d3
def test_forces_and_stress_of_sulfur_are_the_derivatives_of_its_energy(sulfur):
    found = dispersion(sulfur, functional="PBE")
    step = 1e-3
    energies = []
    for sign in (1, -1):
        displaced = sulfur.copy()
        displaced.positions[3, 1] += sign * step
        energies.append(dispersion(displaced, functional="PBE")["energy"])
    assert found["forces"][3, 1] == pytest.approx(-(energies[0] - energies[1]) / (2 * step), abs=1e-5)
    energies = []
    for sign in (1, -1):
        strained = sulfur.copy()
        strained.set_cell(sulfur.cell.array * (1 + sign * step), scale_atoms=True)
        energies.append(dispersion(strained, functional="PBE")["energy"])
    trace = (energies[0] - energies[1]) / (2 * step) / sulfur.get_volume()
    assert sum(found["stress"][:3]) / GPa == pytest.approx(trace / GPa, abs=0.01)
    assert trace / GPa > 3, "it pulls the molecules together"


@needs_d3
@needs_gpaw
def test_a_job_adds_it_to_energy_forces_and_stress(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    structure = reduced(crystal("Na2S").structure)
    atoms = AseAtomsAdaptor.get_atoms(structure, msonable=False)
    recipe = Recipe.quick().override({"electronic": {"kpoints": [1, 1, 1], "encut": 300}})
    job = get_engine("gpaw-d3").static(recipe).make(structure)
    document = run_locally(job, log=False, raise_immediately=True)[job.uuid][1].output
    plain, correction = PlaneWaves(Gpaw().for_recipe(recipe), atoms)(atoms), dispersion(atoms, functional="PBE")
    assert correction["energy"] < -0.1
    assert document.output.energy == pytest.approx(plain["energy"] + correction["energy"], abs=1e-4)
    stress = np.diag(np.array(document.output.stress)) * -0.1 * GPa
    np.testing.assert_allclose(stress, (plain["stress"] + correction["stress"])[:3], atol=1e-4)
    assert document.ase_calculator_name == "GpawD3"
