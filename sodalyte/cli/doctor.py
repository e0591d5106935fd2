"""``sodalyte doctor``: whether everything is there that a campaign needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sodalyte.cli.options import DatabaseOption, JsonOption, WorkspaceOption, workspace_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sodalyte.configuration import Cluster, Configuration, Vasp
    from sodalyte.diagnosis import Check


def doctor(
    cluster: Annotated[
        str | None, typer.Option(metavar="NAME", help="Also ask the queueing system of this cluster of sodalyte.toml.")
    ] = None,
    engine: Annotated[
        str | None, typer.Option(help="The engine to be used; without it, what is missing for VASP is only a warning.")
    ] = None,
    database: DatabaseOption = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Check configuration, packages, database, disk, VASP and its potentials; say what to do about each."""
    checks = []
    for check in _checks(workspace_path(workspace), cluster=cluster, engine=engine, database=database):
        checks.append(check)
        if not json:
            _tell(check)
    if json:
        typer.echo(_as_json(checks))
    if any(check.status == "failed" for check in checks):
        raise typer.Exit(1)


def _checks(folder: Path, *, cluster: str | None, engine: str | None, database: str | None) -> Iterator[Check]:
    """Yield the checks one by one, as they are made."""
    from sodalyte import machine
    from sodalyte.configuration import Configuration, load_configuration
    from sodalyte.diagnosis import failed, ok
    from sodalyte.errors import ConfigurationError

    configuration = Configuration()
    try:
        configuration = load_configuration(folder)
        yield ok("configuration", str(configuration.source or "no sodalyte.toml; every setting has its default"))
    except ConfigurationError as error:
        yield failed("configuration", str(error), "correct the file; the checks below take the defaults")
    yield from machine.check_packages()
    yield from _check_database(configuration, folder, database, shared=cluster is not None)
    yield machine.check_disk("workspace", folder)
    if configuration.vasp.scratch is not None:
        yield machine.check_disk("scratch", configuration.vasp.scratch)
    table = configuration.clusters.get(cluster) if cluster else None
    if engine is not None:
        yield from _check_engine(engine, table)
    if engine in (None, "vasp"):
        yield from _check_vasp(configuration.vasp, table, required=engine is not None or cluster is not None)
    if cluster is not None:
        yield from _check_cluster(configuration, cluster)


def _check_database(
    configuration: Configuration, folder: Path, database: str | None, *, shared: bool
) -> Iterator[Check]:
    from sodalyte.configuration import database_address
    from sodalyte.diagnosis import failed
    from sodalyte.errors import ConfigurationError
    from sodalyte.machine import check_database

    try:
        address = database_address(configuration, folder, given=database)
        yield from check_database(address)
    except ConfigurationError as error:
        yield failed("database", str(error), "correct sodalyte.toml or the credentials file")
        return
    if shared and address.startswith("lite://"):
        advice = "give the address of a MongoDB server as database in sodalyte.toml"
        yield failed("database for a cluster", "its nodes cannot share a lite:// database", advice)


def _check_engine(name: str, cluster: Cluster | None) -> Iterator[Check]:
    import os

    from sodalyte.configuration import GPAW_COMMAND
    from sodalyte.diagnosis import failed, ok
    from sodalyte.errors import EngineError
    from sodalyte.inputs import gpaw_checks
    from sodalyte.inputs.engine import get_engine
    from sodalyte.inputs.gpaw import Gpaw
    from sodalyte.machine import check_packages

    try:
        engine = get_engine(name)
    except EngineError as error:
        yield failed("engine", str(error), "name another engine, or install its package")
        return
    yield ok("engine", engine.level)
    if isinstance(engine, Gpaw):
        of_cluster = cluster.gpaw_command if cluster else None
        yield from gpaw_checks.checks(engine.level, os.environ.get(GPAW_COMMAND) or of_cluster)
    if extra := getattr(engine, "extra", ""):
        yield from check_packages(extra)


def _check_vasp(vasp: Vasp, cluster: Cluster | None, *, required: bool) -> Iterator[Check]:
    """Check executable and potentials; what is missing is a warning where nobody asked for VASP.

    An executable that the shell lines of a cluster may bring can only be doubted from here.
    """
    from dataclasses import replace

    from sodalyte import machine

    elsewhere = cluster is not None and bool(cluster.environment)
    if cluster is not None and cluster.vasp_command is not None:
        vasp = vasp.model_copy(update={"command": cluster.vasp_command, "gamma_command": None})
    for check in machine.check_vasp(vasp):
        doubtful = not required or (elsewhere and "is not found" in check.detail)
        yield replace(check, status="warning") if doubtful and check.status == "failed" else check
    for check in machine.check_potcars(vasp):
        yield check if required or check.status == "ok" else replace(check, status="warning")


def _check_cluster(configuration: Configuration, name: str) -> Iterator[Check]:
    from sodalyte.diagnosis import failed
    from sodalyte.errors import ConfigurationError

    try:
        cluster = configuration.cluster(name)
    except ConfigurationError as error:
        yield failed("cluster", str(error), f"describe it in sodalyte.toml under [clusters.{name}]")
        return

    from sodalyte.launchers.slurm.checks import checks

    yield from checks(cluster)


def _tell(check: Check) -> None:
    typer.echo(f"{check.status:8} {check.name}: {check.detail}")
    if check.advice:
        typer.echo(f"{'':9}{check.advice}")


def _as_json(checks: list[Check]) -> str:
    import json
    from dataclasses import asdict

    sound = all(check.status != "failed" for check in checks)
    return json.dumps({"ok": sound, "checks": [asdict(check) for check in checks]}, indent=2)
