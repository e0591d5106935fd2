"""A worker that is killed with everything it started loses at most the ionic step that it was in."""

import json
import os
import signal
import time
from functools import partial
from pathlib import Path

import psutil
import pytest
from drive_vasp import STEPS, drive
from forks import Fork
from vasp_files import text

from sodalyte.database.trajectories import Segment, read_trajectory
from sodalyte.inputs.vasp.reading import read_dynamics
from sodalyte.inputs.vasp.run_folder import ionic_steps


def start(kind, folder):
    log = (folder.parent / "driver.log").open("ab")
    with log:
        return Fork(
            partial(drive, kind), folder=folder, environment=dict(os.environ), out=log, error=log, new_session=True
        )


def wait_for_steps(folder, steps, earlier):
    """Wait until VASP has done some steps, having moved away what ``earlier`` attempts left."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if len(list(folder.glob("attempts/*"))) == earlier and ionic_steps(folder / "OSZICAR") >= steps:
            return
        time.sleep(0.02)
    raise AssertionError(f"no {steps} steps: {(folder.parent / 'driver.log').read_text()}")


def kill_mid_run(kind, folder, steps, earlier=0):
    """Kill the worker's process group after some steps; return the steps that VASP had finished."""
    worker = start(kind, folder)
    wait_for_steps(folder, steps, earlier)
    vasp = psutil.Process(worker.pid).children(recursive=True)
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    assert not psutil.wait_procs(vasp, timeout=10)[1], "VASP outlived its worker"
    return ionic_steps(folder / "OSZICAR")


def finish(kind, folder):
    worker = start(kind, folder)
    assert worker.wait(timeout=240) == 0, (folder.parent / "driver.log").read_text()
    return json.loads((folder / "output.json").read_text())


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    return path


def test_relaxation(folder, faults, undisturbed):
    faults({"fault": "walltime", "seconds": 0.5, "stage": "relax"})
    assert kill_mid_run("relax", folder, steps=3) >= 3
    document = finish("relax", folder)
    assert document["state"] == "successful"
    starts = [text(path / "POSCAR") for path in sorted((folder / "attempts").glob("[0-9]*"), key=lambda p: int(p.name))]
    assert len(set(starts)) == len(starts), "no attempt started again where another one had started"
    assert document["output"]["energy"] == pytest.approx(undisturbed.output.energy, abs=1e-4)


def test_dynamics(folder, faults):
    faults({"fault": "walltime", "seconds": 0.4, "stage": "dynamics", "attempts": [1, 2]})
    done = [kill_mid_run("dynamics", folder, steps=6), kill_mid_run("dynamics", folder, steps=5, earlier=1)]
    document = finish("dynamics", folder)
    segment = Segment.model_validate(document["segment"])
    assert (segment.first_step, segment.last_step, segment.n_frames) == (0, STEPS, STEPS)
    attempts = sorted((folder / "attempts").glob("[0-9]*"), key=lambda path: int(path.name))
    counted = [read_dynamics(path).n_steps for path in attempts]
    assert sum(counted) - STEPS <= len(done), "at most one ionic step was computed twice for each kill"
    for finished, kept in zip(done, counted, strict=False):
        assert kept >= finished - 1
    trajectory = read_trajectory([segment], Path(os.environ["SODALYTE_TRAJECTORIES"]), verify=True)
    assert trajectory.steps.tolist() == list(range(STEPS))
