import uuid
from urllib.parse import urlsplit

import pymongo
import pytest
from fireworks import LaunchPad
from mongodb_server import mongodb_uri, restartable_mongodb  # noqa: F401

from sodalyte.database import open_database
from sodalyte.launchers.fireworks import Launchpad


@pytest.fixture
def address(mongodb_uri):  # noqa: F811
    """Address of a database that does not exist yet."""
    name = f"test_{uuid.uuid4().hex}"
    yield urlsplit(mongodb_uri)._replace(path=f"/{name}").geturl()
    with pymongo.MongoClient(mongodb_uri) as client:
        client.drop_database(name)


@pytest.fixture
def launchpad(address):
    with open_database(address) as database:
        yield Launchpad(database)


@pytest.fixture
def tools(address):
    """FireWorks' LaunchPad on the same database."""
    launchpad = LaunchPad(host=address, name=urlsplit(address).path[1:], uri_mode=True, strm_lvl="CRITICAL")
    yield launchpad
    launchpad.connection.close()
