"""``sodalyte cancel``, ``retry``, ``pause`` and ``resume``: steering campaigns that are on a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from sodalyte.cli.options import DatabaseOption, JsonOption, WorkspaceOption, database_uri, workspace_path
from sodalyte.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from sodalyte.database import Database

CampaignArgument = Annotated[str | None, typer.Argument(metavar="[CAMPAIGN]", help="Name of the campaign.")]
AllOption = Annotated[bool, typer.Option("--all", help="All campaigns.")]
MaterialOption = Annotated[str | None, typer.Option(help="Only the jobs of this material.")]
StageOption = Annotated[str | None, typer.Option(help="Only this stage: relax, elastic, dynamics, static, analysis.")]
StateOption = Annotated[str | None, typer.Option(help="Only jobs in this state, such as READY, WAITING or FIZZLED.")]


def cancel(
    campaign: CampaignArgument = None,
    everything: AllOption = False,
    material: MaterialOption = None,
    stage: StageOption = None,
    state: StateOption = None,
    database: DatabaseOption = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Give up jobs that have no answer yet; those that run are ended within seconds. 'retry' takes it back."""
    chosen = _Chosen(campaign, everything, material, stage, state)
    _act("cancel", "cancelled", chosen, database_uri(database, _folder(workspace)), json=json)


def retry(
    campaign: CampaignArgument = None,
    everything: AllOption = False,
    material: MaterialOption = None,
    stage: StageOption = None,
    state: StateOption = None,
    database: DatabaseOption = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Put failed and cancelled jobs back into the queue, with attempts to spare."""
    chosen = _Chosen(campaign, everything, material, stage, state)
    _act("retry", "put back into the queue", chosen, database_uri(database, _folder(workspace)), json=json)


def pause(
    campaign: CampaignArgument = None,
    everything: AllOption = False,
    material: MaterialOption = None,
    stage: StageOption = None,
    state: StateOption = None,
    database: DatabaseOption = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Hold back jobs that have not begun, until 'resume'."""
    chosen = _Chosen(campaign, everything, material, stage, state)
    _act("pause", "held back", chosen, database_uri(database, _folder(workspace)), json=json)


def resume(
    campaign: CampaignArgument = None,
    everything: AllOption = False,
    material: MaterialOption = None,
    stage: StageOption = None,
    database: DatabaseOption = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Let jobs that were held back run."""
    chosen = _Chosen(campaign, everything, material, stage, None)
    _act("resume", "free to run", chosen, database_uri(database, _folder(workspace)), json=json)


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


def _folder(workspace: Path | None) -> Path:
    return workspace_path(workspace)


def _act(action: str, done: str, chosen: _Chosen, uri: str, *, json: bool) -> None:
    from sodalyte.cli.status import known_campaigns
    from sodalyte.database import open_database
    from sodalyte.launchers.fireworks import Launchpad
    from sodalyte.launchers.fireworks.overview import Overview

    with open_database(uri, create=False) as store, store.answering():
        known_campaigns(Overview(store, chosen.campaign))
        number = getattr(Launchpad(store), action)(**chosen.on(store))
    if json:
        from json import dumps

        typer.echo(dumps({"action": action, "jobs": number}))
    else:
        typer.echo(f"{number} jobs {done}")
