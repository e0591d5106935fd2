"""What a rehearsal tells of itself: every start and every ionic step, also of what was killed from outside."""

import json
import time

import pytest
import yaml
from rehearsals import RELAX

from sodalyte.database import open_database
from sodalyte.inputs.vasp.run_folder import RunFolder, ionic_steps
from sodalyte.launchers.rehearsal.memory import read_ledger
from sodalyte.launchers.rehearsal.summary import calculations, table


@pytest.fixture
def summary(campaign):
    def read(*, finished=True):
        with open_database(f"lite://{campaign.root / 'database'}") as store:
            ledger = read_ledger(campaign.root / "memory")
            done, failed = (["job"], []) if finished else ([], ["job"])
            (calculation,) = calculations(ledger, root=campaign.root, finished=done, failed=failed, database=store)
        return calculation

    return read


def run_folder(campaign, structure):
    (campaign.root / "jo").mkdir()
    return campaign.folder("jo/job-1", structure, RELAX)


@pytest.fixture
def killed(campaign, thioantimonate):
    """A relaxation that was killed from outside after three steps, and then went on to its end."""
    faults = campaign.root / "faults.yaml"
    faults.write_text(yaml.safe_dump([{"fault": "walltime", "seconds": 0.3}]))
    campaign.environment["SODALYTE_REHEARSAL_FAULTS"] = str(faults)
    path = run_folder(campaign, thioantimonate)
    process = campaign.start(path)
    deadline = time.monotonic() + 60
    while ionic_steps(path / "OSZICAR") < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    folder = RunFolder(path)
    first = folder.archive()
    folder.note_correction("VASP was killed by SIGKILL", ("restart from the last ionic step",))
    (path / "POSCAR").write_text(first.end())
    assert campaign.run(path) == 0
    return path


def test_a_start_that_left_no_line_in_the_ledger_counts(killed, summary, campaign):
    assert [entry["attempt"] for entry in campaign.ledger] == [2]
    found = summary()
    before, after = (ionic_steps(folder / "OSZICAR") for folder in (killed / "attempts" / "0", killed))
    assert before >= 3
    assert (found.calls, found.ionic_steps) == (2, before + after)
    assert found.lost_steps <= 1
    assert found.repairs == ("VASP was killed by SIGKILL: restart from the last ionic step",)
    (row,) = table([found])
    assert row.repairs == {found.repairs[0]: 1}
    assert row.core_hours > 0


def test_steps_that_are_computed_again_are_lost(killed, summary):
    """Had it begun where the first start began, all steps of that one would be in vain."""
    (killed / "POSCAR").write_text((killed / "attempts" / "0" / "POSCAR").read_text())
    (killed / "vasprun.xml").write_text((killed / "attempts" / "0" / "vasprun.xml").read_text())
    assert summary().lost_steps == ionic_steps(killed / "attempts" / "0" / "OSZICAR")


def test_of_a_failed_calculation_all_is_lost(killed, summary):
    found = summary(finished=False)
    assert found.state == "failed"
    assert found.lost_steps == found.ionic_steps > 3


def test_a_calculation_that_failed_before_its_first_start_is_counted(campaign, summary, thioantimonate):
    run_folder(campaign, thioantimonate)
    found = summary(finished=False)
    assert (found.stage, found.formula, found.state, found.calls) == ("relax", "Na3S4Sb", "failed", 0)
    assert table([found])[0].failed == 1


def test_a_line_of_the_log_that_was_cut_short_is_passed_over(killed, summary):
    log = killed / "corrections.jsonl"
    log.write_text(log.read_text() + json.dumps({"problem": "x", "actions": []})[:9])
    assert len(summary().repairs) == 1
