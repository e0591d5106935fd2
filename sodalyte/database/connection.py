"""SQLite connections whose writers queue in the kernel."""

from __future__ import annotations

import fcntl
import sqlite3
from types import TracebackType


class Connection(sqlite3.Connection):
    """``with connection:`` takes the write lock at once and nests: the outermost block commits or rolls back.

    Processes queue for the lock in the kernel; SQLite alone lets them poll, and one of four busy writers then starves
    for seconds.
    """

    queue: int
    """File descriptor of the lock file on which processes queue."""
    _depth = 0

    def __enter__(self) -> Connection:
        if self._depth == 0:
            fcntl.flock(self.queue, fcntl.LOCK_EX)
            try:
                self.execute("BEGIN IMMEDIATE")
            except sqlite3.Error:
                fcntl.flock(self.queue, fcntl.LOCK_UN)
                raise
        self._depth += 1
        return self

    def __exit__(  # type: ignore[override]
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._depth > 0:
            return
        try:
            if kind is None:
                self.execute("COMMIT")
        finally:
            if self.in_transaction:
                self.execute("ROLLBACK")
            fcntl.flock(self.queue, fcntl.LOCK_UN)
