"""``sodalyte sync``: deliver results that were kept on disk while the database was away."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sodalyte.cli.options import DatabaseOption, JsonOption, WorkspaceOption, database_uri, workspace_path


def sync(
    root: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the runs; 'runs' in the workspace if not given.")
    ] = None,
    database: DatabaseOption = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Store what jobs finished while the database could not be reached; doing it again changes nothing."""
    from sodalyte.database import open_database
    from sodalyte.launchers.fireworks import spool

    folder = workspace_path(workspace)
    with open_database(database_uri(database, folder)) as store:
        delivered = spool.deliver(store, root.absolute() if root else folder / "runs")
    if json:
        from json import dumps

        paths = {"damaged": delivered.damaged, "refused": [path for path, _ in delivered.refused]}
        typer.echo(
            dumps({"delivered": delivered.jobs} | {kind: list(map(str, found)) for kind, found in paths.items()})
        )
    else:
        typer.echo(f"{delivered.jobs} finished jobs delivered")
        for path in delivered.damaged:
            typer.echo(f"damaged, its job has to run again: {path}", err=True)
        for path, reason in delivered.refused:
            typer.echo(f"refused by the database ({reason}): {path}", err=True)
    if delivered.damaged or delivered.refused:
        raise typer.Exit(1)
