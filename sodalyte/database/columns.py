"""What SQLite can answer of MongoDB's query language: values as columns, filters and orders as SQL.

A column holds null, numbers and texts as they are, which SQLite orders as MongoDB does; object ids, truth values and
dates as bytes with MongoDB's rank of their type in front. Whatever else stands at a path (lists, documents, NaN) makes
the column ``COMPLEX``: equality then finds at least the documents that match, and ranges and orders are left to Python.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isnan
from typing import Any

from bson import ObjectId

Key = int | float | str | bytes | None

COMPLEX = b"\xff"
"""Stands for every value that is no single comparable one."""

MAX_VALUES = 10_000
"""Values that one condition may list before it is left to Python."""

_OBJECT_ID, _BOOL, _DATE = b"\x07", b"\x08", b"\x09"
_EPOCH = datetime(1970, 1, 1)
_DATE_OFFSET = 2**63
_INSIDE = "SELECT row FROM elements WHERE number = {} AND value IN ({}, x'ff')"
_RANGES = {"$lt": "<", "$lte": "<=", "$gt": ">", "$gte": ">="}


@dataclass(frozen=True)
class Column:
    """A path of the documents that is kept as column ``number``; ``plain`` while nothing complex stands in it."""

    number: int
    plain: bool

    @property
    def name(self) -> str:
        """In SQL."""
        return f"c{self.number}"


@dataclass(frozen=True)
class Condition:
    """A filter in SQL; ``exact`` if it finds what matches and nothing else, otherwise at least what matches."""

    sql: str
    values: tuple[Key, ...] = ()
    exact: bool = True


_ANYTHING = Condition("1", exact=False)


def as_key(value: Any) -> Key:
    """Return the comparable form of a value; ``COMPLEX`` if it has none."""
    key: Key
    match value:
        case None | str():
            key = value
        case bool():
            key = _BOOL + bytes([value])
        case int():
            key = int(value) if -_DATE_OFFSET <= value < _DATE_OFFSET else COMPLEX
        case float():
            key = COMPLEX if isnan(value) else value
        case ObjectId():
            key = _OBJECT_ID + value.binary
        case datetime():
            naive = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
            key = _DATE + struct.pack(">Q", (naive - _EPOCH) // timedelta(milliseconds=1) + _DATE_OFFSET)
        case _:
            key = COMPLEX
    return key


def from_key(key: Key) -> Any:
    """Return the value whose comparable form is ``key``, which is not ``COMPLEX``."""
    if not isinstance(key, bytes):
        return key
    if key[:1] == _OBJECT_ID:
        return ObjectId(key[1:])
    if key[:1] == _BOOL:
        return bool(key[1])
    return _EPOCH + timedelta(milliseconds=struct.unpack(">Q", key[1:])[0] - _DATE_OFFSET)


def key_at(document: Mapping[str, Any], path: str) -> Key:
    """Return the comparable form of what stands at a path; nothing there is null."""
    value: Any = document
    for part in path.split("."):
        if isinstance(value, list):
            if not part.isdecimal() or any(isinstance(entry, (dict, list)) for entry in value):
                return COMPLEX
            value = value[int(part)] if int(part) < len(value) else None
        elif isinstance(value, dict):
            value = value.get(part)
        else:
            return None
    return as_key(value)


def elements_at(document: Mapping[str, Any], path: str) -> set[Key]:
    """Return the comparable forms of all values to which equality with what stands at a complex path can mean."""
    values: list[Any] = [document]
    for part in path.split("."):
        if part.isdecimal():
            return {COMPLEX}
        values = [value[part] for value in _opened(values) if isinstance(value, dict) and part in value]
    return {as_key(value) for value in _opened(values) if value is not None}


def _opened(values: list[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list):
            yield from value
        else:
            yield value


def condition(criteria: Mapping[str, Any], columns: Mapping[str, Column]) -> Condition:
    """Translate a MongoDB filter into SQL, as far as it can be."""
    return _all([_clause(field, wanted, columns) for field, wanted in criteria.items()])


def order(sort: Sequence[tuple[str, int]], columns: Mapping[str, Column]) -> str | None:
    """Translate a MongoDB order into SQL; None if SQLite cannot sort so."""
    if any(path not in columns or not columns[path].plain for path, _ in sort):
        return None
    return ", ".join([*(f"{columns[path].name} {'DESC' if way < 0 else 'ASC'}" for path, way in sort), "row"])


def matches_pattern(pattern: str, text: Key) -> bool:
    """Tell whether a regular expression is found in a text: SQL's ``text REGEXP pattern``."""
    return isinstance(text, str) and re.search(pattern, text) is not None


def _clause(field: str, wanted: Any, columns: Mapping[str, Column]) -> Condition:
    if field == "$and":
        return _all([condition(part, columns) for part in wanted])
    if field == "$or":
        return _any([condition(part, columns) for part in wanted])
    if field not in columns:
        return _ANYTHING
    column = columns[field]
    if isinstance(wanted, dict) and any(name.startswith("$") for name in wanted):
        if "$options" in wanted:
            return _ANYTHING
        return _all([_operation(column, name, value) for name, value in wanted.items()])
    return _equality(column, [wanted])


def _operation(column: Column, name: str, value: Any) -> Condition:
    match name, value:
        case "$eq", _:
            return _equality(column, [value])
        case "$in", list() | tuple():
            return _equality(column, value)
        case "$ne" | "$nin", _ if column.plain:
            same = _equality(column, [value] if name == "$ne" else value)
            return Condition(f"NOT ifnull({same.sql}, 0)", same.values) if same.exact else _ANYTHING
        case "$regex", str() if column.plain:
            return Condition(f"{column.name} REGEXP ?", (value,))
        case "$lt" | "$lte" | "$gt" | "$gte", _ if column.plain:
            return _range(column, _RANGES[name], value)
    return _ANYTHING


def _equality(column: Column, values: Sequence[Any]) -> Condition:
    """Translate equality with one of the values."""
    keys = [as_key(value) for value in values]
    if COMPLEX in keys or len(keys) > MAX_VALUES or (None in keys and not column.plain):
        return _ANYTHING
    known = tuple(key for key in keys if key is not None)
    marks = ", ".join("?" * len(known))
    listed = f"{column.name} = ?" if len(known) == 1 else f"{column.name} IN ({marks})"
    if None in keys:
        return Condition(f"({listed} OR {column.name} IS NULL)" if known else f"{column.name} IS NULL", known)
    if column.plain:
        return Condition(listed, known)
    return Condition(f"({listed} OR row IN ({_INSIDE.format(column.number, marks)}))", (*known, *known), exact=False)


def _range(column: Column, symbol: str, value: Any) -> Condition:
    """Translate a comparison, which in MongoDB finds values of the same type only."""
    key = as_key(value)
    if key is None or key == COMPLEX:
        return _ANYTHING
    first, beyond = _type_limits(key)
    name = column.name
    if symbol.startswith(">"):
        return Condition(f"({name} {symbol} ? AND {name} < ?)", (key, beyond))
    if first is None:
        return Condition(f"{name} {symbol} ?", (key,))
    return Condition(f"({name} {symbol} ? AND {name} >= ?)", (key, first))


def _type_limits(key: int | float | str | bytes) -> tuple[Key, Key]:
    """Return the smallest key of the same type, None for numbers, and the smallest one of the types after it."""
    if isinstance(key, bytes):
        return key[:1], bytes([key[0] + 1])
    return ("", b"") if isinstance(key, str) else (None, "")


def _all(parts: Sequence[Condition]) -> Condition:
    exact = all(part.exact for part in parts)
    known = [part for part in parts if part.sql != _ANYTHING.sql]
    if not known:
        return Condition("1", exact=exact)
    values = tuple(value for part in known for value in part.values)
    return Condition(" AND ".join(part.sql for part in known), values, exact)


def _any(parts: Sequence[Condition]) -> Condition:
    if not parts or any(part.sql == _ANYTHING.sql for part in parts):
        return _ANYTHING
    sql = " OR ".join(f"({part.sql})" for part in parts)
    return Condition(
        f"({sql})", tuple(value for part in parts for value in part.values), all(part.exact for part in parts)
    )
