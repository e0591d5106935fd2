"""``sodalyte plan``: what would run, with its input files and its cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sodalyte.cli.options import JsonOption, WorkspaceOption, workspace_path

if TYPE_CHECKING:
    from sodalyte.inputs.vasp.cost import Pace
    from sodalyte.inputs.vasp.preview import Preview
    from sodalyte.workflows.plan import Planned

_FILES = ("INCAR", "KPOINTS", "POSCAR", "POTCAR.spec")
_PIPE_WIDTH = 200


def plan(
    materials: Annotated[
        list[str],
        typer.Argument(
            metavar="MATERIAL...", help="A formula (Na3SbS4), a library id (Na3SbS4_c) or a structure file."
        ),
    ],
    engine: Annotated[str, typer.Option(help="What computes energies: vasp, gpaw, chgnet, ...")] = "vasp",
    recipe: Annotated[str, typer.Option(help="quick, paper or a TOML file.")] = "paper",
    only: Annotated[
        str | None,
        typer.Option(help="Comma-separated: relaxation, stability, elasticity, diffusion. Everything if not given."),
    ] = None,
    write: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the input files, a folder for each calculation.")
    ] = None,
    files: Annotated[bool, typer.Option("--files", help="Show every file, not one set of each kind.")] = False,
    timing: Annotated[
        Path | None,
        typer.Option(metavar="OUTCAR", help="Of a VASP run on the machine to be used: core hours follow from it."),
    ] = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Show the jobs of a screening, their input files, k-points, electrons, plane waves and core hours; run nothing."""
    from sodalyte.configuration import exported, load_configuration
    from sodalyte.inputs.engine import get_engine
    from sodalyte.inputs.recipe import Recipe
    from sodalyte.launchers.identity import identify
    from sodalyte.structures import load
    from sodalyte.workflows import ANALYSES, parse_analyses, screen
    from sodalyte.workflows.plan import plan_calculations

    chosen = Recipe.load(recipe)
    analyses = ANALYSES if only is None else parse_analyses(only)
    loaded = [load(material) for material in materials]
    with exported(load_configuration(workspace_path(workspace)).vasp.environment()):
        chosen_engine = get_engine(engine)
        flow = identify(screen(loaded, engine=chosen_engine, recipe=chosen, analyses=analyses))
        calculations = plan_calculations(flow, loaded, engine=chosen_engine, recipe=chosen, analyses=analyses)
        previews = _previews(calculations)
    pace = _pace(timing) if previews else None
    if write is not None:
        _write(write, calculations, previews)
    if json:
        typer.echo(_as_json(calculations, previews, pace))
    else:
        _tell(calculations, previews, pace, every_file=files)
        if write is not None:
            typer.echo(f"the input files are in {write}")


def _previews(calculations: list[Planned]) -> list[Preview]:
    """Return the inputs of every calculation, or nothing if the engine is not VASP."""
    from sodalyte.inputs.vasp.engine import Vasp

    if not calculations or not isinstance(getattr(calculations[0].maker, "engine", None), Vasp):
        return []
    from sodalyte.inputs.vasp.preview import preview

    return [preview(calculation.maker, calculation.structure) for calculation in calculations]


def _pace(timing: Path | None) -> Pace:
    from sodalyte.inputs.vasp.cost import Pace, read_pace

    return read_pace(timing) if timing else Pace()


def _write(folder: Path, calculations: list[Planned], previews: list[Preview]) -> None:
    import re

    from sodalyte.errors import UsageError, WorkspaceError

    if not previews:
        raise UsageError("--write: this engine has no input files; name the engine vasp")
    try:
        for number, (calculation, preview) in enumerate(zip(calculations, previews, strict=True), start=1):
            name = re.sub(r"[^\w.+-]+", "_", calculation.name)
            preview.write(folder / f"{number:03d}-{name}")
    except OSError as error:
        raise WorkspaceError(f"--write: {folder} cannot be written ({error.strerror}); name another folder") from error


def _hours(calculation: Planned, preview: Preview, pace: Pace, *, gamma_only: bool = False) -> float:
    from dataclasses import replace

    from sodalyte.inputs.vasp.cost import core_hours

    size = replace(preview.size, kpoints=1, grid_kpoints=1) if gamma_only else preview.size
    steps = calculation.ionic_steps or preview.ionic_steps
    return core_hours(size, ionic_steps=steps, dynamics=preview.dynamics, pace=pace)


def _as_json(calculations: list[Planned], previews: list[Preview], pace: Pace | None) -> str:
    import json
    from dataclasses import asdict

    documents = []
    for place, calculation in enumerate(calculations):
        document: dict[str, Any] = {
            "name": calculation.name,
            "material": calculation.material or None,
            "stage": calculation.stage,
            "jobs": calculation.segments,
            "n_atoms": len(calculation.structure),
            "ionic_steps": calculation.ionic_steps,
            "note": calculation.note or None,
        }
        if pace:
            preview = previews[place]
            document |= asdict(preview.size) | {
                "grid": preview.grid,
                "ionic_steps": calculation.ionic_steps or preview.ionic_steps,
                "core_hours": _hours(calculation, preview, pace),
                "core_hours_gamma_only": _hours(calculation, preview, pace, gamma_only=True),
                "potcar_missing": preview.missing or None,
                "files": preview.files(),
            }
        documents.append(document)
    answer: dict[str, Any] = {"calculations": documents}
    if pace:
        from sodalyte.inputs.vasp.cost import STEPS_BASIS

        total = sum(document["core_hours"] for document in documents)
        answer |= {"core_hours": total, "interval": _interval(total), "basis": f"{pace.basis}; {STEPS_BASIS}"}
    return json.dumps(answer, indent=2)


def _interval(core_hours: float) -> tuple[float, float]:
    from sodalyte.inputs.vasp.cost import UNCERTAINTY

    return core_hours / UNCERTAINTY, core_hours * UNCERTAINTY


def _tell(calculations: list[Planned], previews: list[Preview], pace: Pace | None, *, every_file: bool) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    groups: dict[tuple[Any, ...], list[int]] = {}
    for place, calculation in enumerate(calculations):
        single = calculation.stage not in {"strained cell", "dynamics"}
        key = (calculation.stage, calculation.material, calculation.name if single else "")
        groups.setdefault((*key, previews[place].size.kpoints if previews else 0), []).append(place)
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("calculations")
    columns = ["jobs", "atoms"]
    if pace:
        columns += ["grid", "k-points", "electrons", "bands", "plane waves", "ionic steps", "core hours"]
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for places in groups.values():
        table.add_row(
            *_row([calculations[place] for place in places], [previews[place] for place in places if pace], pace)
        )
    console = Console(width=None if _is_terminal() else _PIPE_WIDTH)
    console.print(table)
    for line in _notes(calculations, previews, pace):
        console.print(line, markup=False, highlight=False)
    shown: set[str] = set()
    for calculation, preview in zip(calculations, previews, strict=False):
        if every_file or calculation.stage not in shown:
            shown.add(calculation.stage)
            _tell_files(calculation, preview)


def _is_terminal() -> bool:
    import sys

    return sys.stdout.isatty()


def _row(calculations: list[Planned], previews: list[Preview], pace: Pace | None) -> list[str]:
    first = calculations[0]
    several = {"strained cell": "strained cells of", "dynamics": "dynamics of"}
    temperatures = [calculation.name.rsplit(" ", 2)[-2] for calculation in calculations]
    at = f" at {', '.join(temperatures)} K" if first.stage == "dynamics" else ""
    name = f"{several[first.stage]} {first.material}{at}" if first.stage in several else first.name
    row = [name, str(sum(calculation.segments for calculation in calculations)), str(len(first.structure))]
    if pace:
        size = previews[0].size
        steps = {
            calculation.ionic_steps or preview.ionic_steps
            for calculation, preview in zip(calculations, previews, strict=True)
        }
        hours = sum(_hours(*pair, pace) for pair in zip(calculations, previews, strict=True))
        row += ["x".join(map(str, previews[0].grid)), str(size.kpoints), f"{size.electrons:g}", str(size.bands)]
        row += [
            f"{size.plane_waves:,}",
            " or ".join(f"{number:,}" for number in sorted(steps)),
            f"{hours:,.2g}" if hours < 100 else f"{hours:,.0f}",
        ]
    return row


def _notes(calculations: list[Planned], previews: list[Preview], pace: Pace | None) -> list[str]:
    notes = [f"{sum(calculation.segments for calculation in calculations)} calculations; nothing has run"]
    if any(calculation.note for calculation in calculations):
        stages = dict.fromkeys(calculation.stage for calculation in calculations if calculation.note)
        notes.append(f"{' and '.join(stages)}: planned {next(c.note for c in calculations if c.note)}")
    if not pace:
        return [*notes, "this engine reads no input files and its time depends on this machine alone"]
    from sodalyte.inputs.vasp.cost import STEPS_BASIS

    pairs = list(zip(calculations, previews, strict=True))
    total = sum(_hours(*pair, pace) for pair in pairs)
    low, high = _interval(total)
    notes.append(
        f"core hours: {total:,.2g}, between {low:,.2g} and {high:,.2g}"
        if total < 100
        else f"core hours: about {total:,.0f}, between {low:,.0f} and {high:,.0f}"
    )
    notes.append(f"basis: {pace.basis}; {STEPS_BASIS}")
    dynamics = [pair for pair in pairs if pair[1].dynamics]
    if dynamics:
        full, gamma = (sum(_hours(*pair, pace, gamma_only=only) for pair in dynamics) for only in (False, True))
        preview = dynamics[0][1]
        notes.append(
            f"dynamics with {'x'.join(map(str, preview.grid))} ({preview.size.kpoints} k-points): {full:,.0f} core "
            f"hours; at the Gamma point alone with vasp_gam {gamma:,.0f}: a factor of {full / gamma:.0f}"
        )
    missing = next((preview.missing for preview in previews if preview.missing), None)
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
