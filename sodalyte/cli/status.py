"""``sodalyte status``: how campaigns stand, and why something failed."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sodalyte.cli.options import DatabaseOption, JsonOption, WorkspaceOption, database_uri, workspace_path

if TYPE_CHECKING:
    from pathlib import Path

    from rich.table import Table

    from sodalyte.database import Database
    from sodalyte.launchers.fireworks.overview import Overview, Trouble
    from sodalyte.launchers.slurm.settings import State

MOST_ROWS = 200
MOST_REASONS = 20
MOST_CAMPAIGNS = 20


class By(StrEnum):
    """By what the jobs are counted."""

    MATERIAL = "material"
    STAGE = "stage"
    STATE = "state"


CampaignArgument = Annotated[
    str | None, typer.Argument(metavar="[CAMPAIGN]", help="Name of a campaign; all of them if not given.")
]


def status(
    campaign: CampaignArgument = None,
    by: Annotated[By | None, typer.Option(help="Count the jobs of each material, stage or state.")] = None,
    reconcile: Annotated[
        bool, typer.Option("--reconcile", help="Ask Slurm first, and give back what has lost its process.")
    ] = False,
    database: DatabaseOption = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Show the jobs of campaigns by state, what runs where, and why jobs failed."""
    from sodalyte.database import open_database
    from sodalyte.launchers.fireworks.overview import Overview

    folder = workspace_path(workspace)
    with open_database(database_uri(database, folder), create=False) as store, store.answering():
        overview = Overview(store, campaign)
        names = known_campaigns(overview)
        lost = [sentence for name in names for sentence in _reconcile(store, folder, name)] if reconcile else []
        if json:
            typer.echo(_as_json(store, overview, names, by, lost, folder))
        else:
            _tell(store, overview, names, by, lost, folder)


def known_campaigns(overview: Overview) -> list[str]:
    """Return the names of the campaigns that are looked at.

    Raises
    ------
    CampaignError
        There is none of that name.
    """
    from sodalyte.errors import CampaignError, suggestion

    names = overview.campaigns()
    if overview.campaign is None:
        return names
    if overview.campaign not in names:
        known = suggestion(overview.campaign, names) if names else "it holds none; 'sodalyte submit' adds one"
        raise CampaignError(f"the database holds no campaign {overview.campaign!r}; {known}")
    return [overview.campaign]


def _reconcile(store: Database, folder: Path, campaign: str) -> list[str]:
    """Let this machine's Slurm say which running jobs have no process any more; return what was found, in sentences.

    Raises
    ------
    ClusterError
        Slurm does not answer.
    """
    from sodalyte.errors import ClusterError
    from sodalyte.launchers.fireworks import Launchpad
    from sodalyte.launchers.slurm.queue import Queue, UnreachableError
    from sodalyte.launchers.slurm.reconcile import Reconciler
    from sodalyte.launchers.slurm.settings import load_all, load_state

    queue = Queue()
    found = []
    try:
        for settings in load_all(folder / "runs", campaign):
            state = load_state(settings.folder)
            if state is not None and state.slurm == queue.cluster:
                reconciler = Reconciler(Launchpad(store), queue, campaign=campaign, folder=settings.folder)
                found += [lost.sentence for lost in reconciler.reconcile()]
    except UnreachableError as error:
        raise ClusterError(f"Slurm does not answer: {error}; leave out --reconcile to see what is known") from error
    return found


def _fields(by: By | None) -> tuple[str, ...]:
    return ("campaign",) if by in (None, By.STATE) else ("campaign", str(by))


def _managers(folder: Path, campaign: str) -> dict[str, State]:
    """Return what the managers of a campaign last wrote, by the name of their cluster."""
    from sodalyte.launchers.slurm.settings import load_all, load_state

    found = {settings.cluster_name: load_state(settings.folder) for settings in load_all(folder / "runs", campaign)}
    return {cluster: state for cluster, state in found.items() if state is not None}


def _core_hours(store: Database, campaign: str) -> dict[str, Any]:
    """Return the core hours of a campaign: used, planned, and what the plan rests on."""
    from sodalyte.launchers.fireworks.budget import budget_of
    from sodalyte.launchers.fireworks.overview import Overview

    budget = budget_of(store, campaign)
    return {
        "used": Overview(store, campaign).throughput().core_hours,
        "planned": budget.core_hours if budget else None,
        "basis": budget.basis if budget else None,
    }


def _as_json(
    store: Database, overview: Overview, names: list[str], by: By | None, lost: list[str], folder: Path
) -> str:
    from json import dumps

    from sodalyte.launchers.fireworks.overview import ordered, total

    fields = _fields(by)
    counts = overview.counts(fields)
    return dumps(
        {
            "campaigns": names,
            "states": ordered(total(counts)),
            "groups": [
                dict(zip(fields, place, strict=True)) | {"states": ordered(states)} for place, states in counts.items()
            ],
            "running": [asdict(run) for run in overview.running()],
            "core_hours": {name: _core_hours(store, name) for name in names[:MOST_CAMPAIGNS]},
            "failed": [asdict(trouble) for trouble in overview.failures(limit=MOST_REASONS)],
            "blocked": [asdict(trouble) for trouble in overview.blocked(limit=MOST_REASONS)],
            "managers": {
                name: {cluster: asdict(state) for cluster, state in found.items()}
                for name in names
                if (found := _managers(folder, name))
            },
            "reconciled": lost,
        },
        indent=2,
    )


def _tell(store: Database, overview: Overview, names: list[str], by: By | None, lost: list[str], folder: Path) -> None:
    import sys

    from rich.console import Console

    from sodalyte.cli.query import _literal

    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    if not names:
        console.print("the database holds no campaign; 'sodalyte submit' adds one")
        return
    for sentence in lost:
        console.print(_literal(sentence))
    fields = _fields(by)
    counts = overview.counts(fields)
    console.print(states_table(fields, counts, most=MOST_ROWS))
    if len(counts) > MOST_ROWS:
        console.print(f"{len(counts) - MOST_ROWS} more; --json shows all")
    runs = overview.running()
    if jobs := Counter(run.slurm_job or run.host for run in runs):
        console.print(_literal("running in " + ", ".join(_place(job, number) for job, number in jobs.most_common(10))))
    for name in names:
        for cluster, state in _managers(folder, name).items():
            allocations = ", ".join(f"{number} {what.lower()}" for what, number in state.allocations.items())
            text = f"{name} on {cluster}: {state.state}; allocations: {allocations or 'none'}"
            console.print(_literal(f"{text}; {state.message}" if state.message else text))
    for name in names[:MOST_CAMPAIGNS]:
        if told := _cost_in_words(_core_hours(store, name)):
            console.print(_literal(f"{name}: {told}"), soft_wrap=True)
    for trouble in (*overview.failures(limit=MOST_REASONS), *overview.blocked(limit=MOST_REASONS)):
        console.print(_literal(sentence_of(trouble)), soft_wrap=True)


def _cost_in_words(core_hours: dict[str, Any]) -> str:
    from sodalyte.cli.watching import against
    from sodalyte.launchers.fireworks.budget import Budget

    used, basis = core_hours["used"], core_hours["basis"]
    if used is None:
        return ""
    told = f"{used:.1f} core hours used"
    if basis is None:
        return told
    planned = Budget(core_hours["planned"], basis)
    return told + against(used, planned) + (f"; {basis}" if planned.core_hours is not None else "")


def _place(job: str, number: int) -> str:
    where = f"Slurm job {job}" if job.partition("_")[0].isdecimal() else job
    return f"{where} ({number})"


def sentence_of(trouble: Trouble) -> str:
    """Write a failure as one line: what, why, and where it was."""
    where = f" [Slurm job {trouble.slurm_job} on {trouble.node}]" if trouble.slurm_job else ""
    attempts = f"{trouble.attempts} attempt" + ("s" if trouble.attempts > 1 else "")
    verb = "waits" if trouble.cause == "blocked" else f"failed after {attempts}: {trouble.cause}"
    return f"{trouble.name} ({trouble.material or trouble.campaign}) {verb}: {trouble.reason}{where}"


def states_table(fields: tuple[str, ...], counts: dict[tuple[str, ...], Counter[str]], *, most: int) -> Table:
    """Return a table of the number of jobs in each state, with a row for all when there are several."""
    from rich import box
    from rich.table import Table

    from sodalyte.cli.query import _literal
    from sodalyte.launchers.fireworks.overview import ordered, total

    everything = total(counts)
    states = list(ordered(everything))
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for field in fields:
        table.add_column(field, overflow="ellipsis")
    for state in states:
        table.add_column(state.lower(), justify="right", no_wrap=True)
    table.add_column("all", justify="right", no_wrap=True)

    def cells(number: Counter[str]) -> list[str]:
        return [*(str(number[state] or "") for state in states), str(number.total())]

    for place, number in list(counts.items())[:most]:
        table.add_row(*map(_literal, place), *cells(number))
    if len(counts) > 1:
        table.add_row(*_together(fields), *cells(everything), style="bold")
    return table


def _together(fields: tuple[str, ...]) -> list[Any]:
    return ["all", *[""] * (len(fields) - 1)]
