"""What the project believes about Slurm's commands, against a real Slurm."""

import time

import pytest
from slurm_lab import wait_until

from sodalyte.errors import ClusterError
from sodalyte.launchers.slurm.causes import end_of_job
from sodalyte.launchers.slurm.queue import Queue, RefusedError, UnreachableError


def script(*lines):
    return "\n".join(["#!/bin/bash", *lines]) + "\n"


def over(queue, job):
    """Wait until a job is over and return what Slurm says of it."""
    return wait_until(lambda: None if (found := queue.find([job])[job]).waiting or found.alive else found)


@pytest.fixture
def submit(queue, tmp_path):
    def submit(*lines, options=()):
        return queue.submit(script(*lines), options=[f"--chdir={tmp_path}", "--job-name=sodalyte-test", *options])

    return submit


def test_a_job_is_followed_to_its_end(queue, submit, tmp_path):
    job = submit("sleep 1; exit 3", options=["--time=5"])
    running = wait_until(lambda: [one for one in queue.queued(prefix="sodalyte-test") if one.id == job and one.alive])
    assert running[0].nodes in {"n1", "n2", "n3", "n4"}
    assert f"{job}.batch" in queue.steps() or wait_until(lambda: f"{job}.batch" in queue.steps())
    assert 200 < queue.time_limit(job).timestamp() - time.time() <= 300
    ended = over(queue, job)
    assert (ended.state, ended.exit_code, ended.signal) == ("FAILED", 3, 0)
    assert not [one for one in queue.queued(prefix="sodalyte-test") if one.id == job]
    end = end_of_job(ended, job)
    assert end.cause == "FAILED"
    assert f"Slurm job {job}" in end.reason
    assert "exit status 3" in end.reason


def test_a_cancelled_job_is_told_from_a_failed_one(queue, submit):
    job = submit("sleep 60")
    wait_until(lambda: queue.find([job])[job].alive)
    queue.cancel([job])
    assert end_of_job(over(queue, job), job).cause == "CANCELLED"
    queue.cancel([job, "999999"])


def test_tasks_of_an_array_are_jobs(queue, submit):
    array = submit("sleep 30", options=["--array=0-2"])
    mine = {f"{array}_{task}" for task in range(3)}

    def running():
        return {one.label: one for one in queue.queued(prefix="sodalyte-test") if one.state == "RUNNING"}

    wait_until(lambda: mine <= running().keys())
    tasks = running()
    assert len({tasks[label].id for label in mine}) == 3
    first = next(tasks[label] for label in mine if tasks[label].id == array)  # one task has the array's number
    queue.cancel([first.label])
    assert over(queue, first.id).state == "CANCELLED"
    assert mine & running().keys() == mine - {first.label}
    others = [tasks[label].id for label in mine - {first.label}]
    assert {found.label for found in queue.find(others).values()} == mine - {first.label}
    queue.cancel([array])
    assert over(queue, others[0]).state == "CANCELLED"


def test_pending_jobs_tell_why(queue, submit):
    job = submit("sleep 1", options=["--begin=now+1hour"])
    waiting = wait_until(lambda: [one for one in queue.queued(prefix="sodalyte-test") if one.reason == "BeginTime"])
    assert waiting[0].waiting
    assert end_of_job(waiting[0], job).cause == "REQUEUED"
    queue.cancel([job])


def test_jobs_that_slurm_forgot_are_missing(queue):
    assert queue.find(["999999"]) == {}
    assert end_of_job(None, "999999").cause == "VANISHED"


def test_a_refusal_is_the_sites_own_words(queue, submit):
    with pytest.raises(RefusedError, match="invalid partition specified: nowhere"):
        submit("true", options=["--partition=nowhere"])


def test_no_answer_is_not_an_answer(lab):
    nowhere = lab.folder / "nowhere.conf"
    nowhere.write_text((lab.folder / "slurm.conf").read_text().replace("SlurmctldPort=", "SlurmctldPort=1"))
    away = Queue(environment={"SLURM_CONF": str(nowhere)}, timeout=1)
    with pytest.raises(UnreachableError):
        away.queued(prefix="")
    with pytest.raises(ClusterError, match="not installed"):
        Queue().ask("no-such-command-of-slurm")


def test_what_a_job_inherits_holds_no_secret(queue, submit, tmp_path, monkeypatch):
    monkeypatch.setenv("SODALYTE_DATABASE", "mongodb://user:hush@somewhere")
    job = submit("env > environment")
    over(queue, job)
    environment = (tmp_path / "environment").read_text()
    assert "HOME=" in environment
    assert "hush" not in environment


def test_the_site_is_known(queue):
    assert queue.configuration()["MaxArraySize"] == "1001"
    assert queue.partitions()["small"]["MaxTime"] == "00:01:00"
    assert queue.nodes("n[1-3]") == ["n1", "n2", "n3"]
    assert not queue.has_accounting
