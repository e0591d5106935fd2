"""What ``sodalyte watch`` sees, and how it is drawn: never more rows than the terminal has."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sodalyte.cli.query import _literal
from sodalyte.cli.status import sentence_of, states_table
from sodalyte.errors import DatabaseError, UsageError
from sodalyte.progress import in_words

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from sodalyte.database import Database
    from sodalyte.launchers.fireworks.budget import Budget
    from sodalyte.launchers.fireworks.overview import Throughput, Trouble
    from sodalyte.launchers.fireworks.records import Running

THROUGHPUT_EVERY = 10.0
"""Seconds for which throughput and core hours are taken as unchanged."""

TRAJECTORIES_PER_LOOK = 2
"""Trajectories that are read between two drawings, at most."""

MOST_CAMPAIGNS = 8
MOST_FAILURES = 3
MOST_LINES = 20
_HEAD = 2
"""Rows of a table's head."""

_COLUMNS = ("job", "where", "step", "T / K", "ps/day", "left", "D / cm²/s")


@dataclass(frozen=True)
class Snapshot:
    """What was seen at one moment; ``diffusivities`` by the uuid of the running job."""

    counts: dict[tuple[str, ...], Counter[str]] = field(default_factory=dict)
    running: list[Running] = field(default_factory=list)
    diffusivities: dict[str, str] = field(default_factory=dict)
    failures: list[Trouble] = field(default_factory=list)
    throughput: Throughput | None = None
    budget: Budget | None = None
    note: str = ""

    @property
    def over(self) -> bool:
        """Whether nothing runs and nothing is ready."""
        states = sum(self.counts.values(), Counter())
        return not self.note and not states["READY"] and not states["RUNNING"]


class Observer:
    """Looks at the database again and again, with few questions that indexes answer.

    Parameters
    ----------
    folder
        The workspace.
    planned
        Core hours, in place of those that were planned when the campaign was submitted.
    """

    def __init__(self, store: Database, campaign: str | None, folder: Path, *, planned: float | None = None) -> None:
        from sodalyte.launchers.fireworks.overview import Overview
        from sodalyte.launchers.fireworks.running_dynamics import DynamicsReader

        self._store = store
        self._overview = Overview(store, campaign)
        self._reader = DynamicsReader(store, folder / "trajectories")
        self._planned = planned
        self._last = Snapshot()
        self._measured = -THROUGHPUT_EVERY

    def look(self) -> Snapshot:
        """Return what is to be seen now; what was seen last, with a note, while the database is away."""
        try:
            with self._store.answering():
                self._last = self._look()
        except DatabaseError as error:
            self._last = replace(self._last, note=f"{error}; trying again")
        return self._last

    def _look(self) -> Snapshot:
        running = self._overview.running()
        throughput, budget = self._last.throughput, self._last.budget
        if throughput is None or time.monotonic() - self._measured >= THROUGHPUT_EVERY:
            throughput, budget = self._overview.throughput(), self._budget()
            self._measured = time.monotonic()
        return Snapshot(
            counts=self._overview.counts(),
            running=running,
            diffusivities=dict(self._diffusivities(running)),
            failures=self._overview.failures(limit=MOST_FAILURES),
            throughput=throughput,
            budget=budget,
        )

    def _budget(self) -> Budget | None:
        from sodalyte.launchers.fireworks.budget import Budget, budget_of, together

        if self._planned is not None:
            return Budget(self._planned, "--plan")
        return together([budget_of(self._store, name) for name in self._overview.names()])

    def _diffusivities(self, running: list[Running]) -> Iterator[tuple[str, str]]:
        read = 0
        for run in running:
            told = run.progress.get("diffusivity")
            if told is not None:
                yield run.uuid, f"{told:.1e}" if isinstance(told, (int, float)) else str(told)
            elif run.stage == "dynamics":
                known = self._last.diffusivities.get(run.uuid)
                if known is None and read < TRAJECTORIES_PER_LOOK:
                    read += 1
                    found = self._reader.of(run.fw_id)
                    known = "" if found is None else str(found)
                if known is not None:
                    yield run.uuid, known


def planned_core_hours(path: Path) -> float:
    """Return the core hours in a file that ``sodalyte plan --json`` printed.

    Raises
    ------
    UsageError
        The file is not one.
    """
    try:
        return float(json.loads(path.read_text())["core_hours"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"--plan: {path} is not what 'sodalyte plan --json' prints for VASP") from error


def screen(snapshot: Snapshot, *, height: int) -> Group:
    """Return the view for a terminal of ``height`` rows, at least ten."""
    from rich.console import Group

    campaigns = min(len(snapshot.counts), MOST_CAMPAIGNS, max(height // 4, 1))
    failures = snapshot.failures[: max((height - 12) // 4, 0)]
    below = [summary(snapshot), *map(sentence_of, failures), *([snapshot.note] if snapshot.note else [])]
    taken = campaigns + (len(snapshot.counts) > 1) + 2 * _HEAD + len(below) + 2
    ordered = by_interest(snapshot.running)
    shown = ordered[: max(height - taken, 1)]
    parts: list[Any] = [states_table(("campaign",), snapshot.counts, most=campaigns), ""]
    if shown:
        parts.append(_running_table(snapshot, shown))
    if len(shown) < len(ordered):
        below.insert(0, f"{len(ordered) - len(shown)} more are running")
    return Group(*parts, *map(_line, below))


def by_interest(running: list[Running]) -> list[Running]:
    """Return running jobs in an order that changes little: the dynamics first, then the longest running."""
    return sorted(running, key=lambda run: (run.stage != "dynamics", run.started))


def lines(snapshot: Snapshot) -> list[str]:
    """Return the same as plain sentences."""
    from sodalyte.launchers.fireworks.overview import ordered

    told = [
        f"{place[0] or 'no campaign'}: "
        + ", ".join(f"{number} {state.lower()}" for state, number in ordered(states).items())
        for place, states in snapshot.counts.items()
    ]
    told = told[:MOST_LINES] or ["there are no jobs"]
    for run in by_interest(snapshot.running)[:MOST_LINES]:
        named = zip(_COLUMNS[2:], _cells(snapshot, run)[2:], strict=True)
        told.append(f"{run.name} {_where(run)}: " + ", ".join(f"{name} {cell}" for name, cell in named if cell))
    if len(snapshot.running) > MOST_LINES:
        told.append(f"{len(snapshot.running) - MOST_LINES} more are running")
    told += [sentence_of(trouble) for trouble in snapshot.failures]
    return [*told, summary(snapshot), *([snapshot.note] if snapshot.note else [])]


def summary(snapshot: Snapshot) -> str:
    """Return throughput and core hours in a sentence."""
    done = snapshot.throughput
    if done is None:
        return "nothing is known about throughput yet"
    rate = f"{done.per_hour:.0f} jobs/h over the last {done.window:g} h"
    if done.core_hours is None:
        used = f"{done.job_hours:.1f} job hours used"
    else:
        used = f"{done.core_hours:.1f} core hours used"
    return f"{rate}; {used}{against(done.core_hours, snapshot.budget)}"


def against(core_hours: float | None, budget: Budget | None) -> str:
    """Return how core hours that were used compare with those planned, as the rest of a sentence."""
    if budget is None:
        return ""
    if budget.core_hours is None:
        return f", none planned: {budget.basis}"
    share = f" ({100 * core_hours / budget.core_hours:.0f} %)" if core_hours and budget.core_hours else ""
    return f" of about {budget.core_hours:.1f} core hours planned{share}"


def seconds_left(run: Running) -> float | None:
    """Return how long a running job still takes at its present pace, None where that is not known."""
    step, steps = run.progress.get("step"), run.progress.get("of")
    if not step or not steps or not run.started:
        return None
    elapsed = (datetime.fromisoformat(run.heartbeat) - datetime.fromisoformat(run.started)).total_seconds()
    return max(steps - step, 0) * elapsed / step if elapsed > 0 else None


def _running_table(snapshot: Snapshot, runs: list[Running]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for number, column in enumerate(_COLUMNS):
        table.add_column(column, justify="left" if number < 2 else "right", no_wrap=True, overflow="ellipsis")
    for run in runs:
        table.add_row(*map(_literal, _cells(snapshot, run)))
    return table


def _cells(snapshot: Snapshot, run: Running) -> tuple[str, ...]:
    progress = run.progress
    left = seconds_left(run)
    return (
        run.name,
        _where(run),
        in_words(progress),
        _number(progress.get("temperature"), ".0f"),
        _number(progress.get("ps_per_day"), ".3g"),
        "" if left is None else _duration(left),
        snapshot.diffusivities.get(run.uuid, ""),
    )


def _where(run: Running) -> str:
    node = run.node or run.host
    return f"{run.slurm_job}@{node}" if run.slurm_job else node


def _number(value: Any, style: str) -> str:
    return format(value, style) if isinstance(value, (int, float)) else ""


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min" if minutes else f"{seconds:.0f} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d}" if hours < 48 else f"{hours / 24:.1f} d"


def _line(text: str) -> Any:
    literal = _literal(text)
    literal.no_wrap, literal.overflow = True, "ellipsis"
    return literal
