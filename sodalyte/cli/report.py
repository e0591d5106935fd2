"""``sodalyte report``: what is stored, as a page to read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sodalyte.cli.options import DatabaseOption, JsonOption, WorkspaceOption, database_uri, workspace_path


def report(
    terms: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TERM]...",
            help="Report only results that fulfil all terms, as in query: 'material = Na3SbS4' 'recipe = paper'.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="DIR", help="Folder of the page; reports/all in the workspace if not given."),
    ] = None,
    show: Annotated[bool, typer.Option("--open/--no-open", help="Show the page in the browser.")] = False,
    database: DatabaseOption = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Write an HTML report of stored results, its figures also as SVG and PDF."""
    folder = workspace_path(workspace)

    from sodalyte.database import load_results, open_database
    from sodalyte.report import verdicts, write_report

    with open_database(database_uri(database, folder), create=False) as store:
        results = load_results(store, *(terms or ()))
    page = write_report(results, output or folder / "reports" / "all", title="Sodium solid electrolytes")
    if json:
        typer.echo(_as_json(page, verdicts(results)))
    else:
        for sentence in verdicts(results):
            typer.echo(sentence)
        typer.echo(f"the report is {page}")
    if show:
        typer.launch(page.absolute().as_uri())


def _as_json(page: Path, sentences: list[str]) -> str:
    import json

    return json.dumps({"report": str(page), "verdicts": sentences}, indent=2)
