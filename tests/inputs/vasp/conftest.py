"""VASP's production path, with the rehearsal executable and its synthetic potentials in the place of VASP."""

import sys
from contextlib import chdir
from pathlib import Path

import pytest
import yaml
from jobflow import JobStore
from maggma.stores import MemoryStore
from vasprun_files import RUN, write_vasprun

from sodalyte.configuration import POTCAR_LIBRARY, VASP_COMMAND
from sodalyte.database.trajectories import TRAJECTORY_ROOT
from sodalyte.inputs.engine import get_engine
from sodalyte.inputs.recipe import Recipe
from sodalyte.inputs.vasp.supervision import FROZEN, MARGIN, TICK
from sodalyte.launchers.rehearsal.potcars import write_library
from sodalyte.structures import conventional, dynamics_cell, load

REHEARSAL = str(Path(sys.executable).parent / "sodalyte-vasp-rehearsal")


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    return write_library(tmp_path_factory.mktemp("potcars"))


@pytest.fixture(autouse=True)
def environment(library, tmp_path, monkeypatch):
    """The environment of a job, as the CLI and the pilots set it."""
    monkeypatch.setenv(POTCAR_LIBRARY, str(library))
    monkeypatch.setenv(VASP_COMMAND, REHEARSAL)
    monkeypatch.setenv(TRAJECTORY_ROOT, str(tmp_path / "trajectories"))
    monkeypatch.setenv("SODALYTE_REHEARSAL_MEMORY", str(tmp_path / "memory"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv(TICK, "0.2")
    monkeypatch.setenv(FROZEN, "30")
    monkeypatch.setenv(MARGIN, "5")
    monkeypatch.delenv("SODALYTE_REHEARSAL_FAULTS", raising=False)


@pytest.fixture(scope="session")
def known():
    """What several tests compare with, computed once."""
    return {}


@pytest.fixture
def undisturbed(known, engine, recipe, crystal, run, tmp_path, monkeypatch):
    """The document of a relaxation in which nothing goes wrong, and its folder."""
    if "relaxation" not in known:
        with monkeypatch.context() as calm:
            calm.delenv("SODALYTE_REHEARSAL_FAULTS", raising=False)
            document = run(engine.relax(recipe).make(crystal), name="undisturbed")
        known |= {"relaxation": document, "folder": tmp_path / "undisturbed"}
    return known["relaxation"]


@pytest.fixture
def faults(tmp_path, monkeypatch):
    """Say what goes wrong."""

    def script(*entries):
        path = tmp_path / "faults.yaml"
        path.write_text(yaml.safe_dump(list(entries)))
        monkeypatch.setenv("SODALYTE_REHEARSAL_FAULTS", str(path))

    return script


@pytest.fixture
def vasprun(tmp_path):
    write_vasprun(tmp_path / "vasprun.xml", RUN)
    return tmp_path / "vasprun.xml"


@pytest.fixture
def engine():
    return get_engine("rehearsal-einstein")


@pytest.fixture(scope="session")
def recipe():
    return Recipe.quick()


@pytest.fixture(scope="session")
def crystal():
    return conventional(load("Na3SbS4").structure)


@pytest.fixture(scope="session")
def small_cell(crystal):
    """15 atoms with a Na vacancy: as the model cells of 127, but quick."""
    return dynamics_cell(crystal, defect="na_vacancy", supercell=(1, 1, 1)).structure


@pytest.fixture
def run(tmp_path):
    """Run a job as a worker does: in its run folder, which survives between attempts."""

    def run_job(job, name="run"):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        store = JobStore(MemoryStore())
        store.connect()
        with chdir(folder):
            return job.run(store).output

    return run_job


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run"
