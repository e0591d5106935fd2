"""Pilots against the launchers of FireWorks and jobflow-remote on trivial jobs: same server, same number of workers.

    python benchmarks/pilots.py [--workers N] [--uri MONGODB] [--remote-python PYTHON] [JOBS...]

Jobs are chains of two, each a workflow of its own for the peers, which suits them best. Each launcher starts anew on an
empty database. The time is that from the start of its workers to the end of the last job, less ``start``: how long its
workers take when there is no job, or, for jobflow-remote, until it has taken the first. Without ``--uri`` the server is
that of SODALYTE_TEST_MONGODB_URI, a mongod on the PATH, or the stand-in of the tests, which says little about MongoDB.

FireWorks runs as ``rlaunch rapidfire``. jobflow-remote is no dependency; it takes part where its own Python is given:

    python -m venv PLACE && PLACE/bin/pip install jobflow-remote
    python benchmarks/pilots.py --remote-python PLACE/bin/python 100

It runs as ``jf runner run`` with a batch worker on this machine, without a scheduler, and looks every second where its
defaults are 30 and 60 s. It needs seconds for a job, so give few.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pymongo
import yaml
from common import HELPERS, mongodb, new_database
from jobflow import Flow
from rich.console import Console
from rich.table import Table
from trivial import add

from sodalyte.database import open_database
from sodalyte.launchers.fireworks import Launchpad
from sodalyte.launchers.fireworks.settings import Settings

ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONWARNINGS": "ignore"}
QUIET = subprocess.DEVNULL
DELAY = 1  # s, of jobflow-remote's runner, which sleeps that long itself between two looks
SUBMIT = """
import sys, time
from jobflow import Flow
from jobflow_remote import submit_flow
from trivial import add
began = time.perf_counter()
for number in range(int(sys.argv[1]) // 2):
    first = add(number, 1)
    submit_flow(Flow([first, add(first.output, 2)]))
print(time.perf_counter() - began)
"""


@dataclass(frozen=True)
class Measured:
    """Seconds for adding the jobs and for running them, and the commands with which the benchmark itself looked on."""

    added: float
    ran: float
    looks: int = 0


Launcher = Callable[[str, int, int, Path], Measured]


def chains(jobs: int) -> list[Flow]:
    """Return chains of two jobs."""
    flows = []
    for number in range(jobs // 2):
        first = add(number, 1)
        flows.append(Flow([first, add(first.output, 2)]))
    return flows


def wait_for(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    """Wait until all processes have ended well."""
    for process in processes:
        if process.wait() != 0:
            raise SystemExit(f"{process.args} failed")


def pilots(uri: str, jobs: int, workers: int, folder: Path) -> Measured:
    """Run the jobs with sodalyte's pilots."""
    with open_database(uri) as database:
        launchpad = Launchpad(database)
        launchpad.prepare()
        began = time.perf_counter()
        if jobs:
            launchpad.add(Flow(chains(jobs)), campaign="benchmark", root=folder / "runs")
        added = time.perf_counter() - began
        settings = folder / "pilot.json"
        Settings(database=uri, root=folder / "runs", idle=0.1, minimum=0, warning=0, threads=1).write(settings)
        began = time.perf_counter()
        words = [sys.executable, "-m", "sodalyte.launchers.fireworks.pilot", str(settings)]
        wait_for([subprocess.Popen(words, env=ENVIRONMENT) for _ in range(workers)])
        ran = time.perf_counter() - began
        counts = launchpad.counts()
        if counts["COMPLETED"] != jobs:
            raise SystemExit(f"pilots left {dict(counts)}")
    return Measured(added, ran)


def rlaunch(uri: str, jobs: int, workers: int, folder: Path) -> Measured:
    """Run the jobs with FireWorks' ``rlaunch rapidfire``."""
    from fireworks import LaunchPad
    from jobflow.managers.fireworks import flow_to_workflow

    name = urlsplit(uri).path[1:]
    launchpad = LaunchPad(host=uri, name=name, uri_mode=True, strm_lvl="CRITICAL")
    launchpad.reset("", require_password=False)
    pad = folder / "my_launchpad.yaml"
    pad.write_text(yaml.safe_dump({"host": uri, "name": name, "uri_mode": True, "strm_lvl": "CRITICAL"}))
    store = folder / "jobflow.yaml"
    store.write_text(yaml.safe_dump({"JOB_STORE": {"docs_store": _store(uri, "outputs")}}))
    began = time.perf_counter()
    if jobs:
        launchpad.bulk_add_wfs([flow_to_workflow(chain) for chain in chains(jobs)])
    added = time.perf_counter() - began
    words = [str(Path(sys.executable).parent / "rlaunch"), "-s", "-l", str(pad), "rapidfire", "--nlaunches", "0"]
    environment = ENVIRONMENT | {"JOBFLOW_CONFIG_FILE": str(store)}
    began = time.perf_counter()
    processes = []
    for number in range(workers):
        here = folder / f"worker-{number}"
        here.mkdir()
        processes.append(subprocess.Popen(words, env=environment, cwd=here, stdout=QUIET, stderr=QUIET))
    wait_for(processes)
    ran = time.perf_counter() - began
    completed = launchpad.fireworks.count_documents({"state": "COMPLETED"})
    if completed != jobs:
        raise SystemExit(f"rlaunch completed {completed} of {jobs}")
    return Measured(added, ran)


def remote(python: Path, uri: str, jobs: int, workers: int, folder: Path) -> Measured:
    """Run the jobs with the jobflow-remote of another Python; without jobs, have it take the first of two."""
    (folder / "benchmark.yaml").write_text(yaml.safe_dump(_project(uri, workers, folder)))
    environment = os.environ | {
        "JFREMOTE_PROJECTS_FOLDER": str(folder),
        "JFREMOTE_PROJECT": "benchmark",
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(HELPERS), str(HELPERS.parents[1])]),
        "PYTHONWARNINGS": "ignore",
    }
    jf = python.parent / "jf"
    subprocess.run([jf, "admin", "reset", "-y"], env=environment, stdout=QUIET, check=True)
    words = [python, "-c", SUBMIT, str(jobs or 2)]
    added = float(subprocess.run(words, env=environment, stdout=subprocess.PIPE, check=True).stdout.split()[-1])
    looks = 0
    with pymongo.MongoClient(uri) as client, (folder / "runner.log").open("wb") as log:
        collection = client.get_default_database()["jobs"]
        began = time.perf_counter()
        runner = subprocess.Popen(
            [jf, "runner", "run"], env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            over = False
            while not over:
                time.sleep(DELAY)
                looks += 1
                groups = collection.aggregate([{"$group": {"_id": "$state", "n": {"$sum": 1}}}])
                states = {group["_id"]: group["n"] for group in groups}
                over = states.get("COMPLETED") == jobs if jobs else bool(states.keys() - {"READY", "WAITING"})
                if runner.poll() is not None or states.keys() & {"FAILED", "REMOTE_ERROR"}:
                    raise SystemExit(f"jobflow-remote left {states}: {(folder / 'runner.log').read_text()[-2000:]}")
            ran = time.perf_counter() - began
        finally:
            os.killpg(runner.pid, signal.SIGKILL)  # the batch processes are of its group
            runner.wait()
    return Measured(added, ran, looks)


def _project(uri: str, workers: int, folder: Path) -> dict[str, object]:
    delays = ("checkout", "check_run_status", "advance_status", "refresh_limited", "update_batch")
    batch = {"jobs_handle_dir": str(folder / "handles"), "work_dir": str(folder / "batch"), "sleep_time": 0.1}
    worker = {"type": "local", "scheduler_type": "shell", "work_dir": str(folder), "max_jobs": workers, "batch": batch}
    return {
        "name": "benchmark",
        "workers": {"here": worker},
        "queue": {"store": _store(uri, "jobs")},
        "jobstore": {"docs_store": _store(uri, "outputs")},
        "runner": {f"delay_{delay}": DELAY for delay in delays},
    }


def _store(uri: str, collection: str) -> dict[str, str]:
    return {"type": "MongoURIStore", "uri": uri, "database": urlsplit(uri).path[1:], "collection_name": collection}


def measure(launcher: Launcher, server: str, jobs: int, workers: int) -> tuple[Measured, float]:
    """Return what a launcher took, and how many commands the server ran for each job."""
    with (
        new_database(server) as uri,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        pymongo.MongoClient(server) as client,
    ):
        before = _commands(client)
        measured = launcher(uri, jobs, workers, Path(folder))
        commands = _commands(client) - before - measured.looks
    return measured, commands / max(jobs, 1)


def _commands(client: pymongo.MongoClient) -> int:
    counters = client.admin.command("serverStatus")["opcounters"]
    return sum(counters.values())


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--uri")
    parser.add_argument("--remote-python", type=Path)
    parser.add_argument("jobs", nargs="*", type=int)
    arguments = parser.parse_args()
    launchers: dict[str, Launcher] = {"sodalyte": pilots, "rlaunch rapidfire": rlaunch}
    if arguments.remote_python:
        launchers["jobflow-remote"] = partial(remote, arguments.remote_python.absolute())
    columns = ("jobs", "launcher", "add, ms/job", "start, s", "run, ms/job", "jobs/s", "commands/job", "ratio")
    table = Table(*columns, title=f"trivial jobs, {arguments.workers} worker(s)")
    with mongodb(arguments.uri) as server:
        starts = {name: measure(launcher, server, 0, arguments.workers)[0].ran for name, launcher in launchers.items()}
        for jobs in arguments.jobs or [200, 2000]:
            rates: list[float] = []
            for name, launcher in launchers.items():
                measured, commands = measure(launcher, server, jobs, arguments.workers)
                seconds = measured.ran - starts[name]
                rates.append(jobs / seconds)
                cells = (1000 * measured.added / jobs, starts[name], 1000 * seconds / jobs)
                ratio = f"{rates[0] / rates[-1]:.1f}" if len(rates) > 1 else ""
                figures = [*(f"{cell:.1f}" for cell in cells), f"{rates[-1]:.2f}", f"{commands:.1f}"]
                table.add_row(str(jobs), name, *figures, ratio)
    one, *_ = os.getloadavg()
    Console(width=120).print(table, f"load of the machine at the end: {one:.0f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
