"""Results arranged as a reader meets them: by material, then by property."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from sodalyte.analysis.figures.notation import formula, scheme_label, unit_symbol
from sodalyte.analysis.results import REHEARSAL, SYMMETRIC, Guard, Result
from sodalyte.errors import UsageError


@dataclass(frozen=True)
class Property:
    """How a property is named in the report, and under which heading it stands."""

    name: str
    label: str
    group: str


PROPERTIES = (
    Property("e_above_hull", "Energy above the hull", "Stability against Na/Na⁺"),
    Property("reduction_limit", "Reduction limit", "Stability against Na/Na⁺"),
    Property("oxidation_limit", "Oxidation limit", "Stability against Na/Na⁺"),
    Property("window_width", "Width of the window", "Stability against Na/Na⁺"),
    Property("decomposition", "Decomposition by voltage", "Stability against Na/Na⁺"),
    Property("bulk_modulus", "Bulk modulus B (Hill)", "Elasticity"),
    Property("shear_modulus", "Shear modulus G (Hill)", "Elasticity"),
    Property("pugh_ratio", "Pugh's ratio G/B", "Elasticity"),
    Property("elastic_tensor", "Elastic tensor", "Elasticity"),
    Property("structural_instability", "Fall of displaced ions, strained or not", "Elasticity"),
    *(
        Property(f"{SYMMETRIC}{name}", f"{label}, symmetric answer", "Elasticity, ions kept in symmetry")
        for name, label in (
            ("bulk_modulus", "B (Hill)"),
            ("shear_modulus", "G (Hill)"),
            ("pugh_ratio", "G/B"),
            ("elastic_tensor", "Elastic tensor"),
        )
    ),
    Property("diffusivity", "Diffusivity of Na", "Transport of Na"),
    Property("conductivity", "Conductivity (Nernst–Einstein)", "Transport of Na"),
    Property("activation_energy", "Activation energy", "Transport of Na"),
    Property("conductivity_300K", "Conductivity at 300 K (extrapolated)", "Transport of Na"),
    Property("arrhenius", "Arrhenius fit", "Transport of Na"),
    Property("mean_squared_displacement", "Mean squared displacement of Na", "Transport of Na"),
    Property("lattice_a", "Lattice constant a", "Relaxed cell"),
    Property("lattice_c", "Lattice constant c", "Relaxed cell"),
    Property("density", "Density", "Relaxed cell"),
)


@dataclass(frozen=True)
class Case:
    """All answers about one material at one level of theory and with one recipe."""

    material: str
    polymorph: str
    level: str
    recipe: str
    results: tuple[Result, ...]
    label: str
    position: int

    def anchor(self, result: Result) -> str:
        """Name the place in the page where all of one of its results is written."""
        index = next(index for index, own in enumerate(self.results, start=1) if own is result)
        return f"m{self.position}-{index}"

    def all(self, name: str) -> tuple[Result, ...]:
        """Give every answer to property ``name``, refused ones included."""
        return tuple(result for result in self.results if result.property == name)

    def last(self, name: str, *, scheme: str | None = None, temperature: float | None = None) -> Result | None:
        """Give the newest answer to property ``name``, of a scheme and temperature where they apply."""
        found = [result for result in self.all(name) if (result.scheme, result.temperature) == (scheme, temperature)]
        return found[-1] if found else None

    @property
    def schemes(self) -> tuple[str, ...]:
        """Sulfur-correction schemes in the order in which they occur."""
        return tuple(dict.fromkeys(result.scheme for result in self.results if result.scheme))

    @property
    def repeated(self) -> tuple[str, ...]:
        """Properties that were answered more than once under the same conditions."""
        counts = Counter((result.property, result.scheme, result.temperature) for result in self.results)
        return tuple(dict.fromkeys(name for (name, _, _), count in counts.items() if count > 1))

    @property
    def warnings(self) -> tuple[str, ...]:
        """Failed guards that accompany numbers instead of refusing them, each once; that of one number names it."""
        numbers: dict[Guard, set[str]] = {}
        for result in self.results:
            for guard in result.guards:
                if result.status == "ok" and not guard.passed:
                    numbers.setdefault(guard, set()).add(number_label(result))
        return tuple(
            f"{guard.name.replace('_', ' ')}{f' ({next(iter(names))})' if len(names) == 1 else ''}: {guard.detail}"
            for guard, names in numbers.items()
        )


def arrange(results: Iterable[Result | Mapping[str, Any]], *, order: Sequence[str] = ()) -> tuple[Case, ...]:
    """Group results by material, polymorph, level and recipe, and sort each group as the report lists it.

    Parameters
    ----------
    results
        Results or their documents.
    order
        Materials in the order wanted; the others follow in the order in which they come.

    Raises
    ------
    UsageError
        There are none, one is not a result, or those of a rehearsal would stand beside others.
    """
    groups: dict[tuple[str, str, str, str], list[Result]] = {}
    for document in results:
        result = _validated(document)
        groups.setdefault((result.material, result.polymorph, result.level, result.recipe), []).append(result)
    if not groups:
        raise UsageError("there are no results to report; run a material first: sodalyte run Na3SbS4")
    _refuse_mixture([found[0] for found in groups.values()])
    names = Counter(identity[:2] for identity in groups)
    conditions = {identity[2:] for identity in groups}
    wanted = {name: place for place, name in reversed(list(enumerate(order)))}
    sorted_groups = sorted(groups.items(), key=lambda group: wanted.get(group[0][0], len(order)))
    return tuple(
        Case(
            *identity,
            results=tuple(sorted(found, key=_place)),
            label=_label(identity, names, conditions),
            position=position,
        )
        for position, (identity, found) in enumerate(sorted_groups, start=1)
    )


def property_label(name: str) -> str:
    """Name a property in words; an unknown one keeps its own name."""
    return next((item.label for item in PROPERTIES if item.name == name), name.replace("_", " "))


def conditions_label(result: Result) -> str:
    """Name what distinguishes a result from others of its property: scheme and temperature."""
    parts = [scheme_label(result.scheme)] if result.scheme else []
    if result.temperature is not None:
        parts.append(f"{result.temperature:g} K")
    return ", ".join(parts)


def number_label(result: Result) -> str:
    """Name a result's property and what distinguishes it from others of the property."""
    return ", ".join(filter(None, (property_label(result.property), conditions_label(result))))


def with_unit(text: str, unit: str) -> str:
    """Append a unit to a written number."""
    return f"{text}\xa0{unit_symbol(unit)}".rstrip()


def _validated(document: Result | Mapping[str, Any]) -> Result:
    if isinstance(document, Result):
        return document
    try:
        return Result(**{name: document[name] for name in Result.model_fields if name in document})
    except ValidationError as error:
        where = document.get("property", "without a property")
        raise UsageError(
            f"a stored result ({where}) does not have the form of a result: {error.errors()[0]['msg']}"
        ) from error


def _refuse_mixture(examples: Sequence[Result]) -> None:
    """Refuse results of a rehearsal beside others: side by side, the one would be taken for the other."""
    others = [result.level for result in examples if not result.is_rehearsal]
    if 0 < len(others) < len(examples):
        raise UsageError(
            "results of a rehearsal, which are not DFT, cannot stand in one report with others; choose with "
            f"'level ~ ^{REHEARSAL}' or 'level = {_printable(others[0])}'"
        )


def _printable(text: str) -> str:
    """Keep a name on one line and in one direction, whatever characters a file's name holds."""
    return "".join(char if char.isprintable() else "?" for char in " ".join(text.split()))


def _place(result: Result) -> tuple[int, str, float]:
    names = [item.name for item in PROPERTIES]
    place = names.index(result.property) if result.property in names else len(names)
    return place, scheme_label(result.scheme or ""), result.temperature or 0.0


def _label(
    identity: tuple[str, str, str, str],
    names: Counter[tuple[str, str]],
    conditions: set[tuple[str, str]],
) -> str:
    """Name a case; level and recipe are added where the name alone would be ambiguous."""
    material, polymorph, level, recipe = identity
    label = _printable(f"{formula(material)} ({polymorph})")
    if level.startswith(REHEARSAL):
        label += ", rehearsal"
    if names[material, polymorph] == 1:
        return label
    levels, recipes = (len(set(values)) for values in zip(*conditions, strict=True))
    extra = [f"recipe {recipe}"] * (recipes > 1) + [level] * (levels > 1)
    return f"{label}, {', '.join(extra)}"
