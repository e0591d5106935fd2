import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sodalyte.cli import app
from sodalyte.database import open_database, save_results
from sodalyte.errors import DatabaseError, UsageError


@pytest.fixture
def workspace(specimens, tmp_path) -> Path:
    with open_database(f"lite://{tmp_path / 'database'}") as database:
        save_results(database, specimens.relaxed_only("Na3SbS4") + specimens.relaxed_only("Na3PS4"))
    return tmp_path


def call(*arguments: object):
    outcome = CliRunner().invoke(app, ["report", *map(str, arguments)])
    if outcome.exception is not None and not isinstance(outcome.exception, SystemExit):
        raise outcome.exception
    return outcome


def test_writes_the_page_and_says_the_verdicts(workspace) -> None:
    outcome = call("--workspace", workspace)
    page = workspace / "reports" / "all" / "report.html"
    assert page.exists()
    assert outcome.stdout.splitlines()[-1] == f"the report is {page}"
    assert "Na₃SbS₄ (cubic): relaxed to a = " in outcome.stdout
    assert "Å; its electrochemical window was not computed" in outcome.stdout


def test_terms_choose_and_json_can_be_read(workspace, tmp_path) -> None:
    outcome = call("material = Na3PS4", "--workspace", workspace, "--output", tmp_path / "out", "--json")
    answer = json.loads(outcome.stdout)
    assert answer["report"] == str(tmp_path / "out" / "report.html")
    assert [sentence.split(" ")[0] for sentence in answer["verdicts"]] == ["Na₃PS₄"]
    assert "Na₃SbS₄" not in Path(answer["report"]).read_text()


def test_nothing_found(workspace) -> None:
    with pytest.raises(UsageError, match="no results"):
        call("material = Na3AsS4", "--workspace", workspace)


def test_no_database(tmp_path) -> None:
    with pytest.raises(DatabaseError):
        call("--workspace", tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
