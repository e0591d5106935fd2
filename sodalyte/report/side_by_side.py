"""One property of many crystals: what every engine and every published source says of it, and the differences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import get_args

from sodalyte.analysis.calibration import ABSOLUTE
from sodalyte.analysis.figures.notation import difference, quantity
from sodalyte.analysis.results import SYMMETRIC
from sodalyte.errors import UsageError, suggestion
from sodalyte.report.calibration import NOT_COMPUTED, Answer
from sodalyte.report.reference import Reference, Source, citations, published

PUBLISHED: dict[str, str] = {
    "mp": "Materials Project",
    "literature": "Literature",
    "paper": "Paper",
    "experiment": "Experiment",
}
"""Published sources by their key, as columns are headed."""

MAIN_RECIPE = "paper"
"""The recipe of numbers without a note."""

_DECIMALS = {"angstrom": 3, "g/cm^3": 3, "V": 2, "eV/atom": 3, "GPa": 1, "1": 3, "meV/f.u.": 2}
_WITHOUT_UNCERTAINTY = ("angstrom", "g/cm^3")
_NOT_STATED = "not stated"
_PUBLISHED_ORDER = [
    ("mp", "PBE"),
    ("literature", "PBE"),
    ("literature", "PBEsol"),
    ("experiment", None),
    ("paper", None),
]


@dataclass(frozen=True)
class Number:
    """What one source says of one crystal.

    Attributes
    ----------
    source
        Name of the engine, or a key of ``PUBLISHED``.
    text
        As it is printed: of an engine rounded for comparing, of a publication to the digits that stand there.
    value
        None where it was refused or not computed, or is a range or a bound.
    notes
        What a reader has to know: another recipe, the reason of a refusal, warnings, how it was measured.
    key
        Of the result in its store; None for a published number.
    citation
        Key of the citation; None for a number of an engine.
    """

    source: str
    text: str
    value: float | None
    uncertainty: float | None = None
    notes: tuple[str, ...] = ()
    refused: bool = False
    level: str | None = None
    recipe: str | None = None
    functional: str | None = None
    key: str | None = None
    citation: str | None = None

    @property
    def said(self) -> tuple[object, ...]:
        """What is written, and at which level; another recipe than the paper's is in the notes."""
        return self.level, self.text, self.notes


@dataclass(frozen=True)
class Row:
    """One crystal under one set of conditions; ``baseline`` is what the others are compared with, if there is one."""

    material: str
    polymorph: str
    scheme: str | None
    temperature: float | None
    numbers: tuple[Number, ...]
    baseline: Number | None = None

    def of(self, source: str) -> tuple[Number, ...]:
        """Give the numbers of one source, none where it has none."""
        return tuple(number for number in self.numbers if number.source == source)

    def difference(self, number: Number) -> float | None:
        """Give how much a number is above the baseline, in the unit of both."""
        if self.baseline is None or number is self.baseline or number.value is None or self.baseline.value is None:
            return None
        return number.value - self.baseline.value


@dataclass(frozen=True)
class Table:
    """One property in one unit; ``sources`` are all engines, silent or not, and the publications that have a number."""

    property: str
    unit: str
    sources: tuple[str, ...]
    rows: tuple[Row, ...]

    def relative(self, row: Row, number: Number) -> float | None:
        """Give the difference as a percentage of the baseline; none of what can be zero."""
        off = row.difference(number)
        if off is None or self.unit in ABSOLUTE:
            return None
        assert row.baseline is not None  # noqa: S101
        return 100 * off / row.baseline.value if row.baseline.value else None

    def written(self, value: float) -> str:
        """Write a number to the decimals that comparing needs."""
        decimals = _DECIMALS.get(self.unit)
        return quantity(value) if decimals is None else f"{value:.{decimals}f}".replace("-", "−")

    def written_difference(self, value: float) -> str:
        """Write a difference with its sign, to the same decimals."""
        decimals = _DECIMALS.get(self.unit)
        return ("+" * (value >= 0) + quantity(value)) if decimals is None else difference(value, decimals)


@dataclass(frozen=True)
class Sheet:
    """A table as it is printed: cells of one or more lines, with the numbers of ``notes`` in brackets."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def sheet(table: Table) -> Sheet:
    """Write a table: values with their differences below them, ``*`` what those are taken to, a dash for silence."""
    notes: list[str] = []
    rows = tuple((_crystal(row), *(_cell(table, row, source, notes) for source in table.sources)) for row in table.rows)
    return Sheet(("crystal", *(PUBLISHED.get(source, source) for source in table.sources)), rows, tuple(notes))


Chooser = Callable[[Sequence[Number]], Number | None]


def side_by_side(
    answers: Iterable[Answer],
    *,
    properties: Sequence[str],
    wanted: Callable[[str, str | None], bool] = lambda _material, _polymorph: True,
    to: str | None = None,
) -> tuple[Table, ...]:
    """Set what engines answered beside what is published, one table for each property and unit.

    Polymorphs, sulfur-correction schemes and temperatures are rows of their own. A published number whose source does
    not state the polymorph stands beside each, with a note. Numbers of another recipe than the paper's have a note.

    Parameters
    ----------
    answers
        Of engines, of any number of levels of theory; of two that say the same (one from the store and one that
        ships) the first is taken.
    properties
        In the order wanted.
    wanted
        Tells for a formula and a polymorph (None: any) whether its row is wanted.
    to
        The source to which differences are taken: the name of an engine or how it begins, or a key of ``PUBLISHED``.
        Not given: the best that a row has, see :func:`best`.

    Raises
    ------
    UsageError
        ``to`` names no source.
    """
    given = list(answers)
    names = engine_names(answer.result.level for answer in given)
    engines = tuple(sorted(set(names.values())))
    choose = best if to is None else _only(_source(to, engines))
    chosen = [answer for answer in given if wanted(answer.result.material, answer.result.polymorph)]
    facts = [fact for fact in published() if wanted(fact.material, fact.polymorph)]
    return tuple(
        table
        for name in properties
        for table in _tables(name, chosen, facts, names=names, engines=engines, choose=choose)
    )


def engine_names(levels: Iterable[str]) -> dict[str, str]:
    """Give each level of theory a short name; levels whose short names are equal keep their own.

    >>> engine_names(["CHGNet 0.3.0 (chgnet 0.4.2), trained on PBE", "PBE, PAW (GPAW 26.7.0, setups 1.2.1)"])
    {'CHGNet 0.3.0 (chgnet 0.4.2), trained on PBE': 'CHGNet 0.3.0', 'PBE, PAW (GPAW 26.7.0, setups 1.2.1)': 'GPAW PBE'}
    """
    distinct = dict.fromkeys(levels)
    short = {level: _short(level) for level in distinct}
    counts = Counter(short.values())
    return {level: name if counts[name] == 1 else level for level, name in short.items()}


def best(numbers: Sequence[Number]) -> Number | None:
    """Choose the best reference for a potential trained on PBE.

    That is PBE computed with the same settings, then the Materials Project's PBE, PBE and PBEsol of the literature, and
    experiment; the paper's numbers, whose polymorph and scheme are not stated, come last.
    """
    ranked = [(rank, number) for number in numbers if (rank := _rank(number)) is not None and number.value is not None]
    return min(ranked, key=lambda pair: pair[0])[1] if ranked else None


def _rank(number: Number) -> int | None:
    if number.level is not None:
        if not number.level.startswith("PBE,"):
            return None
        return 0 if number.recipe == MAIN_RECIPE else 1
    return _PUBLISHED_ORDER.index((number.source, number.functional)) + 2


def _only(source: str) -> Chooser:
    return lambda numbers: next((each for each in numbers if each.source == source and each.value is not None), None)


def _source(to: str, engines: Sequence[str]) -> str:
    if to in PUBLISHED:
        return to
    found = [name for name in engines if name.lower().startswith(to.lower())]
    if len(found) != 1:
        known = [*PUBLISHED, *engines]
        raise UsageError(f"--to {to!r} names {'more than one' if found else 'no'} source; {suggestion(to, known)}")
    return found[0]


def _short(level: str) -> str:
    head, _, rest = level.partition(" (")
    method = head.partition(",")[0]
    return f"GPAW {method}" if rest.startswith("GPAW") else method


def _tables(
    name: str,
    answers: Sequence[Answer],
    facts: Sequence[Reference],
    *,
    names: dict[str, str],
    engines: tuple[str, ...],
    choose: Chooser,
) -> Iterator[Table]:
    own = [answer for answer in answers if answer.result.property == name]
    known = [fact for fact in facts if fact.property == name.removeprefix(SYMMETRIC)]
    known.sort(key=lambda fact: fact.polymorph is None)
    for unit in dict.fromkeys([*(answer.result.unit for answer in own), *(fact.unit for fact in known)]):
        table = Table(name, unit, (), ())
        rows: dict[tuple[str, str, str | None, float | None], list[Number]] = {}
        for answer in (answer for answer in own if answer.result.unit == unit):
            result = answer.result
            where = (result.material, result.polymorph, result.scheme, result.temperature)
            number, there = _computed(answer, names[result.level], table), rows.setdefault(where, [])
            if number.said not in {other.said for other in there}:
                there.append(number)
        computed = {where[:2] for where in rows}
        for fact in (fact for fact in known if fact.unit == unit):
            beside = [row for row in rows if row[0] == fact.material and fact.polymorph in (None, row[1])]
            beside = [row for row in beside if row[:2] in computed] or beside
            if not beside and name.startswith(SYMMETRIC):
                continue
            for where in beside or [(fact.material, fact.polymorph or _NOT_STATED, None, None)]:
                rows.setdefault(where, []).append(_published(fact))
        if rows:
            ordered = sorted(rows.items(), key=lambda row: tuple(str(part or "") for part in row[0]))
            said = {number.source for numbers in rows.values() for number in numbers}
            yield replace(
                table,
                sources=(*engines, *(source for source in PUBLISHED if source in said)),
                rows=tuple(Row(*where, tuple(numbers), choose(numbers)) for where, numbers in ordered),
            )


def _computed(answer: Answer, source: str, table: Table) -> Number:
    result = answer.result
    recipe = "" if result.recipe == MAIN_RECIPE else f"recipe {result.recipe}"
    warnings = [guard.detail for guard in result.guards if not guard.passed and result.status == "ok"]
    pending = (result.reason or "").startswith(NOT_COMPUTED)
    silence = NOT_COMPUTED if pending else "refused"
    text = silence if result.value is None else table.written(result.value)
    if result.value is not None and result.uncertainty and table.unit not in _WITHOUT_UNCERTAINTY:
        text += f" ± {table.written(result.uncertainty)}"
    return Number(
        source=source,
        text=text,
        value=result.value,
        uncertainty=result.uncertainty,
        notes=tuple(note for note in (recipe, result.reason, *warnings) if note),
        refused=result.status == "refused" and not pending,
        level=result.level,
        recipe=result.recipe,
        key=answer.key,
    )


def _published(fact: Reference) -> Number:
    return Number(
        source=fact.source,
        text=fact.value.replace("-", "−"),
        value=fact.number(),
        notes=(fact.description(),),
        functional=fact.functional,
        citation=fact.citation,
    )


def _crystal(row: Row) -> str:
    conditions = [row.scheme, f"{row.temperature:g} K" if row.temperature is not None else None]
    return "\n".join([f"{row.material} {row.polymorph}", *(f"  {each}" for each in conditions if each)])


def _cell(table: Table, row: Row, source: str, notes: list[str]) -> str:
    lines = []
    for number in row.of(source):
        own = _cited(number)
        notes += [note for note in own if note not in notes]
        numbers = ",".join(str(notes.index(note) + 1) for note in own)
        lines.append(number.text + " *" * (number is row.baseline) + f" ({numbers})" * bool(own))
        off, relative = row.difference(number), table.relative(row, number)
        if off is not None:
            percent = "" if relative is None else f" ({difference(relative, 1)} %)"
            lines.append(f"  {table.written_difference(off)}{percent}")
    return "\n".join(lines) or "–"


def _cited(number: Number) -> tuple[str, ...]:
    """Return the notes of a number, with its source if it is published."""
    source = next((each for each in citations() if each.key == number.citation), None)
    if source is None:
        return number.notes
    where = source.text + (f", doi:{source.doi}" if source.doi else "")
    return tuple(f"{note}: {where}" for note in number.notes)


assert set(PUBLISHED) == set(get_args(Source))  # noqa: S101
