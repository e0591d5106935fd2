"""The command line: one file per command; heavy imports live inside functions, so that ``--help`` answers at once."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from sodalyte import __version__
from sodalyte.cli.query import query
from sodalyte.cli.report import report
from sodalyte.cli.run import run
from sodalyte.errors import SodalyteError

app = typer.Typer(
    name="sodalyte",
    help="Is a sodium sulfide a good solid electrolyte, and how sure are we?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(run)
app.command()(query)
app.command()(report)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sodalyte {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; an error is one sentence, unless ``--debug`` is given anywhere."""
    debug = "--debug" in sys.argv
    arguments = ["--debug", *(word for word in sys.argv[1:] if word != "--debug")] if debug else sys.argv[1:]
    try:
        app(arguments)
    except SodalyteError as error:
        if debug:
            raise
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        typer.echo("interrupted; the same command goes on where it stopped", err=True)
        raise SystemExit(130) from None
