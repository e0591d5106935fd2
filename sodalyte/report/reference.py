"""Published numbers that stand beside ours, as facts with their sources."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict


class Citation(BaseModel):
    """A source, and what it is cited for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    text: str
    doi: str | None = None
    role: str


class Reference(BaseModel):
    """One published number.

    Attributes
    ----------
    material, polymorph
        The polymorph is None where the source does not state it; it then stands beside every polymorph and says so.
    value
        As the source prints it, in ``unit``: ``"1.90"``, ``"7.1708(12)"``, ``"0.1 to 0.4"``, ``"> 1"``.
    kind
        What kind of number it is: measured or computed how, or quoted from where.
    citation
        Key of a :class:`Citation`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    material: str
    polymorph: str | None
    citation: str
    property: str
    value: str
    unit: str
    kind: str


def citations() -> tuple[Citation, ...]:
    """Give all sources, the paper first."""
    return tuple(Citation.model_validate(source) for source in _document()["citations"])


def references(material: str, polymorph: str, name: str) -> tuple[Reference, ...]:
    """Give the published numbers for property ``name`` of a material; those of another polymorph are left out."""
    return tuple(
        fact
        for fact in _facts()
        if (fact.material, fact.property) == (material, name) and fact.polymorph in (None, polymorph)
    )


def paper_value(material: str, polymorph: str, name: str) -> float | None:
    """Give the single number that the paper states for property ``name``, if it states one."""
    for fact in references(material, polymorph, name):
        if fact.citation == "paper" and fact.value.replace(".", "", 1).isdigit():
            return float(fact.value)
    return None


@cache
def _document() -> dict[str, Any]:
    text = (files("sodalyte.report") / "references.yaml").read_text(encoding="utf-8")
    document: dict[str, Any] = yaml.safe_load(text)
    return document


@cache
def _facts() -> tuple[Reference, ...]:
    return tuple(
        Reference(**fact, **{name: group[name] for name in ("material", "polymorph", "citation")})
        for group in _document()["references"]
        for fact in group["facts"]
    )
