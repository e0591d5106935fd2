"""Numbers as Fortran writes them, with ``****`` where one did not fit its column."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

_PLAIN = b"0123456789+-.Ee \t\r\n"
_ROW_TAGS = bytes.maketrans(b"<v>/", b"    ")
_OVERFLOW = re.compile(rb"\S*\*\S*")

_WIDTH, _POINT = 17, 8
_ROW = slice(3, 3 + 3 * _WIDTH)
_WHOLE_WEIGHTS, _DECIMAL_WEIGHTS = 10.0 ** np.arange(15, 7, -1), 10.0 ** np.arange(7, -1, -1)
_DECIMAL = np.full(256, np.nan)
_DECIMAL[48:58] = np.arange(10)
_WHOLE = _DECIMAL.copy()
_WHOLE[[ord(" "), ord("-")]] = 0
_MANY = 16


def parse(text: bytes, count: int) -> NDArray[np.float64]:
    """Return ``count`` numbers; what overflowed its column is NaN in its own place.

    Raises
    ------
    ValueError
        The text holds another number of numbers, or something else.
    """
    if text.translate(None, _PLAIN):
        text = _OVERFLOW.sub(b" nan ", text)
        numbers = np.array([float(word) for word in text.split()])
    else:
        numbers = np.fromstring(text, sep=" ")  # only its binary mode is deprecated
    if len(numbers) != count:
        raise ValueError(f"{len(numbers)} instead of {count} numbers")
    return numbers


def parse_rows(text: bytes, count: int) -> NDArray[np.float64]:
    """Return the numbers of ``count`` elements ``<v> x y z </v>``, shape (count, 3), as :func:`parse` does."""
    text = text[text.find(b"<v>") :]
    numbers = _parse_columns(text, count) if count >= _MANY else None
    return parse(text.translate(_ROW_TAGS), 3 * count).reshape(count, 3) if numbers is None else numbers


def _parse_columns(text: bytes, count: int) -> NDArray[np.float64] | None:
    """Return the numbers if they stand in columns of VASP's format 1X,F16.8, else None.

    The digits of all numbers are looked up at once. Together they are an integer that a float holds exactly, as it does
    10^8; their quotient is rounded once, as ``float`` does.
    """
    period = text.find(b"<v>", 1)
    if period < _ROW.stop or text.find(b"<v>", count * period) >= 0 or len(text) <= (count - 1) * period + _ROW.stop:
        return None
    rows = np.frombuffer(text.ljust(count * period), np.uint8, count * period).reshape(count, period)
    fields = rows[:, _ROW].reshape(3 * count, _WIDTH)
    if not ((rows[:, 0] == ord("<")).all() and (fields[:, _POINT] == ord(".")).all()):
        return None
    numbers: NDArray[np.float64] = _WHOLE.take(fields[:, :_POINT]) @ _WHOLE_WEIGHTS
    numbers += _DECIMAL.take(fields[:, _POINT + 1 :]) @ _DECIMAL_WEIGHTS
    if np.isnan(numbers.sum()):
        return None
    if b"-" in text:
        numbers[(fields[:, :_POINT] == ord("-")).any(axis=1)] *= -1
    return (numbers / 1e8).reshape(count, 3)


def number(text: bytes | str) -> float:
    """Return one number, NaN if it overflowed its column.

    Raises
    ------
    ValueError
        It is something else.
    """
    try:
        return float(text)
    except ValueError:
        if "*" in str(text):
            return np.nan
        raise
