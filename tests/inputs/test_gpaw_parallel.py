"""GPAW in processes of its own; with two MPI ranks where GPAW is built with MPI."""

import gc
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from installed import needs_gpaw
from jobflow import run_locally
from pymatgen.io.ase import AseAtomsAdaptor

from sodalyte.configuration import GPAW_COMMAND
from sodalyte.errors import CalculationError, ConfigurationError
from sodalyte.inputs.engine import get_engine
from sodalyte.inputs.gpaw import Gpaw, PlaneWaves
from sodalyte.inputs.gpaw_parallel import SERVER, ParallelPlaneWaves
from sodalyte.inputs.recipe import Recipe
from sodalyte.structures import crystal, reduced

COARSE = Gpaw(kpoints=(1, 1, 1), encut=300.0)
PYTHON = shlex.quote(sys.executable)
TASK = f"env PMI_SIZE=1 {PYTHON}"
"""As in a pilot, which is a task of srun: GPAW refuses to be imported there as one process."""

STRANGER = """
import json, os, socket, sys
host, port = json.load(open(sys.argv[-1]))["address"]
with socket.create_connection(("127.0.0.1", port)) as connection:
    connection.sendall(b'{"token": "guessed", "rank": 0, "size": 1}\\n')
    open("turned-away", "w").write(repr(connection.recv(100)))
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""

ORPHAN = """
import os, signal
from ase.io import read
from sodalyte.inputs.gpaw import Gpaw
from sodalyte.inputs.gpaw_parallel import ParallelPlaneWaves
atoms = read("start.extxyz")
compute = ParallelPlaneWaves(Gpaw(kpoints=(1, 1, 1), encut=300.0), atoms, COMMAND)
compute(atoms)
print(compute._process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def in_a_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def sodium_sulfide():
    atoms = AseAtomsAdaptor.get_atoms(reduced(crystal("Na2S").structure), msonable=False)
    atoms.positions[0, 0] += 0.1
    return atoms


def assert_equal(answer, expected):
    assert answer["energy"] == pytest.approx(expected["energy"], abs=1e-5)
    np.testing.assert_allclose(answer["forces"], expected["forces"], atol=1e-4)
    np.testing.assert_allclose(answer["stress"], expected["stress"], atol=1e-5)


def wait_for_end(pid, seconds=20):
    deadline = time.monotonic() + seconds
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline, f"process {pid} lives on"
        time.sleep(0.1)


def mpi_launcher():
    """Return a command that starts two ranks, or skip."""
    from gpaw.cgpaw import have_mpi

    if not have_mpi or not shutil.which("mpirun"):
        pytest.skip("GPAW is built without MPI: it is built with it where mpic++ is (scripts/install --with gpaw)")
    as_root = " --allow-run-as-root" if os.geteuid() == 0 else ""
    return f"mpirun{as_root} --oversubscribe -n 2 {PYTHON}"


@needs_gpaw
def test_a_job_computes_the_same_in_a_process_of_its_own(monkeypatch, sodium_sulfide):
    recipe = Recipe.quick().override({"electronic": {"kpoints": [1, 1, 1], "encut": 300}})
    structure = AseAtomsAdaptor.get_structure(sodium_sulfide)
    monkeypatch.setenv(GPAW_COMMAND, TASK)
    job = get_engine("gpaw").static(recipe).make(structure)
    document = run_locally(job, log=False, raise_immediately=True)[job.uuid][1].output
    (record,) = (json.loads(line) for line in next(Path().glob("ionic_steps-*.jsonl")).read_text().splitlines())
    expected = PlaneWaves(COARSE, sodium_sulfide)(sodium_sulfide)
    assert_equal(record, expected)
    assert document.output.energy == pytest.approx(expected["energy"], abs=1e-5)
    assert Path("gpaw-server.log").exists()


@needs_gpaw
def test_its_processes_are_kept_between_steps_replaced_when_they_die_and_end_with_it(sodium_sulfide):
    compute = ParallelPlaneWaves(COARSE, sodium_sulfide, TASK)
    compute(sodium_sulfide)
    first = compute._process.pid
    moved = sodium_sulfide.copy()
    moved.positions[0, 0] += 0.01
    answer = compute(moved)
    assert compute._process.pid == first
    assert len(list(Path().glob("gpaw-*.txt"))) == 1, "the second step goes on with the first one's wave functions"
    os.kill(first, signal.SIGKILL)
    with pytest.raises(CalculationError, match="without an answer"):
        compute(moved)
    assert_equal(compute(moved), answer)
    second = compute._process.pid
    assert second != first
    del compute
    wait_for_end(second)


@needs_gpaw
def test_the_processes_of_one_job_have_ended_when_the_next_one_starts(monkeypatch, sodium_sulfide):
    """Slurm would not give the cores that they hold to the next ones."""
    recipe = Recipe.quick().override({"electronic": {"kpoints": [1, 1, 1], "encut": 300}, "relaxation": {"fmax": 5}})
    monkeypatch.setenv(GPAW_COMMAND, TASK)
    job = get_engine("gpaw").relax(recipe).make(AseAtomsAdaptor.get_structure(sodium_sulfide))
    gc.disable()
    try:
        run_locally(job, log=False, raise_immediately=True)
        servers = [child for child in psutil.Process().children() if SERVER in child.cmdline()]
        COARSE.plane_waves(sodium_sulfide)
        assert not [server for server in servers if server.is_running()]
    finally:
        gc.enable()
    assert servers, "nothing ran"


@needs_gpaw
def test_an_unexpected_failure_ends_all_ranks_and_says_where_to_look(sodium_sulfide):
    compute = ParallelPlaneWaves(COARSE, sodium_sulfide, TASK)
    sodium_sulfide.positions[1] = sodium_sulfide.positions[0]
    with pytest.raises(CalculationError, match=r"gpaw-server\.log"):
        compute(sodium_sulfide)
    assert "Traceback" in Path("gpaw-server.log").read_text()
    wait_for_end(compute._process.pid)


@needs_gpaw
def test_nobody_is_left_when_the_job_is_killed(tmp_path, sodium_sulfide):
    sodium_sulfide.write("start.extxyz")
    script = ORPHAN.replace("COMMAND", repr(TASK))
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert process.returncode == -signal.SIGKILL, process.stderr
    wait_for_end(int(process.stdout))


@needs_gpaw
def test_whoever_does_not_know_the_token_is_turned_away(sodium_sulfide):
    Path("stranger.py").write_text(STRANGER)
    compute = ParallelPlaneWaves(COARSE, sodium_sulfide, f"{TASK} stranger.py")
    assert_equal(compute(sodium_sulfide), PlaneWaves(COARSE, sodium_sulfide)(sodium_sulfide))
    assert Path("turned-away").read_text() == "b''"
    assert not Path("gpaw-server.json").exists(), "the token is needed no longer"


@needs_gpaw
def test_ranks_that_do_not_find_each_other_are_refused(sodium_sulfide):
    """Each would compute the whole, as many times as there are ranks."""
    from gpaw.cgpaw import have_mpi

    compute = ParallelPlaneWaves(COARSE, sodium_sulfide, f"env SLURM_STEP_NUM_TASKS=2 {PYTHON}")
    advice = "SLURM_MPI_TYPE" if have_mpi else "install mpic"
    with pytest.raises(ConfigurationError, match=f"2 ranks of GPAW were started, .*{advice}"):
        compute(sodium_sulfide)


@needs_gpaw
@pytest.mark.parametrize("divisions", [2, 1], ids=["k-points shared", "bands shared"])
def test_two_ranks_compute_what_one_process_computes(sodium_sulfide, divisions):
    engine = Gpaw(kpoints=(divisions, divisions, divisions), encut=300.0)
    compute = ParallelPlaneWaves(engine, sodium_sulfide, mpi_launcher())
    assert_equal(compute(sodium_sulfide), PlaneWaves(engine, sodium_sulfide)(sodium_sulfide))
    assert "cores:  2" in Path("gpaw-1.txt").read_text()
    launcher = compute._process.pid
    del compute
    wait_for_end(launcher)


@pytest.mark.parametrize(
    ("command", "error", "reason"),
    [
        ("false", CalculationError, "did not start with 'false'"),
        ("/nowhere/mpirun -n 2 python", ConfigurationError, f"correct {GPAW_COMMAND}"),
        ("'", ConfigurationError, "is no command line"),
    ],
)
def test_a_command_that_starts_nothing_is_named(sodium_sulfide, command, error, reason):
    with pytest.raises(error, match=reason):
        ParallelPlaneWaves(COARSE, sodium_sulfide, command)(sodium_sulfide)


@pytest.mark.parametrize(("nodes", "interface"), [(None, "127.0.0.1"), ("1", "127.0.0.1"), ("2", "")])
def test_only_ranks_on_other_nodes_are_listened_for_beyond_loopback(monkeypatch, sodium_sulfide, nodes, interface):
    listened = []

    def create_server(address):
        listened.append(address)
        return created(("127.0.0.1", 0))

    created = socket.create_server
    monkeypatch.setattr(socket, "create_server", create_server)
    monkeypatch.delenv("SLURM_JOB_NUM_NODES", raising=False)
    if nodes:
        monkeypatch.setenv("SLURM_JOB_NUM_NODES", nodes)
    with pytest.raises(CalculationError, match="did not start"):
        ParallelPlaneWaves(COARSE, sodium_sulfide, "false")(sodium_sulfide)
    assert listened == [(interface, 0)]
