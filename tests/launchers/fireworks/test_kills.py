"""Killed at any moment, pilots, the server and the submission lose nothing and run nothing twice."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
from pilots import HELPERS, executions, outputs, sleepers, start

from sodalyte.database import open_database
from sodalyte.launchers.fireworks import Launchpad

MOMENTS = [pytest.param(2, id="2"), pytest.param(10, id="10", marks=pytest.mark.slow)]


def wait_for_progress(root, chance, seconds=60):
    """Wait until at least one more job has ended than now, and then a random moment longer."""
    before = len(executions(root))
    deadline = time.monotonic() + seconds
    while len(executions(root)) < before + 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(chance.uniform(0, 0.5))


def assert_whole(launchpad, root, jobs):
    counts = launchpad.counts()
    assert counts == {"COMPLETED": jobs, "BLOCKED": 0}
    assert len(outputs(launchpad.database)) == jobs
    ended = set()
    for event, job in executions(root):
        assert job not in ended, f"{job} ran again after it had ended"
        if event == "end":
            ended.add(job)
    for workflow in launchpad.collections.workflows.find({}):
        assert set(workflow["fw_states"].values()) == {"COMPLETED"}
        assert workflow["state"] == "COMPLETED"


@pytest.mark.parametrize("kills", MOMENTS)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "term"])
def test_pilots_killed_at_random_moments(launchpad, address, tmp_path, number, kills):
    jobs, idle = 8 * kills, {"idle": 2.0 * kills}
    chance = random.Random(int(number))
    root = tmp_path / "work" / "runs"
    launchpad.add(sleepers(tmp_path, jobs=jobs), campaign="one", root=root)
    pilots = [start(address, root, folder=tmp_path, settings=idle) for _ in range(2)]
    try:
        for _ in range(kills):
            wait_for_progress(root, chance)
            victim = chance.randrange(2)
            pilots[victim].send_signal(number)
            status = pilots[victim].wait(timeout=60)
            assert status == -number or (status == 0 and number == signal.SIGTERM)
            launchpad.reconcile_here()
            assert {run.pid for run in launchpad.running()} <= {pilots[1 - victim].pid}
            pilots[victim] = start(address, root, folder=tmp_path, settings=idle)
        deadline = time.monotonic() + 120
        while not launchpad.is_over() and time.monotonic() < deadline:
            time.sleep(0.2)
        assert_whole(launchpad, root, jobs)
    finally:
        for pilot in pilots:
            pilot.kill()
            pilot.wait()


@pytest.mark.parametrize("kills", MOMENTS)
def test_the_server_killed_at_random_moments(restartable_mongodb, tmp_path, kills):
    jobs = 8 * kills
    server, chance = restartable_mongodb, random.Random(3)
    address, root = f"{server.uri}/kills", tmp_path / "work" / "runs"
    with open_database(address) as database:
        launchpad = Launchpad(database)
        launchpad.add(sleepers(tmp_path, jobs=jobs), campaign="one", root=root)
        pilots = [start(address, root, folder=tmp_path, settings={"idle": 2.0 * kills}) for _ in range(2)]
        try:
            for _ in range(kills):
                wait_for_progress(root, chance)
                server.kill9()
                time.sleep(chance.uniform(0, 1.5))
                server.start()
            deadline = time.monotonic() + 120
            while not launchpad.is_over() and time.monotonic() < deadline:
                time.sleep(0.2)
                launchpad.reconcile_here()
            assert_whole(launchpad, root, jobs)
            ends = Counter(job for event, job in executions(root) if event == "end")
            assert set(ends.values()) == {1}
        finally:
            for pilot in pilots:
                pilot.kill()
                pilot.wait()


SUBMIT = """
import sys
from pathlib import Path
from pilots import sleepers
from sodalyte.database import open_database
from sodalyte.launchers.fireworks import Launchpad
folder = Path(sys.argv[1])
with open_database(sys.stdin.readline().strip()) as database:
    flow = sleepers(folder, jobs=600)
    print("go", flush=True)
    Launchpad(database).add(flow, campaign="one", root=folder / "runs")
"""


@pytest.mark.parametrize("kills", MOMENTS)
def test_the_submission_killed_at_random_moments(launchpad, address, tmp_path, kills):
    chance = random.Random(5)
    paths = os.pathsep.join([str(HELPERS), *sys.path])
    for _ in range(kills):
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", SUBMIT, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": paths},
        )
        with process:
            process.stdin.write(f"{address}\n".encode())
            process.stdin.flush()
            process.stdout.readline()
            time.sleep(chance.uniform(0, 1.2))
            process.kill()
    added = launchpad.add(sleepers(tmp_path, jobs=600), campaign="one", root=tmp_path / "runs")
    assert added.fireworks + added.present == 600
    assert launchpad.counts() == {"READY": 300, "WAITING": 300, "BLOCKED": 0}
    assert launchpad.collections.workflows.count_documents({}) == 300
