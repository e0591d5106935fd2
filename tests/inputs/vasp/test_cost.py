import itertools
import os
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from sodalyte.errors import EngineError, UsageError
from sodalyte.inputs.vasp.cost import (
    UNCERTAINTY,
    Pace,
    core_hours,
    default_bands,
    expected_ionic_steps,
    irreducible_kpoints,
    plane_waves,
    read_pace,
    size_of,
    valence_electrons,
)
from sodalyte.structures import conventional, dynamics_cell, load

GENUINE = "SODALYTE_GENUINE_VASP"
SULFIDE = {"Na": "Na_pv", "Sb": "Sb", "S": "S"}

# What VASP said of a published run (OUTCAR.stopped of pymatgen's test files) that the speed of a core was taken from.
PUBLISHED = """ vasp.5.2.11 01Dec10 complex
 running on   24 nodes
   k-points           NKPTS =      4   k-points in BZ     NKDIM =      4   number of bands    NBANDS=    247
   number of dos      NEDOS =    301   number of ions     NIONS =     56
   dimension x,y,z NGX =    72 NGY =   72 NGZ =   72
   ISPIN  =      2    spin polarized calculation?
   LREAL  =      T    real-space projection
   NELECT =     384.0000    total number of electrons
  volume of cell :      861.25
k-point  1 :  0.12500.12500.1250  plane waves:   23211
k-point  2 :  0.37500.12500.1250  plane waves:   23204
k-point  3 :  0.37500.37500.1250  plane waves:   23195
k-point  4 :  0.37500.37500.3750  plane waves:   23168
      LOOP:  cpu time   29.37: real time   29.38
      LOOP:  cpu time   30.20: real time   30.20
      LOOP:  cpu time   29.49: real time   30.07
"""


@pytest.fixture(scope="module")
def model_cell():
    crystal = conventional(load("Na3SbS4").structure)
    return dynamics_cell(crystal, defect="na_vacancy", supercell=(2, 2, 2)).structure


@pytest.mark.parametrize(
    ("volume", "encut", "counted"),
    [(861.25, 520, 23194.5), (40.89, 100, 92.7), (21.57, 520, 584)],  # means over the k-points of genuine OUTCARs
)
def test_plane_waves_are_those_that_vasp_counts(volume, encut, counted):
    assert plane_waves(volume, encut) == pytest.approx(counted, rel=0.01)


@pytest.mark.parametrize(("electrons", "n_atoms", "bands"), [(256, 64, 161), (3, 1, 5)])
def test_bands_are_those_of_genuine_runs(electrons, n_atoms, bands):
    assert default_bands(electrons, n_atoms) == bands


@pytest.mark.parametrize("grid", [(3, 3, 3), (4, 4, 4), (4, 3, 2), (1, 1, 1)])
def test_time_reversal_alone_pairs_opposite_points(grid, model_cell):
    points = set(itertools.product(*map(range, grid)))
    pairs = {frozenset({point, tuple(-k % n for k, n in zip(point, grid, strict=True))}) for point in points}
    assert irreducible_kpoints(model_cell, grid, isym=0) == len(pairs)
    assert irreducible_kpoints(model_cell, grid, isym=-1) == len(points)


def test_dynamics_on_the_grid_of_the_paper_has_14_points(model_cell):
    assert irreducible_kpoints(model_cell, (3, 3, 3), isym=0) == 14


def test_symmetry_leaves_4_points_of_a_cubic_crystal():
    cubic = conventional(load("Na3SbS4", polymorph="cubic").structure)
    assert irreducible_kpoints(cubic, (3, 3, 3), isym=2) == 4
    fcc = Structure(Lattice.from_parameters(2.6, 2.6, 2.6, 60, 60, 60), ["Al"], [[0, 0, 0]])
    assert irreducible_kpoints(fcc, (8, 8, 8), isym=2) == 29  # Monkhorst and Pack's special points, Gamma included


def test_electrons_of_the_potentials_of_the_materials_project():
    known = valence_electrons(SULFIDE | {"P": "P", "W": "W_pv", "Sn": "Sn_d"}, "PBE")
    assert known == {"Na": 7, "Sb": 5, "S": 6, "P": 5, "W": 12, "Sn": 14}
    with pytest.raises(EngineError, match="Na_none"):
        valence_electrons({"Na": "Na_none"}, "PBE")


def test_a_vacancy_takes_the_ion_and_leaves_its_electron(model_cell):
    incar = {"ENCUT": 520, "ISYM": 0, "LREAL": "Auto"}
    size = size_of(model_cell, incar, (3, 3, 3), valence_electrons(SULFIDE, "PBE"))
    assert size.electrons == 47 * 7 + 16 * 5 + 64 * 6 + 1
    assert size.electrons % 2 == 0
    assert (size.kpoints, size.grid_kpoints, size.n_atoms, size.real_space) == (14, 27, 127, True)


def test_a_grid_costs_its_points_and_the_gain_of_real_wave_functions(model_cell):
    valences = valence_electrons(SULFIDE, "PBE")
    full, gamma = (
        size_of(model_cell, {"ENCUT": 520, "ISYM": 0, "LREAL": "Auto"}, grid, valences)
        for grid in ((3, 3, 3), (1, 1, 1))
    )
    ratio = core_hours(full, ionic_steps=1000, dynamics=True) / core_hours(gamma, ionic_steps=1000, dynamics=True)
    assert ratio == pytest.approx(28)


def test_cost_grows_faster_than_the_square_and_slower_than_the_cube_of_size():
    cell = conventional(load("Na3SbS4").structure)
    valences = valence_electrons(SULFIDE, "PBE")
    hours = [
        core_hours(
            size_of(cell * (n, n, n), {"ENCUT": 520, "ISYM": 0, "LREAL": "Auto"}, (1, 1, 1), valences),
            ionic_steps=9,
            dynamics=True,
        )
        for n in (2, 4)
    ]
    assert 8**2 < hours[1] / hours[0] < 8**3


def test_statics_have_one_step_and_relaxations_as_many_as_allowed():
    assert expected_ionic_steps({"NSW": 0}) == 1
    assert expected_ionic_steps({"NSW": 12}) == 12
    assert expected_ionic_steps({"NSW": 500}) < 100


def test_the_published_timing_is_the_standard(tmp_path):
    (tmp_path / "OUTCAR").write_text(PUBLISHED)
    assert read_pace(tmp_path / "OUTCAR").factor == pytest.approx(1, abs=0.05)


def test_a_timing_of_ones_own_sets_the_pace(tmp_path, model_cell):
    (tmp_path / "OUTCAR").write_text(PUBLISHED.replace("running on   24 nodes", "running on  128 total cores"))
    pace = read_pace(tmp_path / "OUTCAR")
    assert pace.factor == pytest.approx(128 / 24, rel=0.05)
    assert "128 cores" in pace.basis
    size = size_of(model_cell, {"ENCUT": 520}, (1, 1, 1), valence_electrons(SULFIDE, "PBE"))
    ratio = core_hours(size, ionic_steps=9, dynamics=True, pace=pace) / core_hours(size, ionic_steps=9, dynamics=True)
    assert ratio == pytest.approx(pace.factor)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing of VASP",
        PUBLISHED.partition("      LOOP")[0],
        PUBLISHED.replace("NKPTS", ""),
        PUBLISHED.replace("NGX", ""),
    ],
)
def test_an_outcar_without_timing_is_refused(tmp_path, text):
    (tmp_path / "OUTCAR").write_text(text)
    with pytest.raises(UsageError, match="OUTCAR"):
        read_pace(tmp_path / "OUTCAR")
    with pytest.raises(UsageError, match="nowhere"):
        read_pace(tmp_path / "nowhere")


@pytest.mark.skipif(GENUINE not in os.environ, reason=f"{GENUINE} names no folder with genuine files")
def test_genuine_runs_of_1_to_56_atoms_lie_within_the_uncertainty():
    outcars = sorted(Path(os.environ[GENUINE]).rglob("OUTCAR*"))
    assert outcars
    for outcar in outcars:
        assert 1 / UNCERTAINTY < read_pace(outcar).factor < UNCERTAINTY
    assert Pace().factor == 1
