"""What is kept on the disk while the database is away: delivered once, whatever else lies there."""

import hashlib
import os
import stat

import bson
import pymongo
import pytest
from jobflow import Flow
from pilots import executions, outputs, work
from trivial import add

from sodalyte.database import open_database
from sodalyte.database.store import BLOBS
from sodalyte.errors import DatabaseError
from sodalyte.launchers.execution import Executor, KeptError
from sodalyte.launchers.fireworks import Pilot, spool
from sodalyte.launchers.outcomes import NOTHING, Record


def record(number, output=1, **fields):
    document = {"uuid": f"{number:032x}", "index": 1, "output": output, "outcome": NOTHING}
    return Record(document | fields, outcome=NOTHING)


def signed(content):
    body = bson.encode(content)
    return hashlib.sha256(body).digest() + body


def test_hostile_and_damaged_files_are_put_aside_and_the_rest_is_delivered(launchpad, root):
    good = spool.keep(root, record(1))
    whole = good.read_bytes()
    content = {"document": record(2).document, "blobs": [], "outcome": NOTHING, "fw_id": 0, "launch_id": 0}
    hostile = {
        "0-empty": b"",
        "0-short": whole[:-1],
        "0-garbage": os.urandom(5000),
        "0-not-bson": hashlib.sha256(b"x").digest() + b"x",
        "0-no-fields": signed({}),
        "0-operator": signed(content | {"document": content["document"] | {"uuid": {"$ne": ""}}}),
        "0-another-job": signed(content),
        f"{2:032x}-1": signed(content | {"fw_id": {"$gt": 0}}),
        f"{3:032x}-1": signed(content | {"document": record(3).document, "outcome": {"replace": "{}"}}),
        f"{4:032x}-1": signed(content | {"document": record(4).document, "blobs": [{"blob_uuid": {"$gt": ""}}]}),
        f"{5:032x}-1": signed(content | {"document": record(5, output="good").document}).replace(b"good", b"evil"),
    }
    for name, data in hostile.items():
        (root / "spool" / f"{name}.bson").write_bytes(data)
    (root / "spool" / "half.bson.77.part").write_bytes(whole[:40])
    delivered = spool.deliver(launchpad.database, root)
    assert delivered.jobs == 1
    assert len(delivered.damaged) == len(hostile)
    assert not delivered.refused
    assert outputs(launchpad.database) == {(f"{1:032x}", 1): 1}
    assert spool.deliver(launchpad.database, root) == spool.Delivered(jobs=0)


def test_one_that_the_database_refuses_does_not_hold_up_the_others(launchpad, root):
    large = spool.keep(root, record(1, output="x" * 17_000_000))
    folder = spool.file_of(root, f"{2:032x}", 1)
    folder.mkdir()
    spool.keep(root, record(3))
    delivered = spool.deliver(launchpad.database, root)
    assert delivered.jobs == 1
    assert [path for path, _ in delivered.refused] == [large, folder]
    assert spool.deliver(launchpad.database, root, skip={large, folder}) == spool.Delivered(jobs=0)
    assert large.exists()
    assert outputs(launchpad.database) == {(f"{3:032x}", 1): 1}


def test_while_the_database_is_away_nothing_is_refused(restartable_mongodb, root):
    with open_database(restartable_mongodb.uri) as database:
        kept = spool.keep(root, record(1))
        restartable_mongodb.kill9()
        with pymongo.timeout(0.5), pytest.raises(DatabaseError, match="no database server answers"):
            spool.deliver(database, root)
        assert spool.waiting(root) == [kept]
        restartable_mongodb.start()
        assert spool.deliver(database, root) == spool.Delivered(jobs=1)


def test_what_is_kept_appears_when_its_content_is_on_the_disk_and_is_then_made_to_stay(root, monkeypatch):
    synced = []

    def note(descriptor):
        synced.append((stat.S_ISDIR(os.fstat(descriptor).st_mode), len(spool.waiting(root))))

    monkeypatch.setattr(os, "fsync", note)
    spool.keep(root, record(1))
    assert synced == [(False, 0), (True, 1)]


def test_what_is_finished_already_is_not_touched(launchpad, root):
    """Its own copy was declared lost, and another one came first."""
    record(1, output="first").deliver(launchpad.database)
    late = record(1, output="second")
    late.blobs = [{"blob_uuid": "late", "data": [1]}]
    spool.keep(root, late)
    assert spool.deliver(launchpad.database, root) == spool.Delivered(jobs=1)
    assert outputs(launchpad.database) == {(f"{1:032x}", 1): "first"}
    assert not launchpad.database.collection(BLOBS).count_documents({})


def test_what_cannot_be_kept_leaves_nothing(root, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        spool.keep(root, record(1))
    assert not list((root / "spool").iterdir())


def test_a_finished_job_whose_output_waits_on_the_disk_is_not_run_again(launchpad, root, tmp_path):
    """Its pilot died, the firework went back to the queue, and nobody delivered before the next pilot claims it."""
    from sodalyte.launchers.fireworks.pilot import Work
    from sodalyte.launchers.fireworks.settings import Settings

    job = add(1, 2)
    launchpad.add(Flow([job, add(job.output, 1)]), campaign="one", root=root)
    (claim,) = launchpad.claim(Pilot.here())
    kept = keep_instead(launchpad, root, claim, job)
    (run,) = launchpad.running()
    assert launchpad.lost(run, "NODE_FAIL", "the node is gone")
    assert kept.exists()
    (second,) = launchpad.claim(Pilot.here())
    assert second.identity == claim.identity
    pilot = Work(Settings(database="", root=root), launchpad.database, None, Pilot.here())
    pilot._fly(second)
    assert not kept.exists()
    assert launchpad.counts() == {"COMPLETED": 1, "READY": 1, "BLOCKED": 0}
    assert work(launchpad, root) == ["add"]
    assert [event for event, _ in executions(root)] == ["start", "start", "end"]
    assert sorted(outputs(launchpad.database).values()) == [3, 4]


def keep_instead(launchpad, root, claim, job):
    """Run a job with a database that is away when its output is to be stored."""
    from pymongo.errors import AutoReconnect

    class Away(Record):
        def deliver(self, database):
            raise AutoReconnect("gone")

    with Executor(
        launchpad.database,
        root,
        keep=lambda record: spool.keep(root, record, fw_id=claim.fw_id, launch_id=claim.launch_id),
    ) as executor:
        make = executor._recorder.record
        executor._recorder.record = lambda outcome: Away(**vars(make(outcome)))
        with pytest.raises(KeptError):
            executor.run(job, wait=False)
    return spool.file_of(root, *claim.identity)
