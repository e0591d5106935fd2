"""``sodalyte submit``: campaigns on a real Slurm, from the command line, equal to the same run on this machine."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import yaml
from databases import new_database
from slurm_lab import wait_until
from typer.testing import CliRunner

from sodalyte.campaign import load_campaign
from sodalyte.cli import app
from sodalyte.configuration import exported
from sodalyte.database import load_results, open_database
from sodalyte.errors import EngineError
from sodalyte.launchers import local
from sodalyte.launchers.rehearsal.faults import FAULT_FILE
from sodalyte.launchers.rehearsal.preparation import prepare

QUICK = {"dynamics": {"temperatures": [900, 1200], "equilibration": 0.1, "production": 1.0, "segment_steps": 100}}
"""Dynamics so short that trajectories say nothing: what counts here is that both ways say the same."""

CLUSTER = """
[clusters.lab]
partition = "debug"
cores = 2
walltime = 0.5
max_queued = 4
environment = ["export PYTHONWARNINGS=ignore OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1"]
"""


@pytest.fixture
def address(mongodb_uri):
    with new_database(mongodb_uri) as uri:
        yield uri


@pytest.fixture
def sodalyte(lab, address, tmp_path):
    """Run the command line in a workspace of its own."""

    def run(*words, database=address, workspace=tmp_path / "work", wait=True, more=None):
        environment = os.environ | lab.environment | {"PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"} | (more or {})
        environment |= {"SODALYTE_WORKSPACE": str(workspace)}
        environment |= {"SODALYTE_DATABASE": database} if database else {}
        process = subprocess.Popen(
            [sys.executable, "-m", "sodalyte", *map(str, words)],
            env=environment,
            cwd=tmp_path,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        if not wait:
            return process
        out, err = process.communicate(timeout=1500)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "sodalyte.toml").write_text(CLUSTER)
    yield run
    lab.run("scancel", "--me", check=False)


def write_campaign(folder, **changes):
    path = folder / "campaign.yaml"
    content = {"name": "sulfides", "materials": ["Na3PS4_t"], "engine": "einstein", "recipe": "quick"} | changes
    path.write_text(yaml.safe_dump({"overrides": QUICK} | content))
    return path


def run_here(path, folder, faults):
    """Run the campaign with the local launcher, faults on if there are any; return the address of its database."""
    campaign = load_campaign(path)
    environment = prepare(folder, model="einstein", faults=faults).environment() if faults else {}
    uri = f"lite://{folder / 'database'}"
    with exported(environment):
        summary = local.run(campaign.flow(), database=uri, root=folder / "runs", workers=2)
    assert summary.succeeded, summary.failures
    return uri


def answers(address):
    with open_database(address) as database:
        return {result.key(): result for result in load_results(database)}


def test_a_server_is_asked_for(sodalyte, tmp_path):
    done = sodalyte("submit", write_campaign(tmp_path), "--cluster", "lab", database=None)
    assert done.returncode == 2
    assert "MongoDB server" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_cluster_is_named(sodalyte, tmp_path):
    done = sodalyte("submit", write_campaign(tmp_path), "--cluster", "lba")
    assert done.returncode == 2
    assert "did you mean 'lab'" in done.stderr


def test_from_the_command_line(sodalyte, tmp_path):
    path = write_campaign(tmp_path, materials=["Na2S"], analyses=["relaxation"])
    done = sodalyte("submit", path, "--cluster", "lab", "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert "allocations submitted to lab: 1" in done.stderr
    again = sodalyte("submit", path, "--cluster", "lab", "--json")
    answer = json.loads(again.stdout)
    assert (again.returncode, answer["state"], answer["added"]) == (0, "complete", 0)
    assert answer["counts"].keys() == {"COMPLETED"}
    told = sodalyte("status", "sulfides").stdout
    assert "sulfides on lab: complete" in told
    assert "none planned: there is no cost model of einstein" in told


def can_share_gpaw(lab):
    """Tell whether GPAW has MPI here and srun can start it."""
    if find_spec("gpaw") is None:
        return False
    from gpaw.cgpaw import have_mpi

    return have_mpi and "pmix" in lab.run("srun", "--mpi=list")


@pytest.fixture
def on_shared_cores(sodalyte, lab, tmp_path):
    """Run materials with GPAW in one allocation; return the campaign and what GPAW wrote."""
    if not can_share_gpaw(lab):
        pytest.skip("GPAW with MPI and srun with PMIx are needed: scripts/install --with gpaw")

    def run(materials, *, nodes):
        table = f"{CLUSTER}nodes = {nodes}\ngpaw_command = '{sys.executable}'\n"
        mpi = "export SLURM_MPI_TYPE=pmix OMPI_MCA_btl=self,tcp"
        (tmp_path / "work" / "sodalyte.toml").write_text(table.replace('"]\n', f'", "{mpi}"]\n'))
        path = write_campaign(
            tmp_path,
            materials=materials,
            engine="gpaw",
            analyses=["relaxation"],
            overrides={"electronic": {"encut": 250, "kpoints": [2, 2, 2]}},
        )
        done = sodalyte("submit", path, "--cluster", "lab", "--workers", "1")
        assert done.returncode == 0, done.stderr
        return path, [output.read_text() for output in (tmp_path / "work").rglob("gpaw-1.txt")]

    return run


def test_gpaw_leaves_its_cores_to_the_next_job(on_shared_cores):
    _, outputs = on_shared_cores(["Na", "Na2S"], nodes=1)
    assert ["cores:  2" in output for output in outputs] == [True, True]


@pytest.mark.parametrize("nodes", [1, 2])
def test_gpaw_shares_the_cores_of_an_allocation(on_shared_cores, tmp_path, address, nodes):
    """srun starts its ranks, and PMIx lets them find each other, also on two nodes."""
    path, (output,) = on_shared_cores(["Na"], nodes=nodes)
    assert f"cores:  {2 * nodes}" in output
    alone = run_here(path, tmp_path / "here", faults=None)
    together, expected = answers(address), answers(alone)
    assert together.keys() == expected.keys()
    for key, result in together.items():
        assert result.value == pytest.approx(expected[key].value, rel=1e-6)


def test_no_potentials_are_said_before_a_thousand_jobs_say_it(tmp_path, monkeypatch):
    monkeypatch.setattr("sodalyte.inputs.vasp.potcars.SETTINGS", {})
    monkeypatch.delenv("SODALYTE_POTCARS", raising=False)
    (tmp_path / "sodalyte.toml").write_text(CLUSTER)
    path = write_campaign(tmp_path, engine="vasp")
    words = ["submit", str(path), "--cluster", "lab", "--workspace", str(tmp_path), "--database", "mongodb://nowhere"]
    with pytest.raises(EngineError, match="no POTCAR library is set"):
        CliRunner().invoke(app, words, catch_exceptions=False, standalone_mode=False)


def test_a_walltime_too_short_for_any_job_is_refused(sodalyte, tmp_path):
    (tmp_path / "work" / "sodalyte.toml").write_text(CLUSTER.replace("walltime = 0.5", "walltime = 0.1"))
    done = sodalyte("submit", write_campaign(tmp_path), "--cluster", "lab")
    assert done.returncode == 2
    assert "leaves no time for a job" in done.stderr


@pytest.mark.slow
def test_detached_and_taken_up(sodalyte, tmp_path):
    """The command returns; given again it finds the manager at work; the relaxation is run once."""
    path = write_campaign(tmp_path, analyses=["relaxation"])
    first = sodalyte("submit", path, "--cluster", "lab", "--detach", "--json")
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout)["added"] > 0
    log = tmp_path / "work" / "slurm" / "lab" / "sulfides" / "manager.log"
    wait_until(lambda: "submitted" in log.read_text(), seconds=60)
    again = sodalyte("submit", path, "--cluster", "lab", "--workers", "2", "--json")
    answer = json.loads(again.stdout)
    assert (again.returncode, answer["added"]) == (0, 0)
    assert "at work" in again.stderr
    wait_until(lambda: "complete" in log.read_text(), seconds=120, every=0.5)
    last = sodalyte("submit", path, "--cluster", "lab", "--json")
    assert json.loads(last.stdout)["state"] == "complete"


FOUR = ["Na3PS4_t", "Na3SbS4", "Na3PS4", "Na2S"]
FAULTS = """
- {fault: kill, stage: relax, step: 2}
- {fault: brmix, stage: static}
"""


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "materials"), [("einstein", FOUR), ("rehearsal-einstein", FOUR)])
def test_all_analyses_equal_the_local_run(sodalyte, tmp_path, engine, materials, address):
    """On four nodes, and through VASP's path with faults on: the local launcher gives the same answers."""
    path = write_campaign(tmp_path, materials=materials, engine=engine)
    faults = tmp_path / "faults.yaml" if "rehearsal" in engine else None
    if faults:
        faults.write_text(FAULTS)
    here = answers(run_here(path, tmp_path / "here", faults))
    done = sodalyte("submit", path, "--cluster", "lab", more={FAULT_FILE: str(faults)} if faults else {})
    assert done.returncode == 0, done.stderr
    there = answers(address)
    assert len(here) > 5 * len(materials)
    assert there == here
