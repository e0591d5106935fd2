"""YAML as data and nothing else: mappings, lists, texts, numbers, true, false and null, each with its line.

The limits are checked on the stream of events, before anything is composed. Aliases, anchors, tags, merge keys,
duplicate keys and further documents are refused. Scalars are those of YAML 1.2's core schema: ``no`` is a text, 1:30
is a text, 010 is ten.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import yaml

MAX_DEPTH = 12
MAX_NODES = 50_000
MAX_SCALAR = 2_000
Place = tuple[str | int, ...]
"""Where something stands: keys of mappings and indices of lists, from the outside in."""

_NULL = re.compile(r"~|null|Null|NULL|")
_TRUTH = re.compile(r"true|True|TRUE|false|False|FALSE")
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


class RefusedError(Exception):
    """A text that is not plain data.

    Attributes
    ----------
    line
        Where, from 1.
    message
        What is wrong, and what to do.
    """

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line
        self.message = message


@dataclass(frozen=True)
class Document:
    """What a text holds, and the line, from 1, of everything in it.

    The line of an entry of a mapping is that of its key.
    """

    value: Any
    lines: Mapping[Place, int]

    def line(self, place: Place) -> int:
        """Return the line of what stands at ``place``, or of the nearest thing around it."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)


def read_yaml(text: str) -> Document:
    """Read a text.

    Raises
    ------
    RefusedError
        It is not YAML, not plain data, nested deeper than 12, or of more than 50,000 nodes.
    """
    reader = _Reader(text)
    try:
        value = reader.document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(part for part in (error.context, error.problem) if part)
        raise RefusedError(mark.line + 1 if mark else 1, f"this is not YAML: {problem}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise RefusedError(line, f"character {error.character!r} cannot be printed; remove it") from None
    return Document(value, reader.lines)


class _Reader:
    """Builds data from the events of PyYAML's parser, as they come."""

    def __init__(self, text: str) -> None:
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=yaml.SafeLoader)
        self._nodes = 0
        self.lines: dict[Place, int] = {}

    def document(self) -> Any:
        self._next()  # the stream starts
        event = self._next()
        if isinstance(event, yaml.StreamEndEvent):
            _refuse(event, "the file is empty")
        if isinstance(event, yaml.DocumentStartEvent) and (event.tags or event.version):
            _refuse(event, "directives (%YAML, %TAG) are not taken; remove them")
        value = self._value(self._next(), ())
        self._next()  # the document ends
        event = self._next()
        if not isinstance(event, yaml.StreamEndEvent):
            _refuse(event, "a second document begins; give one file for each")
        return value

    def _next(self) -> yaml.Event:
        return next(self._events)

    def _value(self, event: yaml.Event, place: Place) -> Any:
        self._check(event, place)
        self.lines.setdefault(place, _line(event))
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Any] = []
            while not isinstance(event := self._next(), yaml.SequenceEndEvent):
                items.append(self._value(event, (*place, len(items))))
            return items
        return self._mapping(place)

    def _mapping(self, place: Place) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            self._check(event, place)
            key = _scalar(event) if isinstance(event, yaml.ScalarEvent) else None
            if not isinstance(key, str) or not key:
                _refuse(event, "a key has to be a text; put it into quotes")
            if key == "<<":
                _refuse(event, "merge keys (<<) are not taken; write out what they stand for")
            where = (*place, key)
            if where in self.lines:
                _refuse(event, f"the key {key!r} stands here again, first in line {self.lines[where]}; keep one")
            self.lines[where] = _line(event)
            mapping[key] = self._value(self._next(), where)
        return mapping

    def _check(self, event: yaml.Event, place: Place) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            _refuse(event, f"the file holds more than {MAX_NODES} values; split it")
        if len(place) > MAX_DEPTH:
            _refuse(event, f"this is nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.NodeEvent) and event.anchor:
            _refuse(event, "anchors and aliases (& and *) are not taken; put a text that begins so into quotes")
        if getattr(event, "tag", None):
            _refuse(event, "tags (!) are not taken; put a text that begins so into quotes")
        if isinstance(event, yaml.ScalarEvent) and len(event.value) > MAX_SCALAR:
            _refuse(event, f"this text is longer than {MAX_SCALAR} characters")


def _scalar(event: yaml.ScalarEvent) -> str | int | float | bool | None:
    text: str = event.value
    if not event.implicit[0] or event.style is not None:
        return text
    if _NULL.fullmatch(text):
        return None
    if _TRUTH.fullmatch(text):
        return text.lower() == "true"
    if _INTEGER.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text):
        number = float(text)
        if not math.isfinite(number):
            _refuse(event, f"{text[:40]} is too large a number")
        return number
    return text


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _refuse(event: yaml.Event, message: str) -> NoReturn:
    raise RefusedError(_line(event), message)
