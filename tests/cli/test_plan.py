import json
import sys

import pytest
from pymatgen.io.vasp.inputs import Incar, Kpoints, Poscar, VaspInput

from sodalyte import cli
from sodalyte.launchers.rehearsal.potcars import write_library


@pytest.fixture
def plan(capsys, monkeypatch, tmp_path):
    """Run the command in this process without any POTCAR library; return exit status and both streams."""
    monkeypatch.chdir(tmp_path)
    for name in ("SODALYTE_POTCARS", "SODALYTE_VASP_PARALLEL", "SODALYTE_POTCAR_FUNCTIONAL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sodalyte.inputs.vasp.potcars.SETTINGS", {})

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["sodalyte", "plan", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        streams = capsys.readouterr()
        return caught.value.code, streams.out, streams.err

    return run


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
    assert len(strained) == 12
    assert all("as published" in item["note"] for item in strained)
    assert {item["kpoints"] for item in strained} == {14}
    assert len({item["files"]["POSCAR"] for item in strained}) == 12


def test_competing_phases_are_planned_once_for_two_materials(planned):
    calculations = planned("Na3SbS4", "Na3PS4", "--only", "stability")["calculations"]
    names = [item["name"] for item in calculations]
    assert names.count("relax Na2S") == 1
    assert len(names) == len(set(names))
    assert {item["stage"] for item in calculations} == {"relaxation", "competing phase"}


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
