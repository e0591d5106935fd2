import csv
import json
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from sodalyte.analysis.results import Guard, Subject, judge
from sodalyte.cli.query import quantity, query
from sodalyte.database import open_database, save_results
from sodalyte.errors import DatabaseError, SodalyteError, UsageError

SUBJECT = Subject(material="Na3SbS4", polymorph="tetragonal", level="CHGNet", recipe="quick", calculations=("u1",))
OFF_HULL = Guard(name="on the hull", passed=False, detail="12 meV/atom above the hull", required=False)
HOPS = Guard(name="hops", passed=False, detail="not diffusive in this run: 3 hops")
CONTRACT = {
    *("material", "polymorph", "property", "value", "uncertainty", "unit", "level", "recipe", "status", "reason"),
    *("guards", "calculations"),
}


@pytest.fixture
def results():
    return [
        judge(SUBJECT, property="window_width", value=0.0689, uncertainty=0.0123, unit="V", scheme="mp2020"),
        judge(SUBJECT, property="diffusivity", guards=(HOPS,), unit="cm^2/s", temperature=600.0),
    ]


@pytest.fixture
def workspace(tmp_path, results, monkeypatch):
    monkeypatch.delenv("SODALYTE_DATABASE", raising=False)
    with open_database(f"lite://{tmp_path / 'database'}") as database:
        save_results(database, results)
    monkeypatch.setenv("SODALYTE_WORKSPACE", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "150")
    return tmp_path


def ask(*words):
    app = typer.Typer()
    app.command()(query)
    result = CliRunner().invoke(app, words)
    if isinstance(result.exception, SodalyteError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_table_shows_value_uncertainty_unit_and_reason(workspace):
    shown = ask()
    assert "0.069±0.012 V" in shown
    assert "refused (1)" in shown
    assert "(1) not diffusive in this run: 3 hops" in shown
    assert "level: CHGNet" in shown
    assert f"2 results in lite://{workspace}/database" in shown


def test_the_table_says_which_numbers_come_with_warnings_and_which_without_uncertainty(workspace):
    assert "not known" not in ask()
    with open_database(f"lite://{workspace / 'database'}") as database:
        save_results(database, [judge(SUBJECT, property="e_above_hull", value=0.1, unit="eV/atom", guards=(OFF_HULL,))])
    shown = ask()
    assert "ok, 1 warning" in shown
    assert "a value without ±: its uncertainty is not known" in shown


def test_json_holds_the_whole_documents(workspace):
    documents = json.loads(ask("--json"))
    assert [document["property"] for document in documents] == ["diffusivity", "window_width"]
    assert all(set(document) >= CONTRACT for document in documents)
    assert documents[0]["status"] == "refused"
    assert documents[0]["guards"][0]["name"] == "hops"
    assert documents[1]["value"] == 0.0689
    assert documents[1]["calculations"] == ["u1"]


def test_csv_is_flat(workspace):
    (row,) = csv.DictReader(ask("property = window_width", "--csv").splitlines())
    assert (row["material"], row["value"], row["unit"], row["temperature"]) == ("Na3SbS4", "0.0689", "V", "")


def test_columns_sort_and_limit(workspace):
    options = ("--columns", "property,guards.name", "--sort", "-property", "--limit", "1")
    assert json.loads(ask(*options, "--json")) == [{"property": "window_width", "guards.name": []}]
    assert ask(*options, "--csv") == "property,guards.name\nwindow_width,[]\n"
    assert "window_width" in ask(*options)


def test_nothing_found_is_no_error(workspace):
    assert json.loads(ask("material = Na2S", "--json")) == []
    assert len(ask("material = Na2S", "--csv").splitlines()) == 1
    assert "0 results" in ask("material", "=", "Na2S")


def test_a_flag_wins_over_the_environment_and_that_over_the_workspace(workspace, tmp_path_factory, monkeypatch):
    other = tmp_path_factory.mktemp("other")
    for name in ("flag", "environment"):
        open_database(f"lite://{other / name}").close()
    monkeypatch.setenv("SODALYTE_DATABASE", f"lite://{other / 'environment'}")
    assert f"0 results in lite://{other / 'environment'}" in ask()
    assert f"0 results in lite://{other / 'flag'}" in ask("--database", f"lite://{other / 'flag'}")
    monkeypatch.delenv("SODALYTE_DATABASE")
    assert f"2 results in lite://{workspace}" in ask()


def test_a_missing_database_is_an_error_and_stays_missing(tmp_path, monkeypatch):
    monkeypatch.delenv("SODALYTE_DATABASE", raising=False)
    with pytest.raises(DatabaseError, match="there is no database at") as caught:
        ask("--workspace", str(tmp_path / "nothing"))
    assert caught.value.exit_code == 2
    assert not list(tmp_path.iterdir())


def test_two_formats_at_once_are_refused(workspace):
    with pytest.raises(UsageError, match="exclude each other"):
        ask("--json", "--csv")


def test_what_is_stored_is_neither_markup_nor_a_command_to_the_terminal(workspace):
    hostile = SUBJECT.model_copy(update={"material": "[red]x[/red]\x1b[2J\r"})
    with open_database(f"lite://{workspace / 'database'}") as database:
        save_results(database, [judge(hostile, property="density", value=1.0, unit="g/cm^3")])
    shown = ask("property = density")
    assert "[red]x[/red]?[2J?" in shown
    assert "\x1b[2J" not in shown


@pytest.mark.parametrize(
    ("value", "uncertainty", "unit", "expected"),
    [
        (0.0689, 0.0123, "V", "0.069±0.012 V"),
        (1.2345e-6, 1.1e-7, "cm^2/s", "(1.23±0.11)×10⁻⁶ cm^2/s"),
        (31.234, 4.0, "GPa", "31.2±4.0 GPa"),
        (0.54321, None, "1", "0.5432"),
        (2.0, 0.0, "V", "2 V"),
        (None, None, "V", ""),
    ],
)
def test_quantities_show_two_digits_of_their_uncertainty(value, uncertainty, unit, expected):
    assert quantity(value, uncertainty, unit) == expected


def test_importing_the_command_imports_nothing_heavy():
    heavy = {"pymatgen", "maggma", "pandas", "h5py", "pymongo"}
    script = "import sys, sodalyte.cli.query; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not heavy & set(loaded)
