"""The report: one self-contained HTML page, and its figures as files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

import sodalyte
from sodalyte.analysis.figures import material_styles, render
from sodalyte.analysis.figures.notation import formula, interval, quantity, reaction_side, unit_symbol
from sodalyte.analysis.results import OTHER_UNITS, Result
from sodalyte.errors import WorkspaceError
from sodalyte.report.cases import Case, arrange, conditions_label, property_label
from sodalyte.report.comparison import Group, Number, compare, number
from sodalyte.report.known_errors import sentence
from sodalyte.report.pictures import Plate, inline_svg, plates
from sodalyte.report.reference import Citation, citations
from sodalyte.report.verdict import Verdict, verdict

_LONGEST_LIST = 12
_TABLES = ("tensor", "strain_energies", "staircase", "phases")
_GENERAL = ("paper", "pymatgen")
_METHODS = {
    "stability": ("richards", "mp2020"),
    "elasticity": ("mouhat", "hill", "pugh"),
    "transport": ("kinisi", "he"),
}
_PARTS = {
    "stability": ("window_width", "decomposition", "reduction_limit", "oxidation_limit", "e_above_hull"),
    "elasticity": ("elastic_tensor", "bulk_modulus", "shear_modulus", "pugh_ratio", "structural_instability"),
    "transport": ("diffusivity", "mean_squared_displacement", "conductivity_300K", "activation_energy"),
    "relaxation": ("lattice_a", "lattice_c", "density"),
}


@dataclass(frozen=True)
class Run:
    """What the results themselves do not say about the run; only what is given is printed.

    Attributes
    ----------
    command
        As it was typed.
    date
        As it shall be printed; without one the same results give the same page, byte for byte.
    notes
        Sentences to stand under what was run, such as what the recipe's source leaves open.
    """

    command: str | None = None
    date: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Entry:
    """One result in the list of everything that the report rests on."""

    result: Result
    label: str
    conditions: str
    number: Number
    known_error: str
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Chapter:
    """One material: its verdict and all its results."""

    case: Case
    colour: str
    verdict: Verdict
    entries: tuple[Entry, ...]


def write_report(
    results: Iterable[Result | Mapping[str, Any]],
    output_dir: Path | str,
    *,
    title: str = "Sodium solid electrolytes",
    order: Sequence[str] = (),
    run: Run | None = None,
) -> Path:
    """Write ``report.html`` and ``figures/*.svg`` and ``*.pdf`` into a folder.

    The page needs no network, no script and no other file. The same results give the same bytes.

    Parameters
    ----------
    results
        Results or their documents, of any number of materials, levels and recipes.
    output_dir
        Made if it does not exist; files of the same names in it are replaced.
    title
        Of the page.
    order
        Materials in the order of the columns; others follow.
    run
        What else to print about the run.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    UsageError
        There are no results, or one is not a result.
    WorkspaceError
        The folder cannot be written.
    """
    cases = arrange(results, order=order)
    drawn = plates(cases)
    page = _page(cases, drawn, title=title, run=run or Run())
    folder = Path(output_dir)
    try:
        (folder / "figures").mkdir(parents=True, exist_ok=True)
        for picture in (picture for plate in drawn for picture in plate.pictures):
            if picture.figure is not None:
                (folder / "figures" / f"{picture.name}.svg").write_bytes(picture.svg)
                (folder / "figures" / f"{picture.name}.pdf").write_bytes(render(picture.figure, "pdf"))
        path = folder / "report.html"
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise WorkspaceError(f"the report cannot be written to {folder}: {error.strerror}") from error
    return path


def _page(cases: Sequence[Case], drawn: Sequence[Plate], *, title: str, run: Run) -> str:
    chapters = _chapters(cases)
    groups = compare(cases)
    parts = [
        part for part, properties in _PARTS.items() if any(case.all(name) for case in cases for name in properties)
    ]
    cited = _cited(groups, cases, parts)
    environment = Environment(
        loader=PackageLoader("sodalyte.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "formula": formula,
        "inline_svg": inline_svg,
        "interval": interval,
        "reaction_side": reaction_side,
        "unit_symbol": unit_symbol,
    }
    return environment.get_template("report.html.j2").render(
        title=title,
        run=run,
        version=sodalyte.__version__,
        chapters=chapters,
        groups=groups,
        plates=drawn,
        parts=parts,
        levels=tuple(dict.fromkeys(case.level for case in cases)),
        recipes=tuple(dict.fromkeys(case.recipe for case in cases)),
        rehearsal=cases[0].results[0].is_rehearsal,
        quick=any(case.recipe.startswith("quick") for case in cases),
        numbers={source.key: position for position, source in enumerate(cited, start=1)},
        cited=cited,
    )


def _chapters(cases: Sequence[Case]) -> tuple[Chapter, ...]:
    styles = material_styles([case.label for case in cases])
    return tuple(
        Chapter(
            case=case,
            colour=styles[case.label][0],
            verdict=verdict(case),
            entries=tuple(
                Entry(
                    result=result,
                    label=property_label(result.property),
                    conditions=conditions_label(result),
                    number=(written := number(case, result)),
                    known_error=sentence(result.level, result.property) if written.known_error else "",
                    facts=_facts(result.data),
                )
                for result in case.results
            ),
        )
        for case in cases
    )


def _facts(data: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Write what a result carries beside its number; long series stay in the database."""
    return tuple(
        (key.replace("_", " ").capitalize(), f"{_written(value)} {unit_symbol(OTHER_UNITS.get(key, ''))}".rstrip())
        for key, value in data.items()
        if key not in _TABLES
    )


def _written(value: object) -> str:
    text = str(value)
    match value:
        case None:
            text = "none"
        case bool():
            text = "yes" if value else "no"
        case float():
            text = quantity(value)
        case Mapping():
            text = ", ".join(f"{formula(str(key))}: {_written(item)}" for key, item in value.items()) or "none"
        case list() | tuple():
            short = len(value) <= _LONGEST_LIST and all(isinstance(item, int | float | str) for item in value)
            text = ", ".join(map(_written, value)) or "none" if short else f"{len(value)} entries, in the database"
    return text


def _cited(groups: Sequence[Group], cases: Sequence[Case], parts: Sequence[str]) -> tuple[Citation, ...]:
    """Give the sources that the page uses, the paper first."""
    keys = {*_GENERAL, *(key for part in parts for key in _METHODS.get(part, ()))}
    keys |= {fact.citation for group in groups for block in group.blocks for facts in block.published for fact in facts}
    if any("chgnet" in case.level.lower() for case in cases):
        keys.add("chgnet")
    return tuple(source for source in citations() if source.key in keys)
