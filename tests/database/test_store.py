import socket
import time

import pytest
from jobflow import job
from pymongo.errors import DuplicateKeyError

from sodalyte.database import Database, open_database, store
from sodalyte.database.store import INDEXES, OUTPUTS, RESULTS
from sodalyte.errors import DatabaseError


@job
def add(one, other):
    return one + other


def test_jobs_find_the_outputs_of_others(database):
    first = add(1, 2)
    second = add(first.output, 10)
    first.run(database.job_store)
    second.run(database.job_store)
    assert database.job_store.get_output(second.uuid) == 13


def test_a_job_stored_twice_is_stored_once(database):
    once = add(1, 2)
    once.run(database.job_store)
    once.run(database.job_store)
    assert database.job_store.count() == 1


def test_large_parts_go_to_the_additional_store(database):
    document = {"uuid": "u", "index": 1, "output": {"big": [1, 2, 3], "small": 4}}
    database.job_store.update(document, save={"data": "big"})
    assert database.job_store.query_one({"uuid": "u"})["output"]["big"]["store"] == "data"
    assert database.job_store.query_one({"uuid": "u"}, load=True)["output"]["big"] == [1, 2, 3]


def test_an_output_is_unique_by_uuid_and_index(database):
    outputs = database.collection(OUTPUTS)
    outputs.insert_one({"uuid": "u", "index": 1})
    outputs.insert_one({"uuid": "u", "index": 2})
    with pytest.raises(DuplicateKeyError):
        outputs.insert_one({"uuid": "u", "index": 1})


def test_indexes_are_declared_once(address, database):
    declared = database.results.index_information()
    with open_database(address) as again:
        assert again.results.index_information() == declared
    assert {index["key"][0][0] for index in declared.values()} == {
        "_id",
        *(fields[0] for fields, _ in INDEXES[RESULTS]),
    }


def test_closing_twice_does_nothing(address):
    opened = open_database(address)
    opened.close()
    opened.close()


MALFORMED = [
    "",
    "lite://",
    "lite:/folder",
    "sqlite://folder",
    "mongodb://",
    "mongodb://user:sec/ret@host/name",
    "mongodb://user:123/secret@host/name",
    "mongodb://user:sec:ret@host/name",
    "mongodb://user:secret@host:port/name",
    "mongodb://user:secret@host/name?unknown=secret",
    "mongodb://user:secret@host/a b",
    "mongodb://host/name?connectTimeoutMS=secret",
]


@pytest.mark.parametrize("uri", MALFORMED)
def test_a_malformed_address_is_refused_without_repeating_it(uri):
    with pytest.raises(DatabaseError, match="malformed") as caught:
        open_database(uri)
    assert "ret" not in said(caught.value)


def said(error):
    """Everything that a traceback of the error would show of its messages."""
    messages = []
    while error is not None:
        messages.append(str(error))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n".join(messages)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def test_a_server_that_is_not_there_is_named_without_credentials():
    port = free_port()
    started = time.monotonic()
    with pytest.raises(
        DatabaseError, match=rf"no database server answers at mongodb://127.0.0.1:{port}/name"
    ) as caught:
        open_database(f"mongodb://user:secret@127.0.0.1:{port}/name")
    assert time.monotonic() - started < 6
    assert "secret" not in said(caught.value)
    assert "user" not in said(caught.value)


def test_a_server_that_says_nothing_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(store, "ANSWER_TIMEOUT", 0.6)
    started = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(DatabaseError, match="no database server"):
        open_database(f"mongodb://127.0.0.1:{silent.getsockname()[1]}")
    assert time.monotonic() - started < 3


def test_a_wrong_password_is_an_error_that_does_not_repeat_it(mongodb_uri):
    uri = f"mongodb://nobody:secret@{mongodb_uri.removeprefix('mongodb://').rpartition('@')[2]}"
    with pytest.raises(DatabaseError, match="wrong user or password") as caught:
        open_database(uri)
    assert "secret" not in said(caught.value)


def test_what_is_printed_of_a_database_has_no_password():
    import pymongo

    client = pymongo.MongoClient("mongodb://user:secret@127.0.0.1/name", connect=False)
    database = Database("mongodb://127.0.0.1:27017/name", client, client["name"].__getitem__)
    assert repr(database) == "Database('mongodb://127.0.0.1:27017/name')"
    printed = f"{database!r} {vars(database)!r} {database.job_store.name} {database.job_store.docs_store.as_dict()}"
    assert "secret" not in printed
    database.close()


def test_a_server_that_goes_away_is_an_error_in_a_sentence(tmp_path):
    from pymongo.errors import AutoReconnect

    with (
        open_database(f"lite://{tmp_path / 'database'}") as database,
        pytest.raises(DatabaseError, match="no database server answers at lite"),
        database.answering(),
    ):
        raise AutoReconnect


def test_a_folder_that_is_missing_is_made_only_when_asked(tmp_path):
    folder = tmp_path / "made" / "by the way #1?"
    with pytest.raises(DatabaseError, match="there is no database at lite://"):
        open_database(f"lite://{folder}", create=False)
    assert not folder.exists()
    open_database(f"lite://{folder}").close()
    assert (folder / "sodalyte" / "results").is_file()
    open_database(f"lite://{folder}", create=False).close()


def test_a_folder_in_which_a_killed_process_left_only_locks_is_used(tmp_path):
    (tmp_path / "open.lock").touch()
    open_database(f"lite://{tmp_path}").close()
    assert {path.name for path in tmp_path.iterdir() if path.suffix != ".lock"} == {"sodalyte"}


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(DatabaseError, match="holds other files, not a database"):
        open_database(f"lite://{tmp_path}")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("below", ["", "/database"])
def test_a_place_that_cannot_be_a_folder_is_refused(tmp_path, below):
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseError, match=r"cannot be used \(Not a directory\)"):
        open_database(f"lite://{tmp_path}/file{below}")


def test_a_damaged_file_is_named_so(tmp_path):
    open_database(f"lite://{tmp_path}/database").close()
    (tmp_path / "database" / "sodalyte" / "results").write_bytes(b"not SQLite " * 1000)
    with pytest.raises(DatabaseError, match="cannot be used: file is not a database"):
        open_database(f"lite://{tmp_path}/database")
