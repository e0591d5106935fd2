"""``sodalyte compare``: engines, the paper, the Materials Project and experiment side by side."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sodalyte.cli.options import DatabaseOption, JsonOption, WorkspaceOption, database_uri, workspace_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console
    from rich.text import Text

    from sodalyte.report.calibration import Answer
    from sodalyte.report.side_by_side import Number, Row, Table

_PIPE_WIDTH = 200


def compare(
    materials: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MATERIAL]...",
            help="Formulas (Na3SbS4: every polymorph), library ids (Na3SbS4_c) or structure files; all if not given.",
        ),
    ] = None,
    properties: Annotated[
        list[str] | None,
        typer.Option(
            "--property",
            metavar="NAME",
            help="Such as bulk_modulus; give it again for more. Not given: all calibrated.",
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="Source of which differences are given: experiment, paper, mp, literature or the beginning of an "
            "engine's name, such as gpaw. Not given: the best of each row.",
        ),
    ] = None,
    windows: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the windows too; FILE ends in .svg or .pdf.")
    ] = None,
    database: DatabaseOption = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Set engines, the paper, the Materials Project and experiment side by side.

    Takes the results of the store, if there is one, and those that ship with sodalyte.
    """
    from sodalyte.report.calibration import shipped
    from sodalyte.report.known_errors import CALIBRATED
    from sodalyte.report.side_by_side import side_by_side

    folder = workspace_path(workspace)
    uri = database_uri(database, folder)
    answers = [*_stored(uri, required=uri != f"lite://{folder / 'database'}"), *shipped()]
    names = _known(properties, answers) if properties else [*CALIBRATED]
    wanted = _wanted(materials, answers)
    tables = side_by_side(answers, properties=names, wanted=wanted, to=to)
    if windows is not None:
        _draw(windows, answers, wanted)
    if json:
        typer.echo(_as_json(tables))
    else:
        _print(tables)


def _stored(uri: str, *, required: bool) -> list[Answer]:
    """Return what the store answers; nothing where none is required and none has been made yet."""
    from sodalyte.database import find, open_database
    from sodalyte.report.calibration import Answer, expanded

    if not required and not Path(uri.removeprefix("lite://")).exists():
        return []
    with open_database(uri, create=False) as store:
        answers = [Answer.of_document(document) for document in find(store)]
    return [each for answer in answers if not answer.result.is_rehearsal for each in expanded(answer)]


def _known(properties: list[str], answers: list[Answer]) -> list[str]:
    """Return the properties asked for, if something is known of each."""
    from sodalyte.errors import UsageError, suggestion
    from sodalyte.report.reference import published

    known = {answer.result.property for answer in answers} | {fact.property for fact in published()}
    for name in properties:
        if name not in known:
            raise UsageError(f"nothing is known of the property {name!r}; {suggestion(name, known)}")
    return list(dict.fromkeys(properties))


def _wanted(materials: list[str] | None, answers: list[Answer]) -> Callable[[str, str | None], bool]:
    """Return what tells whether a row is wanted: its formula, and its polymorph where one was asked for."""
    formulas = {answer.result.material for answer in answers}
    if not materials:
        return lambda material, _: material in formulas

    from sodalyte.structures import load

    asked: dict[str, set[str | None]] = {}
    for name in materials:
        if name in formulas:  # also of crystals without sodium, which no run takes
            asked.setdefault(name, set()).add(None)
            continue
        material = load(name)
        any_polymorph = material.path is None and name.strip() != material.id
        asked.setdefault(material.formula, set()).add(None if any_polymorph else material.variant)

    def wanted(material: str, polymorph: str | None) -> bool:
        polymorphs = asked.get(material, set())
        return bool(polymorphs) and (polymorph is None or None in polymorphs or polymorph in polymorphs)

    return wanted


def _draw(path: Path, answers: list[Answer], wanted: Callable[[str, str | None], bool]) -> None:
    from sodalyte.analysis.figures import render
    from sodalyte.errors import UsageError, WorkspaceError
    from sodalyte.report.windows import windows_picture

    formats: dict[str, Literal["svg", "pdf"]] = {".svg": "svg", ".pdf": "pdf"}
    if path.suffix not in formats:
        raise UsageError(f"--windows: {path} is not drawn; name a file that ends in .svg or .pdf")
    drawn = render(windows_picture(answers, wanted=wanted), formats[path.suffix])
    try:
        path.write_bytes(drawn)
    except OSError as error:
        raise WorkspaceError(f"--windows: {path} cannot be written ({error.strerror}); name another file") from error


def _as_json(tables: tuple[Table, ...]) -> str:
    from dataclasses import asdict
    from json import dumps

    def number(table: Table, row: Row, number: Number) -> dict[str, Any]:
        more = {
            "baseline": number is row.baseline,
            "difference": row.difference(number),
            "difference_percent": table.relative(row, number),
        }
        return asdict(number) | more

    def row(table: Table, row: Row) -> dict[str, Any]:
        conditions = {name: getattr(row, name) for name in ("material", "polymorph", "scheme", "temperature")}
        return conditions | {"numbers": [number(table, row, each) for each in row.numbers]}

    return dumps(
        [
            {"property": table.property, "unit": table.unit, "rows": [row(table, each) for each in table.rows]}
            for table in tables
        ],
        indent=2,
        allow_nan=False,
    )


def _print(tables: tuple[Table, ...]) -> None:
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, highlight=False)
    for table in tables:
        _print_table(console, table)
    if tables:
        console.print("* what differences are taken to   – nothing known   numbers without a note: recipe paper")
    else:
        console.print("nothing is known of these properties of these materials")


def _print_table(console: Console, table: Table) -> None:
    """Print one table; below it the notes of its numbers, and how far its engines are known to be off."""
    from rich import box
    from rich.table import Table as Printed

    from sodalyte.report.known_errors import sentence
    from sodalyte.report.side_by_side import sheet

    title = f"{table.property}, {table.unit}" if table.unit != "1" else table.property
    printed = Printed(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold")
    written = sheet(table)
    for heading in written.header:
        printed.add_column(heading, no_wrap=True)
    for cells in written.rows:
        printed.add_row(*map(_literal, cells))
    console.print(printed)
    for position, note in enumerate(written.notes, start=1):
        console.print(_literal(f"({position}) {note}"))
    levels = dict.fromkeys(number.level for row in table.rows for number in row.numbers if number.level)
    for level in levels:
        console.print(_literal(sentence(level, table.property)))
    console.print()


def _literal(text: str) -> Text:
    """Return text in which nothing is markup or a command to the terminal, whatever was stored in the database."""
    from rich.text import Text

    plain = text.replace("\xa0", " ")
    return Text("".join(char if char.isprintable() or char == "\n" else "?" for char in plain))
