"""Pilot processes end a flow as the local launcher does, and leave nothing half done."""

import time

import pytest
from jobflow import Flow
from pilots import executions, outputs, start, work
from trivial import add, die, dynamic_flow, fail, log_and_sleep

from sodalyte.database import open_database
from sodalyte.launchers import local
from sodalyte.launchers.identity import identify


def test_two_pilots_end_a_dynamic_flow_as_the_local_launcher_does(launchpad, address, tmp_path):
    flow = identify(dynamic_flow())
    here, there = tmp_path / "here" / "runs", tmp_path / "there" / "runs"
    launchpad.add(flow, campaign="dynamic", root=here)
    pilots = [start(address, here, folder=tmp_path) for _ in range(2)]
    assert [pilot.wait(timeout=120) for pilot in pilots] == [0, 0]
    local.run(flow, database=f"lite://{tmp_path / 'lite'}", root=there, workers=1)
    with open_database(f"lite://{tmp_path / 'lite'}") as peer:
        assert outputs(launchpad.database) == outputs(peer)
    assert launchpad.counts()["RUNNING"] == launchpad.counts()["READY"] == 0
