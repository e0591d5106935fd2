"""``sodalyte rehearse``: a campaign through VASP's whole path, with a stand-in for VASP."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sodalyte.cli.options import JsonOption, WorkspaceOption, workspace_path

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sodalyte.analysis.results import Result
    from sodalyte.inputs.recipe import Recipe
    from sodalyte.launchers.local import Summary
    from sodalyte.launchers.rehearsal.summary import Calculation
    from sodalyte.structures import Material

_PIPE_WIDTH = 120


def rehearse(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="MATERIAL...|CAMPAIGN.yaml", help="Formulas, library ids, structure files; or one campaign file."
        ),
    ],
    model: Annotated[
        str, typer.Option(help="What computes in VASP's place: einstein (instant, no physics) or chgnet.")
    ] = "einstein",
    faults: Annotated[
        Path | None, typer.Option(metavar="FILE", help="YAML file of what goes wrong, and when; nothing if not given.")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="quick, paper or a TOML file; quick, or the campaign's, if not given.")
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated: relaxation, stability, elasticity, diffusion. Everything, or what the campaign asks "
            "for, if not given."
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 2,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Run a screening as it would run with VASP, with a stand-in for it, and tell what ran, failed and was repaired.

    It has its own folder 'rehearsal' in the workspace, with a database of its own. No number of it is a DFT result.
    """
    from sodalyte.cli.pages import formulas, write_page
    from sodalyte.cli.progress import Progress
    from sodalyte.configuration import exported
    from sodalyte.database import open_database, results_of
    from sodalyte.inputs.engine import get_engine
    from sodalyte.launchers import local
    from sodalyte.launchers.identity import identify
    from sodalyte.launchers.rehearsal.memory import read_ledger
    from sodalyte.launchers.rehearsal.preparation import model_engine, prepare
    from sodalyte.launchers.rehearsal.summary import calculations
    from sodalyte.workflows import screen

    engine = model_engine(model)
    loaded, chosen, analyses = _asked_for(targets, recipe, only, workspace_path(workspace))
    rehearsal = prepare(workspace_path(workspace, create=True) / "rehearsal", model=model, faults=faults)
    folder = rehearsal.folder
    uri = f"lite://{folder / 'database'}"
    with exported(rehearsal.environment()), Progress(quiet=json) as progress:
        flow = identify(screen(loaded, engine=get_engine(engine), recipe=chosen, analyses=analyses))
        summary = local.run(flow, database=uri, root=folder / "runs", workers=workers, on_event=progress.show)
    with open_database(uri) as store:
        results = results_of(store, summary.uuids)
        found = calculations(
            read_ledger(rehearsal.memory),
            root=folder / "runs",
            finished=summary.uuids,
            failed={failure.uuid for failure in summary.failures},
            database=store,
        )
    page = write_page(results, loaded, engine=engine, recipe=chosen, analyses=analyses, reports=folder / "reports")
    if json:
        typer.echo(_as_json(summary, results, found, page))
    else:
        _tell(summary, results, found, page, order=formulas(loaded))
    if not summary.succeeded:
        raise typer.Exit(1)


def _asked_for(
    targets: Sequence[str], recipe: str | None, only: str | None, workspace: Path
) -> tuple[list[Material], Recipe, Collection[str]]:
    """Return materials, recipe and analyses: those of the campaign file, unless options say otherwise."""
    from sodalyte.campaign import load_campaign
    from sodalyte.errors import UsageError
    from sodalyte.inputs.recipe import Recipe
    from sodalyte.structures import load
    from sodalyte.workflows import ANALYSES
    from sodalyte.workflows.screening import parse_analyses

    files = [target for target in targets if Path(target).suffix in (".yaml", ".yml")]
    if files and len(targets) > 1:
        raise UsageError(f"{files[0]} is a campaign file; give it alone, or materials only")
    campaign = load_campaign(files[0], workspace=workspace) if files else None
    chosen = Recipe.load(recipe or "quick") if recipe or campaign is None else campaign.load_recipe()
    analyses = parse_analyses(only) if only else (campaign and campaign.analyses) or ANALYSES
    return campaign.load_materials() if campaign else [load(target) for target in targets], chosen, analyses


def _as_json(summary: Summary, results: Sequence[Result], found: Sequence[Calculation], page: Path | None) -> str:
    import json
    from dataclasses import asdict

    from sodalyte.launchers.rehearsal.summary import table

    failures = [{"name": failure.name, "uuid": failure.uuid, "error": failure.error} for failure in summary.failures]
    answer: dict[str, Any] = {
        "rehearsal": True,
        "report": page and str(page),
        "ran": summary.ran,
        "reused": summary.reused,
        "failures": failures,
        "stages": [asdict(row) for row in table(found)],
        "calculations": [{**asdict(item), "folder": str(item.folder)} for item in found],
        "results": [result.model_dump(mode="json") for result in results],
    }
    return json.dumps(answer, indent=2)


def _tell(
    summary: Summary, results: list[Result], found: Sequence[Calculation], page: Path | None, *, order: list[str]
) -> None:
    from sodalyte.report import verdicts

    for failure in summary.failures:
        typer.echo(f"failed: {failure.name}: {failure.error} (see {failure.traceback})", err=True)
    for sentence in verdicts(results, order=order) if results else ():
        typer.echo(sentence)
    _print_table(found)
    ending = f"the report is {page}" if page else "there is nothing to report"
    typer.echo(f"{summary.ran} jobs ran, {summary.reused} were there already; {ending}")


def _print_table(found: Sequence[Calculation]) -> None:
    import sys

    from rich import box
    from rich.console import Console
    from rich.table import Table

    from sodalyte.inputs.vasp.cost import UNCERTAINTY
    from sodalyte.launchers.rehearsal.summary import table

    rows = table(found)
    shown = Table(box=box.SIMPLE_HEAD)
    columns = ("stage", "calculations", "starts", "ionic steps", "went wrong", "repaired", "failed", "steps lost")
    for column in (*columns, "core hours"):
        shown.add_column(column, justify="left" if column in ("stage", "went wrong") else "right")
    for row in rows:
        wrong = ", ".join(f"{fault} {count}x" for fault, count in row.faults.items()) or "nothing"
        before, after = (row.calculations, row.calls, row.ionic_steps), (row.repaired, row.failed, row.lost_steps)
        shown.add_row(row.stage, *map(str, before), wrong, *map(str, after), f"{row.core_hours:.2g}")
    Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(shown)
    for row in rows:
        for repair, count in row.repairs.items():
            typer.echo(f"{row.stage}: {repair} ({count}x)")
    hours, lost = sum(row.core_hours for row in rows), sum(row.lost_steps for row in rows)
    typer.echo(f"ionic steps computed in vain: {lost}")
    typer.echo(
        f"with VASP the same steps take about {hours:.2g} core hours, good to a factor of {UNCERTAINTY:g} either way"
    )
    typer.echo("this was a rehearsal: no number of it is a DFT result")
