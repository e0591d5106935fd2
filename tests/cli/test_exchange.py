import json

import pytest
from typer.testing import CliRunner

from sodalyte.analysis.results import Subject, judge
from sodalyte.cli import app
from sodalyte.database import find, open_database, save_results
from sodalyte.errors import DatabaseError


def run(*words):
    return CliRunner().invoke(app, words, catch_exceptions=False, standalone_mode=False).output


def test_results_move_between_workspaces(tmp_path, monkeypatch):
    monkeypatch.delenv("SODALYTE_DATABASE", raising=False)
    one, other = (f"lite://{tmp_path / name}" for name in ("one", "other"))
    subject = Subject(material="Na2S", polymorph="cubic", level="EMT", recipe="quick", calculations=("u",))
    with open_database(one) as store:
        save_results(store, [judge(subject, property=f"p{number}", value=1.0, unit="V") for number in range(3)])
    file = str(tmp_path / "results.gz")
    assert "2 results and 0 calculations" in run("export", file, "property != p0", "--database", one)
    assert "2 of 2 results" in run("import", file, "--database", other)
    assert json.loads(run("import", file, "--database", other, "--json"))["new_results"] == 0
    with open_database(other) as store:
        assert [document["property"] for document in find(store)] == ["p1", "p2"]
    with pytest.raises(DatabaseError, match="cannot be read"):
        run("import", str(tmp_path / "missing.gz"), "--database", other)
