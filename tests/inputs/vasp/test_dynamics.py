"""Segments of dynamics: exact across every seam, whatever ended the one before."""

import os
import re
import shutil
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from atomate2.vasp.run import should_stop_children
from custodian.vasp.handlers import VaspErrorHandler
from emmet.core.tasks import TaskDoc
from monty.shutil import decompress_file
from pymatgen.io.vasp.inputs import Poscar
from vasp_files import custodian_alone, text

from sodalyte import interruption
from sodalyte.database.trajectories import TRAJECTORY_ROOT, read_trajectory
from sodalyte.errors import CalculationError, StoppedError
from sodalyte.inputs.vasp.dynamics import draw_velocities, steps_in_time
from sodalyte.inputs.vasp.reading import read_dynamics
from sodalyte.inputs.vasp.run_folder import Attempt, following_step, ionic_steps
from sodalyte.inputs.vasp.segments import join_attempts, structure_of

STEPS = 24
TEMPERATURE = 600.0


@pytest.fixture
def every_step(recipe):
    return recipe.override({"dynamics": {"sample_interval": 1}})


@pytest.fixture
def segment(engine, every_step, small_cell, run):
    def run_segment(previous=None, *, steps=STEPS, name="run"):
        maker = engine.dynamics(every_step, TEMPERATURE, steps)
        return run(maker.make(small_cell, previous=previous), name=name)

    return run_segment


@pytest.fixture
def calm(known, segment, monkeypatch):
    """The trajectory that nothing disturbs, in one piece."""
    if "dynamics" not in known:
        with monkeypatch.context() as undisturbed:
            undisturbed.delenv("SODALYTE_REHEARSAL_FAULTS", raising=False)
            known["dynamics"] = frames_of(segment(name="calm"))
    return known["dynamics"]


@pytest.fixture
def pair(known, segment, calm, tmp_path):
    """Two segments, the frames of both, and the folders of the jobs."""
    if "pair" not in known:
        first = segment(steps=10, name="one")
        second = segment(first, steps=STEPS - 10, name="two")
        known["pair"] = first, second, frames_of(first, second), tmp_path
    return known["pair"]


@pytest.fixture
def spoilt(pair, tmp_path):
    """A copy of what VASP left after the first segment, to be spoilt."""
    folder = tmp_path / "spoilt"
    shutil.copytree(pair[-1] / "one" / "attempts" / "0", folder)
    for path in folder.glob("*.gz"):
        decompress_file(str(path))
    return folder


@pytest.fixture
def running(monkeypatch):
    """A stop request that can be taken back."""
    yield
    interruption._stop.clear()


def frames_of(*documents):
    return read_trajectory([document.segment for document in documents], Path(os.environ[TRAJECTORY_ROOT]), verify=True)


def attempts(folder):
    return sorted((folder / "attempts").glob("[0-9]*"), key=lambda path: int(path.name))


def same(one, other, tolerance=2e-3):
    n = min(len(one.steps), len(other.steps))
    assert np.array_equal(one.steps[:n], other.steps[:n])
    return np.abs(one.positions[:n] - other.positions[:n]).max() < tolerance


def test_two_segments_are_one_trajectory(pair, calm):
    first, second, joined, _ = pair
    assert (first.segment.first_step, first.segment.last_step, second.segment.last_step) == (0, 10, STEPS)
    assert joined.steps.tolist() == list(range(STEPS))
    assert joined.times == pytest.approx(0.0025 * joined.steps)
    assert same(joined, calm)
    assert joined.temperatures[0] == pytest.approx(TEMPERATURE, rel=0.01)
    assert np.ptp(joined.conserved) / 15 < 0.005
    assert len(second.model_dump_json()) < 20_000, "frames are in the trajectory store"


def test_the_continuation_is_vasps_own_file_to_the_letter(pair):
    first, _, _, folder = pair
    left, taken = (text(folder / name) for name in ("one/attempts/0/CONTCAR", "two/attempts/0/POSCAR"))
    assert left == taken == first.state.restart


def test_velocities_are_drawn_at_the_temperature(small_cell):
    velocities = draw_velocities(small_cell, TEMPERATURE, seed=1)
    masses = np.array([float(site.specie.atomic_mass) for site in small_cell])[:, None]
    assert np.abs((masses * velocities).sum(axis=0)).max() < 1e-12
    kinetic = 0.5 * (masses * 1.66053906660e-27 * (velocities * 1e5) ** 2).sum()
    assert 2 * kinetic / (1.380649e-23 * (3 * len(small_cell) - 3)) == pytest.approx(TEMPERATURE)
    assert not np.allclose(velocities, draw_velocities(small_cell, TEMPERATURE, seed=2))


@pytest.mark.parametrize("fault", ["kill", "segfault", "disk_full"])
def test_a_killed_run_goes_on_from_its_last_frame(faults, segment, calm, folder, fault):
    faults({"fault": fault, "stage": "dynamics", "step": 12})
    if fault == "disk_full":
        document = segment()  # ten steps and more count; the next segment goes on
        assert document.segment.last_step >= 11
        assert same(frames_of(document), calm)
        return
    document = segment()
    done = [len(read_dynamics(path).steps) for path in attempts(folder)]
    assert sum(done) == STEPS
    assert done[0] >= 11, "at most the step in which it was killed is lost"
    assert same(frames_of(document), calm)


def test_stock_correction_starts_dynamics_again(
    faults, engine, every_step, small_cell, segment, calm, tmp_path, folder, monkeypatch
):
    """Finding 8: a cure of a stock handler goes back to frame 0, and the document looks normal."""
    faults({"fault": "edddav", "stage": "dynamics", "step": 12})
    document = segment()
    assert same(frames_of(document), calm)
    assert len(read_dynamics(attempts(folder)[1]).steps) <= STEPS - 11
    origin = structure_of(text(attempts(folder)[0] / "POSCAR")).frac_coords
    moved = origin - read_dynamics(attempts(folder)[0]).fractional[0]
    assert np.abs(moved - np.rint(moved)).max() < 1e-6, "the cure rewrote from where the attempt started"

    neutral = small_cell.copy()
    neutral.properties = {}
    stock = tmp_path / "stock"
    stock.mkdir()
    engine.dynamics(every_step, TEMPERATURE, STEPS).inputs(neutral).write_input(stock)
    monkeypatch.setenv("SODALYTE_REHEARSAL_MODEL", "einstein")
    faults({"fault": "brmix", "stage": "dynamics", "step": 12})
    custodian_alone(stock, [VaspErrorHandler()])
    assert len(read_dynamics(stock).steps) == STEPS, "all steps again"


def test_unconverged_electrons_in_dynamics(faults, engine, every_step, small_cell, segment, tmp_path, monkeypatch):
    """Finding 5: for emmet such a run is successful."""
    faults({"fault": "noscf", "stage": "dynamics", "attempts": list(range(1, 9))})
    with pytest.raises(CalculationError, match="electrons did not converge in ionic step 1 "):
        segment(steps=9)

    stock = tmp_path / "stock"
    stock.mkdir()
    engine.dynamics(every_step, TEMPERATURE, 9).inputs(small_cell).write_input(stock)
    monkeypatch.setenv("SODALYTE_REHEARSAL_MODEL", "einstein")
    custodian_alone(stock, [VaspErrorHandler()])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert TaskDoc.from_directory(stock).state.value == "successful"
    assert not read_dynamics(stock).scf_converged.all()


def test_unconverged_electrons_are_cured(faults, segment, calm, folder):
    faults({"fault": "noscf", "stage": "dynamics", "step": 7, "steps": 2})
    document = segment()
    assert document.segment.last_step == STEPS
    assert same(frames_of(document), calm)
    assert "ALGO = Normal" in text(folder / "INCAR")


def stop_after(folder, steps):
    """Ask for an end as soon as VASP has done some steps."""
    for _ in range(1200):
        if ionic_steps(folder / "OSZICAR") >= steps:
            break
        time.sleep(0.05)
    interruption.request_stop()


def test_a_stop_request_ends_a_segment_in_order(faults, segment, calm, running, tmp_path):
    faults({"fault": "walltime", "seconds": 0.3, "stage": "dynamics", "attempts": [1, 2]})
    threading.Thread(target=stop_after, args=(tmp_path / "one", 5)).start()
    first = segment(name="one")
    assert 0 < first.segment.last_step < STEPS
    assert first.step_seconds > 0.2
    interruption._stop.clear()
    second = segment(first, steps=STEPS - first.segment.last_step, name="two")
    assert same(frames_of(first, second), calm)


def test_a_deadline_ends_a_segment_in_order(faults, segment, calm, folder, monkeypatch):
    """Finding 9: with stock settings the job fails and nothing is stored."""
    faults({"fault": "walltime", "seconds": 0.3, "stage": "dynamics"})
    monkeypatch.setenv(interruption.DEADLINE, str(time.time() + 11))
    document = segment()
    assert 0 < document.segment.last_step < STEPS
    assert time.time() < float(os.environ[interruption.DEADLINE])
    assert same(frames_of(document), calm)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stock = TaskDoc.from_directory(folder / "attempts" / "0")
    with pytest.raises(RuntimeError, match="was not successful"):
        should_stop_children(stock)


def test_no_time_left(segment, monkeypatch, folder):
    monkeypatch.setenv(interruption.DEADLINE, str(time.time() + 2))
    with pytest.raises(StoppedError):
        segment()
    assert not (folder / "vasp.out").exists()


def test_segments_are_sized_by_the_time_left():
    assert steps_in_time(2000, 10.0, 3600.0) == 360
    assert steps_in_time(2000, None, 3600.0) == 2000
    assert steps_in_time(2000, 10.0, float("inf")) == 2000
    assert steps_in_time(2000, 10.0, 1.0) == 1


def test_other_velocities_are_noticed(pair, spoilt):
    """Stock continuation of ASE dynamics draws new ones (finding 11), and nothing says so."""
    first = pair[0]
    lines = first.state.restart.splitlines()
    n = len(first.state.positions)
    start = next(i for i, line in enumerate(lines[8 + n :], 8 + n) if line.strip() and i > 8 + n - 1)
    other = np.random.default_rng(99).normal(scale=5e-3, size=(n, 3))
    lines[start : start + n] = [" ".join(f"{x:.8e}" for x in row) for row in other]
    (spoilt / "POSCAR").write_text("\n".join(lines) + "\n")
    start_positions = read_dynamics(spoilt).positions[0]
    with pytest.raises(CalculationError, match="velocities"):
        join_attempts([Attempt(spoilt)], start_positions, time_step=2.5, first_step=0, conserved=None)
    with pytest.raises(CalculationError, match="does not go on where it stopped"):
        join_attempts([Attempt(spoilt)], start_positions + 0.01, time_step=2.5, first_step=0, conserved=None)
    assert structure_of(first.state.restart)


def test_a_step_whose_electrons_did_not_converge_joins_no_trajectory(spoilt):
    path = spoilt / "vasprun.xml"
    start = read_dynamics(path).positions[0]
    path.write_text(
        re.sub(r'(name="EDIFF">\s*)[^<]+', r"\g<1>0", re.sub(r'(name="NELM">\s*)[^<]+', r"\g<1>1", path.read_text()))
    )
    with pytest.raises(CalculationError, match="electrons did not converge in step 1 of the dynamics"):
        join_attempts([Attempt(spoilt)], start, time_step=2.5, first_step=0, conserved=None)


def test_a_contcar_that_was_cut_short_does_not_count(spoilt):
    folder = spoilt
    frames = read_dynamics(folder)
    contcar = (folder / "CONTCAR").read_text()
    assert following_step(frames, contcar) == 10
    assert Attempt(folder).continuation() == (10, contcar)
    (folder / "CONTCAR.banked").unlink(missing_ok=True)
    positions = "\n".join(contcar.splitlines()[: 8 + len(frames.header.numbers)])
    for length in (len(contcar) // 2, len(positions) - 3, len(contcar) - 3):
        (folder / "CONTCAR").write_text(contcar[:length])
        assert Attempt(folder).continuation() == (0, (folder / "POSCAR").read_text())
    (folder / "CONTCAR.banked").write_text(contcar)
    assert Attempt(folder).continuation() == (10, contcar)


def test_an_earlier_copy_of_contcar_belongs_to_the_step_at_whose_place_it_is(spoilt):
    """Whatever number of steps another file told when the copy was made."""
    cell = structure_of((spoilt / "CONTCAR").read_text())
    seventh = type(cell)(cell.lattice, cell.species, read_dynamics(spoilt).fractional[6])
    earlier = Poscar(seventh).get_str(significant_figures=16)
    (spoilt / "CONTCAR.banked").write_text(earlier)
    assert Attempt(spoilt).continuation_before(7) == (6, earlier)
    assert Attempt(spoilt).continuation_before(6) == (0, (spoilt / "POSCAR").read_text())
