"""The MongoDB server of the tests: SODALYTE_TEST_MONGODB_URI, else a mongod on the PATH, else the stand-in."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pymongo
import pytest

STANDIN = Path(__file__).parents[1] / "mongodb" / "standin.py"


@pytest.fixture(scope="session")
def mongodb_uri(tmp_path_factory) -> Iterator[str]:
    """Address of a MongoDB server, without a database name."""
    given = os.environ.get("SODALYTE_TEST_MONGODB_URI")
    if given:
        yield given
    elif mongod := shutil.which("mongod"):
        with _mongod(mongod, tmp_path_factory.mktemp("mongod")) as uri:
            yield uri
    else:
        with _standin() as uri:
            yield uri


@contextmanager
def _mongod(program: str, folder: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    where = ["--dbpath", str(folder), "--port", str(port), "--bind_ip", "127.0.0.1", "--nounixsocket"]
    with _process([program, *where], stdout=subprocess.DEVNULL):
        uri = f"mongodb://127.0.0.1:{port}"
        with pymongo.MongoClient(uri, serverSelectionTimeoutMS=30_000) as client:
            client.admin.command("ping")
        yield uri


@contextmanager
def _standin() -> Iterator[str]:
    with _process([sys.executable, str(STANDIN)], stdout=subprocess.PIPE) as process:
        yield process.stdout.readline().decode().strip()


@contextmanager
def _process(words: list[str], *, stdout: int) -> Iterator[subprocess.Popen]:
    with subprocess.Popen(words, stdout=stdout) as process:
        try:
            yield process
        finally:
            process.terminate()
