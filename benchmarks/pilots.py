"""Pilots against FireWorks' own ``rlaunch rapidfire`` on trivial jobs: the same server, the same number of workers.

    python benchmarks/pilots.py [--workers N] [--uri MONGODB] [JOBS...]

Jobs are chains of two; for FireWorks, too, each chain is a workflow of its own, which suits it best. Each launcher
starts anew on an empty database. The time is that from the start of its workers to the end of the last job, less
``start``: how long its workers take when there is no job. Without ``--uri`` the server is a mongod on the PATH, else
the stand-in of the tests, which says little about MongoDB itself.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pymongo
from jobflow import Flow
from rich.console import Console
from rich.table import Table

from sodalyte.database import open_database
from sodalyte.launchers.fireworks import Launchpad
from sodalyte.launchers.fireworks.settings import Settings

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "helpers"))
from mongodb_server import Server
from trivial import add

ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONWARNINGS": "ignore"}


def chains(jobs: int) -> list[Flow]:
    """Return chains of two jobs."""
    flows = []
    for number in range(jobs // 2):
        first = add(number, 1)
        flows.append(Flow([first, add(first.output, 2)]))
    return flows


def wait_for(processes: list[subprocess.Popen[bytes]]) -> None:
    """Wait until all processes have ended well."""
    for process in processes:
        if process.wait() != 0:
            raise SystemExit(f"{process.args} failed")


def ours(uri: str, jobs: int, workers: int, folder: Path) -> tuple[float, float]:
    """Return the seconds for adding the jobs, and for running them with pilots."""
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
        seconds = time.perf_counter() - began
        counts = launchpad.counts()
        if counts["COMPLETED"] != jobs:
            raise SystemExit(f"pilots left {dict(counts)}")
    return added, seconds


def plain(uri: str, jobs: int, workers: int, folder: Path) -> tuple[float, float]:
    """Return the seconds for adding the jobs, and for running them with rlaunch."""
    import yaml
    from fireworks import LaunchPad
    from jobflow.managers.fireworks import flow_to_workflow

    name = urlsplit(uri).path[1:]
    launchpad = LaunchPad(host=uri, name=name, uri_mode=True, strm_lvl="CRITICAL")
    launchpad.reset("", require_password=False)
    pad = folder / "my_launchpad.yaml"
    pad.write_text(yaml.safe_dump({"host": uri, "name": name, "uri_mode": True, "strm_lvl": "CRITICAL"}))
    store = folder / "jobflow.yaml"
    kept = {"type": "MongoURIStore", "uri": uri, "database": name, "collection_name": "outputs"}
    store.write_text(yaml.safe_dump({"JOB_STORE": {"docs_store": kept}}))
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
        quiet = subprocess.DEVNULL
        processes.append(subprocess.Popen(words, env=environment, cwd=here, stdout=quiet, stderr=quiet))
    wait_for(processes)
    seconds = time.perf_counter() - began
    completed = launchpad.fireworks.count_documents({"state": "COMPLETED"})
    if completed != jobs:
        raise SystemExit(f"rlaunch completed {completed} of {jobs}")
    return added, seconds


@contextmanager
def _server(uri: str | None) -> Iterator[str]:
    if uri:
        yield uri
        return
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        server.start()
        try:
            yield server.uri
        finally:
            server.stop()


def _measure(launcher: object, server: str, jobs: int, workers: int) -> tuple[float, float, float]:
    """Return the seconds for adding and for running, and the commands that the server ran for each job."""
    name = f"benchmark_{uuid.uuid4().hex[:8]}"
    uri = urlsplit(server)._replace(path=f"/{name}").geturl()
    with tempfile.TemporaryDirectory() as folder, pymongo.MongoClient(server) as client:
        before = _commands(client)
        added, seconds = launcher(uri, jobs, workers, Path(folder))  # type: ignore[operator]
        commands = (_commands(client) - before) / max(jobs, 1)
        client.drop_database(name)
    return added, seconds, commands


def _commands(client: pymongo.MongoClient) -> int:
    counters = client.admin.command("serverStatus")["opcounters"]
    return sum(counters.values())


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--uri")
    parser.add_argument("jobs", nargs="*", type=int)
    arguments = parser.parse_args()
    columns = ("jobs", "launcher", "add, ms/job", "start, s", "run, ms/job", "jobs/s", "commands/job", "ratio")
    table = Table(*columns, title=f"trivial jobs, {arguments.workers} worker(s)")
    with _server(arguments.uri) as server:
        starts = [_measure(launcher, server, 0, arguments.workers)[1] for launcher in (ours, plain)]
        for jobs in arguments.jobs or [200, 2000]:
            rates = []
            for launcher, start in zip((ours, plain), starts, strict=True):
                added, seconds, commands = _measure(launcher, server, jobs, arguments.workers)
                rates.append(jobs / (seconds - start))
                name = "sodalyte" if launcher is ours else "rlaunch"
                cells = [1000 * added / jobs, start, 1000 * (seconds - start) / jobs, rates[-1], commands]
                ratio = "" if launcher is ours else f"{rates[0] / rates[1]:.1f}"
                table.add_row(str(jobs), name, *(f"{cell:.1f}" for cell in cells), ratio)
    Console().print(table)


if __name__ == "__main__":
    main()
