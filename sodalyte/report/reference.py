"""Published numbers that stand beside ours, as facts with their sources."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict

Source = Literal["paper", "mp", "literature", "experiment"]

_NUMBER = re.compile(r"(-?\d+(?:\.\d+)?)(?:\(\d+\))?")


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
    source
        Whose number it is.
    functional
        Of a number that was computed, where it is known.
    evidence
        How it got here: read in the cited text, quoted in another one, from a published data file, or recalled and not
        checked.
    temperature
        At which it was measured, kelvin, where that is stated.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    material: str
    polymorph: str | None
    citation: str
    property: str
    value: str
    unit: str
    kind: str
    source: Source
    functional: Literal["PBE", "PBEsol"] | None = None
    evidence: Literal["read", "quoted", "file", "recalled"]
    temperature: float | None = None

    def number(self) -> float | None:
        """Return the value, None where it is a range or a bound."""
        matched = _NUMBER.fullmatch(self.value)
        return float(matched[1]) if matched else None

    def description(self) -> str:
        """Say what kind of number it is, with what a reader has to know to trust it."""
        parts = [self.kind]
        if self.temperature is not None:
            parts.append(f"{self.temperature:g} K")
        if self.polymorph is None:
            parts.append("polymorph not stated")
        if self.evidence == "recalled":
            parts.append("recalled, not checked")
        return ", ".join(parts)


def citations() -> tuple[Citation, ...]:
    """Give all sources, the paper first."""
    return tuple(Citation.model_validate(source) for source in _document()["citations"])


def references(material: str, polymorph: str, name: str) -> tuple[Reference, ...]:
    """Give the published numbers for property ``name`` of a material; those of another polymorph are left out."""
    return tuple(
        fact
        for fact in published()
        if (fact.material, fact.property) == (material, name) and fact.polymorph in (None, polymorph)
    )


def paper_value(material: str, polymorph: str, name: str) -> float | None:
    """Give the single number that the paper states for property ``name``, if it states one."""
    numbers = (fact.number() for fact in references(material, polymorph, name) if fact.source == "paper")
    return next((number for number in numbers if number is not None), None)


@cache
def _document() -> dict[str, Any]:
    text = (files("sodalyte.report") / "references.yaml").read_text(encoding="utf-8")
    document: dict[str, Any] = yaml.safe_load(text)
    return document


@cache
def published() -> tuple[Reference, ...]:
    """Give every published number."""
    return tuple(
        Reference(**fact, **{name: value for name, value in group.items() if name != "facts"})
        for group in _document()["references"]
        for fact in group["facts"]
    )
