"""Local launcher against jobflow's run_locally on trivial jobs, one worker, the same kind of store.

    python benchmarks/trivial_jobs.py [JOBS...]

Prints milliseconds per job. The launcher's time is without the start of its worker, which is given by itself: it is
paid once for a run.
"""

import sys
import tempfile
import time
from pathlib import Path

from jobflow import Flow, run_locally
from rich.console import Console
from rich.table import Table

from sodalyte.database import open_database
from sodalyte.launchers import local

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "helpers"))
from trivial import add


def flow(jobs: int) -> Flow:
    """Return a chain of pairs: every second job needs the one before it."""
    pairs = []
    for number in range(jobs // 2):
        first = add(number, 1)
        pairs += [first, add(first.output, 2)]
    return Flow(pairs)


def ours(jobs: int, folder: Path) -> tuple[float, float]:
    """Return the seconds until the worker was ready, and those for all jobs."""
    began = time.perf_counter()
    started: list[float] = []

    def note(_: local.Event) -> None:
        if not started:
            started.append(time.perf_counter())

    local.run(flow(jobs), database=f"lite://{folder / 'db'}", root=folder / "runs", workers=1, on_event=note)
    return started[0] - began, time.perf_counter() - started[0]


def peer(jobs: int, folder: Path) -> float:
    """Return the seconds that run_locally takes."""
    with open_database(f"lite://{folder / 'db'}") as database:
        began = time.perf_counter()
        run_locally(flow(jobs), store=database.job_store, log=False, root_dir=folder, ensure_success=True)
        return time.perf_counter() - began


def main() -> None:
    """Run the benchmark and print its table."""
    columns = ("jobs", "start, s", "sodalyte, ms/job", "run_locally, ms/job", "ratio")
    table = Table(*columns, title="trivial jobs, one worker")
    for jobs in [int(word) for word in sys.argv[1:]] or [100, 1000]:
        with tempfile.TemporaryDirectory() as here, tempfile.TemporaryDirectory() as there:
            start, mine = ours(jobs, Path(here))
            theirs = peer(jobs, Path(there))
        per_job = [f"{1000 * seconds / jobs:.2f}" for seconds in (mine, theirs)]
        table.add_row(str(jobs), f"{start:.2f}", *per_job, f"{mine / theirs:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
