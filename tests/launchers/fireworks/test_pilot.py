"""Pilot processes end a flow as the local launcher does, stop in order, and survive their jobs and the database."""

import json
import signal
import threading
import time
from datetime import datetime

import psutil
import pytest
from jobflow import Flow
from pilots import executions, outputs, start, work
from trivial import (
    add,
    die,
    dynamic_flow,
    fill_disk,
    fill_memory,
    log_and_sleep,
    need_more_memory,
    sleep_until_stopped,
    start_program,
    wait_for_file,
)

from sodalyte import interruption
from sodalyte.database import open_database
from sodalyte.errors import ConfigurationError
from sodalyte.launchers import local
from sodalyte.launchers.fireworks import Launchpad, Pilot, spool
from sodalyte.launchers.fireworks.child import Child
from sodalyte.launchers.fireworks.pilot import Work, make_ready
from sodalyte.launchers.fireworks.settings import Settings
from sodalyte.launchers.identity import identify


@pytest.fixture
def root(tmp_path):
    return tmp_path / "work" / "runs"


@pytest.fixture
def fly(address, root, tmp_path):
    """Start pilots that are ended with the test."""
    started = []

    def fly(settings=None, **environment):
        started.append(start(address, root, folder=tmp_path, settings=settings, **environment))
        return started[-1]

    yield fly
    for process in started:
        process.kill()
        process.wait()


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return value


def own(launchpad, **query):
    return launchpad.collections.fireworks.find_one(query)["spec"]["_sodalyte"]


def screening():
    from sodalyte.inputs.engine import get_engine
    from sodalyte.inputs.recipe import Recipe
    from sodalyte.structures import load
    from sodalyte.workflows import screen

    short = {"dynamics": {"equilibration": 0.1, "production": 2.0, "segment_steps": 500}}
    recipe = Recipe.quick().override(short)
    return identify(screen([load("Na3SbS4")], engine=get_engine("einstein"), recipe=recipe))


@pytest.mark.parametrize("kind", ["dynamic", pytest.param("screening", marks=pytest.mark.slow)])
def test_two_pilots_end_a_flow_as_the_local_launcher_does(launchpad, address, root, tmp_path, fly, kind):
    flow = identify(dynamic_flow()) if kind == "dynamic" else screening()
    launchpad.add(flow, campaign=kind, root=root)
    assert [pilot.wait(timeout=300) for pilot in [fly({"idle": 2.0}), fly({"idle": 2.0})]] == [0, 0]
    peer = f"lite://{tmp_path / 'lite'}"
    local.run(flow, database=peer, root=tmp_path / "there" / "runs", workers=1)
    with open_database(peer) as database:
        here, there = outputs(launchpad.database), outputs(database)
        assert here.keys() == there.keys()
        assert results(launchpad.database) == results(database)
        if kind == "dynamic":
            assert here == there
        else:
            stages = set(launchpad.collections.fireworks.distinct("spec.stage"))
            assert stages == {"relax", "elastic", "dynamics", "analysis"}
    counts = launchpad.counts(kind)
    assert counts["RUNNING"] == counts["READY"] == counts["FIZZLED"] == counts["WAITING"] == 0


def results(database):
    found = database.results.find({}, {"created_at": 0, "data": 0})
    return {document["_id"]: document for document in found}


def test_dependent_jobs_follow_each_other_at_once(launchpad, root, tmp_path, fly):
    log = tmp_path / "log"
    first = log_and_sleep(str(log), 0, seconds=1.0)
    second = log_and_sleep(str(log), 1, after=first.output)
    launchpad.add(Flow([first, second]), campaign="one", root=root)
    pilots = [fly({"idle": 1.5}), fly({"idle": 1.5})]
    assert [pilot.wait(timeout=120) for pilot in pilots] == [0, 0]
    lines = [line.split() for line in (root / "journal.txt").read_text().splitlines()]
    times = {(event, job): moment for moment, event, job, *_ in lines}
    ended = datetime.fromisoformat(times["end", f"{first.uuid}-1"])
    began = datetime.fromisoformat(times["start", f"{second.uuid}-1"])
    assert (began - ended).total_seconds() < 2


def test_a_job_that_kills_its_process_is_tried_five_times_and_the_rest_goes_on(launchpad, root, fly):
    launchpad.add(Flow([die(), add(1, 2)]), campaign="one", root=root)
    for _ in range(3):
        (claim,) = launchpad.claim(Pilot.here(), limit=1)
        launchpad.fail(claim, "CRASHED", "its process ended with exit status 9")
    assert fly().wait(timeout=200) == 0
    assert launchpad.counts() == {"FIZZLED": 1, "COMPLETED": 1, "BLOCKED": 0}
    causes = [(attempt["cause"], attempt["reason"]) for attempt in own(launchpad, state="FIZZLED")["attempts"]]
    assert causes == [("CRASHED", "its process ended with exit status 9")] * 5


def test_a_full_disk_and_too_little_memory_have_names_of_their_own(launchpad, root, fly):
    launchpad.add(Flow([fill_disk(), fill_memory(), need_more_memory()]), campaign="one", root=root)
    assert fly(SODALYTE_PILOT_ROOM='{"memory": 100}').wait(timeout=120) == 0
    assert own(launchpad, name="fill_disk")["attempts"][-1]["cause"] == "DISK_FULL"
    for name in ("fill_memory", "need_more_memory"):
        small = own(launchpad, name=name)
        assert (small["attempts"][-1]["cause"], small["overrides"]) == ("OUT_OF_MEMORY", {"memory": 200.0})
    assert launchpad.counts() == {"FIZZLED": 1, "READY": 2, "BLOCKED": 0}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_ends_a_pilot_in_order(launchpad, root, fly, number):
    launchpad.add(Flow([sleep_until_stopped()]), campaign="one", root=root)
    pilot = fly()
    wait_for(lambda: executions(root))
    assert launchpad.reconcile_here() == 0
    pilot.send_signal(number)
    assert pilot.wait(timeout=20) == 0
    assert launchpad.counts() == {"READY": 1, "BLOCKED": 0}
    (attempt,) = own(launchpad)["attempts"]
    assert (attempt["cause"], attempt["reason"]) == ("released", "stopped after some steps")
    assert not launchpad.running()


@pytest.fixture
def fly_until(launchpad, address, root, tmp_path, monkeypatch):
    """Give a function that works in this process: its deadline is set when the process for jobs has started."""
    monkeypatch.setattr(interruption, "_stop", threading.Event())

    def fly_until(seconds, **settings):
        root.mkdir(parents=True)
        child = Child(database=address, root=root, log=tmp_path / "child.log", threads=1)
        try:
            make_ready(child)
            monkeypatch.setenv(interruption.DEADLINE, str(time.time() + seconds))
            Work(
                Settings(database=address, root=root, minimum=0, **settings), launchpad.database, child, Pilot.here()
            ).run()
        finally:
            child.end()

    return fly_until


def test_before_the_deadline_the_job_is_asked_to_stop_and_no_other_begins(launchpad, root, fly_until):
    launchpad.add(Flow([sleep_until_stopped(), sleep_until_stopped()]), campaign="one", root=root)
    fly_until(60, warning=54)
    assert interruption.time_left() > 20
    assert [event for event, _ in executions(root)] == ["start"]
    assert launchpad.counts() == {"READY": 2, "BLOCKED": 0}
    assert own(launchpad, fw_id=1)["attempts"][0]["reason"] == "stopped after some steps"


def test_what_does_not_stop_is_killed_at_the_last_moment_and_called_so(launchpad, root, tmp_path, fly_until):
    launchpad.add(log_and_sleep(str(tmp_path / "log"), 1, seconds=300), campaign="one", root=root)
    fly_until(60, warning=54, kill=53)
    (attempt,) = own(launchpad)["attempts"]
    assert (attempt["cause"], attempt["reason"]) == ("TIMEOUT", "it did not stop before the time limit")
    assert [event for event, _ in executions(root)] == ["start"]
    assert launchpad.counts() == {"READY": 1, "BLOCKED": 0}


def test_stages_that_would_not_end_in_time_are_not_begun(launchpad, root, tmp_path, fly):
    jobs = [log_and_sleep(str(tmp_path / "log"), number, seconds=0.1) for number in range(3)]
    for job, stage in zip(jobs, ("static", "static", "analysis"), strict=True):
        job.update_metadata({"stage": stage})
    launchpad.add(Flow(jobs[:1]), campaign="one", root=root)
    assert len(work(launchpad, root)) == 1
    launchpad.collections.launches.update_one({}, {"$set": {"runtime_secs": 5000.0}})
    launchpad.add(Flow(jobs[1:]), campaign="two", root=root)
    assert fly(SODALYTE_DEADLINE=str(time.time() + 600)).wait(timeout=60) == 0
    assert launchpad.counts("two") == {"READY": 1, "COMPLETED": 1, "BLOCKED": 0}


def test_a_second_copy_does_not_start_beside_a_living_first(launchpad, root, tmp_path, fly):
    """The manager wrongly declares the first pilot dead: the second waits, and takes the first one's output."""
    flag = tmp_path / "flag"
    launchpad.add(wait_for_file(str(flag)), campaign="one", root=root)
    first = fly()
    wait_for(lambda: executions(root))
    (run,) = launchpad.running()
    assert launchpad.lost(run, "NODE_FAIL", "the node is said to be gone")
    second = fly({"idle": 3.0})
    wait_for(lambda: "still running in another process" in own(launchpad)["attempts"][-1]["reason"])
    flag.touch()
    assert [first.wait(timeout=60), second.wait(timeout=60)] == [0, 0]
    assert [event for event, _ in executions(root)] == ["start", "end"]
    assert launchpad.counts() == {"COMPLETED": 1, "BLOCKED": 0}


def test_what_a_killed_job_left_running_is_ended_before_it_runs_again(launchpad, root, tmp_path, fly):
    launchpad.add(start_program(), campaign="one", root=root)
    pilot = fly()
    pids = wait_for(lambda: list(root.glob("*/*/pid")))
    program = psutil.Process(int(wait_for(pids[0].read_text)))
    pilot.kill()
    pilot.wait()
    time.sleep(0.5)
    assert program.is_running()
    (run,) = launchpad.running()
    launchpad.lost(run, "CRASHED", "its pilot died")
    second = fly()
    wait_for(lambda: not program.is_running() or program.status() == psutil.STATUS_ZOMBIE)
    wait_for(lambda: len(executions(root)) == 2)
    second.kill()


def test_a_running_job_that_is_cancelled_is_ended_and_the_pilot_goes_on(launchpad, root, tmp_path, fly):
    launchpad.add(log_and_sleep(str(tmp_path / "log"), 1, seconds=300), campaign="one", root=root)
    pilot = fly()
    wait_for(lambda: executions(root))
    launchpad.add(add(1, 1), campaign="two", root=root)
    assert launchpad.cancel(campaign="one") == 1
    assert pilot.wait(timeout=90) == 0
    assert launchpad.counts() == {"DEFUSED": 1, "COMPLETED": 1, "BLOCKED": 0}


def test_the_programs_of_a_cancelled_job_end_with_it(launchpad, root, fly):
    launchpad.add(start_program(), campaign="one", root=root)
    pilot = fly()
    pids = wait_for(lambda: list(root.glob("*/*/pid")))
    program = psutil.Process(int(wait_for(pids[0].read_text)))
    launchpad.cancel(campaign="one")
    assert pilot.wait(timeout=60) == 0
    assert not program.is_running() or program.status() == psutil.STATUS_ZOMBIE


def test_the_output_of_a_job_that_ends_while_the_database_is_away_is_kept(restartable_mongodb, tmp_path, root):
    server = restartable_mongodb
    address = f"{server.uri}/away"
    with open_database(address) as database:
        launchpad = Launchpad(database)
        job = log_and_sleep(str(tmp_path / "log"), 1, seconds=1)
        launchpad.add(Flow([job, add(job.output, 1)]), campaign="one", root=root)
        pilot = start(address, root, folder=tmp_path, settings={"patience": 1.0})
        wait_for(lambda: executions(root))
        server.kill9()
        assert pilot.wait(timeout=120) == 2
        (kept,) = spool.waiting(root)
        server.start()
        assert launchpad.counts()["RUNNING"] == 1
        content = kept.read_bytes()
        assert spool.deliver(database, root) == spool.Delivered(jobs=1)
        assert outputs(database) == {(job.uuid, 1): 1}
        assert launchpad.counts() == {"COMPLETED": 1, "READY": 1, "BLOCKED": 0}
        kept.write_bytes(content)
        assert spool.deliver(database, root).jobs == 1
        assert outputs(database) == {(job.uuid, 1): 1}
        kept.write_bytes(content[:-1])
        assert len(spool.deliver(database, root).damaged) == 1
    assert not spool.waiting(root)


def test_a_pilot_delivers_by_itself_when_the_database_is_back(restartable_mongodb, tmp_path, root):
    server = restartable_mongodb
    address = f"{server.uri}/back"
    with open_database(address) as database:
        launchpad = Launchpad(database)
        job = log_and_sleep(str(tmp_path / "log"), 1, seconds=1)
        launchpad.add(Flow([job, add(job.output, 1)]), campaign="one", root=root)
        pilot = start(address, root, folder=tmp_path)
        wait_for(lambda: executions(root))
        server.kill9()
        wait_for(lambda: spool.waiting(root))
        server.start()
        assert pilot.wait(timeout=120) == 0
        assert sorted(outputs(database).values()) == [1, 2]
        assert launchpad.counts() == {"COMPLETED": 2, "BLOCKED": 0}
    assert [event for event, _ in executions(root)].count("start") == 2


def test_without_a_database_it_says_so_in_a_sentence(tmp_path, root):
    pilot = start("mongodb://someone:secret@127.0.0.1:9/x", root, folder=tmp_path)
    assert pilot.wait(timeout=60) == 2
    assert (tmp_path / "pilots.log").read_text() == (
        "no database server answers at mongodb://127.0.0.1:9/x; start it, or correct the address\n"
    )


def test_settings_are_for_the_owner_only(tmp_path, root):
    path = tmp_path / "pilot.json"
    Settings(database="mongodb://a:b@c/d", root=root).write(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert Settings.read(path) == Settings(database="mongodb://a:b@c/d", root=root)
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="others may read"):
        Settings.read(path)


def test_no_password_is_on_a_command_line_or_in_an_environment(launchpad, address, root, tmp_path, fly):
    launchpad.add(sleep_until_stopped(), campaign="one", root=root)
    pilot = fly()
    wait_for(lambda: executions(root))
    for process in [psutil.Process(pilot.pid), *psutil.Process(pilot.pid).children(recursive=True)]:
        assert address not in " ".join(process.cmdline())
        assert address not in json.dumps(process.environ())
    pilot.send_signal(signal.SIGTERM)
    assert pilot.wait(timeout=20) == 0
    for path in root.rglob("*"):
        if path.is_file():
            assert address not in path.read_text(errors="replace")
