"""Databases to test against, on both backends: fixtures for a conftest to import."""

import uuid
from urllib.parse import urlsplit

import pymongo
import pytest
from mongodb_server import mongodb_uri  # noqa: F401

from sodalyte.database import open_database


@pytest.fixture(params=["lite", "mongodb"])
def address(request, tmp_path):
    """Address of a database that does not exist yet, on each backend."""
    if request.param == "lite":
        yield f"lite://{tmp_path / 'database'}"
        return
    server = request.getfixturevalue("mongodb_uri")
    name = f"test_{uuid.uuid4().hex}"
    yield urlsplit(server)._replace(path=f"/{name}").geturl()
    with pymongo.MongoClient(server) as client:
        client.drop_database(name)


@pytest.fixture
def database(address):
    with open_database(address) as opened:
        yield opened
