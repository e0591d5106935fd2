"""Campaigns of trivial jobs on a real Slurm, undisturbed: run once, in order, without a pause, within the limits."""

from datetime import datetime
from itertools import pairwise

import pytest
from campaigns import Campaign, careful, chains
from jobflow import Flow
from slurm_lab import wait_until
from trivial import fail

from sodalyte.database import open_database
from sodalyte.launchers.fireworks import Launchpad
from sodalyte.launchers.slurm.manager import set_workers


@pytest.fixture
def make_campaign(lab, mongodb_uri, tmp_path):
    campaigns = []

    def make(**table):
        campaigns.append(Campaign(tmp_path, lab, mongodb_uri, **table))
        return campaigns[-1]

    yield make
    for campaign in campaigns:
        campaign.__exit__()


def test_a_campaign_is_run_once_and_leaves_nothing_behind(make_campaign, lab):
    campaign = make_campaign(side_by_side=2)
    assert campaign.add(chains(campaign.folder, number=4, length=5, seconds=0.1)).fireworks == 20
    assert campaign.add(chains(campaign.folder, number=4, length=5, seconds=0.1)).fireworks == 0
    campaign.start()
    assert campaign.wait() == 0, campaign.said()
    assert campaign.counts() == {"COMPLETED": 20, "BLOCKED": 0}
    assert set(campaign.ended().values()) == {1}
    assert len(campaign.ended()) == 20
    assert campaign.state().state == "complete"
    wait_until(lambda: not lab.run("squeue", "-h", "--me"), seconds=20)


def test_dependent_jobs_follow_each_other_within_two_seconds(make_campaign):
    campaign = make_campaign(max_queued=1)
    campaign.add(chains(campaign.folder, number=1, length=6, seconds=0))
    campaign.start()
    assert campaign.wait() == 0, campaign.said()
    lines = [line.split() for line in (campaign.settings.root / "journal.txt").read_text().splitlines()]
    moments = [(event, datetime.fromisoformat(moment).timestamp()) for moment, event, *_ in lines]
    gaps = [start - end for (before, end), (after, start) in pairwise(moments) if (before, after) == ("end", "start")]
    assert len(gaps) == 5
    assert max(gaps) < 2, gaps


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


def test_a_job_that_fails_fails_the_campaign_in_a_sentence(make_campaign):
    campaign = make_campaign()
    campaign.add(Flow([fail("no such luck"), careful(str(campaign.folder), "0")]))
    campaign.start()
    assert campaign.wait() == 1
    assert campaign.state().state == "failed"
    assert campaign.counts() == {"COMPLETED": 1, "FIZZLED": 1, "BLOCKED": 0}


def test_wrong_partition_and_walltime_are_named(make_campaign):
    campaign = make_campaign(partition="nowhere")
    campaign.add(chains(campaign.folder, number=1, length=1, seconds=0))
    campaign.start()
    assert campaign.wait() == 1
    assert campaign.state().state == "wrong partition"
    assert "invalid partition specified: nowhere" in campaign.state().message
    assert "sinfo" in campaign.said()


def test_a_walltime_beyond_the_partitions_is_named(make_campaign):
    campaign = make_campaign(partition="small", walltime=0.5)
    campaign.add(chains(campaign.folder, number=1, length=1, seconds=0))
    campaign.start()
    assert campaign.wait() == 1
    assert campaign.state().state == "walltime too long"


def test_one_manager_at_a_time(make_campaign):
    campaign = make_campaign()
    campaign.add(chains(campaign.folder, number=1, length=1, seconds=3))
    first = campaign.start()
    wait_until(campaign.state)
    second = campaign.start()
    assert second.wait(timeout=20) == 1
    assert "has a manager at work" in campaign.said()
    assert first.wait(timeout=30) == 0


def test_no_password_in_scripts_logs_or_process_lists(make_campaign, lab):
    campaign = make_campaign()
    campaign.add(chains(campaign.folder, number=1, length=1, seconds=0))
    with open_database(campaign.database) as database:
        assert Launchpad(database).counts()["READY"] == 1
    campaign.start()
    campaign.wait()
    for path in campaign.settings.folder.rglob("*"):
        private = path.is_dir() or path.stat().st_mode & 0o077 == 0
        assert private or campaign.database not in path.read_text(), path
