"""The same crystal through two potentials behind the same seam."""

import pytest
from jobflow import run_locally

from sodalyte.inputs.engine import get_engine
from sodalyte.inputs.recipe import Recipe
from sodalyte.structures import crystal


@pytest.fixture(params=["chgnet", "sevennet"])
def engine(request):
    return get_engine(request.param)


@pytest.mark.filterwarnings("ignore")  # torch's, of two packages, on loading
def test_sodium_sulfide_relaxes_and_keeps_its_space_group(engine):
    """a of Na2S: 6.571 angstrom with PBE (Deng 2016), 6.537 measured."""
    start = crystal("Na2S").structure
    start.scale_lattice(1.05 * start.volume)
    job = engine.relax(Recipe.quick()).make(start)
    document = run_locally(job, log=False, raise_immediately=True)[job.uuid][1].output
    assert document.is_force_converged
    assert document.structure.lattice.abc == pytest.approx([6.571] * 3, rel=0.01)
    assert document.structure.get_space_group_info()[0] == "Fm-3m"
    assert document.tags == [engine.level]


@pytest.mark.filterwarnings("ignore")
def test_what_the_energies_contain_is_what_the_engine_says(engine):
    """Materials Project's Na2S: -3.324 eV/atom by PBE, -3.492 with the MP2020 correction of sulfur."""
    job = engine.static(Recipe.quick()).make(crystal("Na2S").structure)
    output = run_locally(job, log=False, raise_immediately=True)[job.uuid][1].output.output
    expected = {"none": -3.324, "mp2020": -3.492}[engine.contained_correction]
    assert output.energy_per_atom == pytest.approx(expected, abs=0.03)
