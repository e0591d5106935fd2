"""Run one job of the rehearsed VASP as a worker does, in a process that tests can kill: drive_vasp.py KIND FOLDER."""

import os
import sys
from pathlib import Path

from jobflow import JobStore
from maggma.stores import MemoryStore

from sodalyte.inputs.engine import get_engine
from sodalyte.inputs.recipe import Recipe
from sodalyte.structures import conventional, dynamics_cell, load

STEPS = 30

if __name__ == "__main__":
    kind, folder = sys.argv[1], Path(sys.argv[2])
    engine, crystal = get_engine("rehearsal-einstein"), conventional(load("Na3SbS4").structure)
    recipe = Recipe.quick().override({"dynamics": {"sample_interval": 1}})
    cell = dynamics_cell(crystal, defect="na_vacancy", supercell=(1, 1, 1)).structure
    job = engine.relax(recipe).make(crystal) if kind == "relax" else engine.dynamics(recipe, 600.0, STEPS).make(cell)
    store = JobStore(MemoryStore())
    store.connect()
    os.chdir(folder)
    output = job.run(store).output
    (folder / "output.json").write_text(output.model_dump_json())
