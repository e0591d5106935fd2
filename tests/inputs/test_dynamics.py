from dataclasses import dataclass

import numpy as np
import pytest
from ase import units
from ase.calculators.emt import EMT
from jobflow import run_locally
from pymatgen.core import Lattice, Structure

from sodalyte.database.trajectories import TRAJECTORY_ROOT, read_trajectory
from sodalyte.inputs.dynamics import NoseHooverMaker, SegmentDoc
from sodalyte.inputs.potential import Potential

TEMPERATURE = 500.0
STEP = 4.0


@dataclass(frozen=True)
class Emt(Potential):
    package = "ase"
    extra = ""
    contained_correction = "none"

    def _describe(self):
        return "EMT"

    def calculator(self, reference):
        return EMT()


@pytest.fixture(scope="module")
def copper():
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(3.59), ["Cu"], [[0, 0, 0]]) * (2, 2, 2)


def maker(steps, sample_interval=1):
    return NoseHooverMaker(
        potential=Emt(),
        temperature=TEMPERATURE,
        steps=steps,
        time_step=STEP,
        thermostat_period=100.0,
        chain_length=3,
        sample_interval=sample_interval,
        seed=3,
    )


def run(job):
    return SegmentDoc.model_validate(run_locally(job, log=False, ensure_success=True)[job.uuid][1].output)


@pytest.fixture(autouse=True)
def trajectories(tmp_path_factory, monkeypatch):
    root = tmp_path_factory.mktemp("trajectories")
    monkeypatch.setenv(TRAJECTORY_ROOT, str(root))
    return root


def test_the_ensemble_is_canonical_and_the_conserved_quantity_does_not_drift(copper, trajectories):
    doc = run(maker(steps=5000).make(copper))
    trajectory = read_trajectory([doc.segment], trajectories)
    settled = trajectory.temperatures[500:]
    freedom = 3 * (len(copper) - 1)
    assert settled.mean() == pytest.approx(TEMPERATURE, rel=0.02)
    # Var(K) = f (kT)^2 / 2 in the canonical ensemble, that is, Var(T) = 2 T^2 / f.
    assert settled.var() == pytest.approx(2 * TEMPERATURE**2 / freedom, rel=0.2)
    first_ps, last_ps = trajectory.conserved[:250].mean(), trajectory.conserved[1000:1250].mean()
    assert abs(last_ps - first_ps) < 0.02 * units.kB * TEMPERATURE * len(copper) ** 0.5


def test_segments_join_to_the_undivided_run_to_the_last_bit(copper, trajectories):
    whole = run(maker(steps=40).make(copper))
    first = run(maker(steps=25).make(copper))
    second = run(maker(steps=15).make(copper, previous=first))
    assert second.state == whole.state
    joined = read_trajectory([first.segment, second.segment], trajectories)
    undivided = read_trajectory([whole.segment], trajectories)
    assert np.array_equal(joined.positions, undivided.positions)
    assert np.array_equal(joined.conserved, undivided.conserved)


def test_frames_are_sampled_across_the_seam(copper, trajectories):
    first = run(maker(steps=25, sample_interval=10).make(copper))
    second = run(maker(steps=25, sample_interval=10).make(copper, previous=first))
    times = read_trajectory([first.segment, second.segment], trajectories).times
    assert times == pytest.approx(np.arange(6) * 10 * STEP / 1000)


def test_the_centre_of_mass_rests(copper, trajectories):
    doc = run(maker(steps=50).make(copper))
    assert np.abs(np.sum(doc.state.momenta, axis=0)).max() < 1e-9
