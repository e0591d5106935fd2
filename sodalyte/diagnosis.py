"""What ``sodalyte doctor`` finds: one value object that every check returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warning", "failed"]


@dataclass(frozen=True)
class Check:
    """Something that was looked at before work starts.

    Attributes
    ----------
    name
        What was looked at: ``POTCAR files``, ``partition``.
    status
        ``warning`` when work can start but may not end as hoped, ``failed`` when it cannot start.
    detail
        What was seen.
    advice
        What to do about it; empty when all is well.
    """

    name: str
    status: Status
    detail: str
    advice: str = ""


def ok(name: str, detail: str) -> Check:
    """Return a check that passed."""
    return Check(name, "ok", detail)


def warning(name: str, detail: str, advice: str) -> Check:
    """Return a check that passed with a doubt."""
    return Check(name, "warning", detail, advice)


def failed(name: str, detail: str, advice: str) -> Check:
    """Return a check that did not pass."""
    return Check(name, "failed", detail, advice)
