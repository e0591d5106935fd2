"""FireWorks' own tools work on the documents, and plain ``rlaunch`` can run the same fireworks."""

import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from jobflow import Flow
from pilots import HELPERS, executions, outputs, work
from trivial import add, dynamic_flow, needs_file

from sodalyte.database import open_database
from sodalyte.launchers import local
from sodalyte.launchers.identity import identify


def command(address, folder, program, *words):
    """Run one of FireWorks' programs and return what it prints."""
    folder.mkdir(exist_ok=True)
    pad = folder / "my_launchpad.yaml"
    pad.write_text(json.dumps({"host": address, "name": urlsplit(address).path[1:], "uri_mode": True}))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HELPERS), *sys.path]), "PYTHONWARNINGS": "ignore"}
    path = Path(sys.executable).parent / program
    answer = subprocess.run(
        [path, "-l", pad, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_a_workflow_can_be_read_at_every_moment(launchpad, tools, root):
    launchpad.add(identify(dynamic_flow()), campaign="one", root=root)
    ran = True
    while ran:
        (first, *_) = tools.get_fw_ids(sort=[("fw_id", 1)])
        workflow = tools.get_wf_by_fw_id(first)
        assert workflow.fw_states == {firework.fw_id: firework.state for firework in workflow.fws}
        assert workflow.to_db_dict()["parent_links"].keys() == _document(launchpad)["parent_links"].keys()
        ran = work(launchpad, root, until="add")
    assert tools.get_wf_by_fw_id_lzyfw(first).state == _document(launchpad)["state"] == "DEFUSED"


def _document(launchpad):
    return launchpad.collections.workflows.find_one({})


def test_lpad_lists_workflows(launchpad, address, root, tmp_path):
    launchpad.add(identify(dynamic_flow()), campaign="one", root=root)
    work(launchpad, root)
    (listed,) = [json.loads(command(address, tmp_path / "lpad", "lpad", "get_wflows", "-d", "more"))]
    assert listed["name"].startswith("one")
    assert set(listed["states"].values()) == {"COMPLETED", "DEFUSED"}


def test_pausing_defusing_and_rerunning_with_lpad(launchpad, tools, root, tmp_path):
    flag = tmp_path / "flag"
    first = needs_file(str(flag))
    middle = add(first.output, 1)
    launchpad.add(Flow([first, middle, add(middle.output, 1)]), campaign="one", root=root)
    tools.pause_fw(1)
    assert not work(launchpad, root)
    tools.resume_fw(1)
    assert work(launchpad, root) == ["needs_file"]
    flag.touch()
    tools.rerun_fw(1)
    assert work(launchpad, root, until="needs_file") == ["needs_file"]
    tools.defuse_fw(2)
    assert not work(launchpad, root)
    tools.reignite_fw(2)
    assert work(launchpad, root) == ["add", "add"]
    tools.rerun_fw(1)
    assert work(launchpad, root) == ["needs_file", "add", "add"]
    starts = [job for event, job in executions(root) if event == "start"]
    assert len(starts) == 4  # once in vain; what is finished is not computed again
    assert tools.get_wf_by_fw_id(1).state == "COMPLETED"


def test_the_lock_of_a_tool_is_respected_and_a_forgotten_one_is_opened(launchpad, root, monkeypatch):
    from sodalyte.launchers.fireworks import graph

    monkeypatch.setattr(graph, "LOCK_PATIENCE", 0.3)
    launchpad.add(add(1, 1), campaign="one", root=root)
    launchpad.collections.workflows.update_one({}, {"$set": {"locked": True}})
    assert work(launchpad, root) == ["add"]
    document = _document(launchpad)
    assert "locked" not in document
    assert document["state"] == "COMPLETED"


@pytest.mark.parametrize("before", [pytest.param(0, marks=pytest.mark.slow), 3])
def test_rlaunch_ends_what_pilots_began(launchpad, address, root, tmp_path, before):
    flow = identify(dynamic_flow())
    launchpad.add(flow, campaign="one", root=root)
    for _ in range(before):
        work(launchpad, root, until="add")
    command(address, tmp_path / "rlaunch", "rlaunch", "-s", "rapidfire")
    work(launchpad, root)
    local.run(flow, database=f"lite://{tmp_path / 'lite'}", root=tmp_path / "there", workers=1)
    with open_database(f"lite://{tmp_path / 'lite'}") as peer:
        assert outputs(launchpad.database) == outputs(peer)
    assert launchpad.counts() == {"COMPLETED": len(outputs(launchpad.database)), "DEFUSED": 1, "BLOCKED": 0}


def test_nothing_secret_is_written(launchpad, address, root):
    launchpad.add(add(1, 1), campaign="one", root=root)
    work(launchpad, root)
    for name in ("fireworks", "workflows", "launches", "outputs"):
        assert "mongodb://" not in str(list(launchpad.database.collection(name).find({})))
