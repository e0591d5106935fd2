"""Pilots for tests: in this process, for a single step, or as processes of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

from jobflow import Flow, Job
from trivial import add, log_and_sleep

from sodalyte.launchers.execution import Executor
from sodalyte.launchers.fireworks import Pilot
from sodalyte.launchers.fireworks.settings import Settings
from sodalyte.launchers.identity import INCOMPLETE, identify

HELPERS = Path(__file__).parent
DEFAULTS = {
    "idle": 0.5,
    "minimum": 0.0,
    "warning": 0.0,
    "kill": 1.0,
    "heartbeat": 0.3,
    "answer": 2.0,
    "patience": 60.0,
    "threads": 1,
}


class KilledError(BaseException):
    """The process ends here."""


def execute(launchpad, root, claim):
    """Run a claimed job in this process and return its outcome."""
    job = Job.from_dict(json.loads(claim.job))
    if claim.incomplete:
        job.metadata[INCOMPLETE] = True
    with Executor(launchpad.database, root) as executor:
        return executor.run(job, wait=False)


def work(launchpad, root, *, until=None):
    """Run everything that is READY, one job after the other, in this process; return the names in order."""
    me = Pilot.here()
    names = []
    while names[-1:] != [until] and (claims := launchpad.claim(me)):
        names.append(claims[0].name)
        try:
            outcome = execute(launchpad, root, claims[0])
        except Exception as error:  # noqa: BLE001
            launchpad.fail(claims[0], "ERROR", str(error))
        else:
            assert launchpad.complete(claims[0], outcome)
    return names


def start(address, root, *, folder, settings=None, **environment):
    """Start a pilot process."""
    options = DEFAULTS | (settings or {})
    path = folder / "pilot.json"
    Settings(database=address, root=root, **options).write(path)
    paths = os.pathsep.join([str(HELPERS), *sys.path])
    words = [sys.executable, "-W", "ignore", "-m", "sodalyte.launchers.fireworks.pilot", str(path)]
    with (folder / "pilots.log").open("ab") as log:
        return subprocess.Popen(words, env=os.environ | {"PYTHONPATH": paths} | environment, stdout=log, stderr=log)


def executions(root):
    """Return the journal's events as pairs: start or end, and the job."""
    journal = root / "journal.txt"
    return [tuple(line.split()[1:3]) for line in journal.read_text().splitlines()] if journal.exists() else []


def outputs(database):
    found = database.collection("outputs").find({}, {"uuid": 1, "index": 1, "output": 1})
    return {(document["uuid"], document["index"]): document["output"] for document in found}


def sleepers(folder, *, jobs, seconds=0.2):
    """Return chains of two jobs."""
    flow = []
    for number in range(0, jobs, 2):
        first = log_and_sleep(str(folder / "log"), number, seconds=seconds)
        flow += [first, log_and_sleep(str(folder / "log"), number + 1, seconds=seconds, after=first.output)]
    return identify(Flow(flow))


def chain(length):
    """Return jobs each of which needs the one before it."""
    jobs = [add(0, 1)]
    for _ in range(length - 1):
        jobs.append(add(jobs[-1].output, 1))
    return jobs
