"""How fireworks end: completed, failed, lost, and killed between any two commands."""

from collections import Counter
from contextlib import suppress

import pytest
from jobflow import Flow, OnMissing
from pilots import KilledError, chain, execute, executions, outputs, work
from trivial import add, collect, dynamic_flow, fail, needs_file, replaced_by_failure

from sodalyte.database import open_database
from sodalyte.launchers import local
from sodalyte.launchers.fireworks import Pilot
from sodalyte.launchers.identity import identify


def states(launchpad):
    found = launchpad.collections.fireworks.find({}, {"name": 1, "state": 1})
    return Counter((document["name"], document["state"]) for document in found)


def truth(launchpad):
    """Return the states of all fireworks, and of the same in their workflows."""
    fireworks = {str(one["fw_id"]): one["state"] for one in launchpad.collections.fireworks.find({})}
    workflows = {}
    for workflow in launchpad.collections.workflows.find({}):
        workflows |= workflow["fw_states"]
    return fireworks, workflows


def test_a_dynamic_flow_ends_as_with_the_local_launcher(launchpad, root, tmp_path):
    flow = identify(dynamic_flow())
    launchpad.add(flow, campaign="one", root=root)
    work(launchpad, root)
    local.run(flow, database=f"lite://{tmp_path / 'lite'}", root=tmp_path / "there", workers=1)
    with open_database(f"lite://{tmp_path / 'lite'}") as peer:
        assert outputs(launchpad.database) == outputs(peer)
    assert launchpad.counts("one") == {"COMPLETED": len(outputs(launchpad.database)), "DEFUSED": 1, "BLOCKED": 0}


def test_what_tolerates_a_failure_runs_and_counts_as_incomplete(launchpad, root, tmp_path):
    """A fizzles; B needs A; C tolerates that B is missing: as with the local launcher, C runs and B does not."""
    flag = tmp_path / "flag"
    first = needs_file(str(flag))
    second = add(first.output, 1)
    other = add(5, 5)
    third = collect([second.output, other.output])
    third.config.on_missing_references = OnMissing.NONE
    flow = identify(Flow([first, second, other, third]))
    launchpad.add(flow, campaign="one", root=root)
    work(launchpad, root)
    assert states(launchpad) == {
        ("needs_file", "FIZZLED"): 1,
        ("add", "WAITING"): 1,
        ("add", "COMPLETED"): 1,
        ("collect", "COMPLETED"): 1,
    }
    assert [None, 10] in outputs(launchpad.database).values()
    blocked = launchpad.collections.fireworks.find_one({"state": "WAITING"})
    assert blocked["spec"]["_sodalyte"]["blocked"] == "needs 'needs_file', which has no answer"
    assert launchpad.collections.workflows.find_one({})["state"] in ("FIZZLED", "COMPLETED")
    assert launchpad.is_over()

    flag.touch()
    assert launchpad.retry(campaign="one") == 1
    assert work(launchpad, root) == ["needs_file", "add", "collect"]
    assert [2, 10] in outputs(launchpad.database).values()
    assert launchpad.counts() == {"COMPLETED": 4, "BLOCKED": 0}


def test_what_needs_a_replacement_that_failed_is_blocked(launchpad, root):
    broken = replaced_by_failure()
    launchpad.add(Flow([broken, add(broken.output, 1)]), campaign="one", root=root)
    work(launchpad, root)
    assert states(launchpad)[("add", "WAITING")] == 1
    assert launchpad.counts()["BLOCKED"] >= 1
    assert launchpad.is_over()


def test_the_launch_of_a_failure_says_why(launchpad, root):
    launchpad.add(fail("no such luck"), campaign="one", root=root)
    work(launchpad, root)
    (attempt,) = launchpad.collections.fireworks.find_one({})["spec"]["_sodalyte"]["attempts"]
    assert (attempt["cause"], attempt["reason"]) == ("ERROR", "no such luck")


def test_crashes_are_retried_a_bounded_number_of_times(launchpad, root):
    launchpad.add(Flow(chain(2)), campaign="one", root=root)
    tries = 0
    while claims := launchpad.claim(Pilot.here()):
        tries += 1
        assert launchpad.fail(claims[0], "CRASHED", "killed by signal 9")
    assert tries == 5
    assert launchpad.counts() == {"FIZZLED": 1, "WAITING": 1, "BLOCKED": 1}


def test_a_release_is_no_attempt_and_keeps_the_progress(launchpad, root):
    launchpad.add(add(1, 1), campaign="one", root=root)
    for _ in range(7):
        (claim,) = launchpad.claim(Pilot.here())
        assert claim.attempt == 1
        assert launchpad.progress(claim, {"step": 12})
        assert launchpad.release(claim, "stopped in order")
    own = launchpad.collections.fireworks.find_one({})["spec"]["_sodalyte"]
    assert own["progress"] == {"step": 12}


def test_of_completion_and_loss_only_the_first_counts(launchpad, root):
    launchpad.add(Flow([add(1, 1), add(2, 2)]), campaign="one", root=root)
    early, late = launchpad.claim(Pilot.here(), limit=2)
    outcome = execute(launchpad, root, early)
    runs = {run.fw_id: run for run in launchpad.running()}
    assert launchpad.complete(early, outcome)
    assert not launchpad.lost(runs[early.fw_id], "NODE_FAIL", "the node is gone")
    assert launchpad.lost(runs[late.fw_id], "NODE_FAIL", "the node is gone")
    assert not launchpad.complete(late, outcome)
    assert not launchpad.progress(late, {})
    assert launchpad.counts() == {"COMPLETED": 1, "READY": 1, "BLOCKED": 0}


def test_a_job_that_is_finished_in_the_store_is_not_lost_with_its_pilot(launchpad, root):
    launchpad.add(Flow(chain(2)), campaign="one", root=root)
    (claim,) = launchpad.claim(Pilot.here())
    execute(launchpad, root, claim)
    (run,) = launchpad.running()
    assert launchpad.lost(run, "NODE_FAIL", "the node is gone")
    assert launchpad.counts() == {"COMPLETED": 1, "READY": 1, "BLOCKED": 0}


def test_what_a_process_left_half_done_is_finished_while_its_pilot_lives(launchpad, root, die_before):
    launchpad.add(Flow([add(1, 1), *chain(2)]), campaign="one", root=root)
    good, bad = launchpad.claim(Pilot.here(), limit=2)
    outcome = execute(launchpad, root, good)
    with suppress(KilledError), die_before(2):
        launchpad.complete(good, outcome)
    with suppress(KilledError), die_before(2):
        launchpad.fail(bad, "ERROR", "no luck")
    assert launchpad.counts()["RUNNING"] == 2
    assert launchpad.repair() == 2
    assert launchpad.counts() == {"COMPLETED": 1, "FIZZLED": 1, "WAITING": 1, "BLOCKED": 1}


def test_a_completion_that_is_said_twice_counts_once(launchpad, root, die_before):
    launchpad.add(Flow(chain(3)), campaign="one", root=root)
    (claim,) = launchpad.claim(Pilot.here())
    outcome = execute(launchpad, root, claim)
    with suppress(KilledError), die_before(3):
        launchpad.complete(claim, outcome)
    assert launchpad.complete(claim, outcome)
    assert launchpad.collections.workflows.find_one({})["sodalyte"]["open"] == 2
    assert work(launchpad, root) == ["add", "add"]


def reconcile(launchpad):
    """Do what a manager does when the pilot has died."""
    launchpad.repair()
    for run in launchpad.running():
        launchpad.lost(run, "CRASHED", "its pilot died")


@pytest.mark.parametrize("kind", ["chain", "dynamic", "failing"])
def test_killed_between_any_two_commands_nothing_is_lost_or_run_twice(launchpad, root, tmp_path, die_before, kind):
    def flow():
        if kind == "chain":
            return Flow(chain(4))
        if kind == "dynamic":
            return dynamic_flow()
        first = needs_file(str(tmp_path / "never"))
        good = add(3, 3)
        last = collect([first.output, good.output])
        last.config.on_missing_references = OnMissing.NONE
        return Flow([first, good, last])

    launchpad.add(identify(flow()), campaign="one", root=root)
    for attempt in range(400):
        with suppress(KilledError), die_before(1 + attempt % 13):
            work(launchpad, root)
            break
        reconcile(launchpad)
    assert 4 < attempt < 399
    assert launchpad.is_over()
    peer = tmp_path / "lite"
    local.run(identify(flow()), database=f"lite://{peer}", root=tmp_path / "there", workers=1)
    with open_database(f"lite://{peer}") as database:
        assert outputs(launchpad.database) == outputs(database)
    ends = Counter(job for event, job in executions(root) if event == "end")
    assert set(ends.values()) == {1}
    fireworks, workflows = truth(launchpad)
    assert {number: state for number, state in fireworks.items() if state == "COMPLETED"} == {
        number: state for number, state in workflows.items() if state == "COMPLETED"
    }
