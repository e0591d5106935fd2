import time
from datetime import datetime, timedelta

import litemongo
import pytest
from bson import ObjectId
from database_processes import finish, run
from litemongo.sqlite_store import ServerStore
from pymongo.errors import DuplicateKeyError

from sodalyte.database import open_database
from sodalyte.database.store import NAME, OUTPUTS, RESULTS


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "database"


@pytest.fixture
def handles(folder):
    """Two handles of one collection: what one writes is foreign to the other, as between processes."""
    with open_database(f"lite://{folder}") as one, open_database(f"lite://{folder}") as other:
        yield one.collection(OUTPUTS), other.collection(OUTPUTS)


def output(number):
    return {"uuid": f"u{number}", "index": 1}


def test_what_another_handle_wrote_changed_or_removed_is_seen(handles):
    one, other = handles
    one.insert_one(output(1))
    assert other.find_one({"uuid": "u1"})["index"] == 1
    other.update_one({"uuid": "u1"}, {"$set": {"uuid": "u2"}})
    assert one.find_one({"uuid": "u1"}) is None
    assert one.find_one({"uuid": "u2"})["index"] == 1
    one.delete_one({"uuid": "u2"})
    assert other.find_one({"uuid": "u2"}) is None


def test_documents_may_change_again_before_they_are_looked_up(handles):
    one, other = (handle.database[RESULTS] for handle in handles)
    one.insert_many([{"material": "old"}, {"material": "old"}])
    for material in ("newer", "newest"):
        one.update_many({}, {"$set": {"material": material}})
    assert len(list(other.find({"material": "newest"}))) == 2
    assert not list(other.find({"material": "newer"}))


def test_a_lookup_decodes_as_few_documents_among_many_as_among_few(handles, monkeypatch):
    one, other = handles
    documents = one._store._documents
    decode, decoded = documents._decode_doc, []
    monkeypatch.setattr(documents, "_decode_doc", lambda text: decoded.append(1) or decode(text))

    def work(number):
        other.insert_one(output(f"other-{number}"))
        del decoded[:]
        one.replace_one(output(number), output(number), upsert=True)
        assert one.find_one({"uuid": f"uother-{number}"})
        return len(decoded)

    work(0)
    few = work(1)
    for number in range(2, 100):
        work(number)
    assert work(100) == few < 10


def test_a_document_that_changes_just_before_it_is_looked_up_is_found(handles, monkeypatch):
    one, other = (handle.database[RESULTS] for handle in handles)
    other.insert_one({"material": "new", "unit": "V"})
    assert one.count_documents({"material": "new"}) == 1
    known = one._store.columns

    def change_first():
        monkeypatch.undo()
        other.update_one({"material": "new"}, {"$set": {"unit": "eV"}})
        return known()

    monkeypatch.setattr(one._store, "columns", change_first)
    assert one.find_one({"material": "new"})["unit"] == "eV"


def test_documents_that_plain_litemongo_wrote_are_found(folder, handles):
    with litemongo.MongoClient(ServerStore(folder)) as client:
        client[NAME][OUTPUTS].insert_many([output(number) for number in range(3)])
    assert handles[0].find_one({"uuid": "u2"})["index"] == 1


def test_an_index_declared_later_covers_what_is_there(handles):
    one, other = handles
    one.insert_many([{"uuid": str(number), "index": 1, "state": "ready"} for number in range(3)])
    other.create_index([("state", 1)])
    assert len(list(one.find({"state": "ready"}))) == 3
    assert one._store.count({"state": "ready"}) == 3


@pytest.mark.parametrize(
    "criteria",
    [
        {"index": 2},
        {"uuid": "u3"},
        {"uuid": {"$in": ["u1", "u2", "nothing"]}},
        {"uuid": {"$in": [None, "u1"]}},
        {"uuid": None},
        {"uuid": {"$ne": "u1"}},
        {"uuid": {"$regex": "^u[12]$"}},
        {"uuid": ["list", "u9"]},
        {"uuid": "u9"},
        {"uuid": {"$exists": False}},
        {"uuid": 7},
        {"uuid": True},
        {"$and": [{"index": 1}, {"uuid": {"$eq": "u1"}}]},
        {"$or": [{"uuid": "u1"}, {"uuid": "u3"}]},
        {"_id": 3},
        {"_id": {"$in": [1, 2.0]}},
    ],
)
def test_indexes_change_no_answer(handles, criteria):
    """Against MongoDB's semantics as mongomock-ng, another implementation, knows them."""
    import mongomock_ng

    documents = [
        *({"_id": number, "uuid": f"u{number}", "index": 1 + number % 2} for number in range(5)),
        {"_id": 5, "index": 2},
        {"_id": 6, "uuid": ["list", "u9"], "index": 1},
        {"_id": 7, "uuid": 7.0, "index": 1},
        {"_id": 8, "uuid": {"nested": 1}, "index": 1},
    ]
    reference = mongomock_ng.MongoClient().test.outputs
    reference.insert_many(documents)
    handles[0].insert_many(documents)
    assert list(handles[1].find(criteria, sort=[("_id", 1)])) == list(reference.find(criteria, sort=[("_id", 1)]))


MOMENT = datetime(2026, 11, 22, 12, 30, 1, 250_000)
SINGLE = [
    None,
    4,
    2.5,
    -3,
    2**53 + 1,
    "",
    "a",
    "b\u00e9",
    False,
    True,
    MOMENT,
    MOMENT + timedelta(days=1),
    ObjectId("6" * 24),
]


CRITERIA = [
    {},
    *({"material": value} for value in SINGLE),
    *({"material": {name: value}} for name in ("$lt", "$lte", "$gt", "$gte", "$ne") for value in SINGLE[1:]),
    {"material": {"$in": [None, 2.5, "a"]}},
    {"material": {"$nin": [None, 2.5, "a"]}},
    {"material": {"$regex": "^[ab]"}},
    {"material": {"$regex": "^A", "$options": "i"}},
    {"material": {"$gte": -3, "$lt": 2}},
    {"$or": [{"material": {"$gt": 2}}, {"material": "a"}, {"unit": "V"}]},
    {"$or": [{"material": 4}, {"$and": [{"property": "p2"}, {"material": {"$exists": False}}]}]},
    {"$nor": [{"material": 4}]},
    {"material": {"$not": {"$gt": 1}}},
]


@pytest.mark.parametrize("way", [1, -1])
def test_columns_change_no_answer(handles, way):
    """Filters, orders, limits and counts of single values, as mongomock-ng knows MongoDB's semantics of them."""
    import mongomock_ng

    documents = [
        {"_id": number, "material": value, "property": f"p{number % 3}"} for number, value in enumerate(SINGLE)
    ]
    documents.append({"_id": len(documents), "property": "p2"})
    reference = mongomock_ng.MongoClient().test.results
    one, other = (handle.database[RESULTS] for handle in handles)
    reference.insert_many(documents)
    one.insert_many(documents)
    sort = [("material", way), ("_id", 1)]
    for criteria in CRITERIA:
        expected = list(reference.find(criteria, sort=sort))
        numbers = [document["_id"] for document in other.find(criteria, sort=sort)]
        assert numbers == [found["_id"] for found in expected], criteria
        some = {"sort": sort, "skip": 1, "limit": 2}
        assert list(other.find(criteria, {"property": 1}, **some)) == list(
            reference.find(criteria, {"property": 1}, **some)
        ), criteria
        assert other.count_documents(criteria) == len(expected), criteria


@pytest.mark.parametrize("by", ["$material", {"m": "$material", "p": "$property"}, None, "$unit"])
@pytest.mark.parametrize("summed", [1, "$value", "$temperature", "$missing"])
def test_groups_are_summed_as_by_documents(handles, by, summed):
    import mongomock_ng

    materials = ["a", "b", "a", None, 2.0]
    documents = [
        {"material": name, "property": "p", "value": place / 4, "temperature": None if place % 2 else place}
        for place, name in enumerate(materials)
    ]
    reference = mongomock_ng.MongoClient().test.results
    reference.insert_many(documents)
    handles[0].database[RESULTS].insert_many(documents)
    pipeline = [{"$match": {"property": "p"}}, {"$group": {"_id": by, "n": {"$sum": summed}, "m": {"$sum": 1}}}]

    def told(groups):
        return sorted((str(group["_id"]), float(group["n"]), group["m"]) for group in groups)

    assert told(handles[1].database[RESULTS].aggregate(pipeline)) == told(reference.aggregate(pipeline))


def test_an_entry_of_a_list_is_a_column(handles):
    results = handles[0].database[RESULTS]
    results.insert_many([{"_id": number, "interval_95": [number / 2, number]} for number in range(9)])
    results.insert_one({"_id": 9, "interval_95": None})
    assert results._store.count({"interval_95.0": {"$gt": 3}}) == 2
    found = results.find({"interval_95.1": {"$lt": 4}}, sort=[("interval_95.0", -1)], limit=2)
    assert [document["_id"] for document in found] == [3, 2]


def test_a_sorted_query_decodes_no_more_documents_than_it_returns(handles, monkeypatch):
    results = handles[0].database[RESULTS]
    results.insert_many([{"material": f"m{number % 7}", "property": "p", "value": -number} for number in range(500)])
    assert results.count_documents({"property": "p"}) == 500
    documents = results._store._documents
    decode, decoded = documents._decode_doc, []
    monkeypatch.setattr(documents, "_decode_doc", lambda text: decoded.append(1) or decode(text))
    found = list(results.find({"property": "p", "value": {"$lt": -9}}, sort=[("value", 1)], limit=5))
    assert [document["value"] for document in found] == [-499, -498, -497, -496, -495]
    assert len(decoded) == 5
    assert results.count_documents({"material": "m3"}) == 71
    assert len(decoded) == 5


def test_a_database_of_the_first_layout_is_read(folder):
    with litemongo.MongoClient(ServerStore(folder)) as client:
        outputs = client[NAME][OUTPUTS]
        outputs.insert_many([output(number) for number in range(3)])
        connection = outputs._store._connection
        connection.executescript(
            "CREATE TABLE lookup(path, value, id); CREATE TABLE changed(id PRIMARY KEY);"
            "CREATE TRIGGER note_insert AFTER INSERT ON documents BEGIN INSERT INTO changed VALUES(new._id); END;"
        )
    with open_database(f"lite://{folder}") as database:
        outputs = database.collection(OUTPUTS)
        outputs.insert_one(output(3))
        assert outputs.count_documents({"uuid": {"$in": ["u0", "u3"]}}) == 2


def test_a_refused_write_leaves_nothing_and_holds_no_lock(handles):
    one, other = handles
    one.insert_one(output(1))
    with pytest.raises(DuplicateKeyError):
        one.insert_one(output(1))
    other.insert_one(output(2))
    with pytest.raises(DuplicateKeyError):
        one.update_one({"uuid": "u2"}, {"$set": {"uuid": "u1"}})
    other.insert_one(output(3))
    assert [document["uuid"] for document in one.find()] == ["u1", "u2", "u3"]


def test_a_failed_transaction_is_undone(handles):
    one, other = handles

    def fail():
        with one._store._connection:
            one.insert_one(output(1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    other.insert_one(output(1))
    assert len(list(one.find())) == 1


def test_processes_create_one_database_at_the_same_time(folder):
    assert finish([run("open_and_close", f"lite://{folder}") for _ in range(3)]) == [["0"]] * 3


def test_processes_write_at_the_same_time(folder):
    written = finish([run("write_outputs", f"lite://{folder}", name, 150) for name in ("a", "b", "c")])
    with open_database(f"lite://{folder}") as database:
        found = [document["uuid"] for document in database.collection(OUTPUTS).find()]
    assert len(found) == 450
    assert set(found) == {uuid for lines in written for uuid in lines}


def test_processes_never_claim_the_same_document(folder):
    with open_database(f"lite://{folder}") as database:
        waiting = [{"uuid": str(number), "index": 1, "state": "waiting"} for number in range(120)]
        database.collection(OUTPUTS).insert_many(waiting)
    claimed = finish([run("claim", f"lite://{folder}") for _ in range(3)])
    assert sorted(int(uuid) for lines in claimed for uuid in lines) == list(range(120))


def test_a_killed_writer_loses_nothing_acknowledged_and_blocks_nobody(folder):
    victims = [run("write_outputs", f"lite://{folder}", name, 10**9) for name in ("a", "b")]
    acknowledged = []
    for victim in victims:
        acknowledged.append(victim.stdout.readline().strip())
        time.sleep(0.2)
        victim.kill()
        acknowledged += victim.communicate()[0].split("\n")[:-1]
    with open_database(f"lite://{folder}") as database:
        outputs = database.collection(OUTPUTS)
        found = [document["uuid"] for document in outputs.find()]
        assert outputs._store._connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert all(outputs.find_one({"uuid": uuid}) for uuid in found)
    assert len(acknowledged) > 10
    assert set(acknowledged) <= set(found)
    assert len(found) == len(set(found))
    finish([run("write_outputs", f"lite://{folder}", "c", 10)])
