import numpy as np
import pytest
from pymatgen.core import Structure

from sodalyte.analysis.results import Guard, Result
from sodalyte.database.trajectories import TRAJECTORY_ROOT, write_segment
from sodalyte.inputs.recipe import Recipe
from sodalyte.workflows.dynamics import MAX_DRIFT, analyse_dynamics, energy_drift, refuse_where_failed

FOUND = Result(
    material="Na3SbS4",
    polymorph="tetragonal",
    level="some engine",
    recipe="quick",
    property="diffusivity",
    value=1e-6,
    uncertainty=1e-7,
    unit="cm^2/s",
    temperature=600,
)
SEEN = FOUND.model_copy(update={"property": "mean_squared_displacement", "data": {"msd": [1.0]}})


@pytest.mark.parametrize(("slope", "passed"), [(0.0, True), (0.5 * MAX_DRIFT, True), (2 * MAX_DRIFT, False)])
def test_a_drift_of_the_conserved_energy_is_seen_through_its_fluctuations(slope, passed):
    times = np.linspace(0, 10, 500)
    conserved = 100 * slope * times / 10 + 0.01 * np.sin(40 * times)
    assert energy_drift(times, conserved, n_atoms=100).passed is passed


def test_a_required_guard_that_failed_takes_the_number_but_not_the_observation():
    failed = Guard(name="relaxation converged", passed=False, detail="it did not")
    refused = Result(**refuse_where_failed(FOUND, [failed]).model_dump())
    assert (refused.status, refused.value, refused.reason) == ("refused", None, "it did not")
    assert refuse_where_failed(SEEN, [failed]).data == SEEN.data


def test_a_warning_accompanies_the_number():
    warning = Guard(name="cell shape", passed=False, detail="strained", required=False)
    kept = refuse_where_failed(FOUND, [warning])
    assert (kept.status, kept.value, kept.guards) == ("ok", FOUND.value, (warning,))


@pytest.fixture
def analyse(tmp_path, monkeypatch):
    """Analyse atoms that vibrate, at 2000 K in the picosecond of equilibration and at 600 K in the ten after it."""
    monkeypatch.setenv(TRAJECTORY_ROOT, str(tmp_path))
    steps = np.arange(0, 5501, 5)
    hot = steps < 500
    spread = np.random.default_rng(1).normal(scale=0.1, size=(len(steps), 8, 3))

    def analyse(*, edges=(6.0, 6.0, 6.0), state="successful"):
        cell = Structure(np.diag(edges), ["Na"] * 4 + ["S"] * 4, np.random.default_rng(2).random((8, 3)))
        segment = write_segment(
            tmp_path,
            "ab/one.h5",
            numbers=cell.atomic_numbers,
            cell=cell.lattice.matrix,
            positions=(cell.cart_coords + spread).astype(np.float32),
            steps=steps,
            energies=np.zeros(len(steps)),
            temperatures=np.where(hot, 2000.0, 600.0),
            conserved=np.where(hot, 50.0, 0.0),
            time_step=2.0,
            sample_interval=5,
            first_step=0,
            last_step=5500,
        )
        output = analyse_dynamics.original(
            {"material": "Na2S", "polymorph": "cubic", "level": "some engine", "recipe": "quick", "calculations": []},
            relaxed={"structure": cell, "state": state},
            cell={"structure": cell, "net_charge": -1, "description": "1 Na vacancy", "hop_length": 3.0},
            run={"segments": [segment], "calculations": ["one"]},
            temperature=600.0,
            settings=Recipe.quick().override({"dynamics": {"equilibration": 1.0, "production": 10.0}}).dynamics,
        )
        return {result["property"]: Result(**result) for result in output["results"]}

    return analyse


def test_only_the_production_is_analysed(analyse):
    found = analyse()
    assert found["mean_squared_displacement"].data["length_ps"] == pytest.approx(10)
    assert found["diffusivity"].reason.startswith("not diffusive in this run")
    guards = {guard.name: guard for guard in found["diffusivity"].guards}
    assert guards["energy conserved"].passed
    assert guards["temperature"].passed
    assert "net charge -1" in guards["model cell"].detail


def test_a_cell_far_from_cubic_is_a_warning(analyse):
    for edges, passed in (((6.0, 6.0, 6.1), True), ((6.0, 6.0, 6.3), False)):
        (shape,) = (guard for guard in analyse(edges=edges)["diffusivity"].guards if guard.name == "cell shape")
        assert (shape.passed, shape.required) == (passed, False)


def test_dynamics_of_a_cell_that_did_not_relax_are_refused(analyse):
    assert "relaxation which did not converge" in analyse(state="failed")["diffusivity"].reason
