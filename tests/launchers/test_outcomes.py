"""What a job leaves in the database: the first finished output stays."""

import pytest

from sodalyte.database import open_database
from sodalyte.database.store import BLOBS, OUTPUTS
from sodalyte.launchers.outcomes import NOTHING, OUTCOME, Record


@pytest.fixture
def database(tmp_path):
    with open_database(f"lite://{tmp_path / 'database'}") as opened:
        yield opened


def record(output, outcome):
    document = {"uuid": "u", "index": 1, "output": output} | ({} if outcome is None else {OUTCOME: outcome})
    return Record(document, blobs=[{"blob_uuid": "b", "data": [1]}], outcome=outcome)


def stored(database):
    (document,) = database.collection(OUTPUTS).find({})
    return document["output"], document.get(OUTCOME)


def test_a_finished_output_is_never_replaced(database):
    stopping = NOTHING | {"stop_children": True}
    assert record("first", stopping).deliver(database) == stopping
    assert record("second", NOTHING).deliver(database) == stopping
    assert record("incomplete", None).deliver(database) == stopping
    assert stored(database) == ("first", stopping)
    assert database.collection(BLOBS).count_documents({}) == 1


def test_an_unfinished_output_gives_way(database):
    record("incomplete", None).deliver(database)
    assert record("finished", NOTHING).deliver(database) == NOTHING
    assert stored(database) == ("finished", NOTHING)
