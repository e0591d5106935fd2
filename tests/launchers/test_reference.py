"""Shipped calculations: found as if the store had made them, once; deleted, they are computed anew."""

import pytest
from jobflow import Flow

from sodalyte.database import open_database
from sodalyte.database.store import OUTPUTS
from sodalyte.inputs.einstein import EinsteinCrystal
from sodalyte.inputs.recipe import Recipe
from sodalyte.inputs.reference import Calculation, read, shipped, write
from sodalyte.launchers import local
from sodalyte.launchers.identity import identify
from sodalyte.launchers.reference import seed
from sodalyte.structures import crystal
from sodalyte.workflows.relaxation import is_converged


@pytest.fixture(scope="module")
def flow():
    structure = crystal("Na2S").structure
    structure.scale_lattice(1.03 * structure.volume)
    return identify(Flow([EinsteinCrystal().relax(Recipe.quick()).make(structure)]))


@pytest.fixture(scope="module")
def computed(flow, tmp_path_factory):
    """What an export finds in the store of the machine that computed."""
    folder = tmp_path_factory.mktemp("computed")
    assert run(flow, folder).ran == 1
    return Calculation.from_document(stored(folder)[0])


def run(flow, folder):
    return local.run(flow, database=f"lite://{folder / 'database'}", root=folder / "runs", workers=1)


def stored(folder):
    with open_database(f"lite://{folder / 'database'}") as database:
        return list(database.collection(OUTPUTS).find({}))


def seeded(folder, calculation):
    with open_database(f"lite://{folder / 'database'}") as database:
        return seed(database, level=calculation.level, calculations=[calculation])


def test_a_seeded_calculation_is_reused_and_says_the_same(flow, computed, tmp_path):
    file = tmp_path / "reference.jsonl"
    write([computed], file)
    (calculation,) = read(file.read_text())
    assert calculation == computed
    assert seeded(tmp_path, calculation) == 1
    assert run(flow, tmp_path).reused == 1
    (document,) = stored(tmp_path)
    assert Calculation.from_document(document | {"name": computed.name}) == computed
    assert is_converged({"structure": document["output"]["structure"], "state": document["output"]["state"]})


def test_a_deleted_calculation_is_computed_and_not_put_back(flow, computed, tmp_path):
    seeded(tmp_path, computed)
    with open_database(f"lite://{tmp_path / 'database'}") as database:
        database.collection(OUTPUTS).delete_one({"uuid": computed.uuid})
    assert seeded(tmp_path, computed) == 0
    assert run(flow, tmp_path).ran == 1


def test_a_calculation_of_another_level_or_in_the_store_already_is_left_alone(flow, computed, tmp_path):
    run(flow, tmp_path)
    assert seeded(tmp_path, computed) == 0
    assert seeded(tmp_path, computed.model_copy(update={"uuid": "0" * 36})) == 1
    with open_database(f"lite://{tmp_path / 'database'}") as database:
        assert seed(database, level="another", calculations=[computed]) == 0


def test_what_ships_converged():
    assert all(calculation.converged for calculation in shipped())
    assert len({calculation.uuid for calculation in shipped()}) == len(shipped())


def test_the_last_digits_of_a_cell_which_depend_on_the_processor_do_not_count(flow):
    structure = crystal("Na2S").structure
    structure.scale_lattice(1.03 * structure.volume * (1 + 1e-13))
    other = identify(Flow([EinsteinCrystal().relax(Recipe.quick()).make(structure)]))
    assert other.jobs[0].uuid == flow.jobs[0].uuid
