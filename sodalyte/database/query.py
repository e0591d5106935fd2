"""Asking a database for results with terms such as ``property = window_width`` or ``value > 1``."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Sequence
from types import EllipsisType, NoneType
from typing import TYPE_CHECKING, Any, get_args

from sodalyte.analysis.results import Guard, Result
from sodalyte.database.store import Database, open_database, ways
from sodalyte.errors import QueryError

if TYPE_CHECKING:
    from pandas import DataFrame

COLUMNS = (*Result.model_fields, "key", "created_at")
"""What a result document holds."""

ORDER = ("material", "polymorph", "property", "temperature", "scheme", "created_at")
"""How results are sorted where nothing else is asked for."""

_OPERATORS = {"=": "$eq", "!=": "$ne", "<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte", "~": "$regex"}
_TERM = re.compile(r"\s*([^\s=!<>~]*)\s*([=!<>~]*)\s*(.*)", re.DOTALL)
_MAX_PATTERN = 200
_MAX_REPEATS = 4


def parse_terms(words: Sequence[str]) -> dict[str, Any]:
    """Turn the words of a query into a MongoDB filter.

    A word may be a whole term (``value>1``, ``"reason ~ not diffusive"``), or a field, an operator, or a value of one.
    What stands for a value is always taken literally. The operators are ``=``, ``!=``, ``<``, ``<=``, ``>``, ``>=``
    and ``~``, which finds a regular expression in a text. ``null`` stands for no value; ``!=`` also finds results
    without the field.

    Raises
    ------
    QueryError
        A term is incomplete, its field unknown (the nearest known one is named), its value of the wrong kind, or its
        regular expression invalid or of a kind that can take for ever.
    """
    terms = [{field: {_OPERATORS[symbol]: _value(field, symbol, text)}} for field, symbol, text in _split(words)]
    return {"$and": terms} if terms else {}


def find(
    database: Database,
    terms: Sequence[str] = (),
    *,
    columns: Sequence[str] | None = None,
    sort: Sequence[str] | None = None,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """Return the results that fulfil all terms.

    Parameters
    ----------
    terms
        As :func:`parse_terms` takes them.
    columns
        Fields to return, dotted ones such as ``data.deviation_percent`` or ``guards.name`` among them; whole documents
        if not given.
    sort
        Fields to sort by, descending with a ``-`` before; by material, polymorph, property, temperature and scheme if
        not given. Results without the field come before those with it.
    limit
        Largest number of results.

    Raises
    ------
    QueryError
        A term, column, sort field or the limit is not one.
    DatabaseError
        The database does not answer.
    """
    criteria = parse_terms(terms)
    order = ways(sort or ORDER)
    for field, _ in order:
        _kind(field)
    for column in columns or ():
        if column not in COLUMNS:
            _kind(column)
    if limit is not None and limit < 1:
        raise QueryError(f"the limit has to be at least 1, not {limit}")
    projection = dict.fromkeys({column.partition(".")[0] for column in columns or COLUMNS}, 1)
    with database.answering():
        found = database.results.find(criteria, projection, sort=[*order, ("_id", 1)], limit=limit or 0)
        return [{column: _pick(document, column) for column in columns or COLUMNS} for document in found]


def to_frame(documents: Sequence[dict[str, Any]], columns: Sequence[str] | None = None) -> DataFrame:
    """Return what :func:`find` found as a pandas DataFrame, with its columns even where nothing was found."""
    import pandas as pd

    return pd.DataFrame(list(documents), columns=list(columns or COLUMNS))


def query_frame(
    uri: str,
    *terms: str,
    columns: Sequence[str] | None = None,
    sort: Sequence[str] | None = None,
    limit: int | None = None,
) -> DataFrame:
    """Return the results of the database at ``uri`` that fulfil all terms as a pandas DataFrame; see :func:`find`.

    Examples
    --------
    >>> query_frame("lite://sodalyte-work/database", "property = window_width", "value > 0.05", sort=["-value"])
    """
    with open_database(uri, create=False) as database:
        return to_frame(find(database, terms, columns=columns, sort=sort, limit=limit), columns)


def _kinds() -> dict[str, type]:
    """Return, for each field that holds one value or a list of values, the type of what it holds."""
    kinds = {name: _leaf(field.annotation) for name, field in Result.model_fields.items()}
    kinds |= {f"guards.{name}": _leaf(field.annotation) for name, field in Guard.model_fields.items()}
    kinds |= {"interval_95.0": float, "interval_95.1": float, "key": str, "created_at": str}
    return {name: kind for name, kind in kinds.items() if kind in (str, float, bool) and name != "data"}


def _leaf(annotation: Any) -> type:
    """Return the innermost type of an annotation: ``float`` of ``tuple[float, float] | None``."""
    arguments = [argument for argument in get_args(annotation) if argument not in (None, NoneType, ..., EllipsisType)]
    if arguments:
        return _leaf(arguments[0])
    return annotation if isinstance(annotation, type) else type(annotation)


_KINDS = _kinds()


def _kind(field: str) -> type | None:
    """Return the type of what a field holds, None where it can be anything."""
    if field in _KINDS:
        return _KINDS[field]
    first, *rest = field.split(".")
    if first == "data" and rest and all(part and not part.startswith("$") and part.isprintable() for part in rest):
        return None
    if field in COLUMNS:
        inside = ", ".join(name for name in _KINDS if name.startswith(f"{field}.")) or f"{field}.NAME"
        raise QueryError(f"{field} holds more than one value; ask for {inside}")
    nearest = difflib.get_close_matches(field, [*_KINDS, "data"], n=1, cutoff=0.0)[0]
    raise QueryError(f"unknown field {field!r}; did you mean {nearest!r}?")


def _split(words: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Yield field, operator and value of each term."""
    following = iter(words)
    for word in following:
        field, symbol, text = _match(word)
        if not symbol:
            rest = next(following, "")
            nothing, symbol, more = _match(rest)
            if text or nothing or not symbol:
                raise QueryError(_incomplete(f"{word} {rest}".strip()))
            text = more
        if symbol not in _OPERATORS:
            raise QueryError(f"unknown operator {symbol!r} in {word!r}; use one of {' '.join(_OPERATORS)}")
        _kind(field)
        if not text:
            value = next(following, None)
            if value is None:
                raise QueryError(_incomplete(f"{field} {symbol}"))
            text = value
        yield field, symbol, text


def _match(word: str) -> tuple[str, str, str]:
    matched = _TERM.fullmatch(word)
    assert matched is not None  # noqa: S101  every part of the pattern may be empty
    field, symbol, text = matched.groups()
    return field, symbol, text


def _incomplete(term: str) -> str:
    return f"the term {term!r} is not FIELD OPERATOR VALUE, such as 'value > 1'"


def _value(field: str, symbol: str, text: str) -> str | float | bool | None:
    """Turn the text of a value into what the field holds."""
    kind = _kind(field)
    if not text.isprintable():
        raise QueryError(f"the value for {field} holds a character that cannot be printed")
    if symbol == "~":
        if kind not in (str, None):
            raise QueryError(f"{field} holds no text; ~ finds a regular expression in a text")
        return _checked_pattern(text)
    if text == "null":
        if symbol not in ("=", "!="):
            raise QueryError(f"{field} {symbol} null has no meaning; use = or !=")
        return None
    if kind is str:
        return text
    truth = {"true": True, "false": False}.get(text)
    if truth is not None and kind is not float:
        return truth
    number = _number(text)
    if number is not None and kind is not bool:
        return number
    if kind is None:
        return text
    raise QueryError(f"{field} holds {'a number' if kind is float else 'true or false'}, not {text!r}")


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _checked_pattern(pattern: str) -> str:
    """Refuse invalid expressions, and those whose search can take for ever: nothing else limits it."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise QueryError(f"the regular expression {pattern!r} is invalid: {error}") from error
    plain = re.sub(r"\\.|\[\^?\]?[^\]]*\]", "x", pattern)
    repeats_group = re.search(r"\)[*+?{]", plain)
    if repeats_group or len(pattern) > _MAX_PATTERN or len(re.findall(r"[*+{]|(?<!\()\?", plain)) > _MAX_REPEATS:
        raise QueryError(
            f"the regular expression {pattern[:50]!r} is too complex: at most {_MAX_PATTERN} characters, "
            f"{_MAX_REPEATS} repetitions and no repeated group"
        )
    return pattern


def _pick(document: Any, path: str) -> Any:
    """Return what stands at a dotted path; of a list without a number in the path, what stands there in each entry."""
    if not path:
        return document
    if isinstance(document, list):
        first, _, rest = path.partition(".")
        if first.isdecimal():
            return _pick(document[int(first)], rest) if int(first) < len(document) else None
        return [_pick(entry, path) for entry in document]
    if not isinstance(document, dict):
        return None
    first, _, rest = path.partition(".")
    return _pick(document.get(first), rest)
