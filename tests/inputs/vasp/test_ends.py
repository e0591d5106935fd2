"""However VASP ends, or does not: only ours is ended, in time, and what it was is told."""

import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from jobflow import JobStore
from jobflow.core.reference import find_and_resolve_references
from maggma.stores import MemoryStore
from pymatgen.analysis.compatibility import MaterialsProject2020Compatibility
from vasp_files import text

from sodalyte import interruption
from sodalyte.configuration import POTCAR_LIBRARY, VASP_COMMAND, VASP_GAMMA_COMMAND
from sodalyte.errors import CalculationError
from sodalyte.inputs.engine import get_engine
from sodalyte.inputs.vasp.reading import read_dynamics
from sodalyte.inputs.vasp.run_folder import RunFolder
from sodalyte.inputs.vasp.supervision import Run, Watch, end_leftover
from sodalyte.launchers.rehearsal.potcars import write_library

MAIN = "from sodalyte.launchers.rehearsal.vasp import main; main()"
DEAF = f"from sodalyte.launchers.rehearsal.streams import Streams as S; S.stop_request = lambda self: ''; {MAIN}"


@pytest.fixture
def stubborn():
    """A process group that does not listen to SIGTERM."""
    process = subprocess.Popen(
        [sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); print(1); time.sleep(60)"],
        start_new_session=True,
        stdout=subprocess.PIPE,
    )
    process.stdout.readline()
    reaper = threading.Thread(target=process.wait)  # as init does with orphans
    reaper.start()
    yield process
    process.kill()
    reaper.join()
    process.stdout.close()


def birth(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def test_a_leftover_vasp_is_ended(stubborn, tmp_path, monkeypatch):
    monkeypatch.setattr("sodalyte.inputs.vasp.supervision._PATIENCE", 0.2)
    note = tmp_path / "vasp.pid"
    note.write_text(f"{socket.gethostname()} {stubborn.pid} {birth(stubborn.pid)}\n")
    end_leftover(tmp_path)
    stubborn.wait(timeout=10)
    assert stubborn.returncode == -signal.SIGKILL
    assert not note.exists()


@pytest.mark.parametrize("note", ["{host} {pid} 1", "elsewhere {pid} {birth}", "{host} {pid}", "nonsense", ""])
def test_what_is_not_known_to_be_ours_lives_on(stubborn, tmp_path, note):
    """Another process that got the number since, one of that number on another machine, a damaged file."""
    known = {"host": socket.gethostname(), "pid": stubborn.pid, "birth": birth(stubborn.pid)}
    (tmp_path / "vasp.pid").write_text(note.format(**known))
    end_leftover(tmp_path)
    assert stubborn.poll() is None


@pytest.mark.parametrize(
    ("kpoints", "used"),
    [("Gamma\n1 1 1\n", "gamma"), ("Gamma\n1 1 1\n0.5 0.5 0.5\n", "standard"), ("Gamma\n3 3 3\n", "standard")],
)
def test_the_gamma_only_executable_is_for_the_gamma_point(tmp_path, monkeypatch, kpoints, used):
    for name, variable in (("standard", VASP_COMMAND), ("gamma", VASP_GAMMA_COMMAND)):
        monkeypatch.setenv(variable, shlex.join(["sh", "-c", f"echo {name}"]))
    (tmp_path / "INCAR").write_text("NSW = 0\n")
    (tmp_path / "KPOINTS").write_text(f"mesh\n0\n{kpoints}")
    run = Run(RunFolder(tmp_path), prepare=lambda: 0, dynamics=False, watch=Watch())
    assert run.begin().wait(timeout=10) == 0
    run.end()
    assert (tmp_path / "vasp.out").read_text().strip() == used


def test_a_vasp_that_does_not_hear_is_ended_in_time(faults, engine, recipe, small_cell, run, folder, monkeypatch):
    """It ignores STOPCAR: ended before the deadline, and the steps that it did count."""
    monkeypatch.setenv(VASP_COMMAND, shlex.join([sys.executable, "-c", DEAF]))
    faults({"fault": "walltime", "seconds": 0.3, "stage": "dynamics"})
    maker = engine.dynamics(recipe, 600.0, 500)
    maker.inputs(small_cell)  # what it imports takes seconds on a busy machine
    monkeypatch.setenv(interruption.DEADLINE, str(time.time() + 15))
    document = run(maker.make(small_cell))
    assert time.time() < float(os.environ[interruption.DEADLINE])
    steps = read_dynamics(folder / "attempts" / "0").n_steps
    assert steps >= 10
    assert steps - 1 <= document.segment.last_step <= steps
    assert "soft stop" not in text(folder / "attempts" / "0" / "OUTCAR")


def test_steps_after_one_that_did_not_converge_are_few_and_not_kept(faults, engine, recipe, small_cell, run, folder):
    """One tick of the monitor, 0.2 s, and the step that VASP is in by then."""
    faults(
        {"fault": "noscf", "stage": "dynamics", "step": 4},
        {"fault": "walltime", "seconds": 0.4, "stage": "dynamics", "step": 2},
    )
    document = run(engine.dynamics(recipe, 600.0, 12).make(small_cell))
    computed = read_dynamics(folder / "attempts" / "0")
    assert computed.scf_converged.tolist()[:4] == [True, True, True, False]
    assert computed.n_steps <= 4 + 2
    assert document.segment.last_step == 12
    again = read_dynamics(folder / "attempts" / "1")
    assert again.n_steps >= 12 - 3
    assert again.scf_converged.all()


@pytest.fixture
def genuine_looking(tmp_path, monkeypatch):
    """Potentials without the mark of a rehearsal."""
    library = write_library(tmp_path / "genuine")
    for path in library.rglob("POTCAR*"):
        if path.is_file() and path.name in {"POTCAR.Na_pv", "POTCAR.Sb", "POTCAR.S"}:
            path.write_text(path.read_text().replace("REHEARSAL", "08Apr2002"))
    monkeypatch.setenv(POTCAR_LIBRARY, str(library))


def test_the_output_of_a_rehearsal_is_none_of_vasp(genuine_looking, recipe, crystal, run, monkeypatch):
    monkeypatch.setenv("SODALYTE_REHEARSAL_MODEL", "einstein")
    with pytest.raises(CalculationError, match=r"of a rehearsal and not a DFT result.*vasp\.command"):
        run(get_engine("vasp").static(recipe).make(crystal))


def test_output_without_the_mark_is_none_of_a_rehearsal(engine, recipe, crystal, run, tmp_path, monkeypatch):
    vasp = tmp_path / "vasp_std"
    program = f"{shlex.quote(sys.executable)} -c {shlex.quote(MAIN)}"
    vasp.write_text(f"#!/bin/sh\n{program} && sed -i 's/NOT A DFT RESULT/complex parallel/' vasprun.xml\n")
    vasp.chmod(0o755)
    monkeypatch.setenv(VASP_COMMAND, str(vasp))
    with pytest.raises(CalculationError, match="not written by a rehearsal"):
        run(engine.static(recipe).make(crystal))


def test_the_document_of_a_corrected_job_serves_the_next_one(faults, engine, recipe, crystal, tmp_path, monkeypatch):
    """Jobs downstream read it back from the store, with all corrections of all attempts in it."""
    faults({"fault": "zbrent", "stage": "relax", "step": 2}, {"fault": "kill", "stage": "relax", "attempts": [2]})
    job = engine.relax(recipe).make(crystal)
    store = JobStore(MemoryStore())
    store.connect()
    monkeypatch.chdir(tmp_path)
    job.run(store)
    found = find_and_resolve_references({"document": job.output, "cell": job.output.structure}, store)
    assert found["cell"].composition.reduced_formula == "Na3SbS4"
    (log,) = found["document"].custodian
    problems, actions = zip(*((item["problem"], item["actions"]) for item in log.corrections), strict=True)
    assert "ZBRENT" in problems[0]
    assert any(action.startswith("EDIFF = ") for action in actions[0])
    assert "CONTCAR copied to POSCAR" in actions[0]
    assert problems[1] == "VASP was killed by SIGKILL"
    assert actions[1] == ["restart from the last ionic step"]


def test_the_corrections_of_the_materials_project_apply(undisturbed):
    """As they stand, potentials checked; finding 1 is that they refuse a run of another type than GGA."""
    entry = undisturbed.structure_entry
    assert entry.parameters["run_type"] == "GGA"
    corrected = MaterialsProject2020Compatibility().process_entry(entry, inplace=False)
    assert corrected.correction == pytest.approx(8 * -0.503, abs=1e-6)
    spoilt = entry.copy()
    spoilt.parameters["run_type"] = "PBE"
    assert MaterialsProject2020Compatibility().process_entry(spoilt, inplace=False) is None
