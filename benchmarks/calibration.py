"""What the engines say of known crystals: makes the calibration that ships, and the tables of docs/calibration.md.

    python benchmarks/calibration.py compute ENGINE WORKSPACE   runs chgnet or sevennet; killed, it goes on
    python benchmarks/calibration.py collect [WORKSPACE]...     takes over what was computed there and by GPAW
    python benchmarks/calibration.py document                   writes the tables anew from the file that ships

PAW-PBE is not computed here: it is what the calculations say that ship in sodalyte/inputs/gpaw_reference.jsonl. What of
them is missing is refused with that reason. Cells of competing phases, which are relaxed to 20 meV/angstrom, are taken
where the crystal was not relaxed for itself.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import textwrap
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from jobflow import Flow, Job
from pymatgen.core import Structure

from sodalyte import __version__
from sodalyte.analysis.figures.notation import formula, unit_symbol
from sodalyte.analysis.relaxation import relaxation_results
from sodalyte.analysis.results import SYMMETRIC, Result, Subject
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
from sodalyte.report import calibration, known_errors, side_by_side
from sodalyte.report.cases import property_label
from sodalyte.structures import crystal, crystals, load
from sodalyte.workflows import screen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

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

REASON_LENGTH = 120
LISTED = 6
"""How many of the calculations that are missing are named."""

COMPETING = "paper (competing phase)"
SHIPPED = Path(str(files("sodalyte.report"))) / calibration.FILE
PAGE = Path(__file__).parent.parent / "docs" / "calibration.md"


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
    """Put what was found in the place of all that its levels of theory said before; what is equal keeps its date."""
    levels = {each.result.level for each in found}
    before = {_identity(each): each for each in answers.values() if each.result.level in levels}
    for identity in before:
        del answers[identity]
    for each in found:
        old = before.get(_identity(each))
        answers[_identity(each)] = old if old and old.result == each.result else each


def _identity(answer: calibration.Answer) -> tuple[str | None, ...]:
    result = answer.result
    return (result.level, result.recipe, result.material, result.polymorph, result.property, result.scheme)


def document() -> None:
    """Write the tables of the page anew."""
    PAGE.write_text(renewed(PAGE.read_text()))


def renewed(page: str) -> str:
    """Return a page in which what stands between the marks of each table is that table as it is now."""
    for name, table in PARTS.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, _, rest = page.partition(begin)
        page = before + begin + table() + end + rest.partition(end)[2]
    return page


def _properties(*names: str) -> str:
    """Write the tables of some properties."""
    tables = side_by_side.side_by_side(calibration.shipped(), properties=names, wanted=_calibrated())
    return "".join(_markdown(table) for table in tables)


def _calibrated() -> Callable[[str, str | None], bool]:
    formulas = {answer.result.material for answer in calibration.shipped()}
    return lambda material, _: material in formulas


def _markdown(table: side_by_side.Table) -> str:
    sheet = side_by_side.sheet(table)
    heading = f"**{property_label(table.property)}**" + (f" ({unit_symbol(table.unit)})" if table.unit != "1" else "")
    lines = [heading, "", *_rows(sheet.header, sheet.rows), ""]
    lines += [f"({number}) {note}  " for number, note in enumerate(sheet.notes, start=1)]
    return "\n".join([*lines, "", ""])


def _rows(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    cells = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(re.sub(r"\n *", "<br>", cell) for cell in row) + " |" for row in cells]


def _errors() -> str:
    """Write the known errors of every engine."""
    levels = dict.fromkeys(answer.result.level for answer in calibration.shipped())
    names = side_by_side.engine_names(levels)
    rows = [
        (names[level], property_label(name), known_errors.written(error) if error else "not calibrated")
        for level in levels
        for name in known_errors.CALIBRATED
        for error in [known_errors.of_engine(level, name)]
    ]
    return "\n".join([*_rows(("engine", "property", "known error"), rows), ""])


def _reproduction() -> str:
    """Write the paper's numbers beside ours, each polymorph, engine and scheme on its own."""
    names = ("reduction_limit", "oxidation_limit", "window_width", "pugh_ratio", f"{SYMMETRIC}pugh_ratio")
    rows = []
    for table in side_by_side.side_by_side(calibration.shipped(), properties=names, wanted=_calibrated(), to="paper"):
        for row in table.rows:
            for number in row.numbers:
                if row.baseline is not None and number.level is not None:
                    crystal = f"{row.material} {row.polymorph}"
                    says = [row.baseline.text, number.source, row.scheme or "", number.text]
                    rows.append((property_label(table.property), crystal, *says, _agreement(table, row, number)))
    header = ("quantity", "crystal", "paper", "engine", "scheme", "here", "reproduced?")
    return "\n".join([*_rows(header, rows), ""])


def _claims() -> str:
    """Write for each claim of the paper who reproduces it, who does not, and who has no number."""
    lines = []
    for material in ("Na3SbS4", "Na3PS4"):
        for what, names, tolerance, words in CLAIMS:
            tables = side_by_side.side_by_side(
                calibration.shipped(),
                properties=names,
                wanted=lambda formula, _, only=material: formula == only,
                to="paper",
            )
            paper = [table.rows[0].baseline.text for table in tables]
            apart: dict[tuple[str, str], list[float | None]] = {}
            for row in (row for table in tables for row in table.rows):
                for number in (number for number in row.numbers if number.level):
                    case = (number.source, ", ".join(filter(None, (row.polymorph, row.scheme))))
                    apart.setdefault(case, []).append(row.difference(number))
            silent = [case for case, found in apart.items() if None in found]
            near = [case for case, found in apart.items() if case not in silent and max(map(abs, found)) <= tolerance]
            far = [case for case in apart if case not in [*silent, *near]]
            said = "; ".join(
                f"{verdict} {', '.join(f'{source} ({conditions})' for source, conditions in cases)}"
                for verdict, cases in (("reproduced by", near), ("not by", far), ("no number from", silent))
                if cases
            )
            lines.append(f"* **{formula(material)}, {what} {' to '.join(paper)}** ({words}): {said}.")
    return "\n".join([*lines, ""])


def _agreement(table: side_by_side.Table, row: side_by_side.Row, number: side_by_side.Number) -> str:
    """Say whether a number of ours is the paper's."""
    difference = row.difference(number)
    if difference is None:
        return textwrap.shorten(f"no number: {number.notes[0]}", REASON_LENGTH, placeholder=" ...")
    away = f"{table.written(abs(difference))} {unit_symbol(table.unit)} away".replace("  ", " ")
    if number.uncertainty and abs(difference) <= number.uncertainty:
        return f"within our standard uncertainty, {away}"
    return f"no, {away}"


CLAIMS = (
    ("window in volts", ("reduction_limit", "oxidation_limit"), 0.05, "each limit to 0.05 V"),
    ("G/B", ("pugh_ratio",), 0.02, "to 0.02"),
    ("G/B with ions kept in symmetry", (f"{SYMMETRIC}pugh_ratio",), 0.02, "to 0.02"),
)
"""What the paper says, by which properties that is held against ours, and what counts as equal."""

PARTS = {
    "known errors": _errors,
    "claims": _claims,
    "reproduction": _reproduction,
    "cells": lambda: _properties("lattice_a", "lattice_c", "density"),
    "stability": lambda: _properties(
        "formation_energy", "e_above_hull", "reduction_limit", "oxidation_limit", "window_width"
    ),
    "moduli": lambda: _properties(
        *(f"{kind}{name}" for kind in ("", SYMMETRIC) for name in ("bulk_modulus", "shear_modulus", "pugh_ratio"))
    ),
    "elastic constants": lambda: _properties(
        *(f"{kind}{name}" for kind in ("", SYMMETRIC) for name in ("C11", "C12", "C13", "C33", "C44", "C66"))
    ),
}
"""What of the page is written by this program."""


def main() -> None:
    """Do what the command line says."""
    match sys.argv[1:]:
        case ["compute", ("chgnet" | "sevennet") as name, workspace]:
            compute(name, Path(workspace).absolute())
        case ["collect", *workspaces]:
            collect([Path(workspace).absolute() for workspace in workspaces])
            document()
        case ["document"]:
            document()
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
