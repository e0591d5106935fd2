"""``sodalyte cancel``, ``retry``, ``pause`` and ``resume``: steering campaigns that are on a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from sodalyte.cli.options import DatabaseOption, JsonOption, WorkspaceOption, database_uri, workspace_path
from sodalyte.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sodalyte.database import Database

CampaignArgument = Annotated[str | None, typer.Argument(metavar="[CAMPAIGN]", help="Name of the campaign.")]
AllOption = Annotated[bool, typer.Option("--all", help="All campaigns.")]
MaterialOption = Annotated[str | None, typer.Option(help="Only the jobs of this material.")]
StageOption = Annotated[str | None, typer.Option(help="Only this stage: relax, elastic, dynamics, static, analysis.")]
StateOption = Annotated[str | None, typer.Option(help="Only jobs in this state, such as READY, WAITING or FIZZLED.")]


def _command(action: str, done: str, help_text: str) -> Callable[..., None]:
    """Return the command that does one thing to the jobs that its options choose."""

    def command(
        campaign: CampaignArgument = None,
        everything: AllOption = False,
        material: MaterialOption = None,
        stage: StageOption = None,
        state: StateOption = None,
        database: DatabaseOption = None,
        workspace: WorkspaceOption = None,
        json: JsonOption = False,
    ) -> None:
        chosen = _Chosen(campaign, everything, material, stage, state)
        folder = workspace_path(workspace)
        number, names = _act(action, chosen, database_uri(database, folder))
        if json:
            from json import dumps

            typer.echo(dumps({"action": action, "jobs": number}))
            return
        typer.echo(f"{number} jobs {done}")
        if number and action in ("retry", "resume"):
            _say_who_is_idle(names, folder)

    command.__name__, command.__doc__ = action, help_text
    return command


cancel = _command(
    "cancel",
    "cancelled",
    "Give up jobs that have no answer yet; those that run are ended within seconds. 'retry' takes it back.",
)
retry = _command(
    "retry", "put back into the queue", "Put failed and cancelled jobs back into the queue, with attempts to spare."
)
pause = _command("pause", "held back", "Hold back jobs that have not begun, until 'resume'.")
resume = _command("resume", "free to run", "Let jobs that were held back run.")


class _Chosen:
    """Which jobs are meant, as a query on the specs of fireworks."""

    def __init__(
        self, campaign: str | None, everything: bool, material: str | None, stage: str | None, state: str | None
    ) -> None:
        if (campaign is None) != everything:
            raise UsageError("name one campaign, or give --all for all of them")
        named = {"campaign": campaign, "material": material, "stage": stage}
        self.campaign = campaign
        self.query: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
        self.state = state.upper() if state else None

    def on(self, store: Database) -> dict[str, Any]:
        """Return the query; a state is turned into the jobs that are in it now."""
        from sodalyte.launchers.fireworks.records import STATES

        if self.state is None:
            return self.query
        if self.state not in STATES:
            raise UsageError(f"--state {self.state}: no such state; known: {', '.join(STATES)}")
        match = {f"spec.{name}": value for name, value in self.query.items()} | {"state": self.state}
        found = store.collection("fireworks").find(match, {"spec.job_uuid": 1})
        return self.query | {"job_uuid": {"$in": [document["spec"]["job_uuid"] for document in found]}}


def _act(action: str, chosen: _Chosen, uri: str) -> tuple[int, list[str]]:
    """Return to how many jobs something was done, and the campaigns that were looked at."""
    from sodalyte.cli.status import known_campaigns
    from sodalyte.database import open_database
    from sodalyte.launchers.fireworks import Launchpad
    from sodalyte.launchers.fireworks.overview import Overview

    with open_database(uri, create=False) as store, store.answering():
        names = known_campaigns(Overview(store, chosen.campaign))
        return getattr(Launchpad(store), action)(**chosen.on(store)), names


def _say_who_is_idle(names: list[str], folder: Path) -> None:
    """Say which campaigns nobody submits allocations for, so that what may run now does not wait for ever."""
    from sodalyte.launchers.slurm.manager import is_managed
    from sodalyte.launchers.slurm.settings import load_all

    for settings in (settings for name in names for settings in load_all(folder / "runs", name)):
        if not is_managed(settings):
            typer.echo(
                f"nobody manages {settings.campaign} on {settings.cluster_name}: give 'sodalyte submit' again", err=True
            )
