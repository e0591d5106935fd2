from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from databases import new_database
from fireworks import LaunchPad
from mongodb_server import mongodb_uri, restartable_mongodb  # noqa: F401
from pilots import KilledError
from pymongo.collection import Collection

from sodalyte.database import open_database
from sodalyte.launchers.fireworks import Launchpad

WRITES = ("insert_one", "insert_many", "update_one", "update_many", "bulk_write", "find_one_and_update", "replace_one")


@pytest.fixture
def root(tmp_path):
    return tmp_path / "runs"


@pytest.fixture
def address(mongodb_uri):  # noqa: F811
    """Address of a database that does not exist yet."""
    with new_database(mongodb_uri) as uri:
        yield uri


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


@pytest.fixture
def die_before(monkeypatch):
    """Give a context in which this process dies before its n-th write: nothing is written from then on."""

    @contextmanager
    def die_before(count):
        left = iter(range(count - 1))

        def mortal(method):
            def write(*arguments, **options):
                if next(left, None) is None:
                    raise KilledError
                return method(*arguments, **options)

            return write

        with monkeypatch.context() as patched:
            for name in WRITES:
                patched.setattr(Collection, name, mortal(getattr(Collection, name)))
            yield

    return die_before
