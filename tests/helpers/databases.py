"""Databases to test against, on both backends: fixtures for a conftest to import."""

import uuid
from contextlib import contextmanager
from urllib.parse import urlsplit

import pymongo
import pytest
from mongodb_server import mongodb_uri  # noqa: F401

from sodalyte.database import open_database


@contextmanager
def new_database(server):
    """Give the address of a database on a server that does not exist yet; it is dropped in the end."""
    name = f"test_{uuid.uuid4().hex}"
    yield urlsplit(server)._replace(path=f"/{name}").geturl()
    with pymongo.MongoClient(server) as client:
        client.drop_database(name)


@pytest.fixture(params=["lite", "mongodb"])
def address(request, tmp_path):
    """Address of a database that does not exist yet, on each backend."""
    if request.param == "lite":
        yield f"lite://{tmp_path / 'database'}"
        return
    with new_database(request.getfixturevalue("mongodb_uri")) as uri:
        yield uri


@pytest.fixture
def database(address):
    with open_database(address) as opened:
        yield opened
