"""``sodalyte submit``: a campaign on a cluster."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sodalyte.cli.options import DatabaseOption, JsonOption, WorkspaceOption, database_uri, workspace_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobflow import Flow

    from sodalyte.campaign import Campaign
    from sodalyte.configuration import Cluster, Configuration
    from sodalyte.database import Database
    from sodalyte.launchers.fireworks import Added
    from sodalyte.launchers.slurm.settings import Settings, State

MOST_ESTIMATED = 400
"""Calculations whose inputs are made for the estimate of core hours, at most: an even sample of a large campaign."""


def submit(
    campaign: Annotated[Path, typer.Argument(metavar="CAMPAIGN.yaml", help="The campaign file.")],
    cluster: Annotated[str, typer.Option(metavar="NAME", help="A cluster of sodalyte.toml.")],
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Allocations of this campaign that wait or run at any time, at most; the cluster's max_queued if not "
            "given. Given again while the campaign runs, it changes their number.",
        ),
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return at once; the campaign is managed in the background.")
    ] = False,
    database: DatabaseOption = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Put a campaign on a Slurm cluster and see it through; the same command goes on with one that was interrupted.

    What is finished or queued already is not added again. Allocations that are queued work on without this command; it
    submits more as there is work for them, and finds out what became of jobs that were lost.
    """
    from sodalyte.campaign import load_campaign
    from sodalyte.configuration import load_configuration
    from sodalyte.database import open_database
    from sodalyte.launchers.slurm.manager import set_workers

    folder = workspace_path(workspace, create=True)
    configuration = load_configuration(folder)
    table = configuration.cluster(cluster)
    _check_time(cluster, table)
    if workspace is None and table.workspace is not None:
        folder = workspace_path(table.workspace, create=True)
    uri = _server(database_uri(database, folder))
    chosen = load_campaign(campaign, workspace=folder)
    if chosen.engine == "vasp":
        _check_potcars(configuration, table)
    settings = _settings(chosen, cluster, table, configuration, uri, folder)
    with open_database(uri) as store:
        added = _add(chosen, settings, store)
        settings.save()
        set_workers(settings, workers)
        if not json:
            typer.echo(
                f"campaign {chosen.name}: {added.fireworks} jobs added, {added.present} were there already", err=True
            )
        state = _manage(settings, store, detach=detach, quiet=json)
    if json:
        typer.echo(_as_json(settings, added, state))
    if state is not None and state.state != "complete":
        raise typer.Exit(1)


def _check_time(name: str, cluster: Cluster) -> None:
    from sodalyte.errors import ConfigurationError
    from sodalyte.launchers.slurm.settings import seconds_for_jobs

    if seconds_for_jobs(cluster) <= 0:
        raise ConfigurationError(
            f"[clusters.{name}]: a walltime of {cluster.walltime:g} h, less a warning of {cluster.warning} s, "
            "leaves no time for a job; raise walltime or lower warning"
        )


def _check_potcars(configuration: Configuration, cluster: Cluster) -> None:
    """Look for potentials before a thousand jobs do, unless the cluster's own lines say where they are."""
    from sodalyte.configuration import POTCAR_LIBRARY, exported
    from sodalyte.inputs.vasp.potcars import library

    if not any(name in line for line in cluster.environment for name in (POTCAR_LIBRARY, "PMG_VASP_PSP_DIR")):
        with exported(configuration.vasp.environment()):
            library()


def _server(uri: str) -> str:
    from sodalyte.errors import DatabaseError

    if uri.startswith("lite://"):
        raise DatabaseError(
            "the nodes of a cluster cannot share a lite:// database; give the address of a MongoDB server as "
            "'database' in sodalyte.toml or in the environment variable SODALYTE_DATABASE"
        )
    return uri


def _settings(
    campaign: Campaign, name: str, cluster: Cluster, configuration: Configuration, uri: str, folder: Path
) -> Settings:
    import os
    import sys

    from sodalyte.configuration import DATABASE, GPAW_COMMAND, VASP_COMMAND, VASP_GAMMA_COMMAND
    from sodalyte.launchers.slurm.settings import Settings

    private = {DATABASE, "SODALYTE_WORKSPACE"}
    ours = {name: text for name, text in os.environ.items() if name.startswith("SODALYTE_") and name not in private}
    environment = configuration.vasp.environment() | ours
    if cluster.gpaw_command:
        environment.setdefault(GPAW_COMMAND, cluster.gpaw_command)
    vasp: dict[str, Any] = {}
    if campaign.engine.startswith("rehearsal-"):
        environment |= _rehearsal(campaign.engine, folder)
        vasp["ranks"] = 1
    elif cluster.vasp_command and VASP_COMMAND not in ours:
        if environment[VASP_GAMMA_COMMAND] == environment[VASP_COMMAND]:
            environment[VASP_GAMMA_COMMAND] = cluster.vasp_command
        environment[VASP_COMMAND] = cluster.vasp_command
    vasp |= {"command": environment.pop(VASP_COMMAND), "gamma_command": environment.pop(VASP_GAMMA_COMMAND)}
    return Settings(
        campaign=campaign.name,
        cluster_name=name,
        cluster=cluster,
        database=uri,
        root=folder / "runs",
        python=cluster.python or Path(sys.executable),
        vasp=vasp,
        environment=environment,
    )


def _rehearsal(engine: str, folder: Path) -> dict[str, str]:
    """Return what pilots need to rehearse: the stand-in's command, its potentials, its faults."""
    import os

    from sodalyte.launchers.rehearsal.faults import FAULT_FILE
    from sodalyte.launchers.rehearsal.preparation import prepare

    faults = os.environ.get(FAULT_FILE)
    model = engine.removeprefix("rehearsal-")
    return prepare(folder / "rehearsal", model=model, faults=Path(faults) if faults else None).environment()


def _add(campaign: Campaign, settings: Settings, store: Database) -> Added:
    from sodalyte.configuration import exported
    from sodalyte.launchers.fireworks import Launchpad
    from sodalyte.launchers.reference import seed

    with exported(settings.environment):
        flow = campaign.flow()
    with store.answering():
        seed(store, flow)
    added = Launchpad(store).add(flow, campaign=campaign.name, root=settings.root)
    if added.fireworks:
        with exported(settings.environment), store.answering():
            _keep_budget(campaign, flow, store)
    return added


def _keep_budget(campaign: Campaign, flow: Flow, store: Database) -> None:
    """Store what the campaign will cost: what it used so far, and what the jobs that are left will take."""
    from sodalyte.cli.forecast import forecast
    from sodalyte.cli.plan import cost
    from sodalyte.inputs.engine import get_engine
    from sodalyte.launchers.fireworks import budget
    from sodalyte.launchers.fireworks.overview import Overview
    from sodalyte.workflows import ANALYSES

    if campaign.engine.startswith("rehearsal-"):
        budget.keep(store, campaign.name, budget.Budget(None, "a rehearsal takes what its stand-in takes, not VASP's"))
        return
    planned = forecast(
        flow,
        campaign.load_materials(),
        engine=get_engine(campaign.engine),
        recipe=campaign.load_recipe(),
        analyses=campaign.analyses or ANALYSES,
        database=store,
    )
    sample = planned[:: math.ceil(len(planned) / MOST_ESTIMATED)] if planned else []
    found = cost(sample)
    if found is None:
        budget.keep(store, campaign.name, budget.Budget(None, f"there is no cost model of {campaign.engine}"))
        return
    hours, basis = found
    if len(sample) < len(planned):
        hours *= len(planned) / len(sample)
        basis += f"; from {len(sample)} of {len(planned)} calculations"
    used = Overview(store, campaign.name).throughput().core_hours or 0.0
    budget.keep(store, campaign.name, budget.Budget(used + hours, basis))


def _manage(settings: Settings, store: Database, *, detach: bool, quiet: bool) -> State | None:
    """See the campaign through, or leave it to a manager in the background: one at work already, or a new one."""
    from sodalyte.launchers.slurm.manager import ManagedError, Manager, in_charge, is_managed
    from sodalyte.launchers.slurm.manager import detach as start

    if detach and not is_managed(settings):
        number = start(settings)
        typer.echo(
            f"managed by process {number}; see 'sodalyte status', or {settings.folder / 'manager.log'}", err=True
        )
        return None
    try:
        if not detach:
            with in_charge(settings), _Display(quiet=quiet) as display:
                return Manager(settings, store, tell=display.tell).run(show=display.show)
    except ManagedError:
        pass
    typer.echo("a manager is at work on it already, and takes this up within seconds", err=True)
    return None


class _Display:
    """Sentences and counts on standard error: a bar in a terminal, a line per change elsewhere."""

    def __init__(self, *, quiet: bool) -> None:
        from rich.console import Console

        from sodalyte.cli.progress import bar

        self._console = Console(stderr=True, highlight=False)
        self._quiet = quiet
        self._live = self._console.is_terminal and not quiet
        self._bar = bar(self._console, live=self._live)
        self._whole = self._bar.add_task("", total=None)
        self._shown = ""

    def __enter__(self) -> _Display:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    @property
    def tell(self) -> Callable[[str], None]:
        """What prints a sentence."""
        return lambda sentence: self._console.print(sentence, markup=False, soft_wrap=True)

    def show(self, state: State) -> None:
        """Show how the campaign stands."""
        counts = {name: number for name, number in state.counts.items() if name != "BLOCKED"}
        text = ", ".join(f"{number} {name.lower()}" for name, number in sorted(counts.items()))
        slurm = ", ".join(f"{number} {name.lower()}" for name, number in sorted(state.allocations.items()))
        reasons = ", ".join(sorted(state.pending))
        line = f"{text or 'no jobs'}; allocations: {slurm or 'none'}" + (f" ({reasons})" if reasons else "")
        if self._live:
            done, total = counts.get("COMPLETED", 0), sum(counts.values()) or None
            self._bar.update(self._whole, completed=done, total=total, description=line)
        elif line != self._shown and not self._quiet:
            self.tell(line)
        self._shown = line


def _as_json(settings: Settings, added: Added, state: State | None) -> str:
    import json

    answer = {
        "campaign": settings.campaign,
        "cluster": settings.cluster_name,
        "added": added.fireworks,
        "present": added.present,
        "state": state.state if state else "managed in the background",
        "message": state.message if state else "",
        "counts": dict(state.counts) if state else {},
    }
    return json.dumps(answer, indent=2)
