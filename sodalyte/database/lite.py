"""The database without a server: litemongo, made fit for several processes at once.

litemongo answers MongoDB's query language from SQLite files. Two things are added here, since litemongo keeps its
indexes in the memory of each process, rebuilds them by decoding every document whenever another process has written,
and reads, changes and writes a document in separate transactions:

* Declared indexes are rows of the same SQLite file. Triggers note every changed document, whoever changed it, and the
  next lookup indexes what was noted; a lookup then costs the same among ten documents and ten thousand.
* Writing one document, with the search for it and the check of unique indexes, is one transaction, as in MongoDB.

The classes rest on hooks of litemongo that its documentation does not promise; ``tests/database/test_lite.py`` notices
when one of them changes.
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import litemongo
from litemongo import sqlite_store
from litemongo._vendor.mongomock import indexing
from litemongo._vendor.mongomock.collection import Collection

BUSY_TIMEOUT = 60.0
"""Seconds that a process waits for another one's transaction, which lasts milliseconds."""

_MAX_VALUES = 10_000
_UNKEYED = "*"
_CANDIDATES = (
    "SELECT doc FROM documents WHERE _id IN "
    "(SELECT id FROM lookup WHERE path = ? AND value IN ({}) UNION SELECT id FROM changed) ORDER BY rowid"
)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS lookup(path, value, id, PRIMARY KEY(path, value, id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS lookup_by_id ON lookup(id);
CREATE TABLE IF NOT EXISTS changed(id PRIMARY KEY) WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS note_insert AFTER INSERT ON documents BEGIN
    INSERT INTO changed SELECT new._id WHERE new._id NOT IN (SELECT id FROM changed);
END;
CREATE TRIGGER IF NOT EXISTS note_update AFTER UPDATE ON documents BEGIN
    DELETE FROM lookup WHERE id = new._id;
    INSERT INTO changed SELECT new._id WHERE new._id NOT IN (SELECT id FROM changed);
END;
CREATE TRIGGER IF NOT EXISTS note_delete AFTER DELETE ON documents BEGIN
    DELETE FROM lookup WHERE id = old._id;
    DELETE FROM changed WHERE id = old._id;
END;
CREATE TRIGGER IF NOT EXISTS note_index AFTER INSERT ON indexes BEGIN
    DELETE FROM lookup;
    INSERT INTO changed SELECT _id FROM documents WHERE _id NOT IN (SELECT id FROM changed);
END;
"""


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which processes take while they create or open collections."""
    with (folder / "open.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def open_collection(client: litemongo.MongoClient, database: str, name: str) -> Collection:
    """Open a collection of a litemongo client, created when missing, with shared indexes and atomic writes."""
    handle = client[database]
    if not isinstance(handle._collection_accesses.get(name), _Collection):
        store = handle._store
        store._collections[name] = _CollectionStore(store._dirpath / name)
        handle._collection_accesses[name] = _Collection(
            handle, name, _db_store=store, codec_options=handle.codec_options
        )
    return handle[name]


class _Connection(sqlite3.Connection):
    """``with connection:`` takes the write lock at once and nests: the outermost block commits or rolls back.

    Processes queue for the lock in the kernel; SQLite alone lets them poll, and one of four busy writers then starves
    for seconds.
    """

    queue: int
    """File descriptor of the lock file on which processes queue."""
    _depth = 0

    def __enter__(self) -> _Connection:
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


class _CollectionStore(sqlite_store.CollectionStore):  # type: ignore[misc]
    """One collection file whose declared indexes all processes share.

    As MongoDB does with a compound index, a lookup uses its leading field; the rest of the filter is checked on what
    was found.
    """

    _connection: _Connection

    def open(self) -> None:
        try:
            super().open()
        finally:
            self._connection.close()
        self._connection = sqlite3.connect(self._path, timeout=BUSY_TIMEOUT, isolation_level=None, factory=_Connection)
        self._queue = (self._path.parent.parent / f"{self._path.name}.lock").open("w")
        self._connection.queue = self._queue.fileno()
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.executescript(_SCHEMA)
        self._cur = self._connection.cursor()
        for table in (self._documents, self.indexes):
            table._connection, table._cur = self._connection, self._cur

    def close(self) -> None:
        super().close()
        self._queue.close()

    def find_candidates(self, criteria: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield, in order of insertion, at least the documents that match."""
        found = self._plan(criteria)
        if found is None:
            yield from self.documents
            return
        path, values = found
        self._index_changed()
        query = _CANDIDATES.format(",".join("?" * len(values)))
        for (document,) in self._connection.execute(query, (path, *values)):
            yield self._documents._decode_doc(document)

    @property
    def _paths(self) -> list[str]:
        return ["_id", *(index["key"][0][0] for index in self.indexes.values())]

    def _plan(self, criteria: Mapping[str, Any]) -> tuple[str, list[str]] | None:
        """Find the first indexed path that the filter pins to known values."""
        parts = (criteria, *criteria.get("$and", ()))
        for path in self._paths:
            for part in parts:
                keys = indexing.query_keys(part[path]) if path in part else None
                if keys is not None and len(keys) <= _MAX_VALUES:
                    return path, [*map(_as_text, keys), _UNKEYED]
        return None

    def _index_changed(self) -> None:
        if self._connection.execute("SELECT 1 FROM changed LIMIT 1").fetchone() is None:
            return
        with self._connection:
            changed = self._connection.execute("SELECT _id, doc FROM documents WHERE _id IN (SELECT id FROM changed)")
            for identifier, document in changed:
                self._connection.executemany(
                    "INSERT OR IGNORE INTO lookup VALUES (?, ?, ?)",
                    self._entries(identifier, self._documents._decode_doc(document)),
                )
            self._connection.execute("DELETE FROM changed")

    def _entries(self, identifier: str, document: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
        for path in self._paths:
            keys = indexing._doc_keys(document, path)
            for value in [_UNKEYED] if keys is None else map(_as_text, keys):
                yield path, value, identifier


class _Collection(Collection):  # type: ignore[misc]
    """Writing one document is one transaction; what several writes of one call share is as in MongoDB: nothing."""

    def _insert(self, data: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(data, Mapping):
            return super()._insert(data, *args, **kwargs)
        with self._store._connection:
            return super()._insert(data, *args, **kwargs)

    def _update(self, *args: Any, **kwargs: Any) -> Any:
        with self._store._connection:
            return super()._update(*args, **kwargs)

    def _delete(self, *args: Any, **kwargs: Any) -> Any:
        with self._store._connection:
            return super()._delete(*args, **kwargs)

    def _find_and_modify(self, *args: Any, **kwargs: Any) -> Any:
        with self._store._connection:
            return super()._find_and_modify(*args, **kwargs)


def _as_text(key: tuple[Any, ...]) -> str:
    return ":".join(map(str, key))
