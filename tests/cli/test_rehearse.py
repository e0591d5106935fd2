import json
from pathlib import Path

import pytest

from sodalyte.campaign import load_campaign
from sodalyte.database import load_results, open_database
from sodalyte.inputs.vasp.supervision import FROZEN, TICK
from sodalyte.launchers.rehearsal.faults import FAULTS, read_faults

EXAMPLES = Path(__file__).parents[2] / "examples"
TINY = """\
base = "quick"
[dynamics]
equilibration = 0.02
production = 0.08
segment_steps = 20
supercell = [1, 1, 1]
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv(TICK, "0.2")
    monkeypatch.setenv(FROZEN, "600")
    monkeypatch.setenv("SODALYTE_DATABASE", "mongodb://me:hunter2@127.0.0.1:1/real")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["Na2S", "--model", "chgent"], "known: chgnet, einstein"),
        (["Na2S", "--faults", "nowhere.yaml"], "nowhere.yaml cannot be read"),
        (["Na2S", "--faults", "bad.yaml"], "bad.yaml:1, entry 1"),
        (["Na2S", "campaign.yaml"], "give it alone"),
        (["campaign.yaml"], "campaign.yaml:1: the key 'name' is missing"),
        (["Na9S"], "Na9S is not in the library"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(sodalyte, tmp_path, arguments, sentence):
    (tmp_path / "bad.yaml").write_text("- {fault: earthquake}\n")
    (tmp_path / "campaign.yaml").write_text("materials: [Na2S]\n")
    status, out, err = sodalyte("rehearse", *arguments)
    assert status == 2
    assert sentence in err
    assert not out


def test_the_examples_are_sound():
    campaign = load_campaign(EXAMPLES / "campaign.yaml")
    assert [material.formula for material in campaign.load_materials()] == ["Na3SbS4", "Na3PS4"]
    assert {fault.fault for fault in read_faults(EXAMPLES / "faults.yaml")} <= set(FAULTS)


def test_a_campaign_with_faults_ends_whole_and_says_what_it_is(sodalyte, tmp_path):
    campaign = tmp_path / "campaign.yaml"
    campaign.write_text((EXAMPLES / "campaign.yaml").read_text().replace("- Na3SbS4", "- Na2S").replace("Na3PS4", "Na"))
    arguments = ("rehearse", campaign, "--only", "relaxation", "--recipe", "quick", "--workers", 1)
    status, out, err = sodalyte(*arguments, "--faults", EXAMPLES / "faults.yaml", "--json")
    assert status == 0, err
    answer = json.loads(out)
    assert answer["rehearsal"] is True
    assert not answer["failures"]
    (row,) = answer["stages"]
    assert row["stage"] == "relax"
    assert (row["calculations"], row["failed"]) == (2, 0)
    assert row["faults"]["kill"] == 1
    assert row["repaired"] >= 1
    assert row["lost_steps"] <= row["repaired"]
    assert row["core_hours"] > 0
    assert all(result["level"].startswith("REHEARSAL, not DFT") for result in answer["results"])
    page = Path(answer["report"])
    assert page.is_relative_to(tmp_path / "sodalyte-work" / "rehearsal")
    assert "Rehearsal: not DFT results." in page.read_text()

    (database,) = (tmp_path / "sodalyte-work" / "rehearsal").glob("einstein-*/database")
    with open_database(f"lite://{database}", create=False) as store:
        assert {result.is_rehearsal for result in load_results(store)} == {True}

    status, out, err = sodalyte(*arguments, "--faults", EXAMPLES / "faults.yaml")
    assert status == 0
    assert "0 jobs ran, 4 were there already" in out
    assert "ionic steps computed in vain" in out
    assert "core hours" in out
    assert "no number of it is a DFT result" in out
    assert "hunter2" not in out + err + page.read_text()


@pytest.mark.slow
def test_a_whole_screening_with_faults_gives_the_undisturbed_answer(sodalyte, tmp_path):
    (tmp_path / "tiny.toml").write_text(TINY)
    arguments = ("rehearse", "Na3PS4", "--recipe", "tiny.toml", "--json")
    answers = []
    for more in ((), ("--faults", EXAMPLES / "faults.yaml")):
        status, out, err = sodalyte(*arguments, *more)
        assert status == 0, err
        answers.append(json.loads(out))
    undisturbed, disturbed = answers
    assert {row["stage"] for row in disturbed["stages"] if row["faults"]} == {"relax", "elastic", "dynamics"}
    assert sum(row["failed"] for row in disturbed["stages"]) == 0
    expected = {(item["property"], item["scheme"], item["temperature"]): item for item in undisturbed["results"]}
    found = {(item["property"], item["scheme"], item["temperature"]): item for item in disturbed["results"]}
    assert found.keys() == expected.keys()
    for key, result in expected.items():
        assert found[key]["status"] == result["status"], key
        if result["value"] is not None:
            assert found[key]["value"] == pytest.approx(result["value"], rel=5e-3, abs=1e-3), key
