"""Progress of a run on standard error: a live bar in a terminal, elsewhere a line per finished job.

Of a job that tells of its steps the bar shows the latest, and elsewhere there is a line a minute.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from sodalyte.progress import in_words

if TYPE_CHECKING:
    from sodalyte.launchers.local import Event

_PATIENCE = 60.0
"""Seconds between two lines about one job that runs."""


def bar(console: Console, *, live: bool) -> Bar:
    """Return a progress bar that goes away when it is over, with the number of jobs done and a line of text."""
    return Bar(
        SpinnerColumn(),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
        console=console,
        disable=not live,
        transient=True,
    )


class Progress:
    """Show the events of a launcher.

    Parameters
    ----------
    quiet
        Show failures only.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._live = self._console.is_terminal and not quiet
        self._quiet = quiet
        self._running: dict[str, str] = {}
        self._told: dict[str, float] = {}
        self._began = time.monotonic()
        self._bar = bar(self._console, live=self._live)
        self._whole = self._bar.add_task("starting", total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, event: Event) -> None:
        """Show one event."""
        if event.kind == "started":
            self._running[event.task.uuid] = event.task.name
        elif event.kind == "running":
            self._running[event.task.uuid] = f"{event.task.name}, step {in_words(event.progress)}"
        elif event.kind == "held":
            self._running[event.task.uuid] = f"{event.task.name} (by another run)"
        else:
            self._running.pop(event.task.uuid, None)
        self._bar.update(
            self._whole, completed=event.finished, total=event.total, description="; ".join(self._running.values())
        )
        if event.kind in {"failed", "retried"} or (event.kind == "held" and not self._quiet):
            self._console.print(f"{event.kind}: {event.task.name}: {event.error}", markup=False, soft_wrap=True)
        elif event.kind == "finished":
            self._tell(f"[{event.finished}/{event.total}] {event.task.name} ({event.seconds:.1f} s)")
        elif event.kind == "running" and time.monotonic() - self._told.get(event.task.uuid, self._began) > _PATIENCE:
            self._told[event.task.uuid] = time.monotonic()
            self._tell(self._running[event.task.uuid])

    def _tell(self, line: str) -> None:
        """Print a line with the time since the beginning, where no bar shows the same."""
        if not (self._quiet or self._live):
            elapsed = time.monotonic() - self._began
            self._console.print(f"{elapsed:7.1f} s {line}", markup=False, soft_wrap=True)
