"""FireWorks' documents under few commands: what is added, claimed, ended and repaired."""

import threading
from collections import Counter

import pymongo
import pytest
from jobflow import Flow, OnMissing
from pilots import execute, executions, outputs, work
from pymongo.collection import Collection
from trivial import add, collect, dynamic_flow, fail, needs_file, replaced_by_failure

from sodalyte.database import open_database
from sodalyte.errors import CampaignError
from sodalyte.launchers import local
from sodalyte.launchers.fireworks import Launchpad, Pilot, documents
from sodalyte.launchers.identity import identify

WRITES = ("insert_one", "insert_many", "update_one", "update_many", "bulk_write", "find_one_and_update", "replace_one")


class KilledError(BaseException):
    """The process ends here."""


@pytest.fixture
def die_before(monkeypatch):
    """Give a function that lets this process die before its n-th write from now on."""

    def die_before(count):
        left = iter(range(count - 1))

        def wrap(method):
            def write(*arguments, **options):
                if next(left, None) is None:
                    raise KilledError
                return method(*arguments, **options)

            return write

        for name in WRITES:
            monkeypatch.setattr(Collection, name, wrap(ORIGINAL[name]))

    return die_before


ORIGINAL = {name: getattr(Collection, name) for name in WRITES}


@pytest.fixture
def live_on(monkeypatch):
    def live_on():
        for name in WRITES:
            monkeypatch.setattr(Collection, name, ORIGINAL[name])

    return live_on


@pytest.fixture
def root(tmp_path):
    return tmp_path / "runs"


def chain(length):
    jobs = [add(0, 1)]
    for _ in range(length - 1):
        jobs.append(add(jobs[-1].output, 1))
    return jobs


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


# --- adding ---------------------------------------------------------------------------------------------------


def test_adding_twice_adds_nothing_twice(launchpad, root):
    flow = identify(dynamic_flow())
    first, second = (launchpad.add(flow, campaign="one", root=root) for _ in range(2))
    assert (first.workflows, first.fireworks, first.present) == (1, 6, 0)
    assert (second.workflows, second.fireworks, second.present) == (0, 0, 6)
    assert launchpad.counts("one") == {"READY": 1, "WAITING": 5, "BLOCKED": 0}


def test_a_submission_that_is_killed_at_any_command_is_completed_by_the_next(launchpad, root, die_before, live_on):
    launchpad.prepare()
    jobs = Flow([*chain(3), *chain(2), add(7, 7)])
    for count in range(1, 50):
        die_before(count)
        try:
            launchpad.add(jobs, campaign="one", root=root)
        except KilledError:
            continue
        break
    live_on()
    assert count >= 4
    assert launchpad.counts() == {"READY": 3, "WAITING": 3, "BLOCKED": 0}
    assert launchpad.collections.workflows.count_documents({}) == 3
    assert len(work(launchpad, root)) == 6


def test_two_submissions_at_once_add_everything_once(launchpad, address, root):
    flow = Flow([*chain(3), *(add(number, 1) for number in range(20))])
    launchpad.prepare()

    def submit():
        with open_database(address) as database:
            Launchpad(database).add(flow, campaign="one", root=root)

    threads = [threading.Thread(target=submit) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert launchpad.counts() == {"READY": 21, "WAITING": 2, "BLOCKED": 0}
    assert len(work(launchpad, root)) == 23


def labelled(material, shared):
    first = add(shared.output, len(material))
    last = add(first.output, 1)
    flow = Flow([first, last])
    flow.update_metadata({"material": material}, dynamic=False)
    return flow


def test_a_large_campaign_is_cut_by_material_and_shared_jobs_run_once(launchpad, root, monkeypatch):
    monkeypatch.setattr(documents, "MAX_SHARED", 4)
    common = add(1, 1)
    flow = identify(Flow([common, *(labelled(name, common) for name in ("Na3PS4", "Na3SbS4", "Na2S"))]))
    added = launchpad.add(flow, campaign="one", root=root)
    assert (added.workflows, added.fireworks) == (3, 9)
    assert len(work(launchpad, root)) == 9
    assert Counter(executions(root))[("start", f"{flow.jobs[0].uuid}-1")] == 1
    assert sorted(outputs(launchpad.database).values()) == [2, 6, 7, 8, 9, 9, 10]


def test_what_exceeds_a_document_is_refused_in_a_sentence(launchpad, root, monkeypatch):
    monkeypatch.setattr(documents, "MAX_JOBS", 5)
    monkeypatch.setattr(documents, "MAX_SHARED", 5)
    with pytest.raises(CampaignError, match="6 jobs depend on each other"):
        launchpad.add(Flow(chain(6)), campaign="one", root=root)


# --- running --------------------------------------------------------------------------------------------------


def test_a_job_costs_few_commands_however_large_its_workflow(address, root):
    class Count(pymongo.monitoring.CommandListener):
        n = 0

        def started(self, _event):
            Count.n += 1

        def succeeded(self, event):
            pass

        failed = succeeded

    def commands(flow, campaign):
        with pymongo.MongoClient(address, event_listeners=[Count()]) as client, open_database(address) as database:
            watched = type(database)("watched", client, client[address.rpartition("/")[2]].__getitem__)
            launchpad = Launchpad(watched)
            launchpad.add(flow, campaign=campaign, root=root)
            before = Count.n
            jobs = len(work(launchpad, root))
            return (Count.n - before) / jobs

    assert commands(Flow([add(number, 1) for number in range(60)]), "loose") < 7.3
    chains = [commands(Flow(chain(length)), f"chain of {length}") for length in (30, 90)]
    assert max(chains) < 10.5  # a reference to a parent's output costs jobflow three
    assert abs(chains[1] - chains[0]) < 0.3


def test_higher_priority_goes_first(launchpad, root):
    jobs = [add(number, 1) for number in range(4)]
    jobs[2].update_metadata({"priority": 5})
    launchpad.add(Flow(jobs), campaign="one", root=root)
    (claim,) = launchpad.claim(Pilot.here())
    assert (claim.uuid, claim.priority) == (jobs[2].uuid, 5)


def test_of_many_pilots_each_gets_its_own(launchpad, address, root):
    launchpad.add(Flow([add(number, 1) for number in range(40)]), campaign="one", root=root)
    claimed = []

    def claim():
        with open_database(address) as database:
            claimed.extend(claim.fw_id for claim in Launchpad(database).claim(Pilot.here(), limit=40))

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == sorted(set(claimed))
    assert len(claimed) == 40


def test_jobs_that_need_more_are_passed_over(launchpad, root):
    launchpad.add(add(1, 1), campaign="one", root=root)
    me = Pilot.here()
    (claim,) = launchpad.claim(me, memory=100, hours=1)
    launchpad.fail(claim, "OUT_OF_MEMORY", "too small", retry=True, overrides={"memory": 200, "hours": 2})
    assert not launchpad.claim(me, memory=100, hours=3)
    assert not launchpad.claim(me, memory=300, hours=1)
    (claim,) = launchpad.claim(me, memory=200, hours=2)
    assert (claim.attempt, claim.overrides) == (2, {"memory": 200, "hours": 2})


# --- how things end -------------------------------------------------------------------------------------------


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
        assert launchpad.fail(claims[0], "CRASHED", "killed by signal 9", retry=None)
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


def reconcile(launchpad):
    """Do what a manager does when the pilot has died."""
    launchpad.repair()
    for run in launchpad.running():
        launchpad.lost(run, "CRASHED", "its pilot died", retry=True)


@pytest.mark.parametrize("kind", ["chain", "dynamic", "failing"])
def test_killed_between_any_two_commands_nothing_is_lost_or_run_twice(
    launchpad, root, tmp_path, die_before, live_on, kind
):
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
        die_before(1 + attempt % 13)
        try:
            work(launchpad, root)
        except KilledError:
            live_on()
            reconcile(launchpad)
        else:
            break
    live_on()
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


# --- steering -------------------------------------------------------------------------------------------------


def test_pause_and_resume_by_material(launchpad, root):
    common = [add(number, 1) for number in range(2)]
    for job, material in zip(common, ("Na3PS4", "Na3SbS4"), strict=True):
        job.update_metadata({"material": material})
    launchpad.add(Flow(common), campaign="one", root=root)
    assert launchpad.pause(material="Na3PS4") == 1
    assert len(work(launchpad, root)) == 1
    assert launchpad.counts() == {"COMPLETED": 1, "PAUSED": 1, "BLOCKED": 0}
    assert launchpad.resume(campaign="one") == 1
    assert len(work(launchpad, root)) == 1


def test_cancelled_jobs_end_even_when_they_run_and_can_be_retried(launchpad, root):
    launchpad.add(Flow([*chain(3), add(9, 9)]), campaign="one", root=root)
    (claim,) = launchpad.claim(Pilot.here())
    assert launchpad.cancel(campaign="one") == 4
    assert launchpad.counts() == {"DEFUSED": 4, "BLOCKED": 0}
    assert not launchpad.progress(claim, {})
    assert launchpad.is_cancelled(claim)
    assert not launchpad.complete(claim, execute(launchpad, root, claim))
    assert launchpad.retry(campaign="one") == 4
    assert len(work(launchpad, root)) == 4
    assert launchpad.counts() == {"COMPLETED": 4, "BLOCKED": 0}


def test_a_retry_leaves_alone_what_the_workflow_itself_stopped(launchpad, root):
    launchpad.add(identify(dynamic_flow()), campaign="one", root=root)
    work(launchpad, root)
    assert launchpad.retry(campaign="one") == 0
    assert launchpad.counts()["DEFUSED"] == 1
