"""``sodalyte export`` and ``sodalyte import``: results move between databases in one file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sodalyte.cli.options import DatabaseOption, JsonOption, WorkspaceOption, database_uri, workspace_path

if TYPE_CHECKING:
    from sodalyte.database.exchange import Moved


def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="To write, such as results.jsonl.gz.")],
    terms: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TERM]...", help="Export only results that fulfil all terms, as in query."),
    ] = None,
    calculations: Annotated[
        bool, typer.Option("--calculations", help="Export the calculations that they rest on too.")
    ] = False,
    database: DatabaseOption = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Write results to one checksummed file, for 'sodalyte import' elsewhere."""
    from sodalyte.database import open_database
    from sodalyte.database.exchange import export_results

    with open_database(database_uri(database, workspace_path(workspace)), create=False) as store:
        moved = export_results(store, file.absolute(), terms or (), calculations=calculations)
    if json:
        _print_json(moved, file)
    else:
        typer.echo(f"{moved.results} results and {moved.calculations} calculations of {store.address} are in {file}")


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Written by 'sodalyte export'.")],
    database: DatabaseOption = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Add the results of an exported file to the database; importing again changes nothing."""
    from sodalyte.database import open_database
    from sodalyte.database.exchange import import_results

    with open_database(database_uri(database, workspace_path(workspace))) as store:
        moved = import_results(store, file.absolute())
    if json:
        _print_json(moved, file)
    else:
        typer.echo(
            f"{moved.new_results} of {moved.results} results and {moved.new_calculations} of {moved.calculations} "
            f"calculations were new to {store.address}"
        )


def _print_json(moved: Moved, file: Path) -> None:
    from dataclasses import asdict
    from json import dumps

    typer.echo(dumps({"file": str(file)} | asdict(moved), indent=2))
