"""What the calls of one campaign share: attempts, faults that fired, sites of oscillators, and the ledger.

The folder ``SODALYTE_REHEARSAL_MEMORY`` holds it; without that variable, ``.rehearsal`` in the run folder.

``ledger.jsonl`` has one JSON object per call of the executable, appended when the call ends (all but a SIGKILL from
outside, which leaves none)::

    {"folder": "/…/run", "stage": "relax" | "elastic" | "static" | "dynamics", "attempt": 1, "formula": "Na3S4Sb",
     "model": "einstein", "ions": 16, "electrons": 100.0, "k_points": 4, "bands": 60, "plane_waves": 9012,
     "encut": 520.0, "spins": 1, "ionic_steps": 9, "electronic_steps": 87, "seconds": 0.41,
     "faults": ["zbrent"], "ended": "done" | "stopped" | "error" | "refused" | "killed" | "terminated" |
     "crashed"}

``electronic_steps`` is the sum over ionic steps, ``plane_waves`` the mean number per k-point, ``seconds`` the wall time
of the rehearsal and not of VASP. "done": VASP would say so; "stopped": by STOPCAR; "error": a fault that ends VASP;
"refused": the inputs are wrong or cannot be honoured (the numbers are then 0); "killed": by a fault's signal;
"terminated": SIGTERM from outside; "crashed": the rehearsal itself failed, its traceback is on the standard error.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

MEMORY = "SODALYTE_REHEARSAL_MEMORY"
"""Environment variable: the folder that the calls of a campaign share."""

LEDGER = "ledger.jsonl"


class Memory:
    """The shared folder.

    Parameters
    ----------
    root
        Made if it is missing.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    @classmethod
    def here(cls) -> Memory:
        """Return the memory of this process."""
        return cls(Path(os.environ.get(MEMORY) or ".rehearsal"))

    def attempt(self, folder: Path) -> int:
        """Count a call in ``folder`` and return its number, from 1."""
        return self.count(f"attempt {folder.resolve()}")

    def count(self, key: str, limit: int | None = None) -> int:
        """Count ``key`` up and return its number, from 1; at ``limit`` it stays, and the answer is 0."""
        with self._locked("counts.json") as file:
            counts = _load(file)
            if limit is not None and counts.get(key, 0) >= limit:
                return 0
            counts[key] = counts.get(key, 0) + 1
            _store(file, counts)
        return int(counts[key])

    def recall(self, name: str) -> list[Any]:
        """Return what was remembered under ``name``, oldest first."""
        with self._locked(f"{_digest(name)}.json") as file:
            return list(_load(file).get("known", []))

    def remember(self, name: str, value: Any) -> None:
        """Add ``value`` to what is known under ``name``."""
        with self._locked(f"{_digest(name)}.json") as file:
            _store(file, {"name": name, "known": [*_load(file).get("known", []), value]})

    def record(self, entry: dict[str, Any]) -> None:
        """Append a line to the ledger."""
        with self._locked(LEDGER) as file:
            file.seek(0, os.SEEK_END)
            file.write(json.dumps(entry) + "\n")
            file.flush()

    @contextmanager
    def _locked(self, name: str) -> Iterator[IO[str]]:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            with (self.root / name).open("a+") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield file
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def read_ledger(root: Path) -> list[dict[str, Any]]:
    """Return the lines of a campaign's ledger, oldest first; none where nothing ran."""
    path = root / LEDGER
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:16]


def _load(file: IO[str]) -> dict[str, Any]:
    file.seek(0)
    return dict(json.loads(file.read() or "{}"))


def _store(file: IO[str], value: dict[str, Any]) -> None:
    text = json.dumps(value)
    file.seek(0)
    file.truncate()
    file.write(text)
    file.flush()
