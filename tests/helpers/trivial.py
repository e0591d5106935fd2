"""Jobs that worker processes can import."""

import errno
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from jobflow import Flow, Maker, Response, job
from jobflow.core.job import store_inputs

from sodalyte import interruption
from sodalyte.errors import CalculationError, OutOfMemoryError, StoppedError
from sodalyte.progress import tell_progress


@job
def add(a, b):
    return a + b


@dataclass
class Multiply(Maker):
    name: str = "multiply"
    factor: int = 1

    @job
    def make(self, number):
        return number * self.factor


@job
def grow(number, *, limit):
    """Replace itself until ``limit`` is reached."""
    if number >= limit:
        return number
    following = add(number, 1)
    rest = grow(following.output, limit=limit)
    return Response(replace=Flow([following, rest], output=rest.output))


@job
def tell_steps(number, *, seconds):
    """Say after each of some steps how far it is."""
    for step in range(1, number + 1):
        tell_progress(Path.cwd(), step=step, max_force=0.1 / step)
        time.sleep(seconds)


@job
def path_of_a_program():
    """Return where a program that the job starts is told to look for Python's modules."""
    return subprocess.run(["printenv", "PYTHONPATH"], capture_output=True, text=True, check=True).stdout.strip()


@job
def detour(number):
    return Response(output=number, detour=add(number, 100))


@job
def addition(number):
    return Response(output=number, addition=add(number, 1000))


@job
def stop_children(number):
    return Response(output=number, stop_children=True)


@job
def stop_everything():
    return Response(stop_jobflow=True)


@job
def fail(message):
    raise ValueError(message)


@job
def log_and_sleep(log, number, *, seconds=0.0, after=None):
    """Append a line when it starts and one when it ends."""
    with Path(log).open("a") as file:
        print("start", number, os.getpid(), file=file, flush=True)
        time.sleep(seconds)
        print("end", number, os.getpid(), file=file, flush=True)
    return number


@job
def die():
    os._exit(9)


@job
def needs_file(path):
    if not Path(path).exists():
        raise FileNotFoundError(path)
    return 1


@job
def wait_for_file(path):
    while not Path(path).exists():
        time.sleep(0.05)
    return 1


@job
def collect(numbers):
    return numbers


@job
def replaced_by_failure():
    failing = fail("inside")
    return Response(replace=Flow([failing], output=failing.output))


@job
def stores_something_first():
    first = store_inputs(1)
    return Response(replace=Flow([first], output=first.output))


@job
def fill_disk():
    raise OSError(errno.ENOSPC, "No space left on device")


@job
def fill_memory():
    raise MemoryError


@job
def need_more_memory():
    raise CalculationError("no answer") from OutOfMemoryError("VASP ran out of memory")


@job
def sleep_until_stopped():
    """Work step by step until it is asked to stop."""
    while not interruption.stop_requested():
        time.sleep(0.05)
    raise StoppedError("stopped after some steps")


@job
def start_program():
    """Wait for a program of its own, as custodian waits for VASP."""
    program = subprocess.Popen(["/bin/sleep", "600"], start_new_session=True)
    Path("pid").write_text(str(program.pid))
    program.wait()


def dynamic_flow():
    """A flow of every kind of response, and how its jobs feed each other."""
    grown = grow(1, limit=4)
    detoured = detour(grown.output)
    added = addition(detoured.output)
    stopped = stop_children(added.output)
    return Flow([grown, detoured, added, stopped, add(stopped.output, 1), add(detoured.output, added.output)])
