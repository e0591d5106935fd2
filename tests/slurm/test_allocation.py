"""An allocation on a real Slurm: pilots on their own nodes or cores, warned in time, replaced when they die."""

import json
import secrets
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from slurm_lab import wait_until

from sodalyte.configuration import GPAW_COMMAND, Cluster
from sodalyte.launchers.slurm.causes import end_of_pilot
from sodalyte.launchers.slurm.queue import Queue
from sodalyte.launchers.slurm.script import Need, allocation_script, side_by_side

PYTHON = Path(sys.executable)


@pytest.fixture
def start(queue, tmp_path):
    """Submit an allocation whose pilots run a piece of Python; returns its number and its folder."""
    started = []

    def start(pilot, *, minutes=10, queue=queue, vasp=f"bash -c '{VASP}'", exported=None, **table):
        (tmp_path / "pilot.py").write_text(PILOT + textwrap.dedent(pilot))
        cluster = Cluster(**{"cores": 2, "walltime": minutes / 60, "memory": 2000} | table)
        settings = tmp_path / "settings.json"
        settings.write_text(
            json.dumps(
                {
                    "pilot": [sys.executable, str(tmp_path / "pilot.py")],
                    "cores": cluster.cores,
                    "side_by_side": cluster.side_by_side,
                    "warning": cluster.warning,
                    "vasp": {"command": vasp},
                    "environment": {"FOR_PILOTS": "yes", **(exported or {})},
                }
            )
        )
        text = allocation_script(cluster, name="test", python=PYTHON, settings=settings)
        job = queue.submit(text, options=[f"--chdir={tmp_path}"])
        started.append(job)
        return job, tmp_path / job

    yield start
    queue.cancel(started)


PILOT = """
import os, shlex, signal, subprocess, sys, time
from pathlib import Path

def tell(*words):
    with open("told", "a") as file:
        where = [os.environ[name] for name in ("SODALYTE_PILOT", "SLURM_STEP_ID", "SLURMD_NODENAME")]
        print(*where, *words, file=file)

def vasp():
    return subprocess.Popen(shlex.split(os.environ["SODALYTE_VASP_COMMAND"]))
"""
VASP = (
    "echo rank $SLURM_PROCID of $SLURM_NTASKS on $SLURMD_NODENAME $OMP_NUM_THREADS >> ranks; sleep ${VASP_SECONDS:-0}"
)


def told(folder):
    path = folder.parent / "told"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def records(folder):
    return [json.loads(path.read_text()) for path in folder.glob("*.json") if path.stem not in ("end", "room")]


def over(queue, job):
    return wait_until(lambda: None if (found := queue.find([job])[job]).waiting or found.alive else found)


def test_whole_nodes_side_by_side(start, queue):
    job, folder = start(
        """
        process = vasp()
        tell(process.wait(), os.environ["FOR_PILOTS"])
        """,
        nodes=4,
        side_by_side=2,
    )
    assert over(queue, job).state == "COMPLETED"
    assert sorted(words[2:] for words in told(folder)) == [["n1", "0", "yes"], ["n3", "0", "yes"]]
    ranks = sorted((folder.parent / "ranks").read_text().splitlines())
    nodes = {"n1": (0, 1), "n2": (2, 3), "n3": (0, 1), "n4": (2, 3)}
    assert ranks == sorted(f"rank {rank} of 4 on {node} 1" for node, both in nodes.items() for rank in both)
    assert json.loads((folder / "end.json").read_text())["failed"] is False
    assert {record["status"] for record in records(folder)} == {0}


def test_gpaw_gets_every_core_of_its_slot(start, queue):
    job, folder = start(
        'tell(subprocess.call(shlex.split(os.environ["SODALYTE_GPAW_COMMAND"])))',
        nodes=2,
        exported={GPAW_COMMAND: f"bash -c '{VASP}'"},
    )
    assert over(queue, job).state == "COMPLETED"
    ranks = sorted((folder.parent / "ranks").read_text().splitlines())
    assert ranks == [f"rank {rank} of 4 on n{1 + rank // 2} 1" for rank in range(4)]


@pytest.mark.parametrize(
    ("default", "lines"), [("pmi2", ()), ("none", ("export SLURM_MPI_TYPE=pmi2",))], ids=["the site", "the user"]
)
def test_ranks_find_each_other_as_it_is_told_for_the_cluster(start, make_lab, default, lines):
    """The pilot is no parallel program; how its step was started must not reach that of VASP."""
    queue = Queue(environment=make_lab(nodes=1, extra=f"MpiDefault={default}").environment)
    vasp = "bash -c 'echo rank $PMI_RANK of $PMI_SIZE >> ranks'"
    job, folder = start('tell(os.environ.get("PMI_RANK"), vasp().wait())', vasp=vasp, queue=queue, environment=lines)
    assert over(queue, job).state == "COMPLETED"
    assert [words[3:] for words in told(folder)] == [["None", "0"]]
    assert sorted((folder.parent / "ranks").read_text().splitlines()) == ["rank 0 of 2", "rank 1 of 2"]


def test_where_the_site_counts_memory_by_core(start, make_lab):
    """Variables that Slurm sets in an allocation must not contradict what steps ask for."""
    queue = Queue(environment=make_lab(nodes=1, extra="DefMemPerCPU=900").environment)
    job, folder = start("tell(vasp().wait())", side_by_side=2, memory=None, queue=queue)
    assert over(queue, job).state == "COMPLETED"
    assert sorted(words[2:] for words in told(folder)) == [["n1", "0"], ["n1", "0"]]


def test_neighbours_on_one_node_start_together_and_do_not_feel_each_other(start, queue):
    """A correction that kills one VASP leaves the other alone: the pains of packed runs."""
    job, folder = start(
        """
        os.environ["VASP_SECONDS"] = "2"
        began = time.time()
        process = vasp()
        if os.environ["SLURM_STEP_ID"] == "0":
            time.sleep(0.7)
            process.terminate()
        tell(process.wait(), round(time.time() - began, 1))
        """,
        side_by_side=2,
    )
    assert over(queue, job).state == "COMPLETED"
    first, second = sorted(told(folder), key=lambda words: words[1])
    assert first[3] != "0"
    assert float(first[4]) < 2
    assert second[3] == "0"
    assert 2 <= float(second[4]) < 4, "it waited for its neighbour's cores"


RING = """
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv) {
    int rank, size, sum;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (rank == 0) fclose(fopen(getenv("BEGUN"), "w"));
    for (int step = 0; step < 40; step++) {
        usleep(50000);
        MPI_Allreduce(&rank, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    }
    printf("rank %d of %d: %d\\n", rank, size, sum);
    return MPI_Finalize();
}
"""


@pytest.mark.slow
def test_parallel_programs_share_a_node(start, make_lab, tmp_path):
    """Real MPI by PMIx: each communicates with its own ranks, and killing the one leaves the other alone."""
    if shutil.which("mpicc") is None:
        pytest.skip("no mpicc: scripts/install --with gpaw gets one where it may")
    (tmp_path / "ring.c").write_text(RING)
    subprocess.run(["mpicc", "ring.c", "-o", "ring"], cwd=tmp_path, check=True)
    first = 10_000 + secrets.randbelow(1_000_000)  # a step that is killed leaves a folder of its number in /tmp
    queue = Queue(environment=make_lab(nodes=1, cpus=4, extra=f"MpiDefault=pmix\nFirstJobId={first}").environment)
    job, folder = start(
        """
        begun = Path("begun-" + os.environ["SLURM_STEP_ID"])
        os.environ["BEGUN"] = str(begun)
        process = vasp()
        if os.environ["SLURM_STEP_ID"] == "0":
            while not begun.exists():
                time.sleep(0.05)
            process.terminate()
        tell("ended", process.wait())
        """,
        queue=queue,
        vasp=str(tmp_path / "ring"),
        cores=4,
        side_by_side=2,
    )
    assert over(queue, job).state == "COMPLETED"
    ends = {words[1]: words[4] for words in told(folder)}
    assert ends.pop("0") != "0"
    assert list(ends.values()) == ["0"]
    said = "".join(path.read_text() for path in folder.glob("slot-*.log"))
    assert sorted(line for line in said.splitlines() if line.startswith("rank")) == ["rank 0 of 2: 1", "rank 1 of 2: 1"]


def test_a_pilot_that_dies_is_replaced_and_recorded(start, queue):
    job, folder = start(
        """
        tell()
        if not Path("again").exists():
            Path("again").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    assert over(queue, job).state == "COMPLETED"
    first, second = told(folder)
    by_pilot = {record["pilot"]: record for record in records(folder)}
    assert by_pilot[second[0]]["status"] == 0
    died = by_pilot[first[0]]
    end = end_of_pilot(died["status"], died["log"], where="step 0")
    assert (end.cause, died["status"]) == ("CRASHED", 128 + 9)
    assert "signal 9" in end.reason


def test_pilots_that_never_start_end_the_allocation(start, queue):
    job, folder = start("raise SystemExit('no database')")
    ended = over(queue, job)
    assert (ended.state, ended.exit_code) == ("FAILED", 1)
    assert len(records(folder)) == 6
    assert "no database" in records(folder)[0]["log"]


def test_too_much_memory_is_told_from_a_crash(start, queue):
    """Slurm without cgroups kills the step and says so only in its output."""
    job, folder = start(
        """
        try:
            Path("again").touch(exist_ok=False)  # by one of the two alone
            held = bytearray(600 * 1024 * 1024)
            time.sleep(20)
        except FileExistsError:
            pass
        """,
        side_by_side=2,
        memory=600,
    )
    over(queue, job)
    ends = [end_of_pilot(one["status"], one["log"], where="") for one in records(folder) if one["status"]]
    assert [end.cause for end in ends] == ["OUT_OF_MEMORY"]


@pytest.mark.parametrize("how", ["scancel", "warning"])
def test_pilots_are_told_to_stop(start, queue, how):
    """Both ways: scancel sends SIGTERM to all steps; the warning goes to the script, which hands it on."""
    job, folder = start(
        """
        def stop(number, frame):
            tell("told", number)
            raise SystemExit
        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGUSR1, stop)
        tell("began", os.environ["SODALYTE_DEADLINE"])
        time.sleep(60)
        """,
        nodes=2,
        side_by_side=2,
    )
    began = wait_until(lambda: len(told(folder)) == 2 and told(folder))
    assert all(500 < float(words[4]) - time.time() <= 600 for words in began)
    if how == "scancel":
        queue.cancel([job])
    else:
        queue.ask("scancel", "--batch", "--signal=USR1", job)
    assert over(queue, job).state == ("CANCELLED" if how == "scancel" else "COMPLETED")
    number = {"scancel": "15", "warning": "10"}[how]
    assert [words[3:] for words in told(folder)[2:]] == [["told", number]] * 2


@pytest.mark.slow
def test_out_of_time(start, queue):
    """The warning comes before the limit; a pilot that does not heed it is ended by Slurm, which says TIMEOUT."""
    job, folder = start(
        """
        signal.signal(signal.SIGUSR1, lambda *_: tell("warned", time.time()))
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        tell("began", os.environ["SODALYTE_DEADLINE"])
        while True:
            time.sleep(1)
        """,
        minutes=1,
        warning=30,
    )
    ended = wait_until(lambda: None if (found := queue.find([job])[job]).waiting or found.alive else found, seconds=200)
    assert ended.state == "TIMEOUT"
    began, warned = told(folder)
    assert float(warned[4]) < float(began[4])


def test_more_memory_means_fewer_neighbours():
    cluster = Cluster(cores=16, walltime=1, memory=64000, side_by_side=4)
    assert [side_by_side(cluster, Need(memory=memory)) for memory in (0, 16000, 16001, 32000, 64000)] == [4, 4, 3, 2, 1]
    assert "--mem=64000" in allocation_script(cluster, name="x", python=PYTHON, settings=Path("/x"))


def test_nothing_reaches_a_shell_unquoted(tmp_path):
    folder = tmp_path / "a b; touch $(hack) 'x'"
    text = allocation_script(
        Cluster(cores=2, walltime=1), name="abc", python=Path("/opt/my python/bin/python"), settings=folder / "s.json"
    )
    script = tmp_path / "script"
    script.write_text(text.replace("exec ", "printf '%s\\n' "))
    words = subprocess.run(["bash", script], capture_output=True, text=True, check=True).stdout.splitlines()
    assert words == ["/opt/my python/bin/python", "-m", "sodalyte.launchers.slurm.allocation", str(folder / "s.json")]
    with pytest.raises(ValueError, match="rm"):
        allocation_script(Cluster(cores=2, walltime=1), name="x; rm", python=PYTHON, settings=folder)
