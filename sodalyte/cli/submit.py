"""``sodalyte submit``: a campaign on a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sodalyte.cli.options import DatabaseOption, JsonOption, WorkspaceOption, database_uri, workspace_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from sodalyte.campaign import Campaign
    from sodalyte.configuration import Cluster, Configuration
    from sodalyte.launchers.fireworks import Added
    from sodalyte.launchers.slurm.settings import Settings, State


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
    settings = _settings(chosen, cluster, table, configuration, uri, folder)
    with open_database(uri) as store:
        added = _add(chosen, settings, store)
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

    from sodalyte.configuration import DATABASE, VASP_COMMAND, VASP_GAMMA_COMMAND
    from sodalyte.launchers.slurm.settings import Settings

    private = {DATABASE, "SODALYTE_WORKSPACE"}
    ours = {name: text for name, text in os.environ.items() if name.startswith("SODALYTE_") and name not in private}
    environment = configuration.vasp.environment() | ours
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


def _add(campaign: Campaign, settings: Settings, store: Any) -> Added:
    from sodalyte.configuration import exported
    from sodalyte.launchers.fireworks import Launchpad

    with exported(settings.environment):
        flow = campaign.flow()
    return Launchpad(store).add(flow, campaign=campaign.name, root=settings.root)


def _manage(settings: Settings, store: Any, *, detach: bool, quiet: bool) -> State | None:
    """See the campaign through, or leave it to a manager in the background: one at work already, or a new one."""
    from sodalyte.launchers.slurm.manager import Manager, in_charge, is_managed
    from sodalyte.launchers.slurm.manager import detach as start

    if is_managed(settings):
        typer.echo("a manager is at work on it already, and takes this up within seconds", err=True)
        return None
    if detach:
        number = start(settings)
        typer.echo(
            f"managed by process {number}; see 'sodalyte status', or {settings.folder / 'manager.log'}", err=True
        )
        return None
    with in_charge(settings), _Display(quiet=quiet) as display:
        return Manager(settings, store, tell=display.tell).run(show=display.show)


class _Display:
    """Sentences and counts on standard error: a bar in a terminal, a line per change elsewhere."""

    def __init__(self, *, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._console = Console(stderr=True, highlight=False)
        self._quiet = quiet
        self._live = self._console.is_terminal and not quiet
        self._bar = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
            console=self._console,
            disable=not self._live,
            transient=True,
        )
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
        line = f"{text}; allocations: {slurm or 'none'}" + (f" ({reasons})" if reasons else "")
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
