"""Run one job of the rehearsed VASP as a worker does."""

from pathlib import Path

from jobflow import JobStore
from maggma.stores import MemoryStore

from sodalyte.inputs.engine import get_engine
from sodalyte.inputs.recipe import Recipe
from sodalyte.structures import conventional, dynamics_cell, load

STEPS = 30


def drive(kind):
    """Relax, or do ``STEPS`` of dynamics, in the working folder; write the document to ``output.json``."""
    engine, crystal = get_engine("rehearsal-einstein"), conventional(load("Na3SbS4").structure)
    recipe = Recipe.quick().override({"dynamics": {"sample_interval": 1}})
    cell = dynamics_cell(crystal, defect="na_vacancy", supercell=(1, 1, 1)).structure
    job = engine.relax(recipe).make(crystal) if kind == "relax" else engine.dynamics(recipe, 600.0, STEPS).make(cell)
    store = JobStore(MemoryStore())
    store.connect()
    Path("output.json").write_text(job.run(store).output.model_dump_json())
