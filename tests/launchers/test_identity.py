import pytest
from jobflow import Flow, JobStore, run_locally
from maggma.stores import MemoryStore
from trivial import Multiply, add, grow

from sodalyte.launchers.identity import identify


def uuids(flow):
    return [job.uuid for job in identify(flow).jobs]


def test_the_same_content_gets_the_same_identity_however_it_is_wrapped():
    def chain():
        first = add(1, 2)
        return [first, add(first.output, 3)]

    assert uuids(Flow(chain())) == uuids(Flow([Flow(chain())], name="other"))


@pytest.mark.parametrize(
    "other",
    [add(1, 3), add(2, 1), Multiply(factor=2).make(1), Multiply(factor=3).make(1)],
    ids=["argument", "order", "function", "setting"],
)
def test_other_content_gets_another_identity(other):
    assert uuids(other) != uuids(Multiply().make(1))
    assert uuids(other) != uuids(add(1, 2))


def test_an_identity_follows_its_inputs():
    def child(number):
        parent = add(number, 1)
        return Flow([parent, Multiply(factor=2).make(parent.output)])

    assert uuids(child(1))[1] != uuids(child(2))[1]


def test_equal_jobs_are_merged_and_references_hold():
    one, same = add(1, 2), add(1, 2)
    total = add(one.output, same.output)
    flow = identify(Flow([one, same, total]))
    assert len(flow.jobs) == 2
    responses = run_locally(flow, store=JobStore(MemoryStore()), log=False, ensure_success=True)
    assert sorted(response[1].output for response in responses.values()) == [3, 6]


def test_names_and_hosts_do_not_count():
    named = add(1, 2)
    named.name = "three"
    assert uuids(named) == uuids(Flow([Flow([add(1, 2)])]))


def test_names_of_makers_do_not_count():
    renamed = Multiply(factor=2).make(1)
    renamed.name = "double"
    assert uuids(renamed) == uuids(Multiply(name="twice", factor=2).make(1))


def test_a_kept_uuid_stays():
    replacement = grow(1, limit=3)
    assert identify(replacement, keep=replacement.uuid).jobs[0].uuid == replacement.uuid


def test_a_small_number_by_itself_counts_and_noise_among_coordinates_does_not():
    assert uuids(add(1e-11, 1)) != uuids(add(1e-12, 1))
    assert uuids(add([0.5, 1e-17], 1)) == uuids(add([0.5, -0.0], 1))
