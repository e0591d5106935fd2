"""``sodalyte run``: from crystal to answer on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from sodalyte.cli.options import (
    DatabaseOption,
    JsonOption,
    MaterialsArgument,
    OnlyOption,
    StartFromOption,
    WorkspaceOption,
    database_uri,
    workspace_path,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from jobflow import Flow

    from sodalyte.analysis.results import Result
    from sodalyte.database import Database
    from sodalyte.inputs.engine import Engine
    from sodalyte.inputs.recipe import Recipe
    from sodalyte.launchers.local import Summary
    from sodalyte.structures import Material

_SHOWN = 40
"""So many missing calculations are named."""


def run(
    materials: MaterialsArgument,
    engine: Annotated[str, typer.Option(help="What computes energies: chgnet, sevennet, ...")] = "chgnet",
    recipe: Annotated[
        str | None, typer.Option(help="quick, paper or a TOML file. Not given: paper for gpaw, else quick.")
    ] = None,
    start_from: StartFromOption = None,
    only: OnlyOption = None,
    temperatures: Annotated[
        str | None, typer.Option(help="Of the dynamics, kelvin, comma-separated; instead of the recipe's.")
    ] = None,
    no_compute: Annotated[
        bool,
        typer.Option(
            "--no-compute", help="Answer from calculations that are finished or ship with sodalyte; name those missing."
        ),
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 2,
    database: DatabaseOption = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Relax materials, find their window, ductility and diffusivity, and write a report.

    Killed at any moment and started again with the same command, it goes on where it stopped. GPAW's results that ship
    with sodalyte are used as if they had been computed here.
    """
    folder = workspace_path(workspace, create=True)
    uri = database_uri(database, folder)

    from functools import partial

    from sodalyte.cli.pages import formulas, write_page
    from sodalyte.cli.progress import Progress
    from sodalyte.configuration import exported, load_configuration
    from sodalyte.database import open_database, results_of
    from sodalyte.inputs.engine import prepare_engine
    from sodalyte.launchers import local
    from sodalyte.launchers.identity import identify
    from sodalyte.launchers.reference import seed
    from sodalyte.structures import load
    from sodalyte.workflows import ANALYSES, screen
    from sodalyte.workflows.screening import parse_analyses

    chosen = _recipe(recipe or ("paper" if engine.startswith("gpaw") else "quick"), temperatures)
    analyses = ANALYSES if only is None else parse_analyses(only)
    loaded = [load(material) for material in materials]
    with exported(load_configuration(folder).vasp.environment()), Progress(quiet=json) as progress:
        prepared = prepare_engine(engine, chosen, start_from=start_from)
        flow = identify(screen(loaded, engine=prepared, recipe=chosen, analyses=analyses))
        with open_database(uri) as store:
            seed(store, flow)
            notice = _notice(flow, loaded, prepared, chosen, analyses, store)
        obstacle = "--no-compute" if no_compute else _obstacle(prepared)
        launch = partial(local.run, flow, database=uri, root=folder / "runs", workers=workers, on_event=progress.show)

        def answers(summary: Summary) -> tuple[list[Result], Path | None]:
            with open_database(uri) as store:
                results = results_of(store, summary.uuids)
            page = write_page(
                results, loaded, engine=engine, recipe=chosen, analyses=analyses, reports=folder / "reports"
            )
            return results, page

        if notice and not obstacle:
            _check_engine(prepared, loaded)
            so_far = launch(compute=False)
            if so_far.reused:
                _tell_so_far(*answers(so_far), order=formulas(loaded))
            typer.echo(notice, err=True)
        summary = launch(compute=not obstacle)
    results, page = answers(summary)
    if json:
        typer.echo(_as_json(summary, results, page))
    else:
        _tell(summary, results, page, order=formulas(loaded), obstacle=obstacle)
    if not summary.succeeded:
        raise typer.Exit(1)


def _recipe(name: str, temperatures: str | None) -> Recipe:
    from sodalyte.errors import RecipeError
    from sodalyte.inputs.recipe import Recipe

    recipe = Recipe.load(name)
    if temperatures is None:
        return recipe
    try:
        kelvin = [float(word) for word in temperatures.split(",")]
    except ValueError as error:
        raise RecipeError(
            f"--temperatures {temperatures!r} is not a comma-separated list of numbers, kelvin"
        ) from error
    return recipe.override({"dynamics": {"temperatures": kelvin}}, source="--temperatures")


def _notice(
    flow: Flow,
    materials: Sequence[Material],
    engine: Engine,
    recipe: Recipe,
    analyses: Collection[str],
    database: Database,
) -> str:
    """Say what is finished and what the rest will cost, where an engine takes hours or days: GPAW."""
    from sodalyte.cli.forecast import cost_in_words, estimate, forecast
    from sodalyte.inputs.gpaw import Gpaw
    from sodalyte.inputs.gpaw_cost import UNCERTAINTY

    if not isinstance(engine, Gpaw):
        return ""
    planned = forecast(flow, materials, engine=engine, recipe=recipe, analyses=analyses, database=database)
    count, done = sum(each.segments for each in planned), sum(each.done for each in planned)
    if done == count:
        return ""
    hours = sum(each.left * cost.core_hours for each in planned if (cost := estimate(each)))
    return (
        f"{done} of {count} calculations are finished; the core hours of the others: "
        f"{cost_in_words(hours, UNCERTAINTY)} ('sodalyte plan' lists them, --no-compute does without)"
    )


def _obstacle(engine: Engine) -> str:
    """Say why the engine cannot compute here; empty if it can."""
    from importlib.util import find_spec

    package = getattr(engine, "package", None)
    if package is None or find_spec(package):
        return ""
    return f"{package} is not installed here (scripts/install --with {package})"


def _check_engine(engine: Engine, materials: Sequence[Material]) -> None:
    """Refuse what the engine cannot do, and a command that cannot start it, before calculations fail of it in turn."""
    import os

    from sodalyte.configuration import GPAW_COMMAND
    from sodalyte.errors import ConfigurationError
    from sodalyte.inputs.gpaw import Gpaw
    from sodalyte.inputs.gpaw_checks import check_command

    if not isinstance(engine, Gpaw):
        return
    engine.check_elements(symbol for material in materials for symbol in material.structure.symbol_set)
    command = os.environ.get(GPAW_COMMAND)
    if command and (check := check_command(command)).status == "failed":
        raise ConfigurationError(f"{check.detail}; {check.advice}")


def _as_json(summary: Summary, results: list[Result], page: Path | None) -> str:
    import json

    failures = [{"name": failure.name, "uuid": failure.uuid, "error": failure.error} for failure in summary.failures]
    answer: dict[str, Any] = {
        "report": page and str(page),
        "ran": summary.ran,
        "reused": summary.reused,
        "failures": failures,
        "missing": summary.missing,
        "results": [result.model_dump(mode="json") for result in results],
    }
    return json.dumps(answer, indent=2)


def _tell_so_far(results: list[Result], page: Path | None, *, order: list[str]) -> None:
    """Say what can be answered at once, before calculations that take hours."""
    from sodalyte.report import verdicts

    for sentence in verdicts(results, order=order) if results else ():
        typer.echo(sentence, err=True)
    if page:
        typer.echo(f"that is from what is finished; the report so far is {page}", err=True)


def _tell(summary: Summary, results: list[Result], page: Path | None, *, order: list[str], obstacle: str) -> None:
    from sodalyte.report import verdicts

    if summary.missing:
        shown = ", ".join(summary.missing[:_SHOWN])
        more = f" and {len(summary.missing) - _SHOWN} more" if len(summary.missing) > _SHOWN else ""
        typer.echo(f"not computed ({obstacle}): {shown}{more}", err=True)
    for failure in summary.failures:
        typer.echo(f"failed: {failure.name}: {failure.error} (see {failure.traceback})", err=True)
    for sentence in verdicts(results, order=order) if results else ():
        typer.echo(sentence)
    ending = f"the report is {page}" if page else "there is nothing to report"
    typer.echo(f"{summary.ran} jobs ran, {summary.reused} were there already; {ending}")
