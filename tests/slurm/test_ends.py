"""Every way to end has its own name and reason, and what the policy says follows."""

import getpass
import os
import signal

import pytest
from campaigns import Campaign, careful, chains, hog
from jobflow import Flow
from slurm_lab import wait_until

from sodalyte.launchers.slurm.causes import POLICY, End, end_of_job, end_of_pilot, remedy
from sodalyte.launchers.slurm.queue import SlurmJob
from sodalyte.launchers.slurm.refusals import hopeless, refusal_of

ROOMY = {"earlier": 0, "hours": 10.0, "memory": 1000, "most_hours": 24.0, "most_memory": 4000}


@pytest.fixture
def make_campaign(lab, mongodb_uri, tmp_path):
    campaigns = []

    def make(cluster=lab, **table):
        campaigns.append(Campaign(tmp_path, cluster, mongodb_uri, **table))
        return campaigns[-1]

    yield make
    for campaign in campaigns:
        campaign.__exit__()


@pytest.mark.parametrize(
    ("state", "cause"),
    [
        *[(name, name) for name in ("TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "CANCELLED", "PREEMPTED", "BOOT_FAIL")],
        ("FAILED", "FAILED"),
        ("REVOKED", "FAILED"),
        ("PENDING", "REQUEUED"),
        ("RUNNING", None),
        ("COMPLETING", None),
    ],
)
def test_slurms_words(state, cause):
    end = end_of_job(SlurmJob("7", "7_1", state, nodes="n3", exit_code=0, signal=9), "7")
    assert (end and end.cause) == cause
    if end:
        assert "7_1" in end.reason
        assert "n3" in end.reason


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        ("slurmstepd: error: Detected 1 oom_kill event in StepId=7.0. Some of the step tasks have been OOM Killed.",)
        * 1
        + ("OUT_OF_MEMORY",),
        (
            "slurmstepd-n1: error: StepId=2.0 exceeded memory limit (561041408 > 314572800), being killed",
            "OUT_OF_MEMORY",
        ),
        ("srun: error: Node failure on n2", "NODE_FAIL"),
        ("Traceback (most recent call last):", "CRASHED"),
    ],
)
def test_what_a_step_says(log, cause):
    assert end_of_pilot(137, log, where="step 7.0").cause == cause


def test_the_policy_is_bounded_and_asks_for_more():
    assert remedy(End("TIMEOUT", ""), **ROOMY) == (True, {"hours": 15.0})
    assert remedy(End("TIMEOUT", ""), **ROOMY | {"hours": 20.0}) == (True, {"hours": 24.0})
    assert remedy(End("OUT_OF_MEMORY", ""), **ROOMY) == (True, {"memory": 2000})
    assert remedy(End("OUT_OF_MEMORY", ""), **ROOMY | {"memory": 4000}) == (False, {})
    assert remedy(End("PREEMPTED", ""), **ROOMY) == (True, {})
    for cause, policy in POLICY.items():
        assert remedy(End(cause, ""), **ROOMY | {"earlier": policy.times})[0] is False
        assert remedy(End(cause, ""), **ROOMY | {"earlier": policy.times - 1})[0] is True


@pytest.mark.parametrize(
    ("message", "name"),
    [
        ("Batch job submission failed: Invalid account or account/partition combination specified", "wrong account"),
        ("Batch job submission failed: Invalid qos specification", "wrong QOS"),
        (
            "invalid partition specified: x; Batch job submission failed: Invalid partition name specified",
            "wrong partition",
        ),
        (
            "Batch job submission failed: Requested time limit is invalid (missing or exceeds some limit)",
            "walltime too long",
        ),
        ("Batch job submission failed: Requested node configuration is not available", "too large"),
        ("Batch job submission failed: Invalid feature specification", "wrong constraint"),
        ("Batch job submission failed: Job violates accounting/QOS policy (job submit limit, ...)", "over the limit"),
        ("User's group not permitted to use this partition", "closed partition"),
        ("Batch job submission failed: something new", "refused"),
    ],
)
def test_refusals_have_names(message, name):
    assert refusal_of(message).name == name


@pytest.mark.parametrize(
    ("reason", "name"),
    [
        ("AssocGrpCPUMinutesLimit", "spent account"),
        ("QOSGrpBillingMinutes", "spent account"),
        ("InvalidAccount", "wrong account"),
        ("PartitionTimeLimit", "walltime too long"),
        ("AssocMaxWallDurationPerJobLimit", "walltime too long"),
        ("QOSMaxCpuPerJobLimit", "too large"),
        ("Priority", None),
        ("Resources", None),
        ("QOSMaxJobsPerUserLimit", None),
        ("AssocGrpCpuLimit", None),
        ("ReqNodeNotAvail", None),
    ],
)
def test_waiting_in_vain_is_told_from_waiting(reason, name):
    found = hopeless(SlurmJob("7", "7", "PENDING", reason=reason))
    assert (found and found.name) == name


@pytest.mark.slow
def test_out_of_memory_is_retried_with_more(make_campaign):
    """Slurm kills the step; the job runs again in an allocation that fewer share."""
    campaign = make_campaign(side_by_side=2, memory=2400, max_queued=2)
    campaign.add(Flow([hog(1200, seconds=6), careful(str(campaign.folder), "0")]))
    campaign.start()
    assert campaign.wait(seconds=120) == 0, campaign.said()
    ends = [[end["cause"] for end in attempts] for attempts in campaign.attempts()]
    assert sorted(ends) == [[], ["OUT_OF_MEMORY"]]
    assert "OUT_OF_MEMORY: It needed more memory" in campaign.said()


@pytest.mark.slow
def test_expired_and_spent_accounts_are_named(make_lab, make_campaign):
    extra = "AccountingStorageEnforce=associations,limits,qos"
    lab = make_lab(nodes=1, accounting=True, extra=extra)
    lab.run("sacctmgr", "-i", "add", "account", "sulfides")
    lab.run("sacctmgr", "-i", "add", "user", getpass.getuser(), "account=sulfides")
    lab.run("sacctmgr", "-i", "modify", "account", "sulfides", "set", "GrpTRESMins=cpu=0")
    campaign = make_campaign(lab, account="sulfides")
    campaign.add(chains(campaign.folder, number=1, length=1, seconds=0))
    campaign.start()
    assert campaign.wait() == 1
    assert campaign.state().state == "spent account"
    assert "AssocGrpCPUMinutesLimit" in campaign.said()
    lab.run("sacctmgr", "-i", "delete", "user", getpass.getuser(), "account=sulfides")
    campaign.start()
    assert campaign.wait() == 1
    assert campaign.state().state == "wrong account"
    assert "Invalid account" in campaign.state().message
    lab.run("sacctmgr", "-i", "add", "user", getpass.getuser(), "account=sulfides")
    lab.run("sacctmgr", "-i", "modify", "account", "sulfides", "set", "GrpTRESMins=cpu=-1")
    campaign.start()
    assert campaign.wait() == 0, campaign.said()


@pytest.mark.slow
def test_out_of_time_is_told_by_slurm(make_campaign):
    """A pilot that cannot even be warned (stopped, as by a hanging file system) is ended by Slurm: TIMEOUT."""
    campaign = make_campaign(walltime=2.5 / 60, warning=5)
    campaign.add(chains(campaign.folder, number=1, length=1, seconds=400))
    campaign.start()
    began = wait_until(campaign.running, seconds=60)[0]
    os.kill(began.pid, signal.SIGSTOP)
    wait_until(lambda: "TIMEOUT: The allocation reached its time limit" in campaign.said(), seconds=300, every=1)
