import importlib.util
import json
import subprocess
import sys

import pytest
from ase.build import bulk
from installed import needs_gpaw

from sodalyte import cli
from sodalyte.configuration import GPAW_COMMAND
from sodalyte.database import open_database
from sodalyte.inputs.potential import CHGNet

BROKEN = "data_x\n_cell_length_a 5\nloop_\n_atom_site_label\n"
DISORDERED = """data_x
_symmetry_space_group_name_H-M 'P 1'
_cell_length_a 5.0
_cell_length_b 5.0
_cell_length_c 5.0
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Na1 Na 0 0 0 0.5
S1 S 0.5 0.5 0.5 1.0
"""
WITHOUT_SODIUM = DISORDERED.replace("Na1 Na 0 0 0 0.5", "Li1 Li 0 0 0 1.0")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["Na3SbS5"], "Na3SbS5"),
        (["broken.cif"], "broken.cif"),
        (["disordered.cif"], "disordered"),
        (["lithium.cif"], "no Na"),
        (["nowhere.cif"], "nowhere.cif"),
        (["Na3SbS4", "--temperatures", "-300"], "-300"),
        (["Na3SbS4", "--temperatures", "inf"], "inf"),
        (["Na3SbS4", "--temperatures", "warm"], "'warm' is not a comma-separated list"),
        (["Na3SbS4", "--engine", "chgent"], "did you mean 'chgnet'"),
        (["Na3SbS4", "--only", "elastic"], "did you mean 'elasticity'"),
        (["Na3SbS4", "--only", ","], "names no analysis"),
        (["Na3SbS4", "--recipe", "misspelt.toml"], "did you mean 'temperatures'"),
        (["Na3SbS4", "--database", "mongodb://nobody:secret@127.0.0.1:1/x"], "no database server answers"),
        (["Na3SbS4", "--database", "sqlite://x"], "malformed"),
        (["Na3SbS4", "--workspace", "broken.cif"], "cannot be written"),
        (["Na3SbS4", "--workers", "0"], "--workers"),
    ],
)
def test_bad_input_is_refused_in_a_sentence_with_exit_status_2(sodalyte, tmp_path, arguments, sentence):
    (tmp_path / "broken.cif").write_text(BROKEN)
    (tmp_path / "disordered.cif").write_text(DISORDERED)
    (tmp_path / "lithium.cif").write_text(WITHOUT_SODIUM)
    (tmp_path / "misspelt.toml").write_text("[dynamics]\ntemperature = [500]\n")
    status, out, err = sodalyte("run", "--engine", "einstein", *arguments)
    assert status == 2
    assert sentence in err
    assert "secret" not in err
    assert "Traceback" not in err
    if "--workers" not in arguments:
        assert len(err.strip().splitlines()) == 1
    assert not out


def test_an_engine_whose_package_is_missing_names_its_extra(sodalyte, monkeypatch):
    monkeypatch.setattr(CHGNet, "package", "no_such_package")
    status, _, err = sodalyte("run", "Na3SbS4", "--engine", "chgnet")
    assert status == 2
    assert "pip install 'sodalyte[potential]'" in err


def test_debug_shows_the_traceback(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["sodalyte", "run", "Na3SbS5", "--engine", "einstein", "--debug"])
    with pytest.raises(cli.SodalyteError, match="Na3SbS5"):
        cli.main()


def test_from_crystal_to_answer_and_again(sodalyte, tmp_path):
    recipe = tmp_path / "tiny.toml"
    recipe.write_text('base = "quick"\n[dynamics]\nequilibration = 0.02\nproduction = 0.1\nsegment_steps = 30\n')
    arguments = ("run", "Na3SbS4", "--engine", "einstein", "--recipe", recipe, "--json")
    status, out, _ = sodalyte(*arguments)
    assert status == 0
    answer = json.loads(out)
    assert not answer["failures"]
    assert answer["reused"] == 0
    names = {result["property"] for result in answer["results"]}
    assert names >= {
        *("reduction_limit", "oxidation_limit", "window_width", "decomposition", "e_above_hull"),
        *("bulk_modulus", "shear_modulus", "pugh_ratio", "elastic_tensor"),
        *("diffusivity", "conductivity", "mean_squared_displacement", "activation_energy", "conductivity_300K"),
        *("lattice_a", "lattice_c", "density"),
    }
    (label,) = {result["recipe"] for result in answer["results"]}
    assert label.startswith("tiny-")
    assert (tmp_path / answer["report"]).read_text().startswith("<!DOCTYPE html>")

    status, out, _ = sodalyte("query", "property=lattice_a", "--json")
    assert status == 0
    (lattice,) = json.loads(out)
    assert lattice["value"] == pytest.approx(7.21587, abs=1e-4)
    assert lattice["calculations"]

    status, out, _ = sodalyte(*arguments)
    again = json.loads(out)
    assert again["ran"] == 0
    assert again["reused"] == answer["ran"]
    assert again["results"] == answer["results"]


def test_only_what_was_asked_for_runs(sodalyte):
    status, out, _ = sodalyte("run", "Na3PS4", "--engine", "einstein", "--only", "relaxation", "--json")
    assert status == 0
    assert {result["property"] for result in json.loads(out)["results"]} == {"lattice_a", "lattice_c", "density"}


GPAW = ("run", "Na3SbS4_c", "--engine", "gpaw", "--only", "stability")


def test_what_ships_answers_without_computing_and_what_is_missing_is_named(sodalyte, tmp_path):
    status, out, err = sodalyte(*GPAW, "--no-compute", "--json")
    answer = json.loads(out)
    assert answer["ran"] + answer["reused"] + len(answer["missing"]) + len(answer["failures"]) > 15
    assert answer["reused"] >= 5
    assert status == (1 if answer["missing"] else 0)
    with open_database(f"lite://{tmp_path / 'sodalyte-work' / 'database'}") as database:
        sodium = database.collection("outputs").find_one({"name": "relax Na_bcc"})
        assert sodium["output"]["output"]["energy"] == pytest.approx(-1.3, abs=0.1)
        assert sodium["metadata"]["shipped"]
    status, _, err = sodalyte(*GPAW, "--no-compute")
    assert all(name in err for name in answer["missing"][:40])
    assert ("not computed (--no-compute)" in err) == bool(answer["missing"])


TINY = 'base = "paper"\n[electronic]\nencut = 250\nkpoints = [2, 2, 2]\n'


def test_without_gpaw_what_ships_is_used_and_the_way_to_the_rest_is_told(sodalyte, monkeypatch, tmp_path):
    genuine = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: name != "gpaw" and genuine(name, *rest))
    sulfide = ("run", "Na2S", "--engine", "gpaw", "--only", "relaxation")
    status, out, err = sodalyte(*sulfide, "--json")
    assert status == 0, err
    assert {result["property"] for result in json.loads(out)["results"]} >= {"lattice_a", "density"}
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(TINY)
    status, _, err = sodalyte(*sulfide, "--recipe", recipe)
    assert status == 1
    assert "not computed (gpaw is not installed here (scripts/install --with gpaw)): relax Na2S cubic" in err
    assert "core hours" not in err


@needs_gpaw
def test_before_gpaw_computes_its_cost_is_told(sodalyte, tmp_path):
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(TINY)
    sodium = ("run", "Na", "--engine", "gpaw", "--recipe", recipe, "--only", "relaxation", "--workers", "1")
    status, _, err = sodalyte(*sodium)
    assert status == 0, err
    assert "0 of 1 calculations are finished; the core hours of the others: about 0.0" in err
    assert "so far" not in err, "nothing is finished yet"
    status, out, err = sodalyte(*sodium)
    assert status == 0
    assert "0 jobs ran, 2 were there already" in out
    assert "core hours" not in err
    assert "the report so far" not in err


@needs_gpaw
def test_what_ships_answers_before_gpaw_computes_the_rest(sodalyte, tmp_path):
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(TINY)
    settings = ("--engine", "gpaw", "--recipe", recipe, "--only", "relaxation", "--workers", "1")
    sodalyte("run", "Na", *settings)
    status, out, err = sodalyte("run", "Na", "Na2S", *settings)
    assert status == 0, err
    first, later = err.split("1 of 2 calculations are finished")
    assert "Na (cubic): " in first
    assert "the report so far is " in first
    assert "relax Na2S cubic" not in first
    assert "relax Na2S cubic" in later
    assert out.startswith("Na (cubic): ")


@needs_gpaw
def test_a_command_that_cannot_start_gpaw_is_refused_once(sodalyte, monkeypatch, tmp_path):
    monkeypatch.setenv(GPAW_COMMAND, "/nowhere/mpirun -n 2 python")
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(TINY)
    status, out, err = sodalyte("run", "Na", "--engine", "gpaw", "--recipe", recipe, "--only", "relaxation")
    assert (status, out) == (2, "")
    assert err.count("/nowhere/mpirun of the command") == 1
    assert f"correct gpaw_command in sodalyte.toml or {GPAW_COMMAND}" in err
    status, _, err = sodalyte("run", "Na2S", "--engine", "gpaw", "--only", "relaxation")
    assert status == 0, err


@needs_gpaw
@pytest.mark.parametrize("command", ["run", "plan"])
def test_an_element_for_which_the_cutoff_is_too_low_is_refused_before_anything_runs(sodalyte, tmp_path, command):
    bulk("NaF", "rocksalt", a=4.7).write(tmp_path / "NaF.vasp")
    status, out, err = sodalyte(command, tmp_path / "NaF.vasp", "--engine", "gpaw", "--only", "relaxation")
    assert (status, out) == (2, "")
    assert "520 eV is too low a cutoff for GPAW's PAW data set of F" in err
    assert not list(tmp_path.glob("**/gpaw-*.txt"))


def test_help_imports_nothing_heavy():
    code = "import sys, sodalyte.cli; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "pymatgen", "jobflow", "matplotlib", "maggma", "pydantic"}.intersection(modules)
