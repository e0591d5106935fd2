"""What benchmarks share: a MongoDB server, a new database on it, and the shortest time of a few calls."""

from __future__ import annotations

import os
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import pymongo

HELPERS = Path(__file__).parents[1] / "tests" / "helpers"
sys.path.insert(0, str(HELPERS))

from mongodb_server import Server  # noqa: E402

Answer = TypeVar("Answer")

REPEATS = 3


@contextmanager
def mongodb(uri: str | None = None) -> Iterator[str]:
    """Give a server's address: ``uri``, else SODALYTE_TEST_MONGODB_URI, else one of a mongod or a stand-in for it."""
    given = uri or os.environ.get("SODALYTE_TEST_MONGODB_URI")
    if given:
        yield given
        return
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        server.start()
        try:
            yield server.uri
        finally:
            server.stop()


@contextmanager
def new_database(server: str) -> Iterator[str]:
    """Give the address of a new database on a server; it is dropped in the end."""
    name = f"benchmark_{uuid.uuid4().hex[:8]}"
    yield urlsplit(server)._replace(path=f"/{name}").geturl()
    with pymongo.MongoClient(server) as client:
        client.drop_database(name)


def best_time(work: Callable[[], Answer]) -> tuple[float, Answer]:
    """Return the shortest wall time of a few calls, seconds, and the last answer."""
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        answer = work()
        times.append(time.perf_counter() - began)
    return min(times), answer


def end(slowest: float, allowed: float) -> None:
    """End the benchmark; it fails if the slowest question (seconds) took longer than allowed."""
    print(f"slowest {slowest:.3f} s; allowed {allowed} s")
    sys.exit(slowest > allowed)
