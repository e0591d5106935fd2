"""FireWorks' documents under few commands: what is added, claimed and steered."""

import threading
from collections import Counter
from contextlib import suppress

import pymongo
import pytest
from jobflow import Flow
from pilots import KilledError, chain, execute, executions, outputs, work
from trivial import add, dynamic_flow

from sodalyte.database import open_database
from sodalyte.errors import CampaignError
from sodalyte.launchers.fireworks import Launchpad, Pilot, documents
from sodalyte.launchers.identity import identify
from sodalyte.launchers.policy import Room


def test_adding_twice_adds_nothing_twice(launchpad, root):
    flow = identify(dynamic_flow())
    first, second = (launchpad.add(flow, campaign="one", root=root) for _ in range(2))
    assert (first.workflows, first.fireworks, first.present) == (1, 6, 0)
    assert (second.workflows, second.fireworks, second.present) == (0, 0, 6)
    assert launchpad.counts("one") == {"READY": 1, "WAITING": 5, "BLOCKED": 0}


def test_a_submission_that_is_killed_at_any_command_is_completed_by_the_next(launchpad, root, die_before):
    launchpad.prepare()
    jobs = Flow([*chain(3), *chain(2), add(7, 7)])
    for count in range(1, 50):
        with suppress(KilledError), die_before(count):
            launchpad.add(jobs, campaign="one", root=root)
            break
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

    assert commands(Flow([add(number, 1) for number in range(20)]), "loose") < 7.5
    chains = [commands(Flow(chain(length)), f"chain of {length}") for length in (10, 40)]
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
    launchpad.fail(claim, "OUT_OF_MEMORY", "too small", room=Room(memory=100))
    (claim,) = launchpad.claim(me, memory=200, hours=1)
    launchpad.fail(claim, "TIMEOUT", "too long", hours=4 / 3)
    assert not launchpad.claim(me, memory=100, hours=3)
    assert not launchpad.claim(me, memory=300, hours=1)
    (claim,) = launchpad.claim(me, memory=200, hours=2)
    assert (claim.attempt, claim.overrides) == (3, {"memory": 200, "hours": 2})


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
