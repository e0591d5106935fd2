"""The server that the tests use does what sodalyte relies on, whichever server it is."""

import uuid

import pymongo
import pytest
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure


@pytest.fixture
def collection(mongodb_uri):
    with pymongo.MongoClient(mongodb_uri) as client:
        name = f"test_{uuid.uuid4().hex}"
        yield client[name]["things"]
        client.drop_database(name)


def test_documents_come_back_over_many_batches(collection):
    collection.insert_many([{"_id": number, "text": "x" * 1000} for number in range(1000)])
    found = list(collection.find({"_id": {"$lt": 950}}, {"text": 0}, batch_size=7).sort("_id", -1))
    assert found == [{"_id": number} for number in reversed(range(950))]


def test_a_large_answer_is_split(collection):
    collection.insert_many([{"_id": number, "text": "x" * 3_000_000} for number in range(8)])
    assert [document["_id"] for document in collection.find(projection=["_id"], sort={"_id": 1})] == list(range(8))
    assert sum(len(document["text"]) for document in collection.find()) == 24_000_000


def test_a_unique_index_is_kept(collection):
    collection.create_index([("uuid", 1), ("index", 1)], unique=True)
    collection.insert_one({"uuid": "a", "index": 1})
    with pytest.raises(DuplicateKeyError):
        collection.insert_one({"uuid": "a", "index": 1})
    with pytest.raises(BulkWriteError) as caught:
        collection.insert_many([{"uuid": "a", "index": index} for index in (1, 2, 3)], ordered=False)
    assert caught.value.details["nInserted"] == 2
    assert collection.index_information()["uuid_1_index_1"]["unique"]


def test_upserts_tell_what_they_did(collection):
    change = {"$set": {"value": 1}, "$setOnInsert": {"first": True}}
    request = pymongo.UpdateOne({"_id": "a"}, change, upsert=True)
    assert collection.bulk_write([request]).upserted_ids == {0: "a"}
    again = collection.bulk_write([request])
    assert (again.matched_count, again.modified_count, again.upserted_count) == (1, 0, 0)
    assert collection.replace_one({"_id": "a"}, {"value": 2}).modified_count == 1
    assert collection.find_one() == {"_id": "a", "value": 2}


def test_find_and_modify_gives_the_document_before_or_after(collection):
    collection.insert_many([{"_id": number, "state": "ready"} for number in (1, 2)])
    taken = collection.find_one_and_update(
        {"state": "ready"}, {"$set": {"state": "taken"}}, sort={"_id": -1}, return_document=True
    )
    assert taken == {"_id": 2, "state": "taken"}
    assert collection.find_one_and_delete({"state": "taken"}) == taken
    assert collection.find_one_and_replace({"_id": 1}, {"state": "new"}) == {"_id": 1, "state": "ready"}


def test_counting_grouping_and_deleting(collection):
    collection.insert_many([{"kind": number % 3} for number in range(10)])
    assert collection.count_documents({"kind": 0}) == 4
    assert collection.estimated_document_count() == 10
    assert sorted(collection.distinct("kind")) == [0, 1, 2]
    groups = collection.aggregate([{"$group": {"_id": "$kind", "n": {"$sum": 1}}}, {"$sort": {"_id": 1}}])
    assert list(groups) == [{"_id": 0, "n": 4}, {"_id": 1, "n": 3}, {"_id": 2, "n": 3}]
    assert collection.delete_many({"kind": 0}).deleted_count == 4


def test_what_a_server_refuses_is_an_operation_failure(collection):
    with pytest.raises(OperationFailure):
        collection.database.command("noSuchCommand")


def test_a_killed_server_keeps_what_it_acknowledged(restartable_mongodb):
    with pymongo.MongoClient(restartable_mongodb.uri) as client:
        things = client["kept"]["things"]
        things.create_index("number", unique=True)
        for round_ in range(3):
            for number in range(100 * round_, 100 * (round_ + 1)):
                things.insert_one({"number": number})
            restartable_mongodb.kill9()
            restartable_mongodb.start()
            assert sorted(thing["number"] for thing in things.find()) == list(range(100 * (round_ + 1)))
        with pytest.raises(DuplicateKeyError):
            things.insert_one({"number": 7})


def test_the_server_counts_commands(restartable_mongodb):
    before = restartable_mongodb.commands()
    with pymongo.MongoClient(restartable_mongodb.uri) as client:
        client["counted"]["things"].insert_one({})
        list(client["counted"]["things"].find())
    after = restartable_mongodb.commands()
    assert after["insert"] == before.get("insert", 0) + 1
