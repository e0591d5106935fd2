import itertools
import json
import multiprocessing
import os
import time

import pytest
from databases import new_database
from jobflow import Flow, Job, JobStore, OnMissing, run_locally
from maggma.stores import MemoryStore
from trivial import (
    Multiply,
    add,
    collect,
    die,
    dynamic_flow,
    fail,
    grow,
    log_and_sleep,
    needs_file,
    path_of_a_program,
    replaced_by_failure,
    stop_everything,
    stores_something_first,
    tell_steps,
)

from sodalyte.database import open_database
from sodalyte.launchers import local
from sodalyte.launchers.execution import Executor
from sodalyte.launchers.identity import as_json, identify

ON_BOTH = pytest.mark.parametrize("uri", ["lite", "mongodb"], indirect=True)


@pytest.fixture
def uri(request, tmp_path):
    """Address of the database: without a server where nothing else is asked for."""
    if getattr(request, "param", "lite") == "lite":
        yield f"lite://{tmp_path / 'database'}"
        return
    with new_database(request.getfixturevalue("mongodb_uri")) as uri:
        yield uri


@pytest.fixture
def launch(tmp_path, uri):
    def launch(flow, **options):
        return local.run(flow, database=uri, root=tmp_path / "runs", **options)

    return launch


def outputs(uri):
    with open_database(uri) as database:
        documents = database.job_store.docs_store.query({}, properties=["uuid", "index", "output"])
        return {(document["uuid"], document["index"]): document["output"] for document in documents}


@ON_BOTH
def test_a_dynamic_flow_ends_as_with_run_locally(launch, uri):
    flow = dynamic_flow()
    peer = JobStore(MemoryStore())
    run_locally(flow, store=peer, log=False)
    assert launch(flow, workers=2).succeeded
    *ran, stopped = [job.uuid for job in flow.jobs[:4]] + [flow.jobs[5].uuid, flow.jobs[4].uuid]
    with open_database(uri) as database:
        assert [database.job_store.get_output(uuid) for uuid in ran] == [peer.get_output(uuid) for uuid in ran]
        assert database.job_store.count({"uuid": stopped}) == peer.count({"uuid": stopped}) == 0
        assert database.job_store.count() == peer.count()


@pytest.mark.parametrize(
    ("job", "names"),
    [
        (grow(1, limit=2), ["grow", "add", "grow", "result of grow"]),
        (stores_something_first(), ["stores_something_first", "store_inputs", "result of stores_something_first"]),
    ],
    ids=["a job of its own", "beside another such job"],
)
def test_the_job_that_hands_on_the_output_of_a_flow_is_named_after_what_the_flow_replaced(launch, job, names):
    events = []
    launch(Flow([job]), on_event=events.append)
    assert [event.task.name for event in events if event.kind == "finished"] == names


def test_uuids_of_a_flow_that_was_not_identified_are_kept(launch, uri):
    first = add(1, 2)
    launch(Flow([first, add(1, 2)]))
    assert outputs(uri)[first.uuid, 1] == 3
    assert len(outputs(uri)) == 2


def test_a_second_run_reuses_everything(launch):
    first, second = launch(identify(dynamic_flow())), launch(identify(dynamic_flow()))
    assert (second.ran, second.reused) == (0, first.ran)
    assert second.uuids == first.uuids


def test_a_failure_stops_what_needs_it_and_nothing_else(launch, uri):
    failing = fail("no such luck")
    child = add(failing.output, 1)
    grandchild = add(child.output, 1)
    events = []
    summary = launch(Flow([failing, child, grandchild, add(20, 2)]), on_event=events.append)
    assert not summary.succeeded
    assert summary.not_run == 2
    (failure,) = summary.failures
    assert failure.error == "ValueError: no such luck"
    assert "raise ValueError(message)" in failure.traceback.read_text()
    assert list(outputs(uri).values()) == [22]
    assert [event.kind for event in events if event.task.uuid == failing.uuid] == ["started", "failed"]


@ON_BOTH
def test_what_ran_without_a_failed_parent_runs_again_when_the_parent_has_succeeded(launch, uri, tmp_path):
    flag = tmp_path / "flag"

    def flow():
        fragile = needs_file(str(flag))
        total = collect([fragile.output])
        total.config.on_missing_references = OnMissing.NONE
        return identify(Flow([fragile, total]))

    first = launch(flow())
    assert len(first.failures) == 1
    assert list(outputs(uri).values()) == [[None]]
    flag.touch()
    second = launch(flow())
    assert second.succeeded
    assert (second.ran, second.reused) == (2, 0)
    assert sorted(map(str, outputs(uri).values())) == ["1", "[1]"]


def test_a_job_that_needs_what_a_failed_job_was_replaced_by_is_given_up(launch):
    broken = replaced_by_failure()
    child = add(broken.output, 1)
    summary = launch(Flow([broken, child]))
    assert [failure.error for failure in summary.failures] == ["ValueError: inside"]
    assert summary.not_run >= 1


def test_a_long_chain_of_given_up_jobs_is_no_problem(launch):
    jobs = [fail("at once")]
    for _ in range(1500):
        jobs.append(add(jobs[-1].output, 1))
    assert launch(Flow(jobs)).not_run == 1500


def test_a_job_that_kills_its_workers_fails_and_the_rest_goes_on(launch, uri):
    summary = launch(Flow([die(), add(1, 2), add(2, 3)]), workers=1)
    (failure,) = summary.failures
    assert failure.error == "its worker died 5 times, last exit status 9"
    assert sorted(outputs(uri).values()) == [3, 5]


def test_stop_jobflow_stops(launch, uri):
    stop = stop_everything()
    launch(Flow([stop, add(stop.output, 1)]), workers=1)
    assert list(outputs(uri)) == [(stop.uuid, 1)]


def test_workers_share_the_work(launch, tmp_path):
    log = tmp_path / "log"
    launch(Flow([log_and_sleep(str(log), number, seconds=0.3) for number in range(6)]), workers=2)
    workers = {line.split()[2] for line in log.read_text().splitlines()}
    assert len(workers) == 2
    assert str(os.getpid()) not in workers


@ON_BOTH
def test_two_launchers_share_the_work_and_never_run_the_same_job_twice(tmp_path, uri):
    from concurrent.futures import ThreadPoolExecutor

    log, jobs = tmp_path / "log", 6

    def launch():
        flow = identify(Flow([log_and_sleep(str(log), number, seconds=1.0) for number in range(jobs)]))
        return local.run(flow, database=uri, root=tmp_path / "runs", workers=1)

    with ThreadPoolExecutor(2) as pool:
        summaries = list(pool.map(lambda _: launch(), range(2)))
    assert all(summary.succeeded and len(summary.uuids) == jobs for summary in summaries)
    lines = [line.split() for line in log.read_text().splitlines()]
    assert sorted(line[:2] for line in lines) == sorted(
        [kind, str(number)] for kind in ("start", "end") for number in range(jobs)
    )
    kinds = [kind for kind, *_ in lines]
    assert kinds.count("start") > list(itertools.pairwise(kinds)).count(("start", "end")), "they took turns"


@pytest.mark.parametrize(
    ("dies", "ran", "kinds"),
    [(True, 1, ["started", "held", "finished"]), (False, 0, ["started", "held", "reused"])],
    ids=["dies", "finishes"],
)
def test_what_another_launcher_is_running_is_left_to_it_while_it_lives(launch, tmp_path, uri, dies, ran, kinds):
    log, seen = tmp_path / "log", []
    flow = identify(Flow([log_and_sleep(str(log), 0, seconds=4.0)]))
    other = multiprocessing.get_context("spawn").Process(
        target=execute, args=(uri, tmp_path / "runs", as_json(flow.jobs[0]))
    )
    other.start()
    deadline = time.monotonic() + 60
    while not log.exists() and time.monotonic() < deadline:
        time.sleep(0.02)

    def look(event):
        seen.append(event.kind)
        if dies and event.kind == "held":
            other.kill()

    summary = launch(flow, workers=1, on_event=look)
    other.join()
    assert (summary.ran, seen) == (ran, kinds)


def test_of_a_job_that_tells_its_steps_it_is_seen_how_far_it_is(launch):
    seen = []
    assert launch(Flow([tell_steps(3, seconds=3.0), add(1, 2)]), on_event=seen.append).succeeded
    running = [event for event in seen if event.kind == "running"]
    steps = [event.progress["step"] for event in running]
    assert steps == sorted(set(steps)), "each step once"
    assert steps[-1] == 3
    assert running[-1].progress["max_force"] == pytest.approx(0.1 / 3)
    assert {event.task.name for event in running} == {"tell_steps"}


def execute(uri, root, job):
    """Run a job as another launcher's worker does."""
    with open_database(uri) as database, Executor(database, root) as executor:
        executor.run(Job.from_dict(json.loads(job)))


def test_higher_priority_goes_first(launch, tmp_path):
    log = tmp_path / "log"
    jobs = [log_and_sleep(str(log), number) for number in range(4)]
    jobs[3].update_metadata({"priority": 5})
    launch(Flow(jobs), workers=1)
    assert log.read_text().split()[1] == "3"


def test_what_interprets_goes_before_calculations_that_wait(launch):
    """The answer for the first of two materials does not wait for the calculations of the second."""
    seen = []
    calculations = [Multiply(name=f"calculation {number}", factor=number).make(1) for number in range(4)]
    interprets = add(calculations[0].output, 1)
    launch(Flow([*calculations, interprets]), workers=1, on_event=seen.append)
    finished = [event.task.name for event in seen if event.kind == "finished"]
    assert finished == ["calculation 0", "add", "calculation 1", "calculation 2", "calculation 3"]


@pytest.mark.parametrize("path", ["/my/modules", ""])
def test_programs_that_jobs_start_see_the_users_pythonpath(launch, uri, monkeypatch, path):
    """Not the worker's, with which another Python's packages would come from the wrong place."""
    monkeypatch.setenv("PYTHONPATH", path)
    assert launch(path_of_a_program()).succeeded
    assert list(outputs(uri).values()) == [path]


def test_a_maker_runs_in_a_worker(launch, uri):
    launch(Multiply(factor=7).make(6))
    assert list(outputs(uri).values()) == [42]
