import json

import pytest

from sodalyte.analysis.results import REHEARSAL, Subject, judge
from sodalyte.database import open_database, save_results

LEVEL = "My potential 1.0 (mine 0.1), trained on PBE"


def subject(**fields):
    about = {"material": "Na3SbS4", "polymorph": "tetragonal", "level": LEVEL, "recipe": "quick"}
    return Subject(**about | fields)


@pytest.fixture
def stored(tmp_path, monkeypatch):
    monkeypatch.delenv("SODALYTE_DATABASE", raising=False)
    monkeypatch.delenv("SODALYTE_WORKSPACE", raising=False)
    with open_database(f"lite://{tmp_path / 'sodalyte-work' / 'database'}") as database:
        tensor = [[40.0 if row == column else 10.0 for column in range(6)] for row in range(6)]
        save_results(
            database,
            [
                judge(subject(), property="lattice_a", value=7.3, unit="angstrom"),
                judge(subject(level=f"{REHEARSAL}, not DFT"), property="lattice_a", value=9.9, unit="angstrom"),
                judge(subject(), property="elastic_tensor", data={"tensor": tensor}, unit="GPa"),
                judge(subject(), property="diffusivity", value=1e-6, unit="cm^2/s", temperature=600.0),
            ],
        )


def numbers(text, polymorph="tetragonal"):
    (table,) = json.loads(text)
    return next(row["numbers"] for row in table["rows"] if row["polymorph"] == polymorph)


def test_ours_stands_beside_what_ships_and_what_is_published(sodalyte, stored) -> None:
    status, out, _ = sodalyte("compare", "Na3SbS4", "--property", "lattice_a", "--to", "experiment", "--json")
    assert status == 0
    found = {number["source"]: number for number in numbers(out)}
    assert {"My potential 1.0", "CHGNet 0.3.0", "SevenNet-0 11Jul2024", "experiment"} <= found.keys()
    ours, measured = found["My potential 1.0"], found["experiment"]
    assert (measured["text"], measured["baseline"], measured["citation"]) == ("7.1708(12)", True, "hayashi2019")
    assert ours["difference"] == pytest.approx(7.3 - 7.1708)
    assert ours["difference_percent"] == pytest.approx(100 * (7.3 / 7.1708 - 1))
    assert (ours["recipe"], ours["notes"]) == ("quick", ["recipe quick"])
    assert 9.9 not in [number["value"] for number in numbers(out)]


def test_the_printed_table_has_notes_sources_and_known_errors(sodalyte, stored) -> None:
    status, out, _ = sodalyte("compare", "Na3SbS4", "--property", "lattice_a")
    assert status == 0
    assert "recipe quick" in out
    assert "Hayashi" in out
    assert "doi:10.1038/s41467-019-13178-2" in out
    assert "known error of CHGNet 0.3.0: mean" in out
    assert "error of My potential 1.0 not known: not calibrated" in out


def test_a_library_id_gives_its_polymorph_alone(sodalyte, stored) -> None:
    _, out, _ = sodalyte("compare", "Na3SbS4_c", "--property", "lattice_a", "--json")
    assert [row["polymorph"] for row in json.loads(out)[0]["rows"]] == ["cubic"]


def test_a_competitor_without_sodium_can_be_asked_for(sodalyte, monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, _ = sodalyte("compare", "Sb2S3", "--property", "formation_energy", "--json")
    assert status == 0
    (table,) = json.loads(out)
    assert {row["material"] for row in table["rows"]} == {"Sb2S3"}
    experiment = [number for row in table["rows"] for number in row["numbers"] if number["source"] == "experiment"]
    assert experiment[0]["value"] == pytest.approx(-0.425, abs=0.001)


def test_constants_come_from_the_tensor_in_the_store(sodalyte, stored) -> None:
    _, out, _ = sodalyte("compare", "Na3SbS4", "--property", "C11", "--json")
    assert [number["value"] for number in numbers(out) if number["source"] == "My potential 1.0"] == [40.0]


def test_temperatures_are_rows(sodalyte, stored) -> None:
    _, out, _ = sodalyte("compare", "--property", "diffusivity")
    assert "600 K" in out


def test_without_a_store_there_is_what_ships(sodalyte, monkeypatch) -> None:
    monkeypatch.delenv("SODALYTE_DATABASE", raising=False)
    status, out, _ = sodalyte("compare", "Na3PS4", "--property", "bulk_modulus", "--json")
    assert status == 0
    assert "25.3" in [number["text"] for number in numbers(out)]  # Deng et al. 2016


def test_windows_are_drawn(sodalyte, stored, tmp_path) -> None:
    for suffix, begin in ((".svg", b"<?xml"), (".pdf", b"%PDF")):
        path = tmp_path / f"windows{suffix}"
        status, out, err = sodalyte("compare", "Na3SbS4", "--property", "window_width", "--windows", path)
        assert status == 0, err
        assert "window_width" in out
        assert path.read_bytes().startswith(begin)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--property", "bulk_modulos"], "did you mean 'bulk_modulus'"),
        (["--to", "nobody"], "names no source"),
        (["Na3SbS5"], "not in the library"),
        (["--database", "lite://nowhere"], "nowhere"),
        (["--windows", "windows.jpg"], "ends in .svg or .pdf"),
        (["--windows", "nowhere/windows.svg"], "cannot be written"),
        (["NaSbS2", "--windows", "windows.svg"], "nothing to draw"),
    ],
)
def test_wrong_usage_is_one_sentence(sodalyte, monkeypatch, arguments, words) -> None:
    monkeypatch.delenv("SODALYTE_DATABASE", raising=False)
    status, _, err = sodalyte("compare", *arguments)
    assert status == 2
    assert words in err
    assert err.count("\n") == 1
