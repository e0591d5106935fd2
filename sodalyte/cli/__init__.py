"""The command line: one file per command; heavy imports live inside functions, so that ``--help`` answers at once."""

from __future__ import annotations

import signal
import sys
from typing import Annotated, NoReturn

import typer

from sodalyte import __version__
from sodalyte.cli.compare import compare
from sodalyte.cli.control import cancel, pause, resume, retry
from sodalyte.cli.doctor import doctor
from sodalyte.cli.exchange import export, import_
from sodalyte.cli.plan import plan
from sodalyte.cli.query import query
from sodalyte.cli.rehearse import rehearse
from sodalyte.cli.report import report
from sodalyte.cli.run import run
from sodalyte.cli.status import status
from sodalyte.cli.submit import submit
from sodalyte.cli.sync import sync
from sodalyte.cli.watch import watch
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
app.command()(plan)
app.command()(query)
app.command()(report)
app.command()(compare)
app.command()(rehearse)
app.command()(doctor)
app.command()(export)
app.command(name="import")(import_)
app.command()(submit)
app.command()(status)
app.command()(watch)
app.command()(cancel)
app.command()(retry)
app.command()(pause)
app.command()(resume)
app.command()(sync)


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
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        status = app([word for word in sys.argv[1:] if word != "--debug"], standalone_mode=False)
    except SodalyteError as error:
        if debug:
            raise
        _fail(str(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted; the same command goes on where it stopped", 130)
    except Exception as error:
        if debug or not hasattr(error, "format_message"):
            raise
        _fail(error.format_message(), 2)  # what typer says of wrong usage
    raise SystemExit(status or 0)


def _fail(sentence: str, status: int) -> NoReturn:
    typer.echo(f"error: {sentence}", err=True)
    raise SystemExit(status) from None
