"""Killed at any moment and started again with the same command, a run goes on: nothing lost, nothing run twice."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from sodalyte.database import load_results, open_database


def start(kind, folder, *jobs):
    drive = Path(__file__).parent.parent / "helpers" / "drive.py"
    command = [sys.executable, "-W", "ignore", str(drive), kind, str(folder), *map(str, jobs)]
    with (folder / "driver.log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)


def finished(folder):
    if not (folder / "database").exists():
        return {}
    with open_database(f"lite://{folder / 'database'}") as database:
        found = database.job_store.docs_store.query({}, properties=["uuid", "index", "completed_at"])
        return {(document["uuid"], document["index"]): document["completed_at"] for document in found}


def wait_for_progress(folder, driver, chance):
    """Wait until at least one more job has ended than now, and then a random moment longer."""
    journal = folder / "runs" / "journal.txt"
    before = journal.read_text().count(" end ") if journal.exists() else 0
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and driver.poll() is None:
        if journal.exists() and journal.read_text().count(" end ") > before:
            time.sleep(chance.uniform(0, 0.5))
            return
        time.sleep(0.02)


def kill_something(driver, chance):
    """Kill the launcher or one of its workers."""
    children = psutil.Process(driver.pid).children() if driver.poll() is None else []
    victim = chance.choice([driver.pid, *(child.pid for child in children)])
    os.kill(victim, signal.SIGKILL)
    return victim


@pytest.mark.parametrize(
    ("kind", "kills", "jobs"),
    [
        ("sleepers", 6, 90),
        pytest.param("sleepers", 20, 150, marks=pytest.mark.slow),
        pytest.param("screening", 20, None, marks=pytest.mark.slow),
    ],
)
def test_killed_at_random_moments(kind, kills, jobs, tmp_path):
    chance = random.Random(7)
    disturbed = tmp_path / "disturbed"
    disturbed.mkdir()
    seen = {}
    words = (kind, disturbed, *([jobs] if jobs else []))
    driver = start(*words)
    for _ in range(kills):
        wait_for_progress(disturbed, driver, chance)
        assert driver.poll() is None, "it ended before all kills were done"
        if kill_something(driver, chance) == driver.pid:
            driver.wait()
            now = finished(disturbed)
            assert seen.items() <= now.items(), "a finished job was lost or computed again"
            seen = now
            driver = start(*words)
    assert driver.wait(timeout=300) == 0

    events = [line.split()[1:3] for line in (disturbed / "runs" / "journal.txt").read_text().splitlines()]
    ended = set()
    for event, job in events:
        assert job not in ended, f"{job} ran again after it had ended"
        if event == "end":
            ended.add(job)
    assert Counter(job for event, job in events if event == "end").most_common(1)[0][1] == 1
    assert seen.items() <= finished(disturbed).items()

    calm = tmp_path / "calm"
    calm.mkdir()
    if kind == "screening":
        assert start(kind, calm).wait(timeout=300) == 0
        assert finished(calm).keys() == finished(disturbed).keys()
        assert results(calm) == results(disturbed)
    else:
        assert len(ended) >= jobs - kills  # a job killed between its commit and its line in the journal has no line
        assert len(finished(disturbed)) == jobs


def results(folder):
    with open_database(f"lite://{folder / 'database'}") as database:
        return load_results(database)


def test_workers_die_with_their_launcher(tmp_path):
    driver = start("sleepers", tmp_path)
    wait_for_progress(tmp_path, driver, random.Random(1))
    workers = psutil.Process(driver.pid).children()
    assert len(workers) == 2
    driver.kill()
    driver.wait()
    assert not psutil.wait_procs(workers, timeout=5)[1]
