"""Kills at random moments: nothing finished is lost, nothing runs twice, nothing is left RUNNING without a process."""

import os
import random
import signal
import time
from contextlib import suppress

import psutil
import pytest
from campaigns import Campaign, chains
from slurm_lab import wait_until

KILLS = 10
KINDS = ("worker", "job", "worker-term", "scancel", "slurmctld", "manager", "database", "slurmd")


@pytest.fixture
def start(make_lab, restartable_mongodb, tmp_path):
    """Start a campaign on a cluster and a database server of its own."""
    campaigns = []

    def start(*, number, length, seconds):
        lab = make_lab(nodes=4)
        campaign = Campaign(tmp_path, lab, restartable_mongodb.uri)
        campaign.server = restartable_mongodb
        campaigns.append(campaign)
        campaign.add(chains(campaign.folder, number=number, length=length, seconds=seconds))
        campaign.start()
        return campaign

    yield start
    for campaign in campaigns:
        campaign.__exit__()


def disturb(kind, campaign, chance):
    """Do one kind of harm; return whether there was something to harm."""
    lab = campaign.lab
    runs = [run for run in campaign.running() if run.attempt < 4]  # one that dies too often is given up, and rightly
    if kind == "manager":
        campaign.manager.kill()
        campaign.manager.wait()
        campaign.start()
        wait_until(campaign.is_managed, seconds=60)  # it says so itself when it finds no database at its start
    elif kind == "slurmctld":
        lab.kill("slurmctld")
        time.sleep(chance.uniform(0, 3))
        lab.start_controller()
        lab.resume_nodes()
    elif kind == "database":
        campaign.server.kill9()
        time.sleep(chance.uniform(0, 3))
        campaign.server.start()
    elif not runs:
        return False
    elif kind == "scancel":
        lab.run("scancel", chance.choice(runs).slurm_job, check=False)
    elif kind == "slurmd":
        node = chance.choice(runs).node
        if lab.process(f"slurmd-{node}") is None:
            return False
        lab.kill(f"slurmd-{node}")
        if chance.random() < 0.7:  # an administrator is faster than the controller's time limit
            lab.run("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")
        wait_until(lambda: "down" in lab.run("sinfo", "-h", "-n", node, "-o", "%T"), seconds=60, every=0.5)
        time.sleep(chance.uniform(0, 5))
        lab.start_node(node)
        lab.run("scontrol", "update", f"NodeName={node}", "State=RESUME", check=False)
    else:
        with suppress(ProcessLookupError, psutil.Error):
            pilot = psutil.Process(chance.choice(runs).pid)
            victim = chance.choice(pilot.children() or [pilot]) if kind == "job" else pilot
            victim.send_signal(signal.SIGTERM if kind == "worker-term" else signal.SIGKILL)
    return True


def wait_for_progress(campaign, chance):
    before = len(campaign.events())
    wait_until(lambda: len(campaign.events()) > before or campaign.manager.poll() is not None, seconds=120)
    time.sleep(chance.uniform(0, 1))


def check(campaign, jobs):
    """Check what has to hold whatever was killed."""
    counts = campaign.counts()
    assert counts == {"COMPLETED": jobs, "BLOCKED": 0}, f"{counts} {campaign.said()}"
    assert not campaign.running()
    assert len(campaign.ended()) == jobs
    events = campaign.events()
    assert not [words for words in events if words[0] == "OVERLAP"]
    ended = set()
    for event, job in campaign.journal():
        assert job not in ended, f"{job} ran again after it had ended"
        if event == "end":
            ended.add(job)


def test_one_of_each(start):
    """Slurm's own daemons, which take up to minutes to find each other again, are killed in the slow test only."""
    chance = random.Random(1)
    campaign = start(number=8, length=12, seconds=0.5)
    for kind in chance.sample(quick := [kind for kind in KINDS if not kind.startswith("slurm")], len(quick)):
        wait_for_progress(campaign, chance)
        assert campaign.manager.poll() is None, campaign.said()
        disturb(kind, campaign, chance)
    assert campaign.wait(seconds=120) == 0, campaign.said()
    check(campaign, 96)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_ten_kills(start, kind):
    chance = random.Random(kind)
    number, length, seconds = 8, {"slurmd": 80, "slurmctld": 120, "database": 60}.get(kind, 20), 0.8
    campaign = start(number=number, length=length, seconds=seconds)
    kills = 0
    while kills < KILLS and campaign.manager.poll() is None:
        wait_for_progress(campaign, chance)
        kills += disturb(kind, campaign, chance)
    assert kills == KILLS, campaign.said()
    assert campaign.wait(seconds=600) == 0, campaign.said()
    check(campaign, number * length)


@pytest.mark.slow
def test_a_copy_that_lives_on_a_failed_node_is_not_joined_by_another(start):
    """Split brain: slurmd dies, Slurm gives the node up, the job's process lives. Nobody starts beside it."""
    campaign = start(number=1, length=1, seconds=20)
    began = wait_until(lambda: campaign.events() and campaign.running(), seconds=60)[0]
    campaign.lab.kill(f"slurmd-{began.node}")
    campaign.lab.run("scontrol", "update", f"NodeName={began.node}", "State=DOWN", "Reason=test")
    wait_until(lambda: "NODE_FAIL" in campaign.said(), seconds=60)
    assert psutil.pid_exists(began.pid)
    os.kill(began.pid, 0)
    assert campaign.wait(seconds=180) == 0, campaign.said()
    assert [words[0] for words in campaign.events()] == ["start", "end"]
    (ends,) = campaign.attempts()
    assert [end["cause"] for end in ends][:2] == ["NODE_FAIL", "released"]
    assert "still running" in ends[1]["reason"]
    check(campaign, 1)
