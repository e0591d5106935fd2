"""What the PAW-PBE reference set computes, in which order, and what it does not compute again."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from sodalyte.database import open_database
from sodalyte.inputs.reference import shipped
from sodalyte.launchers.local import Summary
from sodalyte.launchers.outcomes import finished_outcomes

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpaw_reference.py"


@pytest.fixture(scope="module")
def order():
    listed = subprocess.run([sys.executable, SCRIPT, "list"], capture_output=True, text=True, check=True).stdout
    return [line.split(" relax ")[1] for line in listed.splitlines()]


@pytest.mark.parametrize(
    "names",
    [
        ("Na2S", "Na3SbS4 tetragonal", "Sb2S3_exp", "Na3PS4_c", "NaP7"),
        ("Na3PS4_t", "NaP7", "S_alpha_Fddd_exp with D3", "P4S10 with D3", "P4S3 with D3"),
        ("NaP7", "Na3PS4 tetragonal with D3", "Na2S2_beta"),
        ("P4S3 with D3", "Na2S2_beta", "P_Hittorf_exp"),
    ],
    ids=[
        "one whole hull before the next",
        "dispersion after both hulls",
        "of materials too",
        "dispensable polymorphs last",
    ],
)
def test_calculations_come_in_the_order_in_which_answers_need_them(order, names):
    assert [name for name in order if name in names] == list(names)


def test_every_phase_is_computed_once(order):
    assert len(set(order)) == len(order) > 30


@pytest.fixture(scope="module")
def script():
    specification = importlib.util.spec_from_file_location("gpaw_reference", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_what_ships_is_not_computed_again(script, tmp_path, monkeypatch):
    found = {}

    def look(flow, *, database, **_):
        with open_database(database) as store:
            found.update(finished_outcomes(store, flow.all_uuids))
        return Summary()

    monkeypatch.setattr(script.local, "run", look)
    script.compute(tmp_path)
    assert {uuid for uuid, _ in found} == {each.uuid for each in shipped()} & set(script.flow().all_uuids)
    assert len(found) > 25


def test_begun_relaxations_go_on_in_another_workspace(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "BEGUN", tmp_path / "begun")
    for uuid, steps in [("aa-begun", "first\nsecond\n"), ("bb-finished", "all\n")]:
        folder = tmp_path / "old" / uuid[:2] / f"{uuid}-1"
        folder.mkdir(parents=True)
        (folder / "ionic_steps-1234.jsonl").write_text(steps)
    script.keep_begun(tmp_path / "old", finished=set())
    script.keep_begun(tmp_path / "old", finished={"bb-finished"})
    script.take_up_begun(tmp_path / "new")
    (steps,) = (tmp_path / "new").glob("*/*/*")
    assert steps == tmp_path / "new" / "aa" / "aa-begun-1" / "ionic_steps-1234.jsonl"
    assert steps.read_text() == "first\nsecond\n"
    steps.write_text("first\nsecond\nthird\n")
    script.take_up_begun(tmp_path / "new")
    assert steps.read_text() == "first\nsecond\nthird\n"
