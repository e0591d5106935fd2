"""Which calculations of a screening are finished or ship with sodalyte, and what the others will cost."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from jobflow import Flow, Maker
    from pymatgen.core import Structure

    from sodalyte.database import Database
    from sodalyte.inputs.engine import Engine
    from sodalyte.inputs.recipe import Recipe
    from sodalyte.structures import Material
    from sodalyte.workflows.plan import Planned


@dataclass(frozen=True)
class Estimate:
    """What a calculation will cost.

    Attributes
    ----------
    grid, kpoints
        Divisions of the grid of k-points, and how many of them symmetry leaves.
    core_hours
        An order of magnitude.
    """

    grid: tuple[int, int, int]
    kpoints: int
    core_hours: float


@contextmanager
def opened(uri: str) -> Iterator[tuple[Database | None, str]]:
    """Open a database to look into; None, with the reason in a sentence, where it does not answer.

    A ``lite://`` folder that has not been made is no trouble: there is nothing in it.
    """
    from sodalyte.database import open_database
    from sodalyte.errors import DatabaseError

    if uri.startswith("lite://") and not Path(uri.removeprefix("lite://")).expanduser().exists():
        yield None, ""
        return
    try:
        database = open_database(uri, create=False)
    except DatabaseError as error:
        yield None, f"which calculations are finished is not known: {error}"
        return
    with database:
        yield database, ""


def forecast(
    flow: Flow,
    materials: Sequence[Material],
    *,
    engine: Engine,
    recipe: Recipe,
    analyses: Collection[str],
    database: Database | None,
) -> list[Planned]:
    """Return the calculations of a screening, marked where they need not run.

    Where the displaced ions of a crystal are known not to come back, its strained cells are not freed: no job will ask.

    Parameters
    ----------
    flow
        The screening, identified.
    database
        None stands for one that has not been made. It is only read.
    """
    from sodalyte.launchers.identity import identify
    from sodalyte.launchers.reference import finished
    from sodalyte.workflows.elasticity import comes_back
    from sodalyte.workflows.plan import plan_calculations
    from sodalyte.workflows.relaxation import label_of

    answers = finished([job.uuid for job in flow.jobs], database)
    own = {f"relax {label_of(material)}": material for material in materials}
    relaxed = {
        label_of(own[job.name]): answer
        for job in flow.jobs
        if job.name in own and (answer := answers.get(job.uuid)) and answer["structure"]
    }
    cells = {label: answer["structure"] for label, answer in relaxed.items()}
    planned = plan_calculations(flow, materials, engine=engine, recipe=recipe, analyses=analyses, relaxed=cells)

    def uuid(calculation: Planned, maker: Maker, start: Structure) -> str:
        is_asked_for_by_a_job = calculation.stage == "strained cell"
        job = (_as_argument(maker) if is_asked_for_by_a_job else maker).make(start)
        return str(identify(job).jobs[0].uuid)

    static = {each.name: each for each in planned if each.stage != "dynamics"}
    first = {name: uuid(each, each.before or each.maker, each.structure) for name, each in static.items()}
    answers = finished(first.values(), database)

    def falls(material: Material) -> bool:
        label = label_of(material)
        displaced = answers.get(first.get(f"displaced {label}", ""))
        if label not in relaxed or displaced is None:
            return False
        return not comes_back(relaxed[label], displaced, polymorph=material.variant)

    fallen = {label_of(material) for material in materials if falls(material)}
    following = {
        name: uuid(each, each.maker, answer["structure"])
        for name, each in static.items()
        if each.before and (answer := answers.get(first[name])) and answer["structure"]
    }
    done = answers.keys() | finished(following.values(), database).keys()
    uuids = first | {name: following.get(name, "") for name, each in static.items() if each.before}
    runs = {str(job.uuid): job.name for job in flow.jobs}
    segments = _segments({uuid: name for uuid, name in runs.items() if name.startswith("dynamics")}, database)
    return [
        replace(each, done=segments[each.name] if each.stage == "dynamics" else int(uuids[each.name] in done))
        for each in planned
        if not (each.before and each.material in fallen)
    ]


def _segments(runs: Mapping[str, str], database: Database | None) -> Counter[str]:
    """Count the finished segments of runs of dynamics, by following what their jobs have asked for.

    Parameters
    ----------
    runs
        The uuids of the jobs that ask for the first segments, with the names of the runs.
    """
    import json

    from sodalyte.database.store import OUTPUTS
    from sodalyte.launchers.outcomes import OUTCOME

    counts: Counter[str] = Counter()
    asked = dict(runs)
    while asked and database is not None:
        query = {"uuid": {"$in": sorted(asked)}, "index": 1, OUTCOME: {"$exists": True}}
        following: dict[str, str] = {}
        for document in database.collection(OUTPUTS).find(query, {"uuid": 1, "name": 1, OUTCOME: 1}):
            run = asked[document["uuid"]]
            counts[run] += document["name"] != run
            jobs = json.loads(document[OUTCOME]["replace"] or '{"jobs": []}')["jobs"]
            following |= {job["uuid"]: run for job in jobs if job["index"] == 1}
        asked = following
    return counts


def _as_argument(maker: Maker) -> Maker:
    """Return a Maker as jobflow hands it to a job: enumerations are plain text then, which tells in identities."""
    from monty.json import MontyDecoder, jsanitize

    handed: Maker = MontyDecoder().process_decoded(jsanitize(maker, strict=True, enum_values=True, allow_bson=True))
    return handed


def estimate(calculation: Planned) -> Estimate | None:
    """Return what a calculation with GPAW will cost; None for one of another engine."""
    from sodalyte.inputs.gpaw_cost import core_hours, grid_and_kpoints

    found = grid_and_kpoints(calculation.maker, calculation.structure)
    if found is None:
        return None
    grid, kpoints = found
    return Estimate(grid, kpoints, core_hours(calculation.structure, kpoints, ionic_steps=calculation.ionic_steps))


def in_words(core_hours: float) -> str:
    """Return core hours with two digits, or whole ones."""
    return f"{core_hours:,.2g}" if core_hours < 100 else f"{core_hours:,.0f}"


def cost_in_words(core_hours: float, uncertainty: float) -> str:
    """Return core hours with the interval in which they are expected: a factor either way."""
    low, high = core_hours / uncertainty, core_hours * uncertainty
    return f"about {in_words(core_hours)}, between {in_words(low)} and {in_words(high)}"
