"""``sodalyte plan``: what would run, with its input files and its cost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sodalyte.cli.options import (
    DatabaseOption,
    JsonOption,
    MaterialsArgument,
    OnlyOption,
    StartFromOption,
    WorkspaceOption,
    database_uri,
    workspace_path,
)

if TYPE_CHECKING:
    from sodalyte.cli.forecast import Estimate
    from sodalyte.inputs.vasp.cost import Pace
    from sodalyte.inputs.vasp.preview import Preview
    from sodalyte.workflows.plan import Planned

_FILES = ("INCAR", "KPOINTS", "POSCAR", "POTCAR.spec")
_PIPE_WIDTH = 200


@dataclass(frozen=True)
class _Item:
    """A calculation with what is known of its cost; a preview is VASP's."""

    calculation: Planned
    estimate: Estimate | None = None
    preview: Preview | None = None

    @property
    def core_hours(self) -> float:
        """Return those still to be spent."""
        return self.calculation.left * self.estimate.core_hours if self.estimate else 0.0


def plan(
    materials: MaterialsArgument,
    engine: Annotated[str, typer.Option(help="What computes energies: vasp, gpaw, chgnet, ...")] = "vasp",
    recipe: Annotated[str, typer.Option(help="quick, paper or a TOML file.")] = "paper",
    start_from: StartFromOption = None,
    only: OnlyOption = None,
    write: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the input files, a folder for each calculation.")
    ] = None,
    files: Annotated[bool, typer.Option("--files", help="Show every file, not one set of each kind.")] = False,
    timing: Annotated[
        Path | None,
        typer.Option(metavar="OUTCAR", help="Of a VASP run on the machine to be used: core hours follow from it."),
    ] = None,
    database: DatabaseOption = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Show the jobs of a screening, their input files, k-points, electrons, plane waves and core hours; run nothing.

    What is finished in the database, or ships with sodalyte, is counted, and costs nothing.
    """
    from sodalyte.cli.forecast import forecast, opened
    from sodalyte.configuration import exported, load_configuration
    from sodalyte.inputs.engine import prepare_engine
    from sodalyte.inputs.gpaw import Gpaw
    from sodalyte.inputs.recipe import Recipe
    from sodalyte.launchers.identity import identify
    from sodalyte.structures import load
    from sodalyte.workflows import ANALYSES, parse_analyses, screen

    chosen = Recipe.load(recipe)
    analyses = ANALYSES if only is None else parse_analyses(only)
    loaded = [load(material) for material in materials]
    folder = workspace_path(workspace)
    with exported(load_configuration(folder).vasp.environment()):
        prepared = prepare_engine(engine, chosen, start_from=start_from)
        if isinstance(prepared, Gpaw):
            prepared.check_elements(symbol for material in loaded for symbol in material.structure.symbol_set)
        flow = identify(screen(loaded, engine=prepared, recipe=chosen, analyses=analyses))
        with opened(database_uri(database, folder)) as (store, trouble):
            planned = forecast(flow, loaded, engine=prepared, recipe=chosen, analyses=analyses, database=store)
        items, pace = _items(planned, timing)
    if write is not None:
        _write(write, items)
    if json:
        typer.echo(_as_json(items, pace, trouble))
    else:
        _tell(items, pace, trouble, every_file=files)
        if write is not None:
            typer.echo(f"the input files are in {write}")


def _items(planned: list[Planned], timing: Path | None) -> tuple[list[_Item], Pace | None]:
    """Return the calculations with their costs, and how fast cores are if the engine is VASP."""
    from sodalyte.cli.forecast import Estimate, estimate
    from sodalyte.inputs.vasp.engine import Vasp

    if not planned or not isinstance(getattr(planned[0].maker, "engine", None), Vasp):
        return [_Item(each, estimate(each)) for each in planned], None
    from sodalyte.inputs.vasp.cost import Pace, read_pace
    from sodalyte.inputs.vasp.preview import preview

    pace = read_pace(timing) if timing else Pace()
    items = []
    for each in planned:
        shown = preview(each.maker, each.structure)
        cost = Estimate(shown.grid, shown.size.kpoints, _vasp_hours(each, shown, pace))
        items.append(_Item(each, cost, shown))
    return items, pace


def cost(planned: list[Planned]) -> tuple[float, str] | None:
    """Return the core hours that calculations will take, those that are finished aside, and what that rests on.

    None for an engine of which nothing is known.
    """
    items, pace = _items(planned, None)
    if not any(item.estimate for item in items):
        return None
    return sum(item.core_hours for item in items), _basis(pace)[1]


def _write(folder: Path, items: list[_Item]) -> None:
    import re

    from sodalyte.errors import UsageError, WorkspaceError

    if not any(item.preview for item in items):
        raise UsageError("--write: this engine has no input files; name the engine vasp")
    try:
        for number, item in enumerate(items, start=1):
            name = re.sub(r"[^\w.+-]+", "_", item.calculation.name)
            if item.preview:
                item.preview.write(folder / f"{number:03d}-{name}")
    except OSError as error:
        raise WorkspaceError(f"--write: {folder} cannot be written ({error.strerror}); name another folder") from error


def _vasp_hours(calculation: Planned, preview: Preview, pace: Pace, *, gamma_only: bool = False) -> float:
    from dataclasses import replace

    from sodalyte.inputs.vasp.cost import core_hours

    size = replace(preview.size, kpoints=1, grid_kpoints=1) if gamma_only else preview.size
    return core_hours(size, ionic_steps=_steps(calculation, preview), dynamics=preview.dynamics, pace=pace)


def _steps(calculation: Planned, preview: Preview) -> int:
    return calculation.ionic_steps or preview.ionic_steps


def _as_json(items: list[_Item], pace: Pace | None, trouble: str) -> str:
    import json
    from dataclasses import asdict

    documents = []
    for item in items:
        calculation, preview = item.calculation, item.preview
        document: dict[str, Any] = {
            "name": calculation.name,
            "material": calculation.material or None,
            "stage": calculation.stage,
            "finished": calculation.finished,
            "jobs": calculation.segments,
            "jobs_finished": calculation.done,
            "n_atoms": len(calculation.structure),
            "ionic_steps": calculation.ionic_steps,
            "note": calculation.note or None,
        }
        if item.estimate:
            document |= asdict(item.estimate)
        if preview and pace:
            document |= asdict(preview.size) | {
                "ionic_steps": _steps(calculation, preview),
                "core_hours_gamma_only": _vasp_hours(calculation, preview, pace, gamma_only=True),
                "potcar_missing": preview.missing or None,
                "files": preview.files(),
            }
        documents.append(document)
    answer: dict[str, Any] = {"calculations": documents, "database": trouble or None}
    if any(item.estimate for item in items):
        uncertainty, basis = _basis(pace)
        total = sum(item.core_hours for item in items)
        answer |= {"core_hours": total, "interval": (total / uncertainty, total * uncertainty), "basis": basis}
    return json.dumps(answer, indent=2)


def _basis(pace: Pace | None) -> tuple[float, str]:
    """Return the factor within which core hours are expected, and where they come from; without a pace GPAW's."""
    from sodalyte.inputs import gpaw_cost
    from sodalyte.inputs.vasp import cost

    if pace is None:
        return gpaw_cost.UNCERTAINTY, gpaw_cost.BASIS
    return cost.UNCERTAINTY, f"{pace.basis}; {cost.STEPS_BASIS}"


def _tell(items: list[_Item], pace: Pace | None, trouble: str, *, every_file: bool) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    groups: dict[tuple[Any, ...], list[_Item]] = {}
    for item in items:
        calculation = item.calculation
        single = calculation.stage not in {"strained cell", "dynamics"}
        key = (calculation.stage, calculation.material, calculation.name if single else "")
        groups.setdefault(key, []).append(item)
    rows = [_row(group) for group in groups.values()]
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("calculations")
    for column in [name for name in rows[0] if name != "calculations"]:
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row.values())
    console = Console(width=None if _is_terminal() else _PIPE_WIDTH)
    console.print(table)
    for line in [*_notes(items, pace), *([trouble] if trouble else [])]:
        console.print(line, markup=False, highlight=False)
    shown: set[str] = set()
    for item in items:
        if item.preview and (every_file or item.calculation.stage not in shown):
            shown.add(item.calculation.stage)
            _tell_files(item.calculation, item.preview)


def _is_terminal() -> bool:
    import sys

    return sys.stdout.isatty()


def _row(items: list[_Item]) -> dict[str, str]:
    from sodalyte.cli.forecast import in_words

    calculation, estimate, preview = items[0].calculation, items[0].estimate, items[0].preview
    several = {"strained cell": "strained cells of", "dynamics": "dynamics of"}
    temperatures = [item.calculation.name.rsplit(" ", 2)[-2] for item in items]
    at = f" at {', '.join(temperatures)} K" if calculation.stage == "dynamics" else ""
    name = f"{several[calculation.stage]} {calculation.material}{at}" if calculation.stage in several else ""
    row = {
        "calculations": name or calculation.name,
        "jobs": str(sum(item.calculation.segments for item in items)),
        "finished": str(sum(item.calculation.done for item in items) or "-"),
        "atoms": str(len(calculation.structure)),
    }
    if estimate:
        kpoints = sorted({item.estimate.kpoints for item in items if item.estimate})
        row |= {
            "grid": "x".join(map(str, estimate.grid)),
            "k-points": " - ".join(map(str, dict.fromkeys((kpoints[0], kpoints[-1])))),
        }
    if preview:
        steps = {_steps(item.calculation, item.preview) for item in items if item.preview}
        row |= {
            "electrons": f"{preview.size.electrons:g}",
            "bands": str(preview.size.bands),
            "plane waves": f"{preview.size.plane_waves:,}",
            "ionic steps": " or ".join(f"{number:,}" for number in sorted(steps)),
        }
    if estimate:
        row["core hours"] = in_words(sum(item.core_hours for item in items))
    return row


def _notes(items: list[_Item], pace: Pace | None) -> list[str]:
    from sodalyte.cli.forecast import cost_in_words

    calculations = [item.calculation for item in items]
    count = sum(calculation.segments for calculation in calculations)
    done = sum(calculation.done for calculation in calculations)
    notes = [f"{count} calculations, {done} of them finished; nothing has run"]
    if any(calculation.note for calculation in calculations):
        stages = dict.fromkeys(calculation.stage for calculation in calculations if calculation.note)
        notes.append(f"{' and '.join(stages)}: planned {next(c.note for c in calculations if c.note)}")
    if not any(item.estimate for item in items):
        return [*notes, "this engine reads no input files and its time depends on this machine alone"]
    uncertainty, basis = _basis(pace)
    total = sum(item.core_hours for item in items)
    notes += [f"core hours: {cost_in_words(total, uncertainty)}", f"basis: {basis}"]
    pairs = [(item.calculation, item.preview) for item in items if item.preview]
    dynamics = [pair for pair in pairs if pair[1].dynamics]
    if dynamics and pace:
        full, gamma = (sum(_vasp_hours(*pair, pace, gamma_only=only) for pair in dynamics) for only in (False, True))
        preview = dynamics[0][1]
        notes.append(
            f"dynamics with {'x'.join(map(str, preview.grid))} ({preview.size.kpoints} k-points): {full:,.0f} core "
            f"hours; at the Gamma point alone with vasp_gam {gamma:,.0f}: a factor of {full / gamma:.0f}"
        )
    missing = next((preview.missing for _, preview in pairs if preview.missing), None)
    if missing:
        notes.append(f"no POTCAR: {missing}")
        notes.append(
            "POTCAR.spec names the potentials instead; electrons are those of pymatgen's record of POTCAR files"
        )
    return notes


def _tell_files(calculation: Planned, preview: Preview) -> None:
    for name, text in preview.files().items():
        typer.echo(f"\n--- {name} of {calculation.name} ({calculation.stage})")
        typer.echo(text.rstrip())
    if preview.licensed:
        titles = ", ".join(single.TITEL for single in preview.inputs.potcar)
        typer.echo(f"\n--- POTCAR of {calculation.name}: {titles}")
