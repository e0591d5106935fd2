"""Everything that sodalyte raises on purpose.

An error is one sentence: what is wrong, where, and what to do about it. ``exit_code`` is what the command
line returns: 1 when work failed, 2 when what was asked for cannot be done as asked.
"""

import difflib
from collections.abc import Iterable


class SodalyteError(Exception):
    """Base of every error that sodalyte raises on purpose."""

    exit_code = 1


class CalculationError(SodalyteError):
    """A calculation ended without a usable answer."""


class OutOfMemoryError(CalculationError):
    """A calculation needed more memory than it had."""


class DiskFullError(CalculationError):
    """A calculation found no room on the disk."""


class StoppedError(CalculationError):
    """A calculation was stopped in order before it was done; running it again goes on where it stopped."""


class UsageError(SodalyteError):
    """What was asked for cannot be done as asked."""

    exit_code = 2


class StructureError(UsageError):
    """A material is unknown, unreadable, or not one that sodalyte can treat."""


class RecipeError(UsageError):
    """A recipe holds an unknown key or an impossible value."""


class EngineError(UsageError):
    """An engine is unknown, or its package is not installed."""


class DatabaseError(UsageError):
    """A database address is malformed, or the database does not answer."""


class WorkspaceError(UsageError):
    """A workspace cannot be created or written."""


class QueryError(UsageError):
    """A query term cannot be understood."""


class ConfigurationError(UsageError):
    """A configuration file cannot be read, or holds an unknown key or an impossible value."""


class CampaignError(UsageError):
    """A campaign file cannot be read, or asks for something impossible."""


class ClusterError(UsageError):
    """A cluster's queueing system does not answer, or refuses what it is asked for."""


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return a half sentence that names the known word nearest to ``word``, or all of them when none is near."""
    near = difflib.get_close_matches(word, known := sorted(known), n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
