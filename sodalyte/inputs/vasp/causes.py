"""Why VASP ended: the cause in a sentence, from what it said and how it died."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from sodalyte.errors import CalculationError, DiskFullError, OutOfMemoryError

_TAIL = 100_000
_DISK_FULL, _OUT_OF_MEMORY = "the disk is full", "VASP ran out of memory"
_FINAL: tuple[tuple[str, str], ...] = (
    (r"No space left on device|Disk quota exceeded", f"{_DISK_FULL}: make room in {{folder}}"),
    (
        r"oom-kill|[Oo]ut [Oo]f [Mm]emory|Cannot allocate memory|insufficient virtual memory",
        f"{_OUT_OF_MEMORY}: give it more, or more nodes",
    ),
    (r"POTCAR.*does not match|POTCAR.*POSCAR.*(differ|incompatible|mismatch)", "the POTCAR does not fit the POSCAR"),
    (r"Error reading item|Error code was IERR= 5", "VASP cannot read a tag of the INCAR"),
    (
        r"error while loading shared libraries|command not found|[Ee]xec format error",
        "VASP does not start: check vasp.command and the cluster's environment in sodalyte.toml",
    ),
)
_COMPLAINT = re.compile(
    r"(ZBRENT|BRMIX|EDDDAV|EDDRMM|EDDIAG|POSMAP|RHOSYG|LAPACK|internal error|VERY BAD NEWS|"
    r"[Ff]atal|\bERROR\b|\bError\b|REFUSE)"
)


def final_cause(folder: Path) -> str | None:
    """Return a cause against which starting again is no help, or None."""
    said = _said(folder)
    for pattern, sentence in _FINAL:
        if found := re.search(pattern, said):
            line = _line(said, found.start())
            return f"{sentence.format(folder=folder)} ({line!r})"
    return None


def as_error(reason: str) -> CalculationError:
    """Return the error that a reason deserves: launchers tell memory and disk from the rest."""
    kinds = {_DISK_FULL: DiskFullError, _OUT_OF_MEMORY: OutOfMemoryError}
    return next((kind for start, kind in kinds.items() if reason.startswith(start)), CalculationError)(reason)


def ending(folder: Path, status: int | None) -> str:
    """Return how VASP ended before its output was complete.

    Parameters
    ----------
    status
        Exit status of the process, negative for a signal, as Python's subprocess gives it.
    """
    said = _said(folder)
    complaints = [line.strip(" |*") for line in said.splitlines() if _COMPLAINT.search(line)]
    told = f", saying {complaints[-1]!r}" if complaints else ""
    number = -status if status is not None and status < 0 else (status or 0) - 128
    if number in {entry.value for entry in signal.Signals}:
        return f"VASP was killed by {signal.Signals(number).name}{told}"
    return f"VASP ended with exit status {status} before its output was complete{told or _last_words(said)}"


def quote(folder: Path, message: str) -> str:
    """Return the line of VASP's standard output that holds ``message``."""
    said = _said(folder)
    place = said.find(message)
    return _line(said, place) if place >= 0 else message


def _said(folder: Path) -> str:
    return "\n".join(_tail(folder / name) for name in ("vasp.out", "std_err.txt"))


def _tail(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL))
        return file.read().decode(errors="replace")


def _line(text: str, place: int) -> str:
    return text[text.rfind("\n", 0, place) + 1 :].partition("\n")[0].strip(" |*")


def _last_words(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return f"; its last line: {lines[-1]!r}" if lines else ", without a word"
