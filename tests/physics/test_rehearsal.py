"""The production path with CHGNet in VASP's place: two independent paths, one physics."""

import sys
from pathlib import Path

import numpy as np
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

SALT = {"C11": 40.1, "C12": 21.7, "C44": 5.87}
"""C11, C12 and C44, GPa, of rock salt: CHGNet 0.3.0, atomate2's ElasticMaker, an independent stand-in for VASP."""


def test_salt(tmp_path, monkeypatch):
    monkeypatch.setenv(POTCAR_LIBRARY, str(write_library(tmp_path / "potcars")))
    monkeypatch.setenv(VASP_COMMAND, str(Path(sys.executable).parent / "sodalyte-vasp-rehearsal"))
    salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    path = tmp_path / "salt.cif"
    salt.to(str(path))
    recipe = Recipe.quick().override({"relaxation": {"fmax": 1e-4}, "elasticity": {"fmax": 2e-4}})
    flow = screen([load(str(path))], engine=get_engine("rehearsal-chgnet"), recipe=recipe, analyses=("elasticity",))
    database = f"lite://{tmp_path / 'database'}"
    summary = local.run(identify(flow), database=database, root=tmp_path / "runs", workers=2)
    assert summary.succeeded, summary.failures
    with open_database(database) as opened:
        stresses = {
            document["name"].partition(" NaCl")[0]: -0.1 * np.array(document["output"]["output"]["stress"])
            for document in opened.job_store.docs_store.query({"name": {"$regex": "^e_"}})
        }
        assert all(result.level.startswith("REHEARSAL, not DFT") for result in load_results(opened))
    assert derivative(stresses, "e_xx")[0, 0] == pytest.approx(SALT["C11"], rel=0.01)
    assert derivative(stresses, "e_xx")[1, 1] == pytest.approx(SALT["C12"], rel=0.01)
    assert derivative(stresses, "e_yz")[1, 2] / 2 == pytest.approx(SALT["C44"], rel=0.01)


def derivative(stresses, label):
    """With respect to a strain, at zero, by the five-point formula: that of atomate2's fit.

    CHGNet's stress is so crooked that a straight line through the same points gives 44.7 GPa for C11. Of the shears,
    one sign is computed; the other is its mirror image.
    """

    def slope(size):
        stretched = stresses[f"{label} +{size}"]
        return (stretched - stresses.get(f"{label} -{size}", -stretched)) / (2 * size)

    return (4 * slope(0.005) - slope(0.01)) / 3
