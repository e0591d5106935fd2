"""Computes the PAW-PBE reference set that ships with sodalyte, and exports what is finished.

    python benchmarks/gpaw_reference.py compute WORKSPACE [WORKERS]    days; killed, it goes on where it stopped
    python benchmarks/gpaw_reference.py list                           what it will compute, in that order
    python benchmarks/gpaw_reference.py export WORKSPACE               what is finished, into the file that ships, and
                                                                       the ionic steps of the rest, beside this file

It runs what ``sodalyte run Na3SbS4 Na3PS4 Na3SbS4_c Na3PS4_c Na2S --only stability,elasticity --engine gpaw --recipe
paper`` runs: relaxations in the order of cost, then strained cells, then polymorphs that windows do without because
another one of their formula is there (a material is held against all of its own). Before these, molecular crystals and
the tetragonal electrolytes are relaxed with D3 too. One whole hull is worth more than two halves: Na-Sb-S comes before
Na-P-S. The moduli of Na2S are a check against published ones.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from datetime import datetime
from importlib.resources import files
from pathlib import Path

from jobflow import Flow, Job

from sodalyte.database import open_database
from sodalyte.database.store import OUTPUTS
from sodalyte.inputs.dispersion import GpawD3
from sodalyte.inputs.engine import configured, get_engine
from sodalyte.inputs.gpaw import Gpaw
from sodalyte.inputs.gpaw_cost import core_hours, grid_and_kpoints
from sodalyte.inputs.recipe import Recipe
from sodalyte.inputs.reference import Calculation, read, write
from sodalyte.launchers import local
from sodalyte.launchers.execution import OUTCOME, run_folder
from sodalyte.launchers.identity import identify
from sodalyte.launchers.reference import seed
from sodalyte.progress import in_words
from sodalyte.structures import crystal, load, reduced
from sodalyte.workflows import screen

ANALYSES = ("relaxation", "stability", "elasticity")
MOLECULAR = ("S_alpha_Fddd_exp", "P4S10", "P4S3")
TETRAGONAL = ("Na3SbS4", "Na3PS4")
MATERIALS = (*TETRAGONAL, "Na3SbS4_c", "Na3PS4_c", "Na2S")

STEPS = "ionic_steps-*.jsonl"

FIRST = 100_000
"""Added to the priority of the cells without phosphorus."""

SHIPPED = Path(str(files("sodalyte.inputs"))) / "gpaw_reference.jsonl"

BEGUN = Path(__file__).with_name("gpaw_begun")
"""Ionic steps of relaxations that are begun, a folder for each, so that any machine can go on with them."""


def flow() -> Flow:
    """Return the flow of the reference set with priorities by cost."""
    recipe = Recipe.paper()
    engine = configured(get_engine("gpaw"), recipe)
    materials = [load(name) for name in MATERIALS]
    plain = screen(materials, engine=engine, recipe=recipe, analyses=ANALYSES)
    whole = identify(Flow([plain, *_with_dispersion(recipe)]))
    own = {material.structure.composition.reduced_formula for material in materials}
    known = [(hours, job) for job in whole.jobs if (hours := core_hours_of(job)) is not None]
    there = set()
    for hours, job in sorted(known, key=lambda pair: pair[0]):
        cell = job.function_args[0]
        if isinstance(job.maker.potential, GpawD3):
            job.name += " with D3"
            job.metadata["priority"] = 0
            continue
        first = FIRST if "P" not in cell.symbol_set else 0
        formula = cell.composition.reduced_formula
        is_spare = formula in there - own
        there.add(formula)
        job.metadata["priority"] = -round(100 * hours) if is_spare else first + round(100 / hours)
    return whole


def _with_dispersion(recipe: Recipe) -> Iterator[Job | Flow]:
    """Yield relaxations with D3: of the tetragonal electrolytes, and of molecular crystals as a hull there has them."""
    engine = configured(get_engine("gpaw-d3"), recipe)
    yield screen(map(load, TETRAGONAL), engine=engine, recipe=recipe, analyses=("relaxation",))
    relax = engine.relax(recipe.for_competing_phases())
    for name in MOLECULAR:
        job = relax.make(reduced(crystal(name).structure))
        job.name = f"relax {name}"
        yield job


def core_hours_of(job: Job) -> float | None:
    """Estimate the cost of a relaxation; None for an analysis."""
    found = grid_and_kpoints(job.maker, job.function_args[0])
    return core_hours(job.function_args[0], found[1]) if found else None


def compute(workspace: Path, workers: int = 1) -> None:
    """Run what does not ship yet, one line per event."""
    whole, uri = flow(), f"lite://{workspace / 'database'}"
    with open_database(uri) as database:
        seed(database, whole)
    take_up_begun(workspace / "runs")
    summary = local.run(whole, database=uri, root=workspace / "runs", workers=workers, on_event=show)
    for failure in summary.failures:
        print(f"failed: {failure.name}: {failure.error} (see {failure.traceback})")
    print(f"{summary.ran} ran, {summary.reused} reused, {summary.not_run} not run")


def show(event: local.Event) -> None:
    """Print an event."""
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    seconds = f"{event.seconds:.0f} s" if event.seconds else ""
    said = event.error or in_words(event.progress)
    print(now, f"{event.kind:8s}", event.task.name, event.task.uuid, seconds, said, flush=True)


def export(workspace: Path) -> None:
    """Add the finished calculations of a workspace to the file that ships.

    What ships already stays to the last bit: it is in the identity of all that started from it.
    """
    kept = {each.uuid: each for each in read(SHIPPED.read_text())} if SHIPPED.exists() else {}
    before = len(kept)
    with open_database(f"lite://{workspace / 'database'}", create=False) as database:
        calculators = {"$in": [Gpaw.__name__, GpawD3.__name__]}
        for document in database.collection(OUTPUTS).find({"output.ase_calculator_name": calculators}):
            if OUTCOME in document and not document["metadata"].get("shipped"):
                kept.setdefault(document["uuid"], Calculation.from_document(document))
    write(list(kept.values()), SHIPPED)
    print(f"{len(kept)} calculations in {SHIPPED}, {len(kept) - before} of them new")
    keep_begun(workspace / "runs", finished=set(kept))


def keep_begun(runs: Path, *, finished: set[str]) -> None:
    """Keep the ionic steps of the relaxations in ``runs`` that are not finished, and no others."""
    for steps in runs.glob(f"*/*-1/{STEPS}"):
        kept = BEGUN / steps.parent.name.removesuffix("-1") / steps.name
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(steps, kept)
    for folder in BEGUN.glob("*"):
        if folder.name in finished:
            shutil.rmtree(folder)


def take_up_begun(runs: Path) -> None:
    """Put the ionic steps that were kept into run folders that have none."""
    for kept in BEGUN.glob(f"*/{STEPS}"):
        steps = run_folder(runs, kept.parent.name, 1) / kept.name
        if not steps.exists():
            shutil.copy(kept, steps)


def main() -> None:
    """Do what the command line says."""
    match sys.argv[1:]:
        case ["compute", workspace, *workers]:
            compute(Path(workspace).absolute(), *map(int, workers))
        case ["export", workspace]:
            export(Path(workspace).absolute())
        case ["list"]:
            known = [(hours, job) for job in flow().jobs if (hours := core_hours_of(job)) is not None]
            for hours, job in sorted(known, key=lambda pair: pair[1].metadata["priority"], reverse=True):
                print(f"{hours:8.2f} h {len(job.function_args[0]):4d} atoms {job.uuid} {job.name}")
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
