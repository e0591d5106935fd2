"""A database of 100,000 results: filtered and sorted queries of 50 of them, with a server and without.

The server is SODALYTE_TEST_MONGODB_URI if that is set, a mongod on the PATH, or the stand-in of the tests. Give another
number of results as argument. Run it as it is; it prints one table and fails if a query takes longer than allowed.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from common import best_time, end, mongodb, new_database

from sodalyte.analysis.results import Result, Subject, judge
from sodalyte.database import Database, find, open_database, save_results

N_RESULTS = 100_000
N_OUTPUTS = 200
ALLOWED = 0.5  # s
UNITS = {"window_width": "V", "shear_modulus": "GPa", "diffusivity": "cm^2/s", "e_above_hull": "eV/atom"}
QUERIES: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "everything, in the default order": ((), {}),
    "one property above a value, largest first": (("property=diffusivity", "value>0.5"), {"sort": ["-value"]}),
    "one material, in the default order": (("material=Na3M77S4",), {}),
    "refused, newest first": (("status=refused",), {"sort": ["-created_at", "material"]}),
    "a pattern in the reason, by value": (("reason~hops",), {"sort": ["value"]}),
    "level, recipe and unit, by uncertainty": (("level=PBE 7", "recipe=quick", "unit=V"), {"sort": ["uncertainty"]}),
    "one material, not refused, below a value": (
        ("material=Na3M5S4", "value<0.3", "status=ok"),
        {"sort": ["value"]},
    ),
}


def results(number: int, seed: int = 1) -> Iterator[Result]:
    """Distinct results of some thousand materials at ten levels of theory, a tenth of them refused."""
    rng = random.Random(seed)  # noqa: S311
    for index in range(number):
        prop = rng.choice(list(UNITS))
        subject = Subject(
            material=f"Na3M{index % 5000}S4",
            polymorph=rng.choice(["cubic", "tetragonal"]),
            level=f"PBE {rng.randrange(10)}",
            recipe="quick" if index % 3 else "paper",
            calculations=(f"uuid-{index}",),
        )
        value = rng.random()
        yield judge(subject, property=prop, value=value, uncertainty=value * rng.random(), unit=UNITS[prop])


def fill(database: Database, number: int) -> float:
    """Fill an empty database, with some large calculations beside the results; return the seconds."""
    began = time.perf_counter()
    database.collection("outputs").insert_many(
        [{"uuid": f"u{index}", "index": 1, "output": list(range(20_000))} for index in range(N_OUTPUTS)]
    )
    batch: list[dict[str, Any]] = []
    for index, result in enumerate(results(number)):
        document = result.model_dump(mode="json") | {"_id": result.key(), "key": result.key()}
        if index % 10 == 0:
            document |= {"status": "refused", "reason": f"only {index % 97} hops were seen"}
        batch.append(document | {"created_at": f"2026-11-{1 + index % 28:02}T12:00:00+00:00"})
        if len(batch) == 2000:
            database.results.insert_many(batch)
            batch = []
    if batch:
        database.results.insert_many(batch)
    save_results(database, results(3))
    return time.perf_counter() - began


def main() -> None:
    """Print the table; the first query after the filling is not counted."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else N_RESULTS
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        on_server = stack.enter_context(new_database(stack.enter_context(mongodb())))
        databases = {}
        for kind, address in {"lite": f"lite://{folder}", "server": on_server}.items():
            databases[kind] = stack.enter_context(open_database(address))
            print(f"{kind}: {number} results saved in {fill(databases[kind], number):.1f} s")
            find(databases[kind], ["material=warm"])
        print(f"{'query of 50 results':45}{'found':>6}{'lite / s':>10}{'server / s':>12}")
        slowest = 0.0
        for name, (terms, options) in QUERIES.items():
            times = {}
            for kind, database in databases.items():
                times[kind], found = best_time(lambda: find(database, terms, limit=50, **options))  # noqa: B023
            print(f"{name:45}{len(found):6d}{times['lite']:10.4f}{times['server']:12.4f}")
            slowest = max(slowest, *times.values())
    end(slowest, ALLOWED)


if __name__ == "__main__":
    main()
