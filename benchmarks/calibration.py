"""What the engines say of known crystals: makes the calibration that ships.

    python benchmarks/calibration.py compute ENGINE WORKSPACE   runs chgnet or sevennet; killed, it goes on
    python benchmarks/calibration.py collect [WORKSPACE]...     takes over what was computed there and by GPAW,
                                                                and writes the tables of docs/calibration.md anew

PAW-PBE is not computed here: it is what the calculations say that ship in sodalyte/inputs/gpaw_reference.jsonl. What of
them is missing is refused with that reason. Cells of competing phases, which are relaxed to 20 meV/angstrom, are taken
where the crystal was not relaxed for itself.
"""

from __future__ import annotations

import json
import sys
import tempfile
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import calibration_page
from jobflow import Flow, Job
from pymatgen.core import Structure

from sodalyte import __version__
from sodalyte.analysis.relaxation import relaxation_results
from sodalyte.analysis.results import Result, Subject
from sodalyte.database import Database, open_database
from sodalyte.database.store import OUTPUTS
from sodalyte.errors import StructureError
from sodalyte.inputs.engine import configured, get_engine
from sodalyte.inputs.recipe import Recipe
from sodalyte.launchers import local
from sodalyte.launchers.execution import Executor
from sodalyte.launchers.identity import identify, parents_first
from sodalyte.launchers.outcomes import OUTCOME
from sodalyte.launchers.reference import seed
from sodalyte.report import calibration
from sodalyte.structures import crystal, crystals, load
from sodalyte.workflows import screen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ELECTROLYTES = ("Na3SbS4", "Na3SbS4_c", "Na3PS4", "Na3PS4_c")
BINARIES = ("Na2S", "Na2S2_beta", "Na3Sb", "Na3P", "NaP")
POTENTIALS = ("chgnet", "sevennet")
ANALYSES = ("relaxation", "stability", "elasticity")
MODULI = {"bulk_modulus": "GPa", "shear_modulus": "GPa", "pugh_ratio": "1"}
PENDING = {
    "hull": {"e_above_hull": "eV/atom", "reduction_limit": "V", "oxidation_limit": "V", "window_width": "V"},
    "strain": MODULI,
    "release": MODULI,
    "fit": MODULI,
}
"""What the steps say that interpret calculations, by the beginning of their name."""

LISTED = 6
"""How many of the calculations that are missing are named."""

COMPETING = "paper (competing phase)"
SHIPPED = Path(str(files("sodalyte.report"))) / calibration.FILE


def flow(name: str) -> Flow:
    """Return the flow of the calibration of an engine."""
    recipe = Recipe.paper()
    engine = configured(get_engine(name), recipe)
    materials = (*BINARIES, *ELECTROLYTES) if name in POTENTIALS else (*ELECTROLYTES, "Na2S")
    return identify(screen([load(each) for each in materials], engine=engine, recipe=recipe, analyses=ANALYSES))


def compute(name: str, workspace: Path) -> None:
    """Run the calibration of a potential."""
    address = f"lite://{workspace / 'database'}"
    summary = local.run(flow(name), database=address, root=workspace / "runs", workers=1, on_event=show)
    print(f"{summary.ran} ran, {summary.reused} reused, {summary.not_run} not run")


def show(event: local.Event) -> None:
    """Print an event."""
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    print(now, f"{event.kind:8s} {event.task.name}", event.error, flush=True)


def collect(workspaces: list[Path]) -> None:
    """Take over the answers of workspaces, and those of GPAW, into the file that ships."""
    answers = {_identity(each): each for each in calibration.shipped()}
    with tempfile.TemporaryDirectory() as folder:
        with open_database(f"lite://{folder}/database") as database:
            whole = flow("gpaw")
            seed(database, whole)
            found = list(answered(whole, database, Path(folder) / "runs"))
        _replace(answers, found)
    for workspace in workspaces:
        with open_database(f"lite://{workspace / 'database'}", create=False) as database:
            for whole in map(flow, POTENTIALS):
                if database.collection(OUTPUTS).find_one({"uuid": whole.jobs[0].uuid}):
                    _replace(answers, list(answered(whole, database, workspace / "runs")))
    calibration.write(answers.values(), SHIPPED)
    calibration.shipped.cache_clear()
    print(f"{len(answers)} answers in {SHIPPED}")


def answered(whole: Flow, database: Database, root: Path) -> Iterator[calibration.Answer]:
    """Yield the answers of a flow as far as its calculations are in the store; nothing is computed."""
    pending: list[Result] = []
    with Executor(database, root) as executor:
        uuids = _interpret(whole, database, executor, pending)
    finished = {"uuid": {"$in": sorted(uuids)}, OUTCOME: {"$exists": True}, "output.results.0": {"$exists": True}}
    outputs = database.collection(OUTPUTS).find(finished, {"output.results": 1})
    results = [Result.model_validate(each) for output in outputs for each in output["output"]["results"]]
    results += [*pending, *_formation(results)]
    known = {(result.material, result.polymorph) for result in results if result.property == "density"}
    results += [each for each in _competing(whole, database) if (each.material, each.polymorph) not in known]
    today = datetime.now(UTC).date().isoformat()
    for result in results:
        whole_answer = calibration.Answer(result=result, key=result.key(), date=today, version=__version__)
        for each in calibration.expanded(whole_answer):
            failed = tuple(guard for guard in result.guards if not guard.passed)
            kept = each.result.model_copy(update={"calculations": (), "data": {}, "guards": failed})
            yield each.model_copy(update={"result": kept})


def _interpret(part: Flow, database: Database, executor: Executor, pending: list[Result]) -> set[str]:
    """Run the steps that interpret calculations, if these are all there; return the uuids of what is in the store.

    What cannot be said before more is computed is added to ``pending``.
    """
    there: set[str] = set()
    names = {job.uuid: job.name.removeprefix("relax ") for job in part.jobs}
    for job, above in parents_first(part):
        finished = {"uuid": job.uuid, "index": job.index, OUTCOME: {"$exists": True}}
        outcome = (database.collection(OUTPUTS).find_one(finished, {OUTCOME: 1}) or {}).get(OUTCOME)
        if outcome is None and job.maker is None:
            parents = [uuid for uuid in above if uuid != job.uuid]
            query = {"uuid": {"$in": parents}, OUTCOME: {"$exists": True}}
            stored = {each["uuid"] for each in database.collection(OUTPUTS).find(query, {"uuid": 1})}
            missing = sorted(names.get(uuid, uuid) for uuid in parents if uuid not in stored)
            if missing and not (job.name.startswith("hull") and _dispensable(missing, map(names.get, stored))):
                pending += _refusals(job, missing, len(parents))
            else:
                outcome = executor.run(job)
        if outcome is not None:
            there.add(job.uuid)
            if outcome["replace"]:
                there |= _interpret(Flow.from_dict(json.loads(outcome["replace"])), database, executor, pending)
    return there


def _dispensable(missing: Iterable[str], there: Iterable[str | None]) -> bool:
    """Tell whether a hull does without what is missing, because another polymorph of each formula is there."""
    library = {each.id: each.formula for each in crystals()}
    present = {library.get(name or "") for name in there}
    return all(name in library and library[name] in present for name in missing)


def _refusals(job: Job, missing: list[str], total: int) -> Iterator[Result]:
    """Yield the refusals of what a step would say, because calculations are missing."""
    units = next((units for start, units in PENDING.items() if job.name.startswith(start)), None)
    if units is None:
        return
    subject = Subject(**job.function_args[0])
    shown = [name.removesuffix(f" {subject.material} {subject.polymorph}") for name in missing[:LISTED]]
    listed = ", ".join([*shown, *["..."][: len(missing) > LISTED]])
    reason = f"{calibration.NOT_COMPUTED} yet: {len(missing)} of {total} calculations ({listed})"
    for name, unit in units.items():
        for scheme in ("mp2020", "polysulfide_charge") if unit in ("V", "eV/atom") else (None,):
            about = {"property": name, "unit": unit, "scheme": scheme, "status": "refused", "reason": reason}
            yield Result(**subject.model_dump(), **about)


def _formation(results: list[Result]) -> list[Result]:
    """Give the formation energies of the compounds of every hull, each once, those of a material from its own hull."""
    found: dict[tuple[str, str, str | None], Result] = {}
    hulls = [result for result in results if result.property == "decomposition" and result.data]
    for own in (True, False):
        for hull in hulls:
            for phase in hull.data["phases"]:
                material, polymorph = _named(phase["id"])
                computed_for_itself = (material, polymorph) == (hull.material, hull.polymorph)
                identity = (material, polymorph, hull.scheme)
                if "-" not in crystal(phase["id"]).chemsys or own != computed_for_itself or identity in found:
                    continue
                found[identity] = Result(
                    material=material,
                    polymorph=polymorph,
                    level=hull.level,
                    recipe=hull.recipe if own else COMPETING,
                    calculations=hull.calculations,
                    property="formation_energy",
                    value=phase["e_form_per_atom"],
                    unit="eV/atom",
                    scheme=hull.scheme,
                )
    return list(found.values())


def _named(identifier: str) -> tuple[str, str]:
    """Return how results call a crystal of the library: its formula and polymorph."""
    try:
        material = load(identifier)
    except StructureError:
        return crystal(identifier).formula, crystal(identifier).polymorph
    return material.formula, material.variant


def _competing(whole: Flow, database: Database) -> Iterator[Result]:
    """Yield the cells of the sodium compounds that were relaxed as competing phases."""
    for job in whole.jobs:
        if job.maker is None or not (document := database.collection(OUTPUTS).find_one({"uuid": job.uuid})):
            continue
        try:
            material = load(job.name.removeprefix("relax "))
        except StructureError:
            continue
        output = document["output"]
        subject = Subject(
            material=material.formula,
            polymorph=material.variant,
            level=output["tags"][0],
            recipe=COMPETING,
            calculations=(job.uuid,),
        )
        yield from relaxation_results(
            subject,
            start=material.structure,
            relaxed=Structure.from_dict(output["structure"]),
            converged=output["state"] == "successful",
            experiment=None,
            lattice_uncertainty=None,
        )


def _replace(answers: dict[tuple[str | None, ...], calibration.Answer], found: list[calibration.Answer]) -> None:
    """Put what was found in the place of all that its levels of theory said before.

    What is equal but for the last digits, which depend on the processor, stays with its date.
    """
    levels = {each.result.level for each in found}
    before = {_identity(each): each for each in answers.values() if each.result.level in levels}
    for identity in before:
        del answers[identity]
    for each in found:
        old = before.get(_identity(each))
        is_known = old is not None and _to_nine_digits(old.result) == _to_nine_digits(each.result)
        answers[_identity(each)] = old.model_copy(update={"key": each.key}) if is_known else each


def _to_nine_digits(result: Result) -> dict[str, Any]:
    """Return the fields of a result, numbers as text of nine digits."""
    fields: dict[str, Any] = json.loads(result.model_dump_json(), parse_float=lambda text: f"{float(text):.9g}")
    return fields


def _identity(answer: calibration.Answer) -> tuple[str | None, ...]:
    result = answer.result
    return (result.level, result.recipe, result.material, result.polymorph, result.property, result.scheme)


def main() -> None:
    """Do what the command line says."""
    match sys.argv[1:]:
        case ["compute", ("chgnet" | "sevennet") as name, workspace]:
            compute(name, Path(workspace).absolute())
        case ["collect", *workspaces]:
            collect([Path(workspace).absolute() for workspace in workspaces])
            calibration_page.document()
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
