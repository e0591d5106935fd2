"""Whatever goes wrong in VASP, at whatever stage: the undisturbed answer, or a failure that names the cause."""

import dataclasses

import pytest
import yaml
from jobflow import Flow

from sodalyte.configuration import exported
from sodalyte.database import open_database, results_of
from sodalyte.database.store import OUTPUTS
from sodalyte.inputs.engine import get_engine
from sodalyte.inputs.recipe import Recipe
from sodalyte.inputs.vasp.supervision import FROZEN, TICK
from sodalyte.launchers import local
from sodalyte.launchers.identity import identify
from sodalyte.launchers.rehearsal.faults import FAULTS
from sodalyte.launchers.rehearsal.memory import read_ledger
from sodalyte.launchers.rehearsal.preparation import prepare
from sodalyte.launchers.rehearsal.summary import calculations
from sodalyte.structures import conventional, load
from sodalyte.workflows import screen

RECIPE = Recipe.quick().override(
    {
        "dynamics": {
            "temperatures": [600],
            "equilibration": 0.02,
            "production": 0.08,
            "segment_steps": 20,
            "supercell": [1, 1, 1],
        },
    },
)
STAGES = {"relax": ["relaxation"], "elastic": ["elasticity"], "dynamics": ["diffusion"], "static": []}
CAUSES = {
    "read_error": "cannot read a tag of the INCAR",
    "disk_full": "disk is full",
    "posmap": "POSMAP",
    "edddav": "EDDDAV",
    "brmix": "BRMIX",
    "zbrent": "ZBRENT",
    "noscf": "not converge",
}
"""What a failure has to say of a fault that no restart can cure at its stage."""


@dataclasses.dataclass
class Ending:
    """How a rehearsal of one stage ended."""

    values: dict
    failures: list[str]
    faults: list[str]
    repairs: list[str]
    lost: int


@pytest.fixture(scope="module")
def rehearse(tmp_path_factory):
    def rehearse(stage, *faults):
        folder = tmp_path_factory.mktemp("rehearsal")
        script = folder / "faults.yaml"
        script.write_text(yaml.safe_dump(list(faults)))
        rehearsal = prepare(folder, model="einstein", faults=script)
        uri = f"lite://{folder / 'database'}"
        patience = "20" if any(fault["fault"] == "hang" for fault in faults) else "600"  # the machine may be busy
        with exported(rehearsal.environment() | {FROZEN: patience, TICK: "0.2"}):
            engine, material = get_engine("rehearsal-einstein"), load("Na2S")
            if stage == "static":
                flow = Flow([engine.static(RECIPE).make(conventional(material.structure))])
            else:
                flow = screen([material], engine=engine, recipe=RECIPE, analyses=STAGES[stage])
            summary = local.run(identify(flow), database=uri, root=folder / "runs", workers=1)
        with open_database(uri) as store:
            found = calculations(
                read_ledger(rehearsal.memory),
                root=folder / "runs",
                finished=summary.uuids,
                failed={failure.uuid for failure in summary.failures},
                database=store,
            )
            values = _values(results_of(store, summary.uuids))
            if stage == "static":
                values = _energies(store)
        return Ending(
            values=values,
            failures=[failure.error for failure in summary.failures],
            faults=[fault for item in found for fault in item.faults],
            repairs=[repair for item in found for repair in item.repairs],
            lost=sum(item.lost_steps for item in found),
        )

    return rehearse


def _values(results):
    """Return the numbers of results, refusals as their reasons; of the dynamics the whole curve."""
    values = {}
    for result in results:
        values[result.property] = result.reason if result.status == "refused" else result.value
        for name, item in result.data.items():
            if isinstance(item, list) and item and all(isinstance(number, float) for number in item):
                values[f"{result.property}.{name}"] = item
    return values


def _energies(store):
    documents = store.collection(OUTPUTS).find({}, {"output.output.energy": 1})
    return {"energies": [document["output"]["output"]["energy"] for document in documents]}


@pytest.fixture(scope="module")
def undisturbed(rehearse):
    known = {}

    def undisturbed(stage):
        if stage not in known:
            known[stage] = rehearse(stage)
            assert not known[stage].failures
            assert known[stage].values
        return known[stage]

    return undisturbed


def assert_same_answer(ending, expected):
    assert ending.values.keys() == expected.values.keys()
    for name, value in expected.values.items():
        if isinstance(value, str) or value is None:
            continue
        assert ending.values[name] == pytest.approx(value, rel=2e-3, abs=2e-4), name


def check(ending, expected, fault, *, lost):
    assert fault in ending.faults
    if ending.failures:
        assert any(CAUSES.get(fault, "\0") in error for error in ending.failures), ending.failures
        assert not [error for error in ending.failures if "Traceback" in error or "\n" in error]
    else:
        assert_same_answer(ending, expected)
        assert ending.lost <= lost


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_every_fault_at_every_stage(rehearse, undisturbed, stage, fault):
    step = 1 if stage == "static" else 3
    script = {"fault": fault, "stage": stage, "step": step, "times": 1}
    if fault == "walltime":
        script |= {"seconds": 0.5, "steps": 2}
    lost = {"noscf": 20, "subspace": 0, "walltime": 0}.get(fault, 1)  # steps without convergence do not count
    check(rehearse(stage, script), undisturbed(stage), fault, lost=lost)


def test_what_happens_most(rehearse, undisturbed):
    script = [
        {"fault": "subspace"},
        {"fault": "kill", "stage": "relax", "step": 3},
        {"fault": "zbrent", "stage": "relax", "step": 2, "attempts": [2]},
        {"fault": "kill", "stage": "dynamics", "step": 3},
    ]
    ending = rehearse("dynamics", *script)
    assert not ending.failures
    assert set(ending.faults) == {"subspace", "kill", "zbrent"}
    assert_same_answer(ending, undisturbed("dynamics"))
    assert ending.lost <= ending.faults.count("kill") + ending.faults.count("zbrent")
    repairs = " ".join(ending.repairs)
    assert "VASP was killed by SIGKILL: restart from the last ionic step" in repairs
    assert "ZBRENT: fatal error in bracketing: CONTCAR copied to POSCAR" in repairs


def test_what_no_restart_cures_names_its_cause(rehearse):
    ending = rehearse("static", {"fault": "read_error", "attempts": list(range(1, 20))})
    assert len(ending.failures) == 1
    assert "cannot read a tag of the INCAR" in ending.failures[0]
