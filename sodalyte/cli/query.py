"""``sodalyte query``: what is known, as a table, JSON or CSV."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from json import dumps
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sodalyte.cli.options import DatabaseOption, JsonOption, WorkspaceOption, database_uri, workspace_path
from sodalyte.errors import UsageError

if TYPE_CHECKING:
    from rich.text import Text

_READABLE = ("material", "polymorph", "property", "T / K", "scheme", "value", "level", "recipe", "status")
_FLAT = (
    *("material", "polymorph", "property", "temperature", "scheme", "value", "uncertainty"),
    *("interval_95.0", "interval_95.1", "unit", "level", "recipe", "status", "reason", "key", "created_at"),
)
_WORDY = ("reason", "level", "guards", "data", "calculations", "uncertainty_basis")
_PIPE_WIDTH = 200


def query(
    terms: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TERM",
            help="FIELD OPERATOR VALUE, best in quotes: 'property = window_width' 'value > 0.05' 'reason ~ hops'. "
            "Operators: = != < <= > >= and ~ for a regular expression; null stands for no value.",
        ),
    ] = None,
    columns: Annotated[str | None, typer.Option(help="Comma-separated fields, such as material,value,data.r2.")] = None,
    sort: Annotated[str | None, typer.Option(help="Comma-separated fields; -FIELD sorts descending.")] = None,
    limit: Annotated[int | None, typer.Option(help="Largest number of results.")] = None,
    json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    database: DatabaseOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """List the results that fulfil all terms."""
    if json and as_csv:
        raise UsageError("--json and --csv exclude each other; give one of them")

    from sodalyte.database import find, open_database

    chosen = _listed(columns) or (list(_FLAT) if as_csv else None)
    with open_database(database_uri(database, workspace_path(workspace)), create=False) as store:
        documents = find(store, terms or (), columns=chosen, sort=_listed(sort), limit=limit)
        if json:
            typer.echo(dumps(documents, indent=2, allow_nan=False))
        elif as_csv:
            _print_csv(documents, chosen or _FLAT)
        else:
            _print_table(documents, chosen, address=store.address)


def _listed(text: str | None) -> list[str] | None:
    return [word.strip() for word in text.split(",") if word.strip()] if text else None


def _print_csv(documents: list[dict[str, Any]], columns: Sequence[str]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_plain(document[column]) for column in columns] for document in documents)


def _print_table(documents: list[dict[str, Any]], columns: Sequence[str] | None, *, address: str) -> None:
    """Print the chosen columns, or those for reading, with reasons and what all results share below them."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    notes = [f"{len(documents)} results in {address}"]
    if columns is None:
        shared = {name for name in ("level", "recipe") if len({document[name] for document in documents}) == 1}
        notes[:0] = [f"{name}: {documents[0][name]}" for name in sorted(shared)]
        columns = [column for column in _READABLE if column not in shared]
        reasons = list(dict.fromkeys(document["reason"] for document in documents if document["reason"]))
        notes[:0] = [f"({number}) {reason}" for number, reason in enumerate(reasons, start=1)]
        if any(document["value"] is not None and document["uncertainty"] is None for document in documents):
            notes.insert(0, "a value without ±: its uncertainty is not known")
        documents = [_readable(document, reasons) for document in documents]
    table = Table(box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, no_wrap=column not in _WORDY, overflow="fold")
    for document in documents:
        table.add_row(*(_literal(_plain(document[column], digits=6)) for column in columns))
    console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH)
    console.print(table)
    for note in notes:
        console.print(_literal(note))


def _readable(document: dict[str, Any], reasons: list[str]) -> dict[str, Any]:
    note = f" ({reasons.index(document['reason']) + 1})" if document["reason"] else ""
    if document["status"] == "ok" and (warnings := sum(not guard["passed"] for guard in document["guards"])):
        note = f", {warnings} warning{'s' if warnings > 1 else ''}"
    return document | {
        "T / K": document["temperature"],
        "value": quantity(document["value"], document["uncertainty"], document["unit"]),
        "status": document["status"] + note,
    }


def quantity(value: float | None, uncertainty: float | None, unit: str) -> str:
    """Write a value with its standard uncertainty, to two significant digits of the uncertainty, and its unit."""
    if value is None:
        return ""
    if uncertainty:
        from uncertainties import ufloat  # type: ignore[import-untyped, unused-ignore]

        number = f"{ufloat(value, uncertainty):.2uP}"
    else:
        number = f"{value:.4g}"
    return number if unit == "1" else f"{number} {unit}"


def _literal(text: str) -> Text:
    """Return text in which nothing is markup or a command to the terminal, whatever was stored in the database."""
    from rich.text import Text

    return Text("".join(char if char.isprintable() else "?" for char in text))


def _plain(value: Any, *, digits: int = 12) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    return value if isinstance(value, str) else dumps(value)
