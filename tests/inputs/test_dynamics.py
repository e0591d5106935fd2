from dataclasses import dataclass

import numpy as np
import pytest
from ase import units
from ase.calculators.calculator import Calculator, all_changes
from ase.neighborlist import neighbor_list
from jobflow import run_locally
from pymatgen.core import Lattice, Structure

from sodalyte.database.trajectories import TRAJECTORY_ROOT, read_trajectory
from sodalyte.inputs.dynamics import NoseHooverMaker, SegmentDoc
from sodalyte.inputs.potential import Potential

TEMPERATURE = 500.0
STEP = 4.0
SPACING = 2.5


class FermiPastaUlam(Calculator):
    """A simple cubic crystal of neighbours joined by quadratic and quartic springs: cheap, and ergodic."""

    implemented_properties = ("energy", "forces")

    def __init__(self, reference):
        super().__init__()
        self._first, self._second, self._rest = neighbor_list("ijD", reference, cutoff=1.1 * SPACING)

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        edges = self.atoms.positions[self._second] - self.atoms.positions[self._first]
        edges -= self.atoms.cell.array[0, 0] * np.round((edges - self._rest) / self.atoms.cell.array[0, 0])
        stretch = edges - self._rest
        squared = (stretch**2).sum(axis=1)
        forces = np.zeros_like(self.atoms.positions)
        np.add.at(forces, self._first, (1.0 + 20.0 * squared)[:, None] * stretch)
        self.results = {"energy": float((0.5 * squared + 5.0 * squared**2).sum() / 2), "forces": forces}


@dataclass(frozen=True)
class Springs(Potential):
    package = "ase"
    extra = ""
    contained_correction = "none"

    def _describe(self):
        return "springs"

    def calculator(self, reference):
        return FermiPastaUlam(reference)


@pytest.fixture(scope="module")
def copper():
    return Structure(Lattice.cubic(SPACING), ["Cu"], [[0, 0, 0]]) * (4, 4, 4)


def maker(steps, sample_interval=1, time_step=STEP):
    return NoseHooverMaker(
        potential=Springs(),
        temperature=TEMPERATURE,
        steps=steps,
        time_step=time_step,
        thermostat_time=100.0,
        chain_length=3,
        sample_interval=sample_interval,
        seed=3,
    )


def run(job):
    return SegmentDoc.model_validate(run_locally(job, log=False, raise_immediately=True)[job.uuid][1].output)


@pytest.fixture(autouse=True)
def trajectories(tmp_path_factory, monkeypatch):
    root = tmp_path_factory.mktemp("trajectories")
    monkeypatch.setenv(TRAJECTORY_ROOT, str(root))
    return root


def test_the_ensemble_is_canonical_and_the_conserved_quantity_does_not_drift(copper, trajectories):
    doc = run(maker(steps=30_000, sample_interval=12, time_step=1.25).make(copper))
    trajectory = read_trajectory([doc.segment], trajectories)
    settled = trajectory.temperatures[250:]
    freedom = 3 * (len(copper) - 1)
    assert settled.mean() == pytest.approx(TEMPERATURE, rel=0.02)
    # Var(K) = f (kT)^2 / 2 in the canonical ensemble, that is, Var(T) = 2 T^2 / f.
    assert settled.var() == pytest.approx(2 * TEMPERATURE**2 / freedom, rel=0.2)
    drift_in_5_ps = np.polyfit(trajectory.times, trajectory.conserved, 1)[0] * 5.0
    # Over six seeds the slope scatters by 0.0001 kT at this time step; at 4 fs by 0.0023, the error of a step.
    assert abs(drift_in_5_ps) < 0.001 * units.kB * TEMPERATURE
    assert np.ptp(trajectory.conserved) < 0.02 * np.ptp(trajectory.energies)


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
