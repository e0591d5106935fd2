"""Every way to end has its own name and reason, and what the policy says follows."""

import getpass
import os
import signal
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from campaigns import careful, chains, hog
from jobflow import Flow
from slurm_lab import CGROUPS, wait_until

from sodalyte.launchers.policy import POLICY, Room, remedy
from sodalyte.launchers.slurm.causes import end_of_job, end_of_pilot
from sodalyte.launchers.slurm.queue import SlurmJob
from sodalyte.launchers.slurm.refusals import hopeless, refusal_of

ROOM = Room(memory=1000, most_memory=4000, hours=9.0, most_hours=24.0)


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
    assert remedy("TIMEOUT", ends={}, room=ROOM, hours=8.0) == (True, {"hours": 12.0})
    assert remedy("TIMEOUT", ends={}, room=ROOM, hours=0.5) == (True, {"hours": 9.0}), "it began late in an allocation"
    assert remedy("TIMEOUT", ends={}, room=ROOM, hours=20.0) == (True, {"hours": 24.0})
    assert remedy("OUT_OF_MEMORY", ends={}, room=ROOM) == (True, {"memory": 2000})
    assert remedy("OUT_OF_MEMORY", ends={}, room=replace(ROOM, memory=4000)) == (False, {})
    assert remedy("PREEMPTED", ends={"NODE_FAIL": 99}, room=ROOM) == (True, {})
    assert remedy("ERROR", ends={}, room=ROOM) == (False, {})
    for cause, policy in POLICY.items():
        assert remedy(cause, ends={cause: policy.times}, room=ROOM) == (False, {})
        assert remedy(cause, ends={cause: policy.times - 1}, room=ROOM)[0] is True


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
    campaign = make_campaign(walltime=1.6 / 60, warning=5)
    campaign.add(chains(campaign.folder, number=1, length=1, seconds=400))
    campaign.start()
    began = wait_until(campaign.running, seconds=60)[0]
    with suppress(ProcessLookupError):
        while psutil.Process(began.pid).status() != psutil.STATUS_ZOMBIE:
            os.kill(began.pid, signal.SIGSTOP)  # Slurm lets it go on before it ends it
            time.sleep(0.01)
    wait_until(lambda: "TIMEOUT: The allocation reached its time limit" in campaign.said(), seconds=60, every=0.5)
    (needs,) = campaign.needs()
    assert needs["hours"] > 1.4 / 60


PREEMPTION = """PreemptType=preempt/partition_prio
PreemptMode={mode}
PartitionName=urgent Nodes=n1 PriorityTier=10 MaxTime=5 State=UP"""


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["CANCEL", "REQUEUE"])
def test_making_way_is_named_and_the_job_runs_again(make_lab, make_campaign, mode):
    """With REQUEUE too: allocations ask not to be requeued, so that Slurm ends them and says so."""
    lab = make_lab(nodes=1, extra=PREEMPTION.format(mode=mode))
    campaign = make_campaign(lab)
    campaign.add(chains(campaign.folder, number=1, length=1, seconds=15))
    campaign.start()
    wait_until(campaign.events, seconds=60)
    lab.run("sbatch", "--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap=sleep 1")
    assert campaign.wait(seconds=180) == 0, campaign.said()
    ((end,),) = campaign.attempts()
    assert end["cause"] == "PREEMPTED"
    assert "made way for a job of higher priority" in end["reason"]
    assert [words[0] for words in campaign.events()] == ["start", "start", "end"]


@pytest.mark.slow
def test_the_kernels_killer_is_told_from_a_crash(make_lab, make_campaign):
    """Control groups, as sites have them: the kernel kills the job's process, and the pilot lives on."""
    groups = Path("/sys/fs/cgroup/memory")
    if os.geteuid() or not os.access(groups, os.W_OK):
        pytest.skip("control groups of memory cannot be made here")
    lab = make_lab(nodes=2, memory=2000, extra=CGROUPS)
    campaign = make_campaign(lab, side_by_side=2, memory=1600, max_queued=2)
    campaign.add(Flow([hog(900, seconds=1), careful(str(campaign.folder), "0")]))
    campaign.start()
    assert campaign.wait(seconds=180) == 0, campaign.said()
    ends = [end for attempts in campaign.attempts() for end in attempts]
    assert [end["cause"] for end in ends] == ["OUT_OF_MEMORY"]
    assert "the kernel killed it for want of memory" in ends[0]["reason"]
    assert {"memory": 1600} in campaign.needs()


@pytest.mark.slow
def test_allocations_that_never_begin_are_not_repeated_for_ever(make_lab, make_campaign):
    """A site whose prolog fails says CANCELLED, as it does when somebody cancels an allocation."""
    campaign = make_campaign(make_lab(nodes=1, extra="PrologSlurmctld=/bin/false"), max_queued=1)
    campaign.add(chains(campaign.folder, number=1, length=1, seconds=0))
    campaign.start()
    assert campaign.wait(seconds=120) == 1
    assert campaign.state().state == "allocations fail"
    assert "The allocation was cancelled" in campaign.state().message


@pytest.mark.slow
def test_arrays_are_no_larger_than_the_site_takes(make_lab, make_campaign):
    lab = make_lab(nodes=1, cpus=8, extra="MaxArraySize=3")
    campaign = make_campaign(lab, max_queued=5, cores=1)
    campaign.add(chains(campaign.folder, number=5, length=1, seconds=5))
    campaign.start()
    wait_until(lambda: len(lab.run("squeue", "-h", "-r", "--me", "-o", "%i").split()) == 5, seconds=60)
    labels = lab.run("squeue", "-h", "-r", "--me", "-o", "%i").split()
    assert sorted(label.count("_") for label in labels) == [0, 1, 1, 1, 1]
    assert campaign.wait(seconds=180) == 0, campaign.said()
