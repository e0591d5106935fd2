"""The whole production path, from the workflow through worker processes to results, without a licence."""

import pytest

from sodalyte.database import load_results, open_database
from sodalyte.inputs.engine import get_engine
from sodalyte.inputs.recipe import Recipe
from sodalyte.launchers import local
from sodalyte.launchers.identity import identify
from sodalyte.structures import load
from sodalyte.workflows import screen

SHORT = {"dynamics": {"production": 0.1, "equilibration": 0.1, "segment_steps": 40, "supercell": (1, 1, 1)}}


@pytest.fixture
def screened(tmp_path):
    recipe = Recipe.quick().override(SHORT)
    database = f"lite://{tmp_path / 'database'}"

    def run_screening():
        flow = screen(
            [load("Na3SbS4")],
            engine=get_engine("rehearsal-einstein"),
            recipe=recipe,
            analyses=("elasticity", "diffusion"),
        )
        return local.run(identify(flow), database=database, root=tmp_path / "runs", workers=2)

    summary = run_screening()
    with open_database(database) as opened:
        return summary, load_results(opened), opened.job_store, run_screening


def test_screening(screened, tmp_path):
    summary, results, _, again = screened
    assert not summary.failures, summary.failures
    found = {result.property: result for result in results}
    assert {result.level for result in results} == {get_engine("rehearsal-einstein").level}
    assert found["lattice_a"].level.startswith("REHEARSAL, not DFT")
    assert found["bulk_modulus"].status == "ok", found["bulk_modulus"].reason
    # an isotropic medium with both Lame constants 0.1 eV/angstrom^3: K = 5/3 lambda, G = lambda
    assert found["shear_modulus"].value == pytest.approx(0.1 * 160.2177, rel=0.02)
    assert found["bulk_modulus"].value == pytest.approx(5 / 3 * 0.1 * 160.2177, rel=0.02)

    trajectories = tmp_path / "trajectories"
    assert len(list(trajectories.rglob("*.h5"))) == 2, "two segments of 40 steps"
    assert again().ran == 0, "nothing runs twice"
