"""status, watch, cancel, retry, pause, resume and sync, against the fireworks of small campaigns."""

import fcntl
import functools
import io
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from dataclasses import replace

import pytest
from jobflow import Flow
from rich.console import Console
from trivial import add, log_and_sleep
from typer.testing import CliRunner

from sodalyte.cli import app
from sodalyte.cli.watching import Observer, lines, planned_core_hours, screen, seconds_left, summary
from sodalyte.errors import CampaignError, UsageError
from sodalyte.launchers.fireworks import Launchpad, Pilot
from sodalyte.launchers.fireworks.budget import Budget, keep
from sodalyte.launchers.fireworks.overview import Overview, ordered
from sodalyte.launchers.identity import identify
from sodalyte.launchers.outcomes import NOTHING
from sodalyte.launchers.policy import Room

PROGRESS = {"step": 2500, "of": 10_000, "temperature": 612.4, "ps_per_day": 17.3}


def campaign(name, root, materials=("Na3SbS4", "Na3PS4")):
    """For each material a relaxation, two dynamics jobs that need it and one more that needs one of them."""
    jobs = []
    for material in materials:
        relaxed = add(1, len(name) + len(material))
        runs = [
            log_and_sleep(str(root / "log"), f"{name} {material} {kelvin} K", after=relaxed.output)
            for kelvin in (600, 700)
        ]
        last = add(runs[0].output, 1)
        for job, title, stage in zip(
            (relaxed, *runs, last),
            ("relax", "600 K", "700 K", "fit"),
            ("relax", "dynamics", "dynamics", "analysis"),
            strict=True,
        ):
            job.name = f"{title} {material}"
            job.update_metadata({"material": material, "stage": stage})
            jobs.append(job)
    return identify(Flow(jobs))


@pytest.fixture
def launchpad(database, tmp_path):
    launchpad = Launchpad(database)
    for name in ("alpha", "beta"):
        launchpad.add(campaign(name, tmp_path), campaign=name, root=tmp_path / "runs")
    return launchpad


@pytest.fixture
def busy(launchpad):
    """Alpha's relaxations are done, one of its runs failed and one is running."""
    pilot = replace(Pilot.here(), slurm_job="4711", node="n1", cores=32)
    for claim in launchpad.claim(pilot, 2, campaign="alpha"):
        launchpad.complete(claim, NOTHING)
    (failing,) = launchpad.claim(pilot, campaign="alpha")
    full = Room(memory=2000, most_memory=2000)
    launchpad.fail(failing, "OUT_OF_MEMORY", "it needed more than the 2000 MB that it had", room=full)
    (running,) = launchpad.claim(pilot, campaign="alpha")
    launchpad.progress(running, PROGRESS)
    return launchpad


@pytest.fixture
def command(busy, address, tmp_path, monkeypatch):
    monkeypatch.setenv("SODALYTE_DATABASE", address)
    monkeypatch.setenv("SODALYTE_WORKSPACE", str(tmp_path))

    def run(*words):
        return CliRunner().invoke(app, words, catch_exceptions=False, standalone_mode=False)

    return run


def test_counts_add_up_by_campaign_material_and_stage(busy):
    overview = Overview(busy.database)
    assert overview.campaigns() == ["alpha", "beta"]
    alpha = overview.counts()["alpha",]
    assert ordered(alpha) == {"WAITING": 2, "READY": 2, "RUNNING": 1, "COMPLETED": 2, "FIZZLED": 1}
    by_material = Overview(busy.database, "beta").counts(("material", "stage"))
    assert by_material["Na3PS4", "dynamics"] == {"WAITING": 2}
    assert by_material["Na3PS4", "relax"] == {"READY": 1}


def test_failures_say_why_and_what_waits_for_them(busy):
    (failure,) = Overview(busy.database).failures()
    assert (failure.cause, failure.attempts, failure.slurm_job, failure.node) == ("OUT_OF_MEMORY", 1, "4711", "n1")
    assert "2000 MB" in failure.reason
    blocked = Overview(busy.database).blocked()
    assert all(failure.name in trouble.reason for trouble in blocked)


def test_throughput_counts_what_was_completed_and_the_time_it_took(busy, tmp_path):
    done = Overview(busy.database, "alpha").throughput()
    assert done.per_hour == 2
    assert 0 <= done.job_hours < 0.01
    assert done.core_hours == pytest.approx(32 * done.job_hours)
    assert Overview(busy.database, "beta").throughput().per_hour == 0


def test_status_tells_states_reasons_and_slurm_jobs(command):
    told = command("status", "alpha").output
    assert "Slurm job 4711 (1)" in told
    assert "OUT_OF_MEMORY: it needed more than the 2000 MB" in told
    assert "beta" not in told
    assert re.search(r"Na3SbS4 +\d", command("status", "--by", "material").output)


def test_status_as_json(command):
    told = json.loads(command("status", "--by", "stage", "--json").output)
    assert told["states"] == {"WAITING": 8, "READY": 4, "RUNNING": 1, "COMPLETED": 2, "FIZZLED": 1}
    assert {"campaign": "beta", "stage": "relax", "states": {"READY": 2}} in told["groups"]
    assert told["running"][0]["progress"] == PROGRESS
    assert told["failed"][0]["cause"] == "OUT_OF_MEMORY"


def test_an_unknown_campaign_is_one_sentence_with_the_nearest(command):
    for words in (["status", "alfa"], ["pause", "alfa"], ["watch", "alfa", "--once"]):
        with pytest.raises(CampaignError, match="did you mean 'alpha'"):
            command(*words)


def states(launchpad, name):
    return dict(Overview(launchpad.database, name).counts()[name,])


def test_pause_and_resume_one_material(command, busy):
    assert command("pause", "beta", "--material", "Na3PS4").output == "4 jobs held back\n"
    assert states(busy, "beta") == {"PAUSED": 4, "READY": 1, "WAITING": 3}
    assert json.loads(command("resume", "beta", "--json").output) == {"action": "resume", "jobs": 4}
    assert states(busy, "beta") == {"READY": 2, "WAITING": 6}


def test_cancel_and_retry_everything(command, busy):
    before = Overview(busy.database).counts()
    command("cancel", "--all")
    assert states(busy, "beta") == {"DEFUSED": 8}
    assert not {"READY", "RUNNING", "WAITING"} & states(busy, "alpha").keys()
    command("retry", "--all")
    assert states(busy, "beta") == before["beta",]
    assert "FIZZLED" not in states(busy, "alpha")


def test_a_state_chooses_jobs(command, busy):
    assert command("pause", "beta", "--state", "ready").output == "2 jobs held back\n"
    assert command("retry", "alpha", "--state", "FIZZLED").output == "1 jobs put back into the queue\n"
    with pytest.raises(UsageError, match="no such state"):
        command("pause", "beta", "--state", "asleep")


@pytest.mark.parametrize("words", [["cancel"], ["cancel", "alpha", "--all"]])
def test_what_is_meant_has_to_be_said(command, words):
    with pytest.raises(UsageError, match="--all"):
        command(*words)


def drawn(snapshot, *, width, height):
    console = Console(width=width, height=height, record=True, file=io.StringIO())
    console.print(screen(snapshot, height=height))
    return console.export_text()


@pytest.fixture
def observer(busy, tmp_path):
    return Observer(busy.database, None, tmp_path)


def test_the_view_shows_the_physics_of_running_dynamics(observer):
    snapshot = observer.look()
    (run,) = snapshot.running
    told = drawn(replace(snapshot, diffusivities={run.uuid: "1.2e-06 ± 2e-07"}), width=140, height=40)
    for shown in ("2500/10000", "612", "17.3", "4711@n1", "1.2e-06 ± 2e-07", "2 jobs/h", "OUT_OF_MEMORY", "alpha"):
        assert shown in told


def test_time_left_is_that_of_the_remaining_steps(observer):
    (run,) = observer.look().running
    timed = replace(run, started="2026-11-22T10:00:00+00:00", heartbeat="2026-11-22T11:00:00+00:00")
    assert seconds_left(timed) == pytest.approx(3 * 3600)
    assert "3 h 00" in drawn(replace(observer.look(), running=[timed]), width=140, height=40)
    assert seconds_left(replace(run, progress={})) is None


def test_core_hours_are_set_against_the_plan(observer, tmp_path):
    (tmp_path / "plan.json").write_text(json.dumps({"core_hours": 250.0}))
    done = replace(observer.look().throughput, core_hours=100.0)
    planned = Budget(planned_core_hours(tmp_path / "plan.json"), "a plan")
    told = summary(replace(observer.look(), throughput=done, budget=planned))
    assert told.endswith("100.0 core hours used of about 250.0 core hours planned (40 %)")
    with pytest.raises(UsageError, match="plan"):
        planned_core_hours(tmp_path)


def test_the_plan_of_a_campaign_is_kept_beside_it(command, busy, tmp_path):
    keep(busy.database, "alpha", Budget(250.0, "a guess"))
    assert re.search(r"alpha: \d+\.\d core hours used of about 250.0 core hours planned.*; a guess", told(command))
    assert "core hours planned" in summary(Observer(busy.database, "alpha", tmp_path).look())
    assert summary(Observer(busy.database, None, tmp_path).look()).endswith("core hours used"), (
        "of beta nothing is known"
    )
    keep(busy.database, "beta", Budget(None, "there is no cost model of einstein"))
    assert "beta: 0.0 core hours used, none planned: there is no cost model of einstein" in told(command)
    found = json.loads(command("status", "--json").output)["core_hours"]
    assert (found["alpha"]["planned"], found["alpha"]["basis"], found["beta"]["planned"]) == (250.0, "a guess", None)
    together = summary(Observer(busy.database, None, tmp_path).look())
    assert "none planned: a guess; there is no cost model" in together


def told(command):
    return command("status").output


@pytest.mark.parametrize("height", [12, 24, 60])
def test_the_view_never_has_more_rows_than_the_terminal(observer, height):
    seen = observer.look()
    (run,) = seen.running
    many = [replace(run, fw_id=number, uuid=str(number), name=f"\x1b[31mrun {number}") for number in range(3000)]
    crowd = {(f"campaign {number}",): seen.counts["alpha",] for number in range(500)}
    told = drawn(replace(seen, running=many, counts=crowd if height > 12 else seen.counts), width=80, height=height)
    assert len(told.splitlines()) <= height
    assert all(len(line) <= 80 for line in told.splitlines())
    assert "more are running" in told
    assert "\x1b[31mrun" not in told


def test_lines_are_bounded_and_literal(observer):
    seen = observer.look()
    many = [replace(seen.running[0], uuid=str(number)) for number in range(3000)]
    told = lines(replace(seen, running=many))
    assert "2980 more are running" in told
    assert len(told) < 40


def watching(address, tmp_path, **options):
    environment = os.environ | {
        "SODALYTE_DATABASE": address,
        "SODALYTE_WORKSPACE": str(tmp_path),
        "TERM": "xterm-256color",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    for name in ("COLUMNS", "LINES"):
        environment.pop(name, None)
    words = [sys.executable, "-W", "ignore", "-m", "sodalyte", "watch", "alpha", "--interval", "0.3"]
    heard = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # ignored where tests run in the background
    return subprocess.Popen(words, env=environment, preexec_fn=heard, **options)  # noqa: PLW1509


def read_until(terminal, wanted, *, timeout=40):
    """Read from a terminal until a text is found in what it shows."""
    shown, deadline = b"", time.monotonic() + timeout
    while wanted not in shown.decode(errors="replace"):
        assert time.monotonic() < deadline, shown.decode(errors="replace")[-2000:]
        if select.select([terminal], [], [], 0.5)[0]:
            shown += os.read(terminal, 65536)
    return shown.decode(errors="replace")


def resize(terminal, rows, columns):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def test_watch_in_a_terminal_follows_its_size_and_ends_cleanly(busy, address, tmp_path):
    terminal, end = pty.openpty()
    resize(terminal, 30, 130)
    with watching(address, tmp_path, stdin=end, stdout=end, stderr=end, start_new_session=True) as process:
        try:
            assert "\x1b[?1049h" in read_until(terminal, "2500/10000")
            busy.progress(busy.claim(Pilot.here(), campaign="alpha")[0], PROGRESS | {"step": 2600})
            read_until(terminal, "2600/10000")
            resize(terminal, 30, 60)
            read_until(terminal, "jobs/h")
            os.read(terminal, 65536)
            narrow = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\n", read_until(terminal, "jobs/h"))
            assert max(map(len, re.split(r"[\r\n]+", narrow))) <= 60
            process.send_signal(signal.SIGINT)
            rest = read_until(terminal, "\x1b[?1049l")
            assert process.wait(timeout=20) == 0
            assert "\x1b[?25h" in rest
            assert "Traceback" not in rest
        finally:
            process.kill()
            os.close(terminal)
            os.close(end)


def test_watch_prints_lines_where_there_is_no_terminal_and_ends_with_the_campaign(busy, address, tmp_path):
    with watching(address, tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert "alpha: 2 waiting, 2 ready, 1 running" in process.stdout.readline()
        for run in Overview(busy.database, "alpha").running():
            busy.lost(run, "ERROR", "it has no process any more")
        busy.pause(campaign="alpha")
        rest, _ = process.communicate(timeout=40)
    assert process.returncode == 0
    assert "\x1b" not in rest
    assert "it has no process any more" in rest


def test_a_database_that_goes_away_is_noted_and_waited_for(restartable_mongodb, tmp_path):
    from sodalyte.database import open_database

    with open_database(f"{restartable_mongodb.uri}/watched?serverSelectionTimeoutMS=500") as store:
        Launchpad(store).add(campaign("alpha", tmp_path), campaign="alpha", root=tmp_path / "runs")
        observer = Observer(store, "alpha", tmp_path)
        before = observer.look()
        restartable_mongodb.kill9()
        away = observer.look()
        assert "no database server answers" in away.note
        assert away.counts == before.counts
        assert not away.over
        restartable_mongodb.start()
        assert observer.look().note == ""


def test_sync_delivers_and_does_nothing_twice(command, busy, tmp_path):
    from sodalyte.launchers.execution import Record
    from sodalyte.launchers.fireworks import spool

    document = {"uuid": "kept", "index": 1, "output": 3, "metadata": {}, "name": "kept"}
    spool.keep(tmp_path / "runs", Record(document, outcome=NOTHING))
    assert command("sync").output == "1 finished jobs delivered\n"
    assert busy.database.collection("outputs").find_one({"uuid": "kept"})["output"] == 3
    assert command("sync").output == "0 finished jobs delivered\n"
