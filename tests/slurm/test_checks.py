"""What the doctor finds on a real Slurm."""

import getpass

import pytest

from sodalyte.configuration import Cluster
from sodalyte.launchers.slurm.allocations import hours_of
from sodalyte.launchers.slurm.checks import checks
from sodalyte.launchers.slurm.queue import Queue

QUICK = {"cores": 2, "walltime": 0.5, "python": "/bin/true"}
"""Without the import of the whole package, which takes longer than Slurm."""


def failures(found):
    return {check.name: check for check in found if check.status == "failed"}


def test_a_sound_table(queue):
    found = checks(Cluster(partition="debug", cores=2, nodes=4, memory=4000, walltime=1), queue=queue)
    assert not failures(found)
    assert {"Slurm", "partition", "nodes", "submission"} <= {check.name for check in found}


@pytest.mark.parametrize(
    ("table", "wrong", "advice"),
    [
        ({"partition": "debgu"}, {"partition", "submission"}, "debug, small"),
        ({"partition": "small", "nodes": 1}, {"walltime"}, "walltime"),
        ({"cores": 64}, {"nodes", "submission"}, "cores"),
        ({"nodes": 5}, {"nodes", "submission"}, "nodes"),
        ({"memory": 8000}, {"nodes", "submission"}, "memory"),
        ({"constraint": "gpu"}, {"submission"}, "constraint"),
    ],
)
def test_what_is_wrong_is_named(queue, table, wrong, advice):
    found = failures(checks(Cluster(**QUICK | {"nodes": 2} | table), queue=queue))
    assert found.keys() == wrong
    assert any(advice in check.advice for check in found.values())


def test_a_python_that_cannot_import_sodalyte_is_named(queue):
    found = failures(checks(Cluster(**QUICK | {"python": "/bin/false"}), queue=queue))
    assert found.keys() == {"python of the workers"}


def test_no_slurm():
    away = Queue(environment={"SLURM_CONF": "/nowhere"}, timeout=1)
    (check,) = checks(Cluster(cores=2, walltime=1), queue=away)
    assert (check.name, check.status) == ("Slurm", "failed")


def test_accounts(make_lab):
    lab = make_lab(nodes=1, accounting=True, extra="AccountingStorageEnforce=associations,limits,qos")
    lab.run("sacctmgr", "-i", "add", "account", "sulfides")
    lab.run("sacctmgr", "-i", "add", "user", getpass.getuser(), "account=sulfides")
    queue = Queue(environment=lab.environment)
    assert not failures(checks(Cluster(account="sulfides", **QUICK), queue=queue))
    found = failures(checks(Cluster(account="oxides", **QUICK), queue=queue))
    assert found.keys() == {"account", "submission"}
    assert "sulfides" in found["account"].advice
    assert found["submission"].detail.startswith("wrong account")
    found = failures(checks(Cluster(account="sulfides", qos="express", **QUICK), queue=queue))
    assert found.keys() == {"QOS", "submission"}
    assert found["submission"].detail.startswith("wrong QOS")


@pytest.mark.parametrize(
    ("text", "hours"),
    [("01:00:00", 1), ("2-00:00:00", 48), ("1-12:30:00", 36.5), ("30:00", 0.5), ("UNLIMITED", float("inf"))],
)
def test_time_limits(text, hours):
    assert hours_of(text) == hours
