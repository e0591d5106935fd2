import re

import pytest

from sodalyte.database import open_database, save_results
from sodalyte.errors import UsageError
from sodalyte.report import verdicts, write_report

LEVEL = "REHEARSAL, not DFT: Einstein crystal, through the files of VASP"


@pytest.fixture
def rehearsed(specimens):
    return [result.model_copy(update={"level": LEVEL}) for result in specimens.na3sbs4() + specimens.na3ps4()]


def test_the_page_of_a_rehearsal_says_so_at_every_number(rehearsed, specimens, tmp_path) -> None:
    page = write_report(rehearsed, tmp_path / "rehearsed").read_text()
    assert "Rehearsal: not DFT results." in page
    for number in re.findall(r'<a class="value[^"]*" href="[^"]*">[^<]*</a>(.{0,60})', page, re.DOTALL):
        assert 'class="rehearsal">rehearsal<' in number
    entries = re.findall(r'<summary>.*?<span class="value">([^<]*)</span>(.{0,60})', page, re.DOTALL)
    assert [text for text, after in entries if text not in ("", "data below") and ">rehearsal<" not in after] == []
    for heading in re.findall(r"<h3[^>]*>(.*?)</h3>", page):
        assert "rehearsal" in heading or "Na₃" not in heading
    real = write_report(specimens.na3sbs4(), tmp_path / "real").read_text()
    assert "ehearsal" not in re.sub(r"\.rehearsal \{[^}]*\}", "", real)


def test_figures_of_a_rehearsal_say_so_by_themselves(rehearsed, tmp_path) -> None:
    write_report(rehearsed, tmp_path)
    figures = list((tmp_path / "figures").glob("*.svg"))
    assert figures
    assert [figure.name for figure in figures if "rehearsal" not in figure.read_text()] == []


def test_verdicts_of_a_rehearsal_say_so(rehearsed) -> None:
    assert all(", rehearsal: " in sentence for sentence in verdicts(rehearsed))


def test_a_rehearsal_never_stands_beside_others(rehearsed, specimens, tmp_path) -> None:
    mixed = [*rehearsed, *specimens.relaxed_only("Na3AsS4")]
    for answer in (lambda: write_report(mixed, tmp_path / "page"), lambda: verdicts(mixed)):
        with pytest.raises(UsageError, match=r"rehearsal, which are not DFT, cannot stand in one report"):
            answer()
    assert not (tmp_path / "page").exists()


def test_the_refusal_names_terms_that_work(rehearsed, specimens, tmp_path) -> None:
    from typer.testing import CliRunner

    from sodalyte.cli import app

    with open_database(f"lite://{tmp_path / 'database'}") as database:
        save_results(database, [*rehearsed, *specimens.relaxed_only("Na3AsS4")])
    refusal = CliRunner().invoke(app, ["report", "--workspace", str(tmp_path)]).exception
    assert isinstance(refusal, UsageError)
    one, other = re.findall(r"'([^']+)'", str(refusal))
    for term, expected in ((one, "Na₃SbS₄"), (other, "Na₃AsS₄")):
        outcome = CliRunner().invoke(app, ["report", term, "--workspace", str(tmp_path)])
        assert outcome.exit_code == 0, outcome.exception
        assert expected in outcome.stdout
