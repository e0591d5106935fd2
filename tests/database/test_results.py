from database_processes import SUBJECT, finish, numbered, run

from sodalyte.analysis.results import Guard, judge
from sodalyte.database import load_results, open_database, results_of, save_results

RESULTS = [
    judge(
        SUBJECT,
        property="window_width",
        value=0.07,
        uncertainty=0.01,
        interval_95=(0.05, 0.09),
        unit="V",
        scheme="mp2020",
    ),
    judge(
        SUBJECT,
        property="diffusivity",
        guards=(Guard(name="hops", passed=False, detail="not diffusive in this run: 3 hops"),),
        unit="cm^2/s",
        temperature=600.0,
    ),
    judge(
        SUBJECT,
        property="decomposition",
        unit="V",
        scheme="mp2020",
        data={"staircase": [{"products": {"Na3Sb": 1.0, "Na2S": 4.0}}], "a.b": {"$where": "1"}, "$set": None},
    ),
]


def by_key(results):
    return sorted(results, key=lambda result: result.key())


def test_results_come_back_as_they_were(database):
    save_results(database, RESULTS)
    assert by_key(load_results(database)) == by_key(RESULTS)
    assert load_results(database, "temperature = 600") == [RESULTS[1]]


def test_saving_again_changes_nothing(database):
    save_results(database, RESULTS)
    before = list(database.results.find(sort={"_id": 1}))
    database.results.update_many({}, {"$set": {"created_at": "2001-01-01T00:00:00+00:00"}})
    save_results(database, [result.model_dump(mode="json") for result in RESULTS])
    after = list(database.results.find(sort={"_id": 1}))
    assert [document | {"created_at": None} for document in after] == [
        document | {"created_at": None} for document in before
    ]
    assert {document["created_at"] for document in after} == {"2001-01-01T00:00:00+00:00"}


def test_a_better_answer_to_the_same_question_replaces_the_old_one(database):
    save_results(database, [numbered(1)])
    save_results(database, [numbered(1).model_copy(update={"value": 2.0})])
    assert [result.value for result in load_results(database)] == [2.0]


def test_saving_nothing_is_allowed(database):
    save_results(database, [])
    assert load_results(database) == []


def test_a_document_names_its_key_and_when_it_was_made(database):
    save_results(database, RESULTS[:1])
    document = database.results.find_one()
    assert document["_id"] == document["key"] == RESULTS[0].key()
    assert document["created_at"].endswith("+00:00")


def test_the_results_of_jobs_are_those_in_their_outputs(database):
    for uuid, held in (("a", RESULTS[:2]), ("b", RESULTS[1:]), ("c", [numbered(1)])):
        output = {"results": [result.model_dump(mode="json") for result in held]}
        database.job_store.update({"uuid": uuid, "index": 1, "output": output})
    database.job_store.update({"uuid": "d", "index": 1, "output": 3})
    database.job_store.update({"uuid": "e", "index": 1, "output": {"results": []}})
    assert results_of(database, {"a", "b", "d", "e"}) == [RESULTS[2], RESULTS[1], RESULTS[0]]
    assert results_of(database, []) == []


def test_processes_save_the_same_results_once(address):
    finish([run("save_numbered", address, 40) for _ in range(3)])
    with open_database(address) as database:
        assert by_key(load_results(database)) == by_key(numbered(number) for number in range(40))
