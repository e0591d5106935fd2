"""Several managers, several campaigns, several clusters: nothing runs twice, and no limit is exceeded."""

import psutil
import pytest
from campaigns import careful, chains
from jobflow import Flow
from slurm_lab import wait_until
from typer.testing import CliRunner

from sodalyte.cli import app
from sodalyte.errors import ClusterError

pytestmark = pytest.mark.slow


def test_of_managers_started_at_once_one_is_in_charge(make_campaign, lab):
    campaign = make_campaign(max_queued=2)
    campaign.add(chains(campaign.folder, number=4, length=2, seconds=1))
    managers = [campaign.start() for _ in range(4)]
    assert sorted(manager.wait(timeout=180) for manager in managers) == [0, 1, 1, 1], campaign.said()
    assert campaign.said().count("has a manager at work") == 3
    assert campaign.counts() == {"COMPLETED": 8, "BLOCKED": 0}
    assert set(campaign.ended().values()) == {1}
    assert len(lab.run("squeue", "-h", "-r", "-t", "all", "--me", "-n", job_name(campaign), "-o", "%i").split()) == 2


def job_name(campaign):
    return f"sodalyte-{campaign.settings.job_name}"


def test_campaigns_that_share_a_cluster_share_its_limit(make_campaign, lab):
    campaigns = [make_campaign(campaign=f"trivial{number}", max_queued=3) for number in range(3)]
    for campaign in campaigns:
        campaign.add(Flow([careful(str(campaign.folder), campaign.settings.campaign + str(n)) for n in range(3)]))
    for campaign in campaigns:
        campaign.start()
    most = 0
    while any(campaign.manager.poll() is None for campaign in campaigns):
        most = max(most, len(lab.run("squeue", "-h", "-r", "--me", "-o", "%i").split()))
    assert most == 3
    assert [campaign.manager.returncode for campaign in campaigns] == [0, 0, 0]
    assert set(campaigns[0].ended().values()) == {1}


def test_two_clusters_share_a_campaign(make_lab, make_campaign):
    """Their job numbers are alike: what ends on the one says nothing about the other."""
    labs = {name: make_lab(nodes=1, extra=f"ClusterName={name}") for name in ("north", "south")}
    north = make_campaign(labs["north"], cluster="north", max_queued=1)
    south = make_campaign(labs["south"], cluster="south", max_queued=1, name=north.database.rpartition("/")[2])
    folder = str(north.folder)
    north.add(Flow([careful(folder, "long", seconds=40), *(careful(folder, f"short{n}") for n in range(4))]))
    north.start()
    (began,) = wait_until(north.running, seconds=60)
    south.start()
    wait_until(lambda: len(south.ended()) == 4, seconds=90)
    jobs = labs["south"].run("squeue", "-h", "-o", "%i").split()
    assert jobs == [began.slurm_job]
    labs["south"].run("scancel", *jobs)
    assert north.wait(seconds=120) == 0, north.said()
    assert south.wait(seconds=60) == 0, south.said()
    assert set(north.ended().values()) == {1}
    assert len(north.ended()) == 5
    assert north.attempts() == [[]] * 5


def test_status_asks_slurm_where_no_manager_does(make_campaign, lab, monkeypatch):
    campaign = make_campaign(max_queued=1)
    for name, value in (lab.environment | {"SODALYTE_WORKSPACE": str(campaign.folder)}).items():
        monkeypatch.setenv(name, value)
    campaign.add(chains(campaign.folder, number=1, length=1, seconds=60))
    campaign.start()
    (run,) = wait_until(campaign.running, seconds=60)
    campaign.manager.kill()
    campaign.manager.wait()
    lab.run("scancel", run.slurm_job)
    wait_until(lambda: run.slurm_job not in lab.run("squeue", "-h", "-o", "%i"))
    words = ["status", "--reconcile", "--database", campaign.database]
    told = CliRunner().invoke(app, words, catch_exceptions=False).output
    assert "CANCELLED" in told or campaign.counts()["READY"] == 1, "its pilot may have given it back in order"
    assert not campaign.running()
    monkeypatch.setenv("SLURM_CONF", "/nowhere")
    with pytest.raises(ClusterError, match=r"Slurm does not answer: .*; leave out --reconcile"):
        CliRunner().invoke(app, words, catch_exceptions=False, standalone_mode=False)


def test_one_material_is_steered_while_it_runs(make_campaign, monkeypatch):
    """Cancelled, its process ends within seconds and its neighbour's does not; held back, it waits for its time."""
    campaign = make_campaign(max_queued=2)
    monkeypatch.setenv("SODALYTE_DATABASE", campaign.database)
    monkeypatch.setenv("SODALYTE_WORKSPACE", str(campaign.folder))

    def steer(action, material):
        return CliRunner().invoke(app, [action, "trivial", "--material", material], catch_exceptions=False)

    jobs = []
    for material, seconds in (("slow", 300), ("quick", 20), ("late", 0)):
        jobs.append(careful(str(campaign.folder), material, seconds=seconds))
        jobs[-1].update_metadata({"material": material})
    campaign.add(Flow(jobs))
    assert steer("pause", "late").stdout == "1 jobs held back\n"
    campaign.start()
    runs = wait_until(lambda: len(found := campaign.running()) == 2 and found, seconds=90)
    victim = next(run for run in runs if run.material == "slow")
    process = wait_until(lambda: [words[2] for words in campaign.events() if words[:2] == ["start", "slow"]])[0]
    assert steer("cancel", "slow").stdout == "1 jobs cancelled\n"
    wait_until(lambda: not psutil.pid_exists(int(process)), seconds=30)
    assert psutil.pid_exists(victim.pid), "its pilot goes on"
    wait_until(lambda: "quick" in campaign.ended(), seconds=60)
    assert campaign.wait(seconds=60) == 1
    assert campaign.state().state == "paused"
    resumed = steer("resume", "late")
    assert resumed.stdout == "1 jobs free to run\n"
    assert "nobody manages trivial" in resumed.stderr
    campaign.start()
    assert campaign.wait(seconds=120) == 0, campaign.said()
    assert campaign.ended() == {"quick": 1, "late": 1}
    assert campaign.counts() == {"COMPLETED": 2, "DEFUSED": 1, "BLOCKED": 0}
