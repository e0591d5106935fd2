"""Run a flow with the local launcher in a process that tests can kill: drive.py KIND FOLDER [JOBS]."""

import sys
from pathlib import Path

from jobflow import Flow
from trivial import log_and_sleep

from sodalyte.launchers import local
from sodalyte.launchers.identity import identify


def sleepers(folder, jobs=150):
    return Flow([log_and_sleep(str(folder / "log"), number, seconds=0.1) for number in range(int(jobs))])


def screening(folder):
    from sodalyte.inputs.engine import get_engine
    from sodalyte.inputs.recipe import Recipe
    from sodalyte.structures import load
    from sodalyte.workflows import screen

    short = {"dynamics": {"equilibration": 0.1, "production": 2.0, "segment_steps": 50}}
    recipe = Recipe.quick().override(short)
    return screen([load("Na3SbS4")], engine=get_engine("einstein"), recipe=recipe)


if __name__ == "__main__":
    kind, folder = sys.argv[1], Path(sys.argv[2])
    flow = identify({"sleepers": sleepers, "screening": screening}[kind](folder, *sys.argv[3:]))
    summary = local.run(flow, database=f"lite://{folder / 'database'}", root=folder / "runs", workers=2)
    sys.exit(not summary.succeeded)
