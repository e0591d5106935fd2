"""The report of one command: where it lies and what it says about the command."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from sodalyte.analysis.results import Result
    from sodalyte.inputs.recipe import Recipe
    from sodalyte.structures import Material


def write_page(
    results: list[Result],
    materials: Sequence[Material],
    *,
    engine: str,
    recipe: Recipe,
    analyses: Collection[str],
    reports: Path,
) -> Path | None:
    """Write the report of a screening into a folder of its own in ``reports``; None where there is nothing to say."""
    from sodalyte.inputs.engine import get_engine
    from sodalyte.report import Run, write_report

    if not results:
        return None
    choices = recipe.left_open(thermostats=get_engine(engine).thermostats(recipe))
    return write_report(
        results,
        reports / _folder_name([*(material.label for material in materials), engine, recipe.label], analyses),
        title=", ".join(dict.fromkeys(f"{material.formula} ({material.variant})" for material in materials)),
        order=formulas(materials),
        run=Run(command=command_line(), notes=tuple(f"{recipe.label} recipe: {line}" for line in choices)),
    )


def formulas(materials: Sequence[Material]) -> list[str]:
    """Return the formulas of the materials, each once."""
    return list(dict.fromkeys(material.formula for material in materials))


def command_line() -> str:
    """Return what was typed, without the address of the database, which may hold a password."""
    import shlex
    import sys

    words = iter(sys.argv[1:])
    kept = [word for word in words if not word.startswith("--database") or (word == "--database" and not next(words))]
    return shlex.join(["sodalyte", *kept])


def _folder_name(words: list[str], analyses: Collection[str]) -> str:
    """Return a name for the report's folder, of letters that every file system takes."""
    import re

    from sodalyte.workflows import ANALYSES

    chosen = [] if set(analyses) == set(ANALYSES) else list(analyses)
    return re.sub(r"[^\w.+-]+", "_", "-".join([*dict.fromkeys(words), *chosen]))[:200]
