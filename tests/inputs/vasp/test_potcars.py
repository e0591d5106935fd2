"""Potentials come from the user's library; what is missing or wrong is named before anything runs."""

import gzip
import shutil

import pytest

from sodalyte.configuration import POTCAR_LIBRARY
from sodalyte.errors import EngineError
from sodalyte.inputs.engine import get_engine
from sodalyte.inputs.vasp.potcars import load_potcar


@pytest.fixture
def own(library, tmp_path, monkeypatch):
    """A library that a test may spoil."""
    folder = tmp_path / "own"
    shutil.copytree(library, folder)
    monkeypatch.setenv(POTCAR_LIBRARY, str(folder))
    return folder


def path_of(folder, symbol):
    return next(
        path for path in folder.rglob("POTCAR*") if symbol in (path.name.removeprefix("POTCAR."), path.parent.name)
    )


def test_the_symbols_asked_for(own):
    potcar = load_potcar(["Na_pv", "Sb", "S"], "PBE", rehearsal=True)
    assert [potential.symbol for potential in potcar] == ["Na_pv", "Sb", "S"]


def test_a_compressed_potential_in_a_folder_of_its_own(own):
    path = path_of(own, "Sb")
    text = path.read_bytes()
    path.unlink()
    other = own / "potpaw_PBE" / "Sb" / "POTCAR.gz"
    other.parent.mkdir(parents=True)
    other.write_bytes(gzip.compress(text))
    assert load_potcar(["Sb"], "PBE", rehearsal=True)[0].element == "Sb"


def test_a_missing_one_is_named_with_the_folders_searched(own, engine, recipe, crystal, run, folder):
    path_of(own, "Sb").unlink()
    with pytest.raises(EngineError, match="Sb") as caught:
        run(engine.relax(recipe).make(crystal))
    assert "PBE" in str(caught.value)
    assert str(own / "POT_GGA_PAW_PBE") in str(caught.value)
    assert not (folder / "vasp.out").exists(), "nothing ran"


def test_a_wrong_one_is_named(own):
    shutil.copy(path_of(own, "S"), path_of(own, "Sb"))
    with pytest.raises(EngineError, match="not the potential Sb"):
        load_potcar(["Sb"], "PBE", rehearsal=True)


def test_no_library(monkeypatch):
    monkeypatch.delenv(POTCAR_LIBRARY)
    with pytest.raises(EngineError, match=r"sodalyte\.toml"):
        load_potcar(["Sb"], "PBE", rehearsal=True)


@pytest.mark.parametrize("content", ["", "nonsense\n", "\x00\x01" * 100])
def test_damaged(own, content):
    path_of(own, "Sb").write_text(content)
    with pytest.raises(EngineError, match="Sb"):
        load_potcar(["Sb"], "PBE", rehearsal=True)


@pytest.mark.parametrize("part", [0.3, 0.95, 0.985])
def test_cut_short(own, part):
    path = path_of(own, "Sb")
    content = path.read_text()
    path.write_text(content[: int(part * len(content))])
    with pytest.raises(EngineError, match=r"POTCAR\.Sb is not a whole POTCAR .*'End of Dataset'; copy it again"):
        load_potcar(["Sb"], "PBE", rehearsal=True)


def test_vasp_refuses_the_potentials_of_a_rehearsal(recipe, crystal, run, folder):
    with pytest.raises(EngineError, match="synthetic"):
        run(get_engine("vasp").relax(recipe).make(crystal))
    assert not (folder / "vasp.out").exists()


def test_a_rehearsal_refuses_genuine_potentials(own):
    for path in own.rglob("POTCAR*"):
        if path.is_file():
            path.write_text(path.read_text().replace("REHEARSAL", "08Apr2002"))
    with pytest.raises(EngineError, match="genuine"):
        load_potcar(["Sb"], "PBE", rehearsal=True)
    assert load_potcar(["Sb"], "PBE", rehearsal=False)[0].element == "Sb"
