import numpy as np
import pytest
from jobflow import Flow

from sodalyte.database.trajectories import write_segment
from sodalyte.inputs.engine import get_engine
from sodalyte.inputs.recipe import Recipe
from sodalyte.launchers.fireworks.running_dynamics import DynamicsReader, running_diffusivity
from sodalyte.structures import load
from sodalyte.workflows.dynamics import prepare_cell, run_segments

FRAME = 0.05  # ps
HOP = 3.5  # angstrom


def walk(n_frames, n_sodium, *, rate, seed=1):
    """Independent hops of a cubic lattice at ``rate`` per ion and ps, with a framework that vibrates."""
    rng = np.random.default_rng(seed)
    steps = np.zeros((n_frames, n_sodium, 3))
    hops = rng.random((n_frames, n_sodium)) < rate * FRAME
    axes = rng.integers(0, 3, hops.sum())
    steps[(*np.nonzero(hops), axes)] = rng.choice([-HOP, HOP], hops.sum())
    sodium = np.cumsum(steps, axis=0) + rng.normal(scale=0.2, size=steps.shape)
    framework = rng.normal(scale=0.1, size=(n_frames, 20, 3))
    return np.concatenate([sodium, framework], axis=1).astype(np.float32)


class Frames:
    def __init__(self, positions, n_sodium):
        self.positions = positions
        self.numbers = np.array([11] * n_sodium + [16] * 20)
        self.frame_interval = FRAME


def test_hops_give_the_diffusivity_of_their_rate():
    """D = rate a^2 / 6 of independent hops; 1 angstrom^2/ps is 1e-4 cm^2/s."""
    rate = 0.5
    found = running_diffusivity(Frames(walk(4000, 48, rate=rate), 48), hop_length=HOP)
    expected = rate * HOP**2 / 6 * 1e-4
    assert abs(found.value - expected) < 4 * found.uncertainty
    assert found.uncertainty < 0.2 * expected
    assert found.n_hops > 1000


@pytest.mark.parametrize(("frames", "rate"), [(4000, 0.0), (400, 0.01), (20, 0.5)])
def test_vibrations_and_short_runs_are_not_diffusive_yet(frames, rate):
    found = running_diffusivity(Frames(walk(frames, 48, rate=rate), 48), hop_length=HOP)
    assert found.value is None
    assert str(found) == "not diffusive yet"


def test_the_segments_before_the_running_one_are_found(launchpad, tmp_path):
    material = load("Na3SbS4")
    recipe = Recipe.quick()
    maker = get_engine("einstein").dynamics(recipe, 600.0, 1000)
    structure = prepare_cell.original(material.structure, defect=recipe.dynamics.defect, supercell=(1, 1, 1))
    cell = structure["structure"]
    numbers = np.array(cell.atomic_numbers)
    order = np.argsort(numbers != 11, kind="stable")
    moved = walk(1001, int((numbers == 11).sum()), rate=1.0)
    positions = np.zeros((1001, len(numbers), 3), dtype=np.float32)
    positions[:, order[: moved.shape[1] - 20]] = moved[:, :-20]
    segment = write_segment(
        tmp_path,
        "one.h5",
        numbers=numbers,
        cell=cell.lattice.matrix,
        positions=positions,
        steps=np.arange(0, 25025, 25),
        energies=np.zeros(1001),
        temperatures=np.full(1001, 600.0),
        conserved=np.zeros(1001),
        time_step=2.0,
        sample_interval=25,
        first_step=0,
        last_step=25000,
    )
    first = maker.make(cell)
    rest = run_segments(maker, cell, target=2000, label="dynamics", previous=first.output)
    following = maker.make(cell)
    last = run_segments(maker, cell, target=3000, label="dynamics", previous=following.output, done=[segment])
    launchpad.add(Flow([first, rest, following, last]), campaign="one", root=tmp_path)
    of_job = {job["spec"]["job_uuid"]: job["fw_id"] for job in launchpad.collections.fireworks.find()}
    reader = DynamicsReader(launchpad.database, tmp_path)
    assert reader.of(of_job[first.uuid]) is None
    assert reader.of(of_job[following.uuid]).value > 0
    (tmp_path / "one.h5").unlink()
    assert DynamicsReader(launchpad.database, tmp_path).of(of_job[following.uuid]) is None
