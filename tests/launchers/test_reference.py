"""Shipped calculations: found as if the store had made them, once; deleted, they are computed anew."""

import multiprocessing
from pathlib import Path

import pytest
from jobflow import Flow
from pilots import executions, work
from pymatgen.core import Structure

from sodalyte.campaign import load_campaign
from sodalyte.cli.submit import _add
from sodalyte.configuration import Cluster
from sodalyte.database import open_database
from sodalyte.database.store import OUTPUTS
from sodalyte.inputs.einstein import EinsteinCrystal
from sodalyte.inputs.recipe import Recipe
from sodalyte.inputs.reference import Calculation, read, shipped, write
from sodalyte.launchers import local, reference
from sodalyte.launchers.fireworks import Launchpad
from sodalyte.launchers.identity import identify
from sodalyte.launchers.reference import finished, seed
from sodalyte.launchers.slurm.settings import Settings
from sodalyte.structures import crystal, crystals, load, reduced
from sodalyte.workflows.relaxation import RelaxationMaker, is_converged

CAMPAIGN = "name: shipped\nmaterials: [Na2S]\nanalyses: [relaxation]\nengine: einstein\nrecipe: quick\n"


@pytest.fixture(scope="module")
def flow():
    structure = crystal("Na2S").structure
    structure.scale_lattice(1.03 * structure.volume)
    return identify(Flow([EinsteinCrystal().relax(Recipe.quick()).make(structure)]))


@pytest.fixture(scope="module")
def computed(flow, tmp_path_factory):
    """What an export finds in the store of the machine that computed."""
    folder = tmp_path_factory.mktemp("computed")
    address = f"lite://{folder / 'database'}"
    assert run(flow, address, folder).ran == 1
    return Calculation.from_document(stored(address)[0])


def run(flow, address, folder, **options):
    return local.run(flow, database=address, root=folder / "runs", workers=1, **options)


def stored(address):
    with open_database(address) as database:
        return list(database.collection(OUTPUTS).find({}))


def delete(address, calculation):
    with open_database(address) as database:
        assert database.collection(OUTPUTS).delete_one({"uuid": calculation.uuid}).deleted_count


def seeded(address, flow, *calculations):
    with open_database(address) as database:
        return seed(database, flow, calculations=calculations)


def test_a_seeded_calculation_is_reused_and_says_the_same(flow, computed, address, tmp_path):
    file = tmp_path / "reference.jsonl"
    write([computed], file)
    (calculation,) = read(file.read_text())
    assert calculation == computed
    assert seeded(address, flow, calculation) == 1
    assert run(flow, address, tmp_path).reused == 1
    (document,) = stored(address)
    assert Calculation.from_document(document | {"name": computed.name}) == computed
    assert is_converged({"structure": document["output"]["structure"], "state": document["output"]["state"]})


def test_a_deleted_calculation_is_computed_and_not_put_back(flow, computed, address, tmp_path):
    seeded(address, flow, computed)
    delete(address, computed)
    assert seeded(address, flow, computed) == 0
    assert run(flow, address, tmp_path).ran == 1
    again = Calculation.from_document(stored(address)[0])
    assert again.model_dump(exclude={"name", "seconds"}) == computed.model_dump(exclude={"name", "seconds"})


def test_a_calculation_of_ones_own_is_left_alone_and_deleted_it_is_computed_anew(flow, computed, address, tmp_path):
    run(flow, address, tmp_path)
    assert seeded(address, flow, computed) == 0
    assert "shipped" not in stored(address)[0]["metadata"]
    delete(address, computed)
    assert seeded(address, flow, computed) == 0
    assert not stored(address)


def test_what_a_flow_asks_for_later_is_seeded_with_it_and_what_is_of_no_use_to_it_is_not(flow, computed, address):
    later = computed.model_copy(update={"uuid": "0" * 36})
    of_another_level = later.model_copy(update={"level": "another"})
    assert seeded(address, flow, of_another_level) == 0
    assert seeded(address, flow, later) == 0, "no job of the flow ships, so it is of another engine or recipe"
    assert seeded(address, flow, computed, later, of_another_level) == 2


def test_two_launchers_that_seed_one_store_at_once_put_every_calculation_there_once(flow, computed, address):
    context = multiprocessing.get_context("fork")
    many = [computed.model_copy(update={"uuid": f"{number:036d}"}) for number in range(20)]
    seeded(address, flow)
    barrier = context.Barrier(3)
    processes = [context.Process(target=_seed_many, args=(address, flow, [computed, *many], barrier)) for _ in "abc"]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert len(stored(address)) == 21


def _seed_many(address, flow, calculations, barrier):
    barrier.wait()
    seeded(address, flow, *calculations)


def test_what_is_finished_is_known_beforehand(flow, computed, address):
    strange = computed.model_copy(update={"uuid": "0" * 36})
    (uuid,) = (job.uuid for job in flow.jobs)
    shipping = {"calculations": [computed, strange]}
    assert list(finished([uuid], None, calculations=[strange])) == []
    found = finished([uuid], None, **shipping)
    assert list(found) == [uuid]
    assert found[uuid]["structure"].volume == pytest.approx(crystal("Na2S").structure.volume * 1.03, rel=0.05)
    assert is_converged(found[uuid])
    with open_database(address) as database:
        assert list(finished([uuid], database, **shipping)) == [uuid]
        assert not stored(address), "looking does not seed"
        seed(database, flow, calculations=[computed])
        again = finished([uuid], database, **shipping)
    assert again == found
    delete(address, computed)
    with open_database(address) as database:
        assert not finished([uuid], database, **shipping), "it will be computed anew"


def test_a_campaign_on_a_cluster_finds_what_ships(address, tmp_path, monkeypatch):
    relaxation = RelaxationMaker.from_engine(EinsteinCrystal(), Recipe.quick()).make(load("Na2S"))
    there = tmp_path / "there"
    run(identify(relaxation), f"lite://{there / 'database'}", there)
    (document,) = (each for each in stored(f"lite://{there / 'database'}") if each["name"].startswith("relax "))
    monkeypatch.setattr(reference, "shipped", lambda: (Calculation.from_document(document),))
    path = tmp_path / "campaign.yaml"
    path.write_text(CAMPAIGN)
    root = tmp_path / "work" / "runs"
    settings = Settings(
        campaign="shipped",
        cluster_name="lab",
        cluster=Cluster(cores=1, walltime=1.0),
        database=address,
        root=root,
        python=Path("python"),
    )
    with open_database(address) as store:
        assert _add(load_campaign(path), settings, store).fireworks == 2
        names = work(Launchpad(store), root)
    assert names == ["relax Na2S cubic", "describe Na2S cubic"]
    (begun,) = {job for _, job in executions(root)}
    assert not begun.startswith(document["uuid"]), "the relaxation was found, not run"


def test_without_computing_analyses_run_and_calculations_are_missing(tmp_path):
    address = f"lite://{tmp_path / 'database'}"
    material = identify(RelaxationMaker.from_engine(EinsteinCrystal(), Recipe.quick()).make(load("Na2S")))
    summary = run(material, address, tmp_path, compute=False)
    assert summary.missing == ["relax Na2S cubic"]
    assert not summary.succeeded
    assert summary.ran == 1, "the description of nothing"
    assert run(material, address, tmp_path).ran == 2, "what was described without its relaxation is described again"
    assert run(material, address, tmp_path, compute=False).succeeded


def test_what_ships_converged_and_is_all_that_the_engine_asks_for():
    from sodalyte.inputs.engine import prepare_engine
    from sodalyte.workflows import screen

    assert all(calculation.converged for calculation in shipped())
    assert len({calculation.uuid for calculation in shipped()}) == len(shipped())
    recipe = Recipe.paper()
    materials = [load(name) for name in ("Na3SbS4", "Na3PS4", "Na3SbS4_c", "Na3PS4_c")]
    asked = identify(screen(materials, engine=prepare_engine("gpaw", recipe), recipe=recipe, analyses=["stability"]))
    relaxations = {job.uuid: job.name for job in asked.jobs if job.name.startswith("relax ")}
    assert len(relaxations) > 30
    ships = {each.uuid for each in shipped()}
    assert not [name for uuid, name in relaxations.items() if uuid not in ships]


def test_the_last_digits_of_a_cell_which_depend_on_the_processor_do_not_count():
    """Published cells have few digits: many of their Cartesian coordinates are ties of whatever rounding."""
    for record in (each for each in crystals() if each.is_ordered):
        cell = reduced(record.structure)
        one, *others = (
            Structure(cell.lattice.matrix * (1 + error), cell.species, cell.frac_coords) for error in (0, 1e-14, -1e-14)
        )
        assert all(relaxation_of(other) == relaxation_of(one) for other in others), record.id


def relaxation_of(structure):
    return identify(Flow([EinsteinCrystal().relax(Recipe.quick()).make(structure)])).jobs[0].uuid
