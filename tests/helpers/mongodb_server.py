"""The MongoDB server of the tests: SODALYTE_TEST_MONGODB_URI, else a mongod on the PATH, else the stand-in.

Tests that kill the server start one of their own, ``restartable_mongodb``: a mongod on the PATH, else the stand-in.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pymongo
import pytest

from sodalyte.inputs.processes import die_with_parent

STANDIN = Path(__file__).parents[1] / "mongodb" / "standin.py"


class Server:
    """A server process that keeps its port and its data while it is killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.uri = f"mongodb://127.0.0.1:{self.port}"
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        """Start the process and wait until it answers."""
        port = str(self.port)
        if mongod := shutil.which("mongod"):
            words = [mongod, "--dbpath", str(self.folder), "--port", port, "--bind_ip", "127.0.0.1", "--nounixsocket"]
        else:
            words = [sys.executable, str(STANDIN), "--data", str(self.folder), "--port", port]
        outlives_nobody = die_with_parent(os.getpid())
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, preexec_fn=outlives_nobody)  # noqa: PLW1509
        with pymongo.MongoClient(self.uri, serverSelectionTimeoutMS=30_000) as client:
            client.admin.command("ping")

    def kill9(self) -> None:
        """Kill the process as a crash would."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End the process in order, if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait()

    def restart(self) -> None:
        """Start again on the same port and data."""
        self.stop()
        self.start()

    def commands(self) -> dict[str, int]:
        """Return how many commands of each name, or of each kind from a mongod, the server has run."""
        with pymongo.MongoClient(self.uri) as client:
            status = client.admin.command("serverStatus")
        return status["commands"] if "commands" in status else status["opcounters"]


@contextmanager
def _folder() -> Iterator[Path]:
    """Give a folder in memory where there is enough: servers are killed here, but the power never fails."""
    memory = Path("/dev/shm")  # noqa: S108
    enough = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2e9
    with tempfile.TemporaryDirectory(prefix="sodalyte-", dir=memory if enough else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def mongodb_uri() -> Iterator[str]:
    """Address of a MongoDB server, without a database name."""
    given = os.environ.get("SODALYTE_TEST_MONGODB_URI")
    if given:
        yield given
        return
    with _folder() as folder:
        server = Server(folder)
        server.start()
        yield server.uri
        server.stop()


@pytest.fixture
def restartable_mongodb() -> Iterator[Server]:
    """Give a running server that the test may kill and start again; its data outlives the process."""
    with _folder() as folder:
        server = Server(folder)
        server.start()
        yield server
        server.stop()
