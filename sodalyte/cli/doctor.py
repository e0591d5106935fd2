"""``sodalyte doctor``: whether everything is there that a campaign needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sodalyte.cli.options import DatabaseOption, JsonOption, WorkspaceOption, workspace_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sodalyte.configuration import Configuration
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
    yield from _check_database(configuration, folder, database)
    yield machine.check_disk("workspace", folder)
    if configuration.vasp.scratch is not None:
        yield machine.check_disk("scratch", configuration.vasp.scratch)
    yield from _check_engine(configuration, engine, required=engine is not None or cluster is not None)
    if cluster is not None:
        yield from _check_cluster(configuration, cluster)


def _check_database(configuration: Configuration, folder: Path, database: str | None) -> Iterator[Check]:
    from sodalyte.configuration import database_address
    from sodalyte.diagnosis import failed
    from sodalyte.errors import ConfigurationError
    from sodalyte.machine import check_database

    try:
        yield from check_database(database_address(configuration, folder, given=database))
    except ConfigurationError as error:
        yield failed("database", str(error), "correct sodalyte.toml or the credentials file")


def _check_engine(configuration: Configuration, engine: str | None, *, required: bool) -> Iterator[Check]:
    """Check VASP, unless another engine is named; what is missing is a warning where nobody asked for VASP."""
    from dataclasses import replace

    from sodalyte import machine
    from sodalyte.diagnosis import failed, ok
    from sodalyte.errors import EngineError
    from sodalyte.inputs.engine import get_engine

    if engine is not None:
        try:
            chosen = get_engine(engine)
            yield ok("engine", chosen.level)
            if extra := getattr(chosen, "extra", ""):
                yield from machine.check_packages(extra)
        except EngineError as error:
            yield failed("engine", str(error), "name another engine, or install its package")
    if engine not in (None, "vasp"):
        return
    for check in (*machine.check_vasp(configuration.vasp), *machine.check_potcars(configuration.vasp)):
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
