"""What a good start is worth: GPAW's ionic steps from equal curvatures, from springs, and from a potential.

    python benchmarks/preconditioning.py WORKSPACE [PHASE]...    half an hour of one core; killed, it goes on

"plain" is ASE's BFGS with equal curvatures from the library's cell; "springs" is what the engine does; "chgnet" starts
from CHGNet's cell and Hessian (--start-from). PBE at 400 eV with a quarter of the paper's density of k-points, which
is what two busy cores allow, to 5 meV/angstrom: at the 20 of competing phases black phosphorus stops 2 meV/atom apart.
Times are CPU time of one core, the potential's included.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sodalyte.database import open_database
from sodalyte.database.store import OUTPUTS
from sodalyte.errors import SodalyteError
from sodalyte.inputs.engine import get_engine, prepare_engine
from sodalyte.inputs.gpaw import PlaneWaves
from sodalyte.inputs.potential import Potential
from sodalyte.inputs.recipe import Recipe
from sodalyte.launchers.execution import Executor, run_folder
from sodalyte.launchers.identity import identify
from sodalyte.structures import crystal, reduced

if TYPE_CHECKING:
    from ase import Atoms
    from jobflow import Job, Maker

    from sodalyte.database import Database

PHASES = ("Na2S", "Na3Sb", "Na3P", "Na3PS4_c", "Na3SbS4_c", "Na2S2_alpha", "P_black_exp", "NaSbS2_C2c")
STEPS, WHOLE = "cpu_seconds.txt", "cpu_seconds_of_the_job.txt"
COARSE = {"electronic": {"encut": 400.0, "kpoint_density": 16.0}, "relaxation": {"fmax": 0.005}}


def makers() -> dict[str, Maker]:
    """Return the relaxation of competing phases in three ways."""
    recipe = Recipe.paper().for_competing_phases().override(COARSE)
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
    time_ionic_steps()
    print(f"{'phase':24}{'start':9}{'steps':>6}{'minutes':>9}{'minutes/plain':>15}{'meV/atom':>10}")
    with open_database(f"lite://{workspace / 'database'}") as database, Executor(database, workspace / "runs") as runs:
        for name in sys.argv[2:] or PHASES:
            structure = reduced(crystal(name).structure)
            jobs = {label: identify(maker.make(structure)).jobs[0] for label, maker in makers().items()}
            folders = {label: run_folder(workspace / "runs", job.uuid, 1) for label, job in jobs.items()}
            for label, job in jobs.items():
                relax(job, folders[label], runs, database)
            tell(name, jobs, folders, database)


def time_ionic_steps() -> None:
    """Have every ionic step write its CPU time into the folder that it runs in."""
    compute = PlaneWaves.__call__

    def timed(self: PlaneWaves, atoms: Atoms) -> dict[str, Any]:
        began = time.process_time()
        answer = compute(self, atoms)
        with Path(STEPS).open("a") as file:
            file.write(f"{time.process_time() - began}\n")
        return answer

    PlaneWaves.__call__ = timed  # type: ignore[method-assign]


def relax(job: Job, folder: Path, runs: Executor, database: Database) -> None:
    """Run a job that is not finished; note the CPU time that it took beside its ionic steps."""
    if database.collection(OUTPUTS).find_one({"uuid": job.uuid}, {"_id": 1}):
        return
    before, began = sum(numbers(folder / STEPS)), time.process_time()
    try:
        runs.run(job)
    except SodalyteError as error:
        print(f"{job.name}: {error}", file=sys.stderr)
        return
    steps = sum(numbers(folder / STEPS)) - before
    (folder / WHOLE).write_text(f"{time.process_time() - began - steps}\n")


def tell(name: str, jobs: dict[str, Job], folders: dict[str, Path], database: Database) -> None:
    """Print the rows of a phase; times and energies are compared with the first row's."""
    first: tuple[float, float] | None = None
    for label, job in jobs.items():
        found = database.collection(OUTPUTS).find_one({"uuid": job.uuid})
        if found is None or found["output"]["state"] != "successful":
            print(f"{name:24}{label:9}  not converged")
            continue
        folder = folders[label]
        energy = found["output"]["output"]["energy_per_atom"]
        minutes = (sum(numbers(folder / STEPS)) + sum(numbers(folder / WHOLE))) / 60
        first = first or (minutes, energy)
        steps = sum(len(file.read_text().splitlines()) for file in folder.glob("ionic_steps-*.jsonl"))
        compared = f"{minutes / first[0]:15.2f}{1000 * (energy - first[1]):10.2f}"
        print(f"{name:24}{label:9}{steps:6d}{minutes:9.1f}{compared}", flush=True)


def numbers(path: Path) -> list[float]:
    """Return the numbers in a file, one on a line; none if it is not there."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


if __name__ == "__main__":
    main()
