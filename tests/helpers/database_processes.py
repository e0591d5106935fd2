"""Processes that use one database at the same time; ``run`` starts them, the rest is what they do."""

import os
import subprocess
import sys
from collections.abc import Sequence

from sodalyte.analysis.results import Result, Subject, judge
from sodalyte.database import open_database, save_results
from sodalyte.database.store import OUTPUTS

SUBJECT = Subject(material="Na3SbS4", polymorph="tetragonal", level="EMT", recipe="quick", calculations=("one",))


def run(task: str, address: str, *arguments: object) -> subprocess.Popen:
    """Start a process that does ``task`` and prints one line for everything the database has acknowledged."""
    words = [sys.executable, __file__, task, address, *map(str, arguments)]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment)


def finish(processes: Sequence[subprocess.Popen]) -> list[list[str]]:
    """Wait for the processes to end well and return the lines of each."""
    lines = [process.communicate(timeout=60)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return lines


def numbered(number: int) -> Result:
    return judge(SUBJECT, property=f"property_{number}", value=float(number), unit="1")


def open_and_close(address: str) -> None:
    with open_database(address) as database:
        print(database.results.count_documents({}))  # noqa: T201


def write_outputs(address: str, name: str, count: str) -> None:
    """Replace or insert output documents as a job store does."""
    with open_database(address) as database:
        outputs = database.collection(OUTPUTS)
        for number in range(int(count)):
            uuid = f"{name}-{number}"
            document = {"uuid": uuid, "index": 1, "output": list(range(200))}
            outputs.replace_one({"uuid": uuid, "index": 1}, document, upsert=True)
            print(uuid)  # noqa: T201


def save_numbered(address: str, count: str) -> None:
    with open_database(address) as database:
        for number in range(int(count)):
            save_results(database, [numbered(number)])


def claim(address: str) -> None:
    """Take waiting outputs until there are none."""
    with open_database(address) as database:
        outputs = database.collection(OUTPUTS)
        while taken := outputs.find_one_and_update({"state": "waiting"}, {"$set": {"state": "taken"}}):
            print(taken["uuid"])  # noqa: T201


if __name__ == "__main__":
    {task.__name__: task for task in (open_and_close, write_outputs, save_numbered, claim)}[sys.argv[1]](*sys.argv[2:])
