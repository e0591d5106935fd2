"""The production path with CHGNet in VASP's place: two independent paths, one physics."""

import sys
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from sodalyte.configuration import POTCAR_LIBRARY, VASP_COMMAND
from sodalyte.database import load_results, open_database
from sodalyte.inputs.engine import get_engine
from sodalyte.inputs.recipe import Recipe
from sodalyte.launchers import local
from sodalyte.launchers.identity import identify
from sodalyte.launchers.rehearsal.potcars import write_library
from sodalyte.structures import load
from sodalyte.workflows import screen

pytestmark = pytest.mark.slow

SALT = {(0, 0): 40.1, (0, 1): 21.7, (3, 3): 5.87}
"""C11, C12 and C44, GPa, of rock salt: CHGNet 0.3.0, atomate2's ElasticMaker, an independent stand-in for VASP."""


def test_salt(tmp_path, monkeypatch):
    monkeypatch.setenv(POTCAR_LIBRARY, str(write_library(tmp_path / "potcars")))
    monkeypatch.setenv(VASP_COMMAND, str(Path(sys.executable).parent / "sodalyte-vasp-rehearsal"))
    salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    path = tmp_path / "salt.cif"
    salt.to(str(path))
    flow = screen(
        [load(str(path))], engine=get_engine("rehearsal-chgnet"), recipe=Recipe.quick(), analyses=("elasticity",)
    )
    database = f"lite://{tmp_path / 'database'}"
    summary = local.run(identify(flow), database=database, root=tmp_path / "runs", workers=2)
    assert summary.succeeded, summary.failures
    with open_database(database) as opened:
        tensor = next(result.data["tensor"] for result in load_results(opened) if "tensor" in result.data)
    for (row, column), value in SALT.items():
        assert tensor[row][column] == pytest.approx(value, rel=0.01)
