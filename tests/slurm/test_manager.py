"""Campaigns of trivial jobs on a real Slurm, undisturbed: run once, in order, without a pause, within the limits."""

from datetime import datetime
from itertools import pairwise

import pytest
from campaigns import careful, chains, fill_disk
from jobflow import Flow
from slurm_lab import wait_until
from trivial import fail

from sodalyte.database import open_database
from sodalyte.launchers.slurm.manager import Manager, in_charge, set_workers
from sodalyte.launchers.slurm.queue import Queue


def test_a_campaign_is_run_once_without_pauses_and_leaves_nothing_behind(make_campaign, lab):
    campaign = make_campaign(max_queued=1)
    flow = chains(campaign.folder, number=1, length=8, seconds=0)
    assert campaign.add(flow).fireworks == 8
    assert campaign.add(flow).fireworks == 0
    campaign.start()
    assert campaign.wait() == 0, campaign.said()
    assert campaign.counts() == {"COMPLETED": 8, "BLOCKED": 0}
    assert set(campaign.ended().values()) == {1}
    assert campaign.state().state == "complete"
    assert max(pauses(campaign)) < 2
    check_no_password(campaign)
    wait_until(lambda: not lab.run("squeue", "-h", "--me"), seconds=20)


def pauses(campaign):
    """Return the seconds from the end of each job to the start of the one that depends on it."""
    lines = [line.split() for line in (campaign.settings.root / "journal.txt").read_text().splitlines()]
    moments = [(event, datetime.fromisoformat(moment).timestamp()) for moment, event, *_ in lines]
    found = [start - end for (before, end), (after, start) in pairwise(moments) if (before, after) == ("end", "start")]
    assert len(found) == 7
    return found


def check_no_password(campaign):
    """Check that the address of the database stands only in files that their owner alone may read."""
    for path in campaign.settings.folder.rglob("*"):
        private = path.is_dir() or path.stat().st_mode & 0o077 == 0
        assert private or campaign.database not in path.read_text(), path


@pytest.mark.slow
def test_never_more_allocations_than_allowed_and_more_on_demand(make_campaign, lab):
    campaign = make_campaign(max_queued=3)
    set_workers(campaign.settings, 1)
    campaign.add(chains(campaign.folder, number=12, length=1, seconds=1.5))
    campaign.start()
    seen = []

    def count():
        jobs = lab.run("squeue", "-h", "-r", "--me", "-o", "%i %T").splitlines()
        seen.append(len(jobs))
        return len(jobs)

    wait_until(lambda: count() == 1)
    wait_until(lambda: len(campaign.ended()) >= 1 or count() > 1)
    assert max(seen) == 1
    set_workers(campaign.settings, 5)
    wait_until(lambda: count() == 3)
    while campaign.manager.poll() is None:
        count()
    assert max(seen) == 3
    assert campaign.manager.returncode == 0
    submitted = lab.run("squeue", "-h", "-r", "-t", "all", "--me", "-o", "%F %i").splitlines()
    assert any("_" in line for line in submitted), "several allocations at once are an array"


def test_what_fails_is_named_and_the_rest_runs(make_campaign):
    campaign = make_campaign(max_queued=1)
    campaign.add(Flow([fail("no such luck"), fill_disk(), careful(str(campaign.folder), "0")]))
    campaign.start()
    assert campaign.wait() == 1
    assert campaign.state().state == "failed"
    assert campaign.counts() == {"COMPLETED": 1, "FIZZLED": 2, "BLOCKED": 0}
    ends = {end["cause"]: end["reason"] for attempts in campaign.attempts() for end in attempts}
    assert ends.keys() == {"ERROR", "DISK_FULL"}
    assert "no such luck" in ends["ERROR"]
    assert "No space left" in ends["DISK_FULL"]


def test_wrong_partition_and_walltime_are_named(make_campaign):
    campaign = make_campaign(partition="nowhere")
    campaign.add(chains(campaign.folder, number=1, length=1, seconds=0))
    campaign.start()
    assert campaign.wait() == 1
    assert campaign.state().state == "wrong partition"
    assert "invalid partition specified: nowhere" in campaign.state().message
    assert "sinfo" in campaign.said()


def test_a_walltime_beyond_the_partitions_is_named(make_campaign, lab):
    campaign = make_campaign(partition="small", walltime=0.5)
    campaign.add(chains(campaign.folder, number=1, length=1, seconds=0))
    campaign.start()
    assert campaign.wait() == 1
    assert campaign.state().state == "walltime too long"
    assert not lab.run("squeue", "-h", "--me", "-t", "PENDING"), "what waits in vain is taken back"


def test_allocations_that_fail_are_not_repeated_for_ever(make_campaign):
    campaign = make_campaign(max_queued=2, environment=("echo no module vasp >&2", "exit 3"))
    campaign.add(chains(campaign.folder, number=4, length=1, seconds=0))
    campaign.start()
    assert campaign.wait() == 1
    assert campaign.state().state == "allocations fail"
    assert "no module vasp" in campaign.state().message
    assert "exit status 3" in campaign.state().message


def test_a_result_that_the_database_refuses_is_told_once(make_campaign, lab):
    campaign = make_campaign()
    refused = campaign.settings.root / "spool" / f"{'0' * 32}-1.bson"
    refused.mkdir(parents=True)
    said = []
    with open_database(campaign.database) as database:
        manager = Manager(campaign.settings, database, queue=Queue(environment=lab.environment), tell=said.append)
        campaign.settings.folder.mkdir(parents=True)
        assert [manager.step().state for _ in range(2)] == ["complete", "complete"]
    (sentence,) = said
    assert sentence.startswith("refused by the database")
    assert str(refused) in sentence


def test_one_manager_at_a_time(make_campaign):
    campaign = make_campaign()
    with in_charge(campaign.settings):
        campaign.start()
        assert campaign.wait() == 1
    assert "has a manager at work" in campaign.said()
