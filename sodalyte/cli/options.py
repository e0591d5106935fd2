"""Options that several commands share: a flag wins over the environment, and that over the default."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from sodalyte.errors import WorkspaceError

MaterialsArgument = Annotated[
    list[str],
    typer.Argument(metavar="MATERIAL...", help="A formula (Na3SbS4), a library id (Na3SbS4_c) or a structure file."),
]
OnlyOption = Annotated[
    str | None,
    typer.Option(
        "--only", help="Comma-separated: relaxation, stability, elasticity, diffusion. Everything if not given."
    ),
]
StartFromOption = Annotated[
    str | None,
    typer.Option("--start-from", metavar="ENGINE", help="Relax first with this potential, to spare gpaw steps."),
]
WorkspaceOption = Annotated[
    Path | None,
    typer.Option(
        "--workspace",
        metavar="DIR",
        envvar="SODALYTE_WORKSPACE",
        help="Folder of runs, trajectories and reports; ./sodalyte-work if not given.",
    ),
]
DatabaseOption = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="URI",
        envvar="SODALYTE_DATABASE",
        help="lite://DIR or mongodb://...; if not given that of sodalyte.toml, else the folder 'database' of the "
        "workspace. An address with a password belongs into the environment variable.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def workspace_path(workspace: Path | None, *, create: bool = False) -> Path:
    """Return the workspace folder; with ``create`` make it, and make sure that it can be written.

    Raises
    ------
    WorkspaceError
        The folder cannot be created or written.
    """
    folder = (workspace or Path("sodalyte-work")).absolute()
    if create:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise WorkspaceError(f"the workspace {folder} cannot be written ({reason}); name another one") from error
    return folder


def database_uri(database: str | None, workspace: Path) -> str:
    """Return the address of the database: the one given, that of the configuration, or the workspace's own.

    Raises
    ------
    ConfigurationError
        The configuration or its credentials file cannot be read.
    """
    from sodalyte.configuration import database_address, load_configuration

    return database or database_address(load_configuration(workspace), workspace)
