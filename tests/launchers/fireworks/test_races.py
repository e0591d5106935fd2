"""What happens when others change the same documents, or the connection fails, at the worst moment."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from fireworks import FWorker
from jobflow import Flow
from pilots import HELPERS, chain, executions, outputs, work
from pymongo.collection import Collection
from pymongo.errors import AutoReconnect
from trivial import add, fail, log_and_sleep

from sodalyte.launchers.execution import Executor, HeldError
from sodalyte.launchers.fireworks import Pilot
from sodalyte.launchers.fireworks.overview import Overview


@pytest.fixture
def before(monkeypatch):
    """Give a function that has something happen before the n-th call of a collection's method from now on."""

    def before(name, action, *, call=1):
        original = getattr(Collection, name)
        calls = iter(range(1, call + 1))

        def method(*arguments, **options):
            if next(calls, None) == call:
                action()
            return original(*arguments, **options)

        monkeypatch.setattr(Collection, name, method)

    return before


def lose_connection():
    raise AutoReconnect("the connection is closed")


def test_a_pilot_that_is_declared_dead_while_it_claims_gets_nothing(launchpad, root, before):
    launchpad.add(add(1, 1), campaign="one", root=root)

    def declare_dead():
        (run,) = launchpad.running()
        assert run.launch_state == ""
        assert launchpad.lost(run, "NODE_FAIL", "the node is gone")

    before("insert_one", declare_dead)
    assert not launchpad.claim(Pilot.here())
    assert launchpad.counts() == {"READY": 1, "BLOCKED": 0}
    assert work(launchpad, root) == ["add"]


def test_a_pilot_at_work_while_a_campaign_is_added_leaves_no_child_behind(launchpad, root, before):
    before("insert_many", lambda: work(launchpad, root), call=3)
    launchpad.add(Flow(chain(2)), campaign="one", root=root)
    work(launchpad, root)
    assert launchpad.counts() == {"COMPLETED": 2, "BLOCKED": 0}


@pytest.mark.parametrize("call", [2, 3])
def test_a_failure_whose_connection_breaks_is_recorded_by_saying_it_again(launchpad, root, before, call):
    first = fail("no luck")
    launchpad.add(Flow([first, add(first.output, 1)]), campaign="one", root=root)
    (claim,) = launchpad.claim(Pilot.here())
    before("update_one", lose_connection, call=call)
    with pytest.raises(AutoReconnect):
        launchpad.fail(claim, "ERROR", "no luck")
    assert launchpad.counts()["RUNNING"] == 1
    launchpad.fail(claim, "ERROR", "no luck")
    assert launchpad.counts() == {"FIZZLED": 1, "WAITING": 1, "BLOCKED": 1}


def test_attempts_are_counted_however_often_a_job_is_released_in_between(launchpad, root):
    launchpad.add(add(1, 1), campaign="one", root=root)
    crashes = 0
    for turn in range(200):
        claims = launchpad.claim(Pilot.here())
        if not claims:
            break
        if turn % 25 == 24:
            crashes += 1
            launchpad.fail(claims[0], "CRASHED", "killed by signal 9")
        else:
            launchpad.release(claims[0], "still running elsewhere")
    assert crashes == 5
    assert launchpad.counts() == {"FIZZLED": 1, "BLOCKED": 0}


def test_what_a_server_that_crashed_while_it_inserted_lacks_is_added_after_all(launchpad, root):
    bad = fail("no luck")
    flow = Flow([bad, other := add(1, 1), add(bad.output, other.output)])
    launchpad.add(flow, campaign="one", root=root)
    launchpad.collections.fireworks.delete_one({"spec.job_uuid": other.uuid})
    launchpad.collections.workflows.update_one({}, {"$set": {"sodalyte.added": False}})
    assert work(launchpad, root) == ["fail"]
    launchpad.add(flow, campaign="one", root=root)
    assert work(launchpad, root) == ["add"]


def test_a_job_that_ends_while_it_is_paused_stays_completed(launchpad, root, before):
    first = add(1, 1)
    launchpad.add(Flow([first, add(first.output, 1)]), campaign="one", root=root)
    before("update_many", lambda: work(launchpad, root, until="add"))
    launchpad.pause(job_uuid=first.uuid)
    launchpad.resume(campaign="one")
    work(launchpad, root)
    assert launchpad.counts() == {"COMPLETED": 2, "BLOCKED": 0}


def test_a_job_that_is_claimed_while_it_is_cancelled_is_cancelled(launchpad, root, before):
    launchpad.add(add(1, 1), campaign="one", root=root)
    before("update_many", lambda: launchpad.claim(Pilot.here()))
    assert launchpad.cancel(campaign="one") == 1
    assert launchpad.counts() == {"DEFUSED": 1, "BLOCKED": 0}


def test_what_rlaunch_runs_is_not_declared_dead(launchpad, tools, root):
    launchpad.add(add(1, 1), campaign="one", root=root)
    tools.checkout_fw(FWorker(), str(root))
    assert launchpad.reconcile_here() == 0
    launchpad.collections.launches.update_one({}, {"$set": {"state": "COMPLETED"}})
    assert launchpad.repair() == 0
    assert launchpad.counts() == {"RUNNING": 1, "BLOCKED": 0}


def test_what_rlaunch_runs_after_a_pilot_does_not_carry_the_pilots_name(launchpad, tools, root):
    launchpad.add(add(1, 1), campaign="one", root=root)
    assert launchpad.claim(replace(Pilot.here(), slurm_job="7"))
    tools.rerun_fw(1)
    tools.checkout_fw(FWorker(), str(root))
    (run,) = launchpad.running()
    assert (run.pilot, run.slurm_job, run.launch_state) == ("", "", "RUNNING")
    assert 0 <= 3600 * Overview(launchpad.database).throughput().job_hours < 60
    assert launchpad.reconcile_here() == 0


@pytest.mark.parametrize(("where", "lost"), [({}, 1), ({"slurm_job": "7"}, 0), ({"host": "elsewhere"}, 0)])
def test_only_what_died_on_this_host_outside_slurm_is_declared_dead_here(launchpad, root, where, lost):
    """The process of this number is no pilot: the number was given again."""
    launchpad.add(add(1, 1), campaign="one", root=root)
    assert launchpad.claim(replace(Pilot.here(), **where))
    assert launchpad.reconcile_here() == lost
    assert launchpad.counts() == {"READY" if lost else "RUNNING": 1, "BLOCKED": 0}


RUN = """
import json, socket, sys
from pathlib import Path
from jobflow import Job
from sodalyte.database import open_database
from sodalyte.launchers.execution import Executor
host = sys.argv[3] or socket.gethostname()
socket.gethostname = lambda: host
with open_database(sys.argv[1]) as database, Executor(database, Path(sys.argv[2])) as executor:
    executor.run(Job.from_dict(json.loads(sys.stdin.read())), wait=False)
"""


@pytest.mark.parametrize("host", ["", "another-node"])
def test_where_the_disk_loses_its_lock_the_output_of_the_first_copy_is_refused(tmp_path, host):
    """The file of locks is removed while the first runs: the second starts, and only the second's output is taken.

    On the same host the second ends the first before it begins; on another it cannot.
    """
    from sodalyte.database import open_database
    from sodalyte.launchers.identity import as_json

    root, address = tmp_path / "runs", f"lite://{tmp_path / 'database'}"
    slow = log_and_sleep(str(tmp_path / "log"), 1, seconds=4)
    slow.uuid = "0" * 31 + "1"
    with open_database(address) as database:
        first = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", RUN, address, str(root), host],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(HELPERS), *sys.path])},
            cwd=tmp_path,
            text=True,
        )
        with first:
            first.stdin.write(as_json(slow))
            first.stdin.close()
            deadline = time.monotonic() + 60
            while not executions(root) and time.monotonic() < deadline:
                time.sleep(0.02)
            with Executor(database, root) as executor, pytest.raises(HeldError):
                executor.run(slow, wait=False)
            (root / ".locks").unlink()
            quick = log_and_sleep(str(tmp_path / "log"), 2)
            quick.uuid = slow.uuid
            with Executor(database, root) as executor:
                executor.run(quick, wait=False)
            assert ("was taken over by another process" in first.stderr.read()) == bool(host)
        assert first.returncode == (1 if host else -signal.SIGTERM)
        assert list(outputs(database).values()) == [2]
    assert [event for event, _ in executions(root)] == ["start", "start", "end"]
