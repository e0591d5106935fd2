"""``sodalyte watch``: campaigns as they run, in a terminal or, elsewhere, as plain lines."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sodalyte.cli.options import DatabaseOption, WorkspaceOption, database_uri, workspace_path
from sodalyte.cli.status import CampaignArgument, known_campaigns

if TYPE_CHECKING:
    from rich.console import Console

    from sodalyte.cli.watching import Observer, Snapshot

_FRAME = 0.5
"""Seconds between two drawings, in which a terminal that changed its size is noticed."""


def watch(
    campaign: CampaignArgument = None,
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks at the database.")] = 5.0,
    once: Annotated[bool, typer.Option("--once", help="Look once and end.")] = False,
    plan: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What 'sodalyte plan --json' printed: core hours used against planned."),
    ] = None,
    database: DatabaseOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Show running campaigns until they are over: progress of the dynamics, throughput, core hours, failures.

    Ctrl-C ends the view, not the campaign.
    """
    from rich.console import Console

    from sodalyte.cli.watching import Observer, planned_core_hours
    from sodalyte.database import open_database
    from sodalyte.launchers.fireworks.overview import Overview

    folder = workspace_path(workspace)
    planned = planned_core_hours(plan) if plan else None
    console = Console(highlight=False)
    with open_database(database_uri(database, folder), create=False) as store:
        with store.answering():
            known_campaigns(Overview(store, campaign))
        observer = Observer(store, campaign, folder, planned=planned)
        try:
            if once or not console.is_terminal:
                _print_lines(observer, console, interval=interval, once=once)
            else:
                _show_live(observer, console, interval=interval)
        except KeyboardInterrupt:
            return


def _print_lines(observer: Observer, console: Console, *, interval: float, once: bool) -> None:
    from sodalyte.cli.watching import lines

    said: list[str] = []
    while True:
        snapshot = observer.look()
        told = lines(snapshot)
        if told != said:
            moment = time.strftime("%H:%M:%S")
            for line in told:
                console.print(f"{moment} {line}", markup=False, soft_wrap=True)
            said = told
        if once or snapshot.over:
            return
        time.sleep(interval)


def _show_live(observer: Observer, console: Console, *, interval: float) -> None:
    from rich.live import Live

    from sodalyte.cli.watching import lines, screen

    snapshot: Snapshot = observer.look()
    with Live(console=console, screen=True, auto_refresh=False, transient=True) as live:
        looked = time.monotonic()
        while not snapshot.over:
            live.update(screen(snapshot, height=console.size.height), refresh=True)
            time.sleep(_FRAME)
            if time.monotonic() - looked >= interval:
                snapshot, looked = observer.look(), time.monotonic()
    for line in lines(snapshot):
        console.print(line, markup=False, soft_wrap=True)
