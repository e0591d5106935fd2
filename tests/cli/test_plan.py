import json
from functools import partial

import pytest
from pymatgen.io.vasp.inputs import Incar, Kpoints, Poscar, VaspInput

from sodalyte.campaign import load_campaign
from sodalyte.database import open_database
from sodalyte.inputs.engine import get_engine
from sodalyte.inputs.recipe import Recipe
from sodalyte.launchers import local
from sodalyte.launchers.identity import identify
from sodalyte.launchers.reference import seed
from sodalyte.launchers.rehearsal.potcars import write_library
from sodalyte.structures import load
from sodalyte.workflows import screen
from sodalyte.workflows.plan import Planned


@pytest.fixture
def plan(sodalyte, monkeypatch):
    """Run the command in this process without any POTCAR library; return exit status and both streams."""
    for name in ("SODALYTE_POTCARS", "SODALYTE_VASP_PARALLEL", "SODALYTE_POTCAR_FUNCTIONAL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sodalyte.inputs.vasp.potcars.SETTINGS", {})

    return partial(sodalyte, "plan")


@pytest.fixture
def planned(plan):
    def run(*arguments):
        status, out, err = plan(*arguments, "--json")
        assert status == 0, err
        return json.loads(out)

    return run


def test_dynamics_of_the_paper(planned):
    answer = planned("Na3SbS4", "--only", "diffusion")
    relaxation, *dynamics = answer["calculations"]
    assert relaxation["stage"] == "relaxation"
    assert [run["name"].split()[-2] for run in dynamics] == ["600", "700", "800", "900", "1000"]
    run = dynamics[0]
    assert run["grid"] == [3, 3, 3]
    assert (run["kpoints"], run["n_atoms"], run["electrons"], run["spins"]) == (14, 127, 794, 1)
    assert run["ionic_steps"] == 52_500
    assert run["jobs"] == 27
    assert run["core_hours"] == pytest.approx(28 * run["core_hours_gamma_only"])
    assert answer["core_hours"] == pytest.approx(sum(item["core_hours"] for item in answer["calculations"]))
    assert answer["interval"][0] < answer["core_hours"] < answer["interval"][1]
    assert "OUTCAR" in answer["basis"]
    incar = Incar.from_str(run["files"]["INCAR"])
    assert (incar["NELECT"], incar["ISYM"], incar["TEBEG"], incar["ENCUT"], incar["NSW"]) == (794, 0, 600, 520, 2000)
    assert incar["SMASS"] > 0
    assert "GGA" not in incar
    assert Kpoints.from_str(run["files"]["KPOINTS"]).kpts == [(3, 3, 3)]
    assert Poscar.from_str(run["files"]["POSCAR"]).structure.composition.formula == "Na47 Sb16 S64"
    assert run["files"]["POTCAR.spec"].split() == ["Na_pv", "Sb", "S"]
    assert "POTCAR" not in run["files"]
    assert "no POTCAR library is set" in run["potcar_missing"]


def test_strained_cells_follow_from_the_published_crystal_and_say_so(planned):
    calculations = planned("Na3SbS4", "--only", "elasticity")["calculations"]
    strained = [item for item in calculations if item["stage"] == "strained cell"]
    symmetric = [item for item in strained if " symmetric " in item["name"]]
    free = [item for item in strained if item not in symmetric]
    assert (len(symmetric), len(free)) == (12, 13), "without symmetry the unstrained cell too"
    assert all("as published" in item["note"] for item in strained)
    assert {item["kpoints"] for item in free} == {14}
    assert max(item["kpoints"] for item in symmetric) < 14
    assert len({item["files"]["POSCAR"] for item in strained}) == 25


def test_competing_phases_are_planned_once_for_two_materials(planned):
    calculations = planned("Na3SbS4", "Na3PS4", "--only", "stability")["calculations"]
    names = [item["name"] for item in calculations]
    assert names.count("relax Na2S") == 1
    assert len(names) == len(set(names))
    assert {item["stage"] for item in calculations} == {"relaxation", "competing phase"}


def test_materials_without_a_common_phase_are_planned_without_a_warning(planned):
    calculations = planned("Na2S", "Na3SbS4", "--engine", "einstein", "--only", "relaxation")["calculations"]
    assert [item["name"] for item in calculations] == ["relax Na2S cubic", "relax Na3SbS4 tetragonal"]


def test_files_are_written_as_vasp_reads_them(plan, tmp_path):
    status, out, err = plan("Na3SbS4", "--only", "diffusion", "--write", "inputs")
    assert status == 0, err
    folders = sorted((tmp_path / "inputs").iterdir())
    assert len(folders) == 6
    for folder in folders:
        assert {path.name for path in folder.iterdir()} == {"INCAR", "KPOINTS", "POSCAR", "POTCAR.spec"}
        Incar.from_file(folder / "INCAR")
    assert "the input files are in inputs" in out


def test_potcars_of_a_library_are_written_but_never_shown(plan, tmp_path, monkeypatch):
    monkeypatch.setenv("SODALYTE_POTCARS", str(write_library(tmp_path / "potcars")))
    arguments = ("Na3SbS4", "--engine", "rehearsal-einstein", "--only", "relaxation", "--files")
    status, out, err = plan(*arguments, "--write", "inputs")
    assert status == 0, err
    assert "no POTCAR" not in out
    assert "POTCAR of relax Na3SbS4 tetragonal: " in out
    assert "VRHFIN" not in out
    (folder,) = (tmp_path / "inputs").iterdir()
    assert (folder / "POTCAR").is_file()
    with pytest.warns(match="POTCAR"):
        inputs = VaspInput.from_directory(folder)
    assert [potcar.symbol for potcar in inputs["POTCAR"]] == ["Na_pv", "Sb", "S"]


def test_the_table_says_what_it_rests_on(plan):
    status, out, err = plan("Na3SbS4", "--only", "diffusion")
    assert status == 0, err
    for words in (
        "nothing has run",
        "as published",
        "14 k-points",
        "vasp_gam",
        "factor of 28",
        "factor of 3",
        "--- INCAR of",
    ):
        assert words in out


def test_a_timing_of_ones_own_replaces_the_published_one(plan, planned, tmp_path):
    (tmp_path / "OUTCAR").write_text("no timing")
    for name in ("OUTCAR", "nowhere", "/dev/zero"):
        status, _, err = plan("Na3SbS4", "--only", "relaxation", "--timing", name)
        assert status == 2
        assert name in err
        assert "OUTCAR" in err


def test_an_engine_without_input_files_has_jobs_only(plan, planned):
    answer = planned("Na3SbS4", "--engine", "einstein", "--recipe", "quick")
    assert {item["stage"] for item in answer["calculations"]} == {
        "relaxation",
        "competing phase",
        "strained cell",
        "dynamics",
    }
    assert "files" not in answer["calculations"][0]
    assert "core_hours" not in answer
    status, out, _ = plan("Na3SbS4", "--engine", "einstein", "--recipe", "quick", "--only", "diffusion")
    assert status == 0
    assert "reads no input files" in out
    status, _, err = plan("Na3SbS4", "--engine", "einstein", "--only", "relaxation", "--write", "inputs")
    assert status == 2
    assert "no input files" in err


def test_what_ships_and_what_is_in_the_database_is_finished_and_costs_nothing(plan, planned, tmp_path):
    arguments = ("Na3SbS4_c", "--engine", "gpaw", "--only", "stability")
    answer = planned(*arguments)
    done = {item["name"] for item in answer["calculations"] if item["finished"]}
    assert done >= {"relax Na_bcc", "relax Na2S"}
    left = [item["core_hours"] for item in answer["calculations"] if not item["finished"]]
    assert answer["core_hours"] == pytest.approx(sum(left))
    assert not (tmp_path / "sodalyte-work").exists(), "nothing is written"
    sodium = next(item for item in answer["calculations"] if item["name"] == "relax Na_bcc")
    assert (sodium["grid"], sodium["kpoints"]) == ([15, 15, 15], 120)
    assert not any(item["finished"] for item in planned(*arguments, "--start-from", "chgnet")["calculations"])
    status, out, err = plan(*arguments)
    assert status == 0, err
    assert f"{len(answer['calculations'])} calculations, {len(done)} of them finished; nothing has run" in out

    address = f"lite://{tmp_path / 'database'}"
    path = tmp_path / "campaign.yaml"
    path.write_text("name: one\nmaterials: [Na3SbS4_c]\nanalyses: [stability]\nengine: gpaw\nrecipe: paper\n")
    with open_database(address) as database:
        assert seed(database, load_campaign(path).flow()) > 0
        database.collection("outputs").delete_one({"name": "relax Na_bcc"})
    again = planned(*arguments, "--database", address)
    assert {item["name"] for item in again["calculations"] if item["finished"]} == done - {"relax Na_bcc"}


def test_strained_cells_of_a_relaxed_material_are_those_that_ran(planned, tmp_path):
    before = planned("Na2S", "--engine", "einstein", "--recipe", "quick", "--only", "elasticity")["calculations"]
    assert not any(item["finished"] for item in before)
    recipe = Recipe.quick()
    flow = identify(screen([load("Na2S")], engine=get_engine("einstein"), recipe=recipe, analyses=["elasticity"]))
    folder = tmp_path / "sodalyte-work"
    assert local.run(flow, database=f"lite://{folder / 'database'}", root=folder / "runs", workers=1).succeeded
    after = planned("Na2S", "--engine", "einstein", "--recipe", "quick", "--only", "elasticity")["calculations"]
    assert all(item["finished"] for item in after)
    assert not any(item["note"] for item in after)
    assert len(after) == len(before) > 5
    displaced = {"name": "displaced Na2S cubic"}
    with open_database(f"lite://{folder / 'database'}") as database:
        outputs = database.collection("outputs")
        energy = outputs.find_one(displaced)["output"]["output"]["energy"]
        outputs.update_one(displaced, {"$set": {"output.output.energy": energy - 0.1}})
    fallen = planned("Na2S", "--engine", "einstein", "--recipe", "quick", "--only", "elasticity")["calculations"]
    assert {item["name"] for item in before} - {item["name"] for item in fallen} == {
        f"{cell} Na2S cubic"
        for cell in ("e_xx +0.005", "e_xx -0.005", "e_xx +0.01", "e_xx -0.01", "e_yz +0.005", "e_yz +0.01")
    }, "of a crystal that falls when displaced no strained cell will be freed"


def test_of_dynamics_only_the_segments_that_are_left_cost(plan, planned, tmp_path):
    recipe = tmp_path / "brief.toml"
    settings = "temperatures = [900, 1200]\nequilibration = 0.1\nproduction = 0.8\nsegment_steps = 100\n"
    recipe.write_text(f'base = "quick"\n[dynamics]\n{settings}')
    arguments = ("Na2S", "--engine", "einstein", "--recipe", recipe, "--only", "diffusion")

    def runs():
        found = planned(*arguments)["calculations"]
        return {item["name"]: item for item in found if item["stage"] == "dynamics"}

    assert {(item["jobs"], item["jobs_finished"]) for item in runs().values()} == {(4, 0)}
    chosen, engine = Recipe.load(str(recipe)), get_engine("einstein")
    flow = identify(screen([load("Na2S")], engine=engine, recipe=chosen, analyses=["diffusion"]))
    address = f"lite://{tmp_path / 'sodalyte-work' / 'database'}"
    assert local.run(flow, database=address, root=tmp_path / "sodalyte-work" / "runs", workers=1).succeeded
    assert all(item["finished"] for item in runs().values())
    with open_database(address) as database:
        outputs = database.collection("outputs")
        for name in ("from step 200 of 360", "from step 300 of 360"):
            outputs.delete_one({"name": f"dynamics Na2S cubic 1200 K, {name}"})
    hot = runs()["dynamics Na2S cubic 1200 K"]
    assert (hot["finished"], hot["jobs_finished"]) == (False, 2)
    assert runs()["dynamics Na2S cubic 900 K"]["finished"]
    assert ", 7 of them finished; nothing has run" in plan(*arguments)[1]
    calculation = Planned("", "", "dynamics", None, None, segments=4, done=3)
    assert calculation.left == 0.25


def test_without_its_database_a_plan_says_so(plan, planned):
    away = "mongodb://nobody:secret@127.0.0.1:1/x"
    arguments = ("Na2S", "--engine", "gpaw", "--only", "relaxation", "--database", away)
    assert "no database server answers" in planned(*arguments)["database"]
    status, out, _ = plan(*arguments)
    assert status == 0
    assert "which calculations are finished is not known: no database server answers" in out
    assert "secret" not in out


def test_wrong_usage_is_one_sentence(plan, tmp_path):
    (tmp_path / "taken").write_text("")
    for arguments, words in [
        (["Na3SbS5"], "Na3SbS5"),
        (["Na3SbS4", "--only", "elastic"], "elasticity"),
        (["Na3SbS4", "--recipe", "papper"], "paper"),
        (["Na3SbS4", "--recipe", "/dev/zero"], "not a regular file"),
        (["Na3SbS4", "--only", "relaxation", "--write", "taken"], "taken"),
    ]:
        status, _, err = plan(*arguments)
        assert status == 2
        assert words in err
        assert err.count("\n") == 1
