"""What goes wrong while VASP runs is cured without loss, or named; stock custodian beside it does the wrong thing."""

import json
import os
import shutil
import subprocess
import time

import numpy as np
import pytest
from custodian.custodian import NonRecoverableError, ValidationError
from custodian.vasp.handlers import VaspErrorHandler
from pymatgen.io.vasp.inputs import Incar
from vasp_files import custodian_alone, text

from sodalyte import interruption
from sodalyte.configuration import VASP_COMMAND
from sodalyte.errors import CalculationError, ConfigurationError, StoppedError
from sodalyte.inputs.vasp.level import check_level, level_changes
from sodalyte.inputs.vasp.relaxation import write_inputs
from sodalyte.inputs.vasp.run_folder import RunFolder
from sodalyte.inputs.vasp.supervision import FROZEN, Run, Watch, supervise

ENERGY = 1e-4


@pytest.fixture
def stock_folder(tmp_path, engine, recipe, crystal, monkeypatch):
    """The same relaxation without us."""
    folder = tmp_path / "stock"
    folder.mkdir()
    engine.relax(recipe).inputs(crystal).write_input(folder)
    monkeypatch.setenv("SODALYTE_REHEARSAL_MODEL", "einstein")
    return folder


def attempts(folder):
    return sorted((folder / "attempts").glob("[0-9]*"))


def custodian_log(folder):
    return json.loads(text(folder / "custodian.json"))


def test_relaxation(undisturbed, known, recipe):
    document, folder = undisturbed, known["folder"]
    assert document.state.value == "successful"
    assert document.run_type.value == "GGA"
    assert np.abs(document.output.forces).max() < recipe.relaxation.fmax
    assert [spec.titel.split()[1] for spec in document.calcs_reversed[0].input.potcar_spec] == ["Na_pv", "Sb", "S"]
    assert len(document.model_dump_json()) < 60_000
    assert '"electronic_steps"' not in document.model_dump_json(exclude_none=True)
    assert (folder / "vasprun.xml.gz").exists()


def test_the_energy_is_of_a_basis_made_for_the_final_cell(undisturbed, known):
    document, folder = undisturbed, known["folder"]
    assert len(document.calcs_reversed[0].output.ionic_steps) == 1, "VASP, started afresh, had nothing left to do"
    assert len(attempts(folder)) >= 1
    start = document.calcs_reversed[0].input.structure.lattice
    assert np.allclose(start.matrix, document.structure.lattice.matrix, atol=1e-6)


def test_the_floor_on_top_of_vasp(engine, recipe, crystal, tmp_path, monkeypatch):
    """Under half a second with an instant executable; custodian with its defaults takes ten."""
    finished, folder = tmp_path / "finished", tmp_path / "instant"
    for path in (finished, folder):
        path.mkdir()
    engine.static(recipe).inputs(crystal).write_input(finished)
    subprocess.run([os.environ[VASP_COMMAND]], cwd=finished, check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(finished / ".rehearsal", ignore_errors=True)
    instant = tmp_path / "instant.sh"
    outputs = " ".join(str(finished / name) for name in ("OUTCAR", "OSZICAR", "vasprun.xml", "CONTCAR"))
    instant.write_text(f"#!/bin/sh\ncp {outputs} .\n")
    instant.chmod(0o755)
    monkeypatch.setenv(VASP_COMMAND, str(instant))

    write_inputs(RunFolder(folder), engine.static(recipe).inputs(crystal))
    begin = time.perf_counter()
    watched = RunFolder(folder)
    supervise(Run(watched, prepare=lambda: (watched.archive() and 0) or 0, dynamics=False, watch=Watch()))
    ours = time.perf_counter() - begin

    stock = tmp_path / "stock"
    stock.mkdir()
    engine.static(recipe).inputs(crystal).write_input(stock)
    begin = time.perf_counter()
    custodian_alone(stock, [VaspErrorHandler()], polling_time_step=10, monitor_freq=30)
    theirs = time.perf_counter() - begin
    assert ours < 0.5
    assert theirs > 10


def test_a_warning_that_vasp_survives_kills_nothing(
    faults, engine, recipe, crystal, run, folder, stock_folder, undisturbed
):
    faults({"fault": "subspace", "stage": "relax", "step": 2}, {"fault": "walltime", "seconds": 0.3})
    document = run(engine.relax(recipe).make(crystal))
    assert document.output.energy == pytest.approx(undisturbed.output.energy, abs=ENERGY)
    assert "Sub-Space-Matrix" in text(attempts(folder)[0] / "vasp.out")
    assert all(not job["corrections"] for job in custodian_log(folder))

    with pytest.raises(NonRecoverableError):  # finding 6: the first warning loses the job
        custodian_alone(stock_folder, [VaspErrorHandler()])


def test_a_killed_run_goes_on_from_its_last_step(
    faults, engine, recipe, crystal, run, folder, stock_folder, undisturbed
):
    faults({"fault": "kill", "stage": "relax", "step": 3})
    document = run(engine.relax(recipe).make(crystal))
    assert document.output.energy == pytest.approx(undisturbed.output.energy, abs=ENERGY)
    first, second = attempts(folder)[:2]
    assert text(second / "POSCAR").splitlines()[2:5] == text(first / "CONTCAR").splitlines()[2:5]
    assert text(second / "POSCAR").splitlines()[2:5] != text(first / "POSCAR").splitlines()[2:5]
    (correction,) = RunFolder(folder).corrections()
    assert correction["problem"] == "VASP was killed by SIGKILL"

    with pytest.raises(ValidationError):  # finding 7: no retry, no document
        custodian_alone(stock_folder, [VaspErrorHandler()])


def test_handlers_do_not_remember_other_jobs(faults, engine, recipe, crystal, run, tmp_path, stock_folder, monkeypatch):
    """Finding 10: with stock handlers the second job of a process gets IBRION = 1 at once."""
    faults({"fault": "zbrent", "step": 2})
    for name in ("one", "two"):
        run(engine.relax_ions(recipe).make(crystal), name=name)
        used = Incar.from_str(text(tmp_path / name / "INCAR"))
        assert used["IBRION"] == 2
        assert used["EDIFF"] <= 1e-6

    handlers = [VaspErrorHandler()]
    again = stock_folder.with_name("again")
    shutil.copytree(stock_folder, again)
    found = []
    for folder in (stock_folder, again):
        custodian_alone(folder, handlers)
        found.append(Incar.from_file(folder / "INCAR")["IBRION"])
    assert found == [2, 1]


def test_no_cure_changes_the_level(faults, engine, recipe, crystal, run, folder, stock_folder):
    """BRMIX again and again: custodian's third cure is another k-point grid, and its document says nothing."""
    faults({"fault": "brmix", "stage": "relax", "attempts": [1, 2, 3]})
    with pytest.raises(CalculationError, match=r"BRMIX.*level of theory.*k-points from Gamma 3x3x3 to Monkhorst"):
        run(engine.relax(recipe).make(crystal))
    assert text(folder / "KPOINTS").splitlines()[2] == "Gamma"

    custodian_alone(stock_folder, [VaspErrorHandler()])
    assert (stock_folder / "KPOINTS").read_text().splitlines()[2].startswith("M")


@pytest.mark.parametrize(
    ("tag", "value", "harmless"),
    [
        ("ALGO", "All", True), ("NELMIN", 8, True), ("IBRION", 1, True), ("ISYM", 0, True), ("EDIFF", 1e-8, True),
        ("EDIFF", 1e-4, False), ("ENCUT", 400, False), ("PREC", "Low", False), ("SIGMA", 0.2, False),
        ("ISMEAR", -5, False), ("ISPIN", 2, False), ("GGA", "PS", False), ("LREAL", "Auto", False),
        ("NELECT", 101, False), ("ISIF", 2, False), ("EDIFFG", -0.1, False), ("LDAU", True, False),
    ],
)  # fmt: skip
def test_what_counts_as_the_level(tmp_path, engine, recipe, crystal, tag, value, harmless):
    engine.relax(recipe).inputs(crystal).write_input(tmp_path)
    for name in ("INCAR", "KPOINTS"):
        shutil.copy(tmp_path / name, tmp_path / f"{name}.orig")
    assert level_changes(tmp_path) == []
    incar = Incar.from_file(tmp_path / "INCAR")
    incar[tag] = value
    incar.write_file(tmp_path / "INCAR")
    assert (level_changes(tmp_path) == []) == harmless
    if not harmless:
        with pytest.raises(CalculationError, match=f"a correction changed the level of theory .*{tag}"):
            check_level(tmp_path)


def test_electrons_that_do_not_converge_are_named(faults, engine, recipe, crystal, run):
    faults({"fault": "noscf", "attempts": [1, 2, 3, 4, 5, 6]})
    with pytest.raises(CalculationError, match="electrons did not converge in ionic step 1"):
        run(engine.static(recipe).make(crystal))


def test_a_safer_algorithm_converges(faults, engine, recipe, crystal, run, folder):
    faults({"fault": "noscf", "attempts": [1]})
    assert run(engine.static(recipe).make(crystal)).state.value == "successful"
    assert Incar.from_str(text(folder / "INCAR"))["ALGO"] == "Normal"


def test_a_hanging_run_is_killed_alone_and_goes_on(
    faults, engine, recipe, crystal, run, folder, tmp_path, monkeypatch, undisturbed
):
    """A neighbour of the same name on the same node, in another folder, lives on."""
    monkeypatch.setenv(FROZEN, "8")
    (tmp_path / "neighbour").mkdir()
    engine.static(recipe).inputs(crystal).write_input(tmp_path / "neighbour")
    faults({"fault": "hang", "step": 2, "stage": "relax"}, {"fault": "hang", "stage": "static"})
    neighbour = subprocess.Popen(
        [os.environ[VASP_COMMAND]],
        cwd=tmp_path / "neighbour",
        env=os.environ | {"SODALYTE_REHEARSAL_MEMORY": str(tmp_path / "another")},
        stdout=subprocess.DEVNULL,
    )
    try:
        document = run(engine.relax(recipe).make(crystal))
        assert neighbour.poll() is None
    finally:
        neighbour.kill()
        neighbour.wait()
    assert "wrote nothing for 8 s" in RunFolder(folder).corrections()[0]["problem"]
    assert document.output.energy == pytest.approx(undisturbed.output.energy, abs=ENERGY)


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("disk_full", "disk is full"),
        ("read_error", "cannot read a tag of the INCAR.*Error reading item"),
        ("kill", "killed by SIGKILL"),
    ],
)
def test_the_cause_is_named(faults, engine, recipe, crystal, run, fault, cause):
    """Not "VasprunXMLValidator failed"."""
    faults({"fault": fault, "attempts": list(range(1, 9))})
    with pytest.raises(CalculationError, match=cause):
        run(engine.static(recipe).make(crystal))


def test_one_accident_after_another_changes_nothing(faults, engine, recipe, crystal, run, folder, undisturbed):
    steps = {"zbrent": 2, "edddav": 2, "posmap": 1, "segfault": 1, "truncate": 1}
    faults(*({"fault": kind, "step": step, "attempts": [n]} for n, (kind, step) in enumerate(steps.items(), start=1)))
    document = run(engine.relax(recipe).make(crystal))
    assert document.output.energy == pytest.approx(undisturbed.output.energy, abs=ENERGY)
    assert np.allclose(document.structure.lattice.abc, undisturbed.structure.lattice.abc, atol=2e-3)
    problems = [correction["problem"] for correction in RunFolder(folder).corrections()]
    for problem, words in zip(problems, ("ZBRENT", "EDDDAV", "POSMAP", "SIGSEGV", "exit status 0"), strict=True):
        assert words in problem
    starts = [text(path / "POSCAR") for path in attempts(folder)]
    assert starts[0] != starts[1] != starts[2], "it went on, and did not begin again"


@pytest.mark.parametrize("command", ["mpirun 'vasp_std", "  "])
def test_no_command_line(engine, recipe, crystal, run, monkeypatch, command):
    monkeypatch.setenv(VASP_COMMAND, command)
    with pytest.raises(ConfigurationError, match=r"is no command line; .*sodalyte\.toml"):
        run(engine.static(recipe).make(crystal))


def test_a_missing_executable(engine, recipe, crystal, run, monkeypatch):
    monkeypatch.setenv(VASP_COMMAND, "/nowhere/vasp_std --flag")
    with pytest.raises(ConfigurationError, match=r"/nowhere/vasp_std.*sodalyte\.toml"):
        run(engine.relax(recipe).make(crystal))


def test_exhausted_steps_are_no_convergence(engine, recipe, crystal, run):
    short = recipe.override({"relaxation": {"max_steps": 2}})
    assert run(engine.relax(short).make(crystal)).state.value != "successful"


def test_a_relaxation_stops_in_order_and_goes_on(
    faults, engine, recipe, crystal, run, folder, undisturbed, monkeypatch
):
    faults({"fault": "walltime", "stage": "relax", "seconds": 2.0})
    monkeypatch.setenv(interruption.DEADLINE, str(time.time() + 14))
    with pytest.raises(StoppedError, match=r"after \d+ ionic steps"):
        run(engine.relax(recipe).make(crystal))
    assert "soft stop" in text(folder / "OUTCAR")
    left = text(folder / "CONTCAR")
    monkeypatch.delenv(interruption.DEADLINE)
    document = run(engine.relax(recipe).make(crystal))
    assert text(attempts(folder)[1] / "POSCAR") == left
    assert document.output.energy == pytest.approx(undisturbed.output.energy, abs=ENERGY)
