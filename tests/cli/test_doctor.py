import json
import os
import re
import sys
from pathlib import Path

import pytest
from installed import needs_gpaw

from sodalyte import machine
from sodalyte.configuration import (
    DATABASE,
    GPAW_COMMAND,
    POTCAR_FUNCTIONAL,
    POTCAR_LIBRARY,
    VASP_COMMAND,
    VASP_GAMMA_COMMAND,
)
from sodalyte.inputs import gpaw_checks

CHANGED = (DATABASE, GPAW_COMMAND, VASP_COMMAND, VASP_GAMMA_COMMAND, POTCAR_LIBRARY, POTCAR_FUNCTIONAL)


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    for name in (*CHANGED, "PMG_VASP_PSP_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def doctor(sodalyte):
    """Run ``sodalyte doctor``; return exit status and the checks by name."""

    def run(*arguments):
        status, out, _ = sodalyte("doctor", "--json", *arguments)
        answer = json.loads(out)
        assert answer["ok"] == (status == 0)
        assert all(check["advice"] for check in answer["checks"] if check["status"] != "ok")
        return status, {check["name"]: check for check in answer["checks"]}

    return run


def executable(path: Path, text="#!/bin/sh\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def configure(tmp_path, text):
    (tmp_path / "sodalyte-work").mkdir(exist_ok=True)
    (tmp_path / "sodalyte-work" / "sodalyte.toml").write_text(text)


def test_a_laptop_without_vasp_is_sound_but_not_for_vasp(doctor):
    status, checks = doctor()
    assert status == 0
    assert checks["VASP"]["status"] == "warning"
    status, checks = doctor("--engine", "vasp")
    assert status == 1
    assert checks["VASP"]["status"] == checks["POTCAR files (PBE)"]["status"] == "failed"
    status, checks = doctor("--engine", "einstein")
    assert status == 0
    assert "VASP" not in checks


def test_a_bad_configuration_is_named_and_the_rest_still_checked(doctor, tmp_path):
    configure(tmp_path, "[vasp]\ncomand = 'x'\n")
    status, checks = doctor()
    assert status == 1
    assert "did you mean 'command'" in checks["configuration"]["detail"]
    assert "database" in checks


def test_vasp_is_found_behind_its_launcher(doctor, tmp_path, monkeypatch):
    executable(tmp_path / "bin" / "mpirun")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    configure(tmp_path, "[vasp]\ncommand = 'mpirun -np 4 vasp_std'\n")
    _, checks = doctor("--engine", "vasp")
    assert "vasp_std of the command" in checks["VASP"]["detail"]
    executable(tmp_path / "bin" / "vasp_std")
    _, checks = doctor("--engine", "vasp")
    assert checks["VASP"]["status"] == "ok"


@pytest.mark.parametrize("command", ["mpirun 'vasp_std", "  "])
def test_what_is_no_command_line_is_named(doctor, monkeypatch, command):
    monkeypatch.setenv(VASP_COMMAND, command)
    status, checks = doctor("--engine", "vasp")
    assert status == 1
    assert "is no command line" in checks["VASP"]["detail"]


@pytest.mark.parametrize("text", ["#!/bin/sh\nexec python -m sodalyte.launchers.rehearsal.vasp\n"])
def test_the_rehearsal_is_recognised_even_in_disguise(doctor, tmp_path, monkeypatch, text):
    disguised = executable(tmp_path / "bin" / "vasp_std", text)
    for command in (f"{sys.executable} -m sodalyte.launchers.rehearsal.vasp", str(disguised)):
        monkeypatch.setenv(VASP_COMMAND, command)
        status, checks = doctor("--engine", "vasp")
        assert status == 1
        assert "is the rehearsal" in checks["VASP"]["detail"]


def test_the_database_is_named_without_its_password(doctor, tmp_path):
    (tmp_path / "secret").write_text("me:hunter2")
    (tmp_path / "secret").chmod(0o600)
    configure(tmp_path, f"database = 'mongodb://127.0.0.1:1/x'\ncredentials = '{tmp_path / 'secret'}'\n")
    status, checks = doctor()
    assert status == 1
    assert "no database server answers at mongodb://127.0.0.1:1/x" in checks["database"]["detail"]
    assert "hunter2" not in json.dumps(checks)
    (tmp_path / "secret").chmod(0o644)
    status, checks = doctor()
    assert "others may read" in checks["database"]["detail"]


def test_a_full_disk_and_a_read_only_folder(monkeypatch, tmp_path):
    from shutil import _ntuple_diskusage as usage

    def free(gigabytes):
        monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: usage(10**13, 0, int(gigabytes * 1e9)))
        return machine.check_disk("disk", tmp_path / "not" / "yet").status

    assert [free(size) for size in (1.9, 10, 100)] == ["failed", "warning", "ok"]
    assert machine.check_disk("disk", Path("/proc/nowhere")).status == "failed"


def test_packages_that_are_too_old_or_missing_are_named(monkeypatch):
    monkeypatch.setattr(machine, "requires", lambda _: ["numpy>=99", "no-such-package", "torch>=99; extra == 'x'"])
    (check,) = machine.check_packages()
    assert check.status == "failed"
    assert "numpy>=99 is needed" in check.detail
    assert "no-such-package is not installed" in check.detail
    assert "torch" not in check.detail
    assert "torch" in machine.check_packages("x")[0].detail


def test_file_systems_are_told_apart(monkeypatch, tmp_path):
    table = f"proc /proc proc rw 0 0\nserver:/home {tmp_path} nfs4 rw 0 0\nroot / ext4 rw 0 0\n"
    (tmp_path / "mounts").write_text(table)
    monkeypatch.setattr(
        machine, "Path", lambda path: tmp_path / "mounts" if path == "/proc/self/mounts" else Path(path)
    )
    assert machine.file_system(tmp_path / "deep" / "folder") == "nfs4"
    assert machine.file_system(Path("/")) == "ext4"


@needs_gpaw
def test_gpaw_is_there_with_its_setups_or_what_is_missing_is_named(doctor, tmp_path, monkeypatch):
    import gpaw

    status, checks = doctor("--engine", "gpaw")
    assert status == 0
    assert "VASP" not in checks
    assert re.search(r"version \d.*, with(out)? MPI", checks["GPAW"]["detail"])
    (setups,) = (Path(folder) for folder in gpaw.setup_paths)
    some = tmp_path / "setups"
    some.mkdir()
    monkeypatch.setattr(gpaw, "setup_paths", [some])
    for element, expected in (("Na", "failed"), ("S", "warning")):
        (some / f"{element}.PBE.gz").symlink_to(setups / f"{element}.PBE.gz")
        status, checks = doctor("--engine", "gpaw")
        assert checks["GPAW setups (PBE)"]["status"] == expected
        assert str(some) in checks["GPAW setups (PBE)"]["detail"]


def test_without_gpaw_its_shipped_results_are_still_there(doctor, monkeypatch):
    monkeypatch.setattr(gpaw_checks, "find_spec", lambda _: None)
    status, checks = doctor("--engine", "gpaw")
    assert status == 1
    assert "not installed" in checks["GPAW"]["detail"]
    assert "scripts/install --with gpaw" in checks["GPAW"]["advice"]
    assert checks["shipped results"]["status"] == "ok"


def test_another_gpaw_than_that_of_the_shipped_results_is_pointed_out(doctor, monkeypatch):
    monkeypatch.setattr("sodalyte.inputs.gpaw._versions", lambda: ("99.1.0", "1.2.1"))
    _, checks = doctor("--engine", "gpaw")
    assert checks["shipped results"]["status"] == "warning"
    assert "GPAW 99.1.0" in checks["shipped results"]["detail"]


def test_what_starts_gpaw_on_several_cores(doctor, monkeypatch, tmp_path):
    name = "GPAW on several cores"
    python = executable(tmp_path / "python", "#!/bin/sh\necho 26.7.0 $MPI\n")
    talkative = executable(tmp_path / "talkative", "#!/bin/sh\necho welcome to the cluster\necho 26.7.0 $MPI\n")
    broken = executable(tmp_path / "broken", "#!/bin/sh\necho No module named gpaw >&2\nexit 1\n")
    configure(tmp_path, f"[clusters.big]\ncores = 4\nwalltime = 1\ngpaw_command = '{python}'\n")
    for command, status, words in (
        (f"/nowhere/mpirun -n 2 {python}", "failed", "/nowhere/mpirun of the command"),
        ("env /nowhere/python", "failed", "/nowhere/python of the command"),
        (f"env {broken}", "failed", "No module named gpaw"),
        ("env '", "failed", "no command line"),
        ("env true", "failed", "true of the command 'env true' is no Python"),
        (f"env {talkative}", "ok", "version 26.7.0 of"),
        (f"env {python}", "ok", "version 26.7.0 of"),
    ):
        monkeypatch.setenv("MPI", "1")
        monkeypatch.setenv(GPAW_COMMAND, command)
        check = doctor("--engine", "gpaw")[1][name]
        assert (check["status"], words in check["detail"]) == (status, True), check
    monkeypatch.delenv(GPAW_COMMAND)
    assert name not in doctor("--engine", "gpaw")[1]
    monkeypatch.setenv("MPI", "0")
    check = doctor("--engine", "gpaw", "--cluster", "big")[1][name]
    assert check["status"] == "failed"
    assert "without MPI" in check["detail"]


@needs_gpaw
def test_the_ranks_are_asked_for_their_own_gpaw(doctor, monkeypatch):
    from gpaw.cgpaw import have_mpi

    monkeypatch.setenv(GPAW_COMMAND, f"env {sys.executable}")
    check = doctor("--engine", "gpaw")[1]["GPAW on several cores"]
    assert check["status"] == ("ok" if have_mpi else "failed")
    assert "version 2" in check["detail"]


def test_an_unknown_cluster(doctor):
    status, checks = doctor("--cluster", "big")
    assert status == 1
    assert "[clusters.big]" in checks["cluster"]["detail"]


def test_a_cluster_needs_a_server_and_may_bring_vasp_by_its_modules(doctor, tmp_path):
    table = "[clusters.big]\ncores = 4\nwalltime = 1\nvasp_command = 'vasp_of_a_module'\n"
    configure(tmp_path, table)
    status, checks = doctor("--cluster", "big")
    assert status == 1
    assert checks["database for a cluster"]["status"] == "failed"
    assert checks["VASP"]["status"] == "failed"
    configure(tmp_path, table + "environment = ['module load vasp']\n")
    _, checks = doctor("--cluster", "big")
    assert checks["VASP"]["status"] == "warning"
    assert "vasp_of_a_module" in checks["VASP"]["detail"]


def test_a_line_each_for_a_person(sodalyte):
    lines = sodalyte("doctor", "--engine", "vasp")[1].splitlines()
    starts = [line.split()[0] for line in lines if not line.startswith(" ")]
    assert set(starts) == {"ok", "failed"}
    assert any("sodalyte.toml" in line for line in lines if line.startswith(" "))


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A library that looks genuine to all but pymatgen's record of contents."""
    from sodalyte.launchers.rehearsal.potcars import FOLDERS, MARK, write_library

    root = write_library(tmp_path / "potcars")
    folder = root / FOLDERS["PBE"]
    for path in folder.rglob("*"):
        if path.is_file():
            path.write_text(path.read_text().replace(MARK, "19Sep2006"))
    monkeypatch.setenv(POTCAR_LIBRARY, str(root))
    return folder


def potential(folder, symbol):
    return next(path for path in folder.rglob("*") if path.name == f"POTCAR.{symbol}" or path.parent.name == symbol)


def test_a_whole_library_passes_but_its_contents_are_doubted(doctor, library):
    _, checks = doctor("--engine", "vasp")
    assert checks["POTCAR files (PBE)"]["status"] == "ok"
    assert checks["POTCAR contents"]["status"] == "warning"
    assert "Na_pv" in checks["POTCAR contents"]["detail"]


def test_missing_and_wrong_potentials_are_named(doctor, library):
    potential(library, "Sb").unlink()
    broken = potential(library, "P")
    broken.write_text(broken.read_text().replace("PAW_PBE P ", "PAW_PBE P_h "))
    _, checks = doctor("--engine", "vasp")
    check = checks["POTCAR files (PBE)"]
    assert check["status"] == "warning"
    assert "not usable: P, Sb" in check["detail"]
    assert "PAW_PBE P_h" in check["detail"]
    sodium = potential(library, "Na_pv")
    sodium.write_text(sodium.read_text().replace("LEXCH  = PE", "LEXCH  = CA"))
    _, checks = doctor("--engine", "vasp")
    assert checks["POTCAR files (PBE)"]["status"] == "failed"
    assert "of Na:" in checks["POTCAR files (PBE)"]["detail"]


def test_the_library_of_a_rehearsal_is_not_for_vasp(doctor, tmp_path, monkeypatch):
    from sodalyte.launchers.rehearsal.potcars import write_library

    monkeypatch.setenv(POTCAR_LIBRARY, str(write_library(tmp_path / "potcars")))
    status, checks = doctor("--engine", "vasp")
    assert status == 1
    assert "synthetic" in checks["POTCAR files (PBE)"]["detail"]


def test_another_set_of_potentials_is_not_taken_for_the_one_asked_for(doctor, library, tmp_path):
    configure(tmp_path, "[vasp]\nfunctional = 'PBE_54'\n")
    status, checks = doctor("--engine", "vasp")
    assert status == 1
    assert "PBE_54" in checks["POTCAR files (PBE_54)"]["detail"]
