"""What a good start is worth: GPAW's ionic steps from equal curvatures, from springs, and from a potential.

    python benchmarks/preconditioning.py WORKSPACE [PHASE]...    hours; killed at any moment, it goes on

The phases are measured, searched or remembered crystals, not ones that PBE has relaxed before. "plain" is BFGS with
equal curvatures; "springs" is what the engine does; "chgnet" starts from CHGNet's cell and Hessian (--start-from).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobflow import Flow, Job

from sodalyte.database import open_database
from sodalyte.database.store import OUTPUTS
from sodalyte.inputs.engine import get_engine, prepare_engine
from sodalyte.inputs.potential import Potential
from sodalyte.inputs.recipe import Recipe
from sodalyte.launchers import local
from sodalyte.launchers.execution import run_folder
from sodalyte.launchers.identity import identify
from sodalyte.structures import crystal, reduced

if TYPE_CHECKING:
    from jobflow import Maker

PHASES = ("Na3PS4_c", "Na3SbS4_c", "NaSbS2_C2c", "Na4P2S6_P31m", "Na3PS4_t", "P_black_exp")


def makers() -> dict[str, Maker]:
    """Return the relaxation of competing phases in three ways."""
    recipe = Recipe.paper().for_competing_phases()
    engine: Any = prepare_engine("gpaw", recipe)
    settings = recipe.relaxation
    return {
        "plain": Potential._relaxation(engine, settings.fmax, settings.max_steps, symprec=settings.symprec),
        "springs": engine.relax(recipe),
        "chgnet": engine.starting_from(get_engine("chgnet")).relax(recipe),
    }


def main() -> None:
    """Run what is missing and print the table."""
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    workspace = Path(sys.argv[1]).absolute()
    database, root = f"lite://{workspace / 'database'}", workspace / "runs"
    names = sys.argv[2:] or PHASES
    print(f"{'phase':16}{'start':10}{'steps':>6}{'minutes':>9}{'meV/atom':>10}")
    for name in names:
        structure = reduced(crystal(name).structure)
        jobs = {label: identify(maker.make(structure)).jobs[0] for label, maker in makers().items()}
        local.run(Flow(list(jobs.values())), database=database, root=root, workers=1)
        tell(name, jobs, database, root)


def tell(name: str, jobs: dict[str, Job], database: str, root: Path) -> None:
    """Print the rows of a phase; energies count from the first row's."""
    first = None
    with open_database(database) as store:
        for label, job in jobs.items():
            found = store.collection(OUTPUTS).find_one({"uuid": job.uuid})
            if found is None:
                print(f"{name:16}{label:10}  failed")
                continue
            energy = found["output"]["output"]["energy_per_atom"]
            first = energy if first is None else first
            seconds = recorded_seconds(run_folder(root, job.uuid, 1))
            numbers = f"{len(seconds):6d}{sum(seconds) / 60:9.1f}{1000 * (energy - first):10.2f}"
            print(f"{name:16}{label:10}{numbers}", flush=True)


def recorded_seconds(folder: Path) -> list[float]:
    """Return the wall time of every ionic step in a run folder."""
    return [
        json.loads(line)["seconds"]
        for file in folder.glob("ionic_steps-*.jsonl")
        for line in file.read_text().splitlines()
    ]


if __name__ == "__main__":
    main()
