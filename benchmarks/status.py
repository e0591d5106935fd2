"""Status and watch among 100,000 jobs, 500 of them running, on a MongoDB server.

The server is SODALYTE_TEST_MONGODB_URI if that is set, a mongod on the PATH, or the stand-in of the tests. Give another
number of jobs as argument. Run it as it is; it prints one table and fails if a question takes longer than allowed.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

from common import best_time, end, mongodb, new_database
from rich.console import Console

from sodalyte.cli.watching import Observer, screen
from sodalyte.database import Database, open_database
from sodalyte.launchers.fireworks import Launchpad
from sodalyte.launchers.fireworks.overview import Overview

N_JOBS, N_RUNNING = 100_000, 500
JOB = "x" * 5000
ALLOWED = 1.0  # s
STATES = ["COMPLETED"] * 60 + ["WAITING"] * 25 + ["READY"] * 13 + ["FIZZLED"] * 2
FAILED = {"cause": "OUT_OF_MEMORY", "reason": "it needed more than it had", "slurm_job": "1", "node": "n1"}


def jobs(number: int) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
    """Fireworks of three campaigns and 400 materials, each with its launch."""
    rng = random.Random(1)  # noqa: S311
    for index in range(number):
        state = "RUNNING" if index < N_RUNNING else rng.choice(STATES)
        own: dict[str, Any] = {"attempts": [FAILED] if state == "FIZZLED" else []}
        if state == "WAITING" and index % 50 == 0:
            own["blocked"] = "a job that it needs failed"
        spec = {
            "_tasks": [{"job": JOB}],
            "_priority": 0,
            "campaign": f"campaign {index % 3}",
            "material": f"Na3M{index % 400}S4",
            "stage": ("relax", "static", "elastic", "analysis")[index % 4],
            "job_uuid": f"uuid-{index}",
            "job_index": 1,
            "_sodalyte": own,
        }
        moment = f"2026-11-22T10:{index % 60:02}:00+00:00"
        firework = {"fw_id": index, "name": f"job {index}", "state": state, "launches": [index], "updated_on": moment}
        ended = state == "COMPLETED"
        launch = {
            "launch_id": index,
            "fw_id": index,
            "state": state,
            "time_start": moment,
            "time_end": moment if ended else None,
            "runtime_secs": 3.5 if ended else None,
            "sodalyte": {
                "campaign": spec["campaign"],
                "slurm_job": str(index // 8),
                "node": f"n{index % 50}",
                "cores": 8,
                "started": moment,
                "heartbeat": "2026-11-22T12:00:00+00:00",
                "progress": {"step": index, "of": 20_000, "temperature": 600.0, "ps_per_day": 17.0},
            },
        }
        yield firework | {"spec": spec}, launch if state in ("COMPLETED", "RUNNING") else None


def fill(database: Database, number: int) -> None:
    """Fill an empty database."""
    Launchpad(database).prepare()
    fireworks, launches = [], []
    for firework, launch in jobs(number):
        fireworks.append(firework)
        launches += [launch] if launch else []
        if len(fireworks) == 2000:
            database.collection("fireworks").insert_many(fireworks, ordered=False)
            database.collection("launches").insert_many(launches, ordered=False)
            fireworks, launches = [], []
    if fireworks:
        database.collection("fireworks").insert_many(fireworks, ordered=False)
    if launches:
        database.collection("launches").insert_many(launches, ordered=False)


def main() -> None:
    """Print the table."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else N_JOBS
    with (
        tempfile.TemporaryDirectory() as folder,
        mongodb() as server,
        new_database(server) as address,
        open_database(address) as database,
    ):
        began = time.perf_counter()
        fill(database, number)
        print(f"{number} fireworks inserted in {time.perf_counter() - began:.0f} s")
        overview = Overview(database)
        observer = Observer(database, None, Path(folder))
        console = Console(width=120, height=40, file=StringIO())
        questions: dict[str, Callable[[], Any]] = {
            "counts by campaign": overview.counts,
            "counts by campaign, material and stage": lambda: overview.counts(("campaign", "material", "stage")),
            "newest failures with their reasons": overview.failures,
            "what waits for a failed job": overview.blocked,
            "what runs, with progress": overview.running,
            "throughput and job hours": overview.throughput,
            "counts of the manager": Launchpad(database).counts,
            "watch: one look": observer.look,
            "watch: one drawing of 40 rows": lambda: console.print(screen(observer.look(), height=40)),
        }
        times = {name: best_time(work)[0] for name, work in questions.items()}
    print(f"{'question':45}{'time / s':>10}")
    for name, seconds in times.items():
        print(f"{name:45}{seconds:10.3f}")
    end(max(times.values()), ALLOWED)


if __name__ == "__main__":
    main()
