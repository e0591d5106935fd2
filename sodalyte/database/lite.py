"""The database without a server: litemongo, made fit for several processes at once and for large collections.

litemongo answers MongoDB's query language from SQLite files. Three things are added here, since litemongo keeps its
indexes in the memory of each process, rebuilds them by decoding every document whenever another process has written,
decodes every document that it sorts or counts, and reads, changes and writes a document in separate transactions:

* The paths of declared indexes are columns of a narrow table in the same SQLite file, with indexes of SQLite's own.
  Triggers note every changed document, whoever changed it, and the next question reads what was noted first.
* SQLite filters, sorts, limits and counts by these columns, as far as :mod:`sodalyte.database.columns` can say it in
  SQL; only documents that are returned, or whose other fields have to be looked at, are decoded.
* Writing one document, with the search for it and the check of unique indexes, is one transaction, as in MongoDB.

The classes rest on hooks of litemongo that its documentation does not promise; ``tests/database/test_lite.py`` notices
when one of them changes.
"""

from __future__ import annotations

import fcntl
import itertools
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import litemongo
from litemongo import sqlite_store
from litemongo._vendor.mongomock import aggregate, filtering, helpers
from litemongo._vendor.mongomock.collection import Collection, Cursor

from sodalyte.database import columns
from sodalyte.database.columns import COMPLEX, Column, Key
from sodalyte.database.connection import Connection

BUSY_TIMEOUT = 60.0
"""Seconds that a process waits for another one's transaction, which lasts milliseconds."""

_LAYOUT = 2
_SCHEMA = (
    *(f"DROP TRIGGER IF EXISTS note_{event}" for event in ("insert", "update", "delete", "index")),  # of layout 1
    *(f"DROP TABLE IF EXISTS {table}" for table in ("lookup", "changed")),
    "CREATE TABLE IF NOT EXISTS columns(number INTEGER PRIMARY KEY, path UNIQUE, plain)",
    "CREATE TABLE IF NOT EXISTS fields(row INTEGER PRIMARY KEY)",
    "CREATE TABLE IF NOT EXISTS elements(number, value, row, PRIMARY KEY(number, value, row)) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS elements_by_row ON elements(row, number)",
    "CREATE TABLE IF NOT EXISTS unread(row INTEGER PRIMARY KEY)",
    "CREATE TRIGGER IF NOT EXISTS unread_insert AFTER INSERT ON documents BEGIN "
    "INSERT INTO unread SELECT new.rowid WHERE new.rowid NOT IN (SELECT row FROM unread); END",
    "CREATE TRIGGER IF NOT EXISTS unread_update AFTER UPDATE ON documents BEGIN "
    "INSERT INTO unread SELECT new.rowid WHERE new.rowid NOT IN (SELECT row FROM unread); END",
    "CREATE TRIGGER IF NOT EXISTS unread_delete AFTER DELETE ON documents BEGIN "
    "DELETE FROM fields WHERE row = old.rowid; DELETE FROM elements WHERE row = old.rowid; "
    "DELETE FROM unread WHERE row = old.rowid; END",
)
_ROWS = "SELECT row FROM fields WHERE {} ORDER BY {}"
_COUNT = "SELECT count(*) FROM fields WHERE {}"
_GROUPS = "SELECT {} FROM fields WHERE {} GROUP BY {}"
_SUM = "ifnull(sum(CASE WHEN typeof({0}) IN ('integer', 'real') THEN {0} END), 0)"
_WRITE_FIELDS = "INSERT OR REPLACE INTO fields(row, {}) VALUES (?{})"
_UNREAD_ALL = "INSERT OR IGNORE INTO unread SELECT rowid FROM documents"


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


class _CollectionStore(sqlite_store.CollectionStore):  # type: ignore[misc]
    """One collection file, the columns of its declared indexes, and questions to them."""

    _connection: Connection

    def open(self) -> None:
        try:
            super().open()
        finally:
            self._connection.close()
        self._connection = sqlite3.connect(self._path, timeout=BUSY_TIMEOUT, isolation_level=None, factory=Connection)
        self._queue = (self._path.parent.parent / f"{self._path.name}.lock").open("w")
        self._connection.queue = self._queue.fileno()
        self._connection.create_function("regexp", 2, columns.matches_pattern, deterministic=True)
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._cur = self._connection.cursor()
        for table in (self._documents, self.indexes):
            table._connection, table._cur = self._connection, self._cur
        self._prepare()

    def close(self) -> None:
        super().close()
        self._queue.close()

    def create_index(self, index_name: str, index_dict: dict[str, Any]) -> None:
        with self._connection:
            super().create_index(index_name, index_dict)
            self._declare(index_name, index_dict["key"])

    def drop_index(self, index_name: str) -> None:
        with self._connection:
            super().drop_index(index_name)
            self._connection.execute(f"DROP INDEX IF EXISTS {_quoted(index_name)}")

    def drop(self) -> None:
        for name in list(self.indexes):
            self.drop_index(name)
        super().drop()

    def find_candidates(self, criteria: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield, in order of insertion, at least the documents that match."""
        self._remove_expired_documents()
        found = columns.condition(criteria, self.columns())
        return self._decoded(self._ask(_ROWS.format(found.sql, "row"), found.values))

    def matching(
        self, criteria: Mapping[str, Any], sort: Sequence[tuple[str, int]], stop: int | None
    ) -> Iterator[dict[str, Any]]:
        """Yield the documents that match in the order of ``sort``; ``stop`` of them are enough."""
        self._remove_expired_documents()
        known = self.columns()
        found, order = columns.condition(criteria, known), columns.order(sort, known)
        limit = f" LIMIT {stop}" if stop is not None and found.exact and order is not None else ""
        rows = self._ask(_ROWS.format(found.sql, order or "row") + limit, found.values)
        documents = (document for document in self._decoded(rows) if filtering.filter_applies(criteria, document))
        return documents if order is not None else iter(_sorted(documents, sort))

    def count(self, criteria: Mapping[str, Any]) -> int | None:
        """Count the documents that match; None if they have to be looked at for that."""
        self._remove_expired_documents()
        found = columns.condition(criteria, self.columns())
        if not found.exact:
            return None
        return int(self._ask(_COUNT.format(found.sql), found.values)[0][0])

    def sum_groups(
        self, criteria: Mapping[str, Any], paths: Sequence[str], summed: Sequence[str | int]
    ) -> list[tuple[list[Any], list[Any]]] | None:
        """Sum what stands at the ``summed`` paths, or a number, for every combination of values at ``paths``.

        Returns
        -------
        list of (values, sums), or None if documents have to be looked at for that.
        """
        self._remove_expired_documents()
        known = self.columns()
        found = columns.condition(criteria, known)
        asked = [*paths, *(path for path in summed if isinstance(path, str))]
        if not found.exact or any(path not in known or not known[path].plain for path in asked):
            return None
        names = [known[path].name for path in paths]
        sums = [f"{what} * count(*)" if isinstance(what, int) else _SUM.format(known[what].name) for what in summed]
        rows = self._ask(_GROUPS.format(", ".join([*names, *sums]), found.sql, ", ".join(names)), found.values)
        split = len(names)
        return [([columns.from_key(key) for key in row[:split]], list(row[split:])) for row in rows]

    def columns(self) -> dict[str, Column]:
        """Return the paths that are columns."""
        rows = self._connection.execute("SELECT path, number, plain FROM columns")
        return {path: Column(number, bool(plain)) for path, number, plain in rows}

    def add_columns(self, paths: Sequence[str]) -> None:
        """Make paths columns, so that no document has to be decoded for questions about them."""
        if not set(paths) - set(self.columns()):
            return
        with self._connection:
            for path in [path for path in paths if path not in self.columns()]:
                number = self._connection.execute("INSERT INTO columns(path, plain) VALUES (?, 1)", (path,)).lastrowid
                self._connection.execute(f"ALTER TABLE fields ADD COLUMN c{number}")
            self._connection.execute(_UNREAD_ALL)

    def _prepare(self) -> None:
        if self._connection.execute("PRAGMA user_version").fetchone()[0] == _LAYOUT:
            return
        with self._connection:
            for statement in _SCHEMA:
                self._connection.execute(statement)
            self._declare("_id_", [("_id", 1)])
            for name, index in self.indexes.items():
                self._declare(name, index["key"])
            self._connection.execute(f"PRAGMA user_version = {_LAYOUT}")

    def _declare(self, index_name: str, key: Sequence[tuple[str, Any]]) -> None:
        """Make the paths of an index columns, and an index of them."""
        self.add_columns([path for path, _ in key])
        known = self.columns()
        parts = [f"{known[path].name} {'DESC' if way == -1 else 'ASC'}" for path, way in key]
        self._connection.execute(f"CREATE INDEX IF NOT EXISTS {_quoted(index_name)} ON fields({', '.join(parts)})")

    def _ask(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Ask the columns, after they have caught up with the documents, in the same transaction."""
        if not self._connection.in_transaction:
            self._connection.execute("BEGIN")
            try:
                if self._connection.execute("SELECT 1 FROM unread LIMIT 1").fetchone() is None:
                    return self._connection.execute(sql, values).fetchall()
            finally:
                self._connection.execute("COMMIT")
        with self._connection:
            self._read_unread()
            return self._connection.execute(sql, values).fetchall()

    def _read_unread(self) -> None:
        if self._connection.execute("SELECT 1 FROM unread LIMIT 1").fetchone() is None:
            return
        known = self.columns()
        names = ", ".join(column.name for column in known.values())
        insert = _WRITE_FIELDS.format(names, ", ?" * len(known))
        complex_paths = {path for path, column in known.items() if not column.plain}
        unread = self._connection.execute("SELECT rowid, doc FROM documents WHERE rowid IN (SELECT row FROM unread)")
        for row, text in unread:
            document = self._documents._decode_doc(text)
            keys = {path: columns.key_at(document, path) for path in known}
            self._connection.execute(insert, (row, *keys.values()))
            complex_paths.update(path for path, key in keys.items() if key == COMPLEX)
            for path in complex_paths:
                elements = columns.elements_at(document, path) if keys[path] == COMPLEX else set()
                self._write_elements(row, known[path].number, elements)
        self._connection.executemany("UPDATE columns SET plain = 0 WHERE path = ?", [(path,) for path in complex_paths])
        self._connection.execute("DELETE FROM unread")

    def _write_elements(self, row: int, number: int, elements: set[Key]) -> None:
        """Write what is new, and remove what is gone: lists are long, and change little at a time."""
        found = self._connection.execute("SELECT value FROM elements WHERE row = ? AND number = ?", (row, number))
        there = {key for (key,) in found}
        gone = [(number, key, row) for key in there - elements]
        self._connection.executemany("DELETE FROM elements WHERE number = ? AND value = ? AND row = ?", gone)
        new = [(number, key, row) for key in elements - there]
        self._connection.executemany("INSERT INTO elements VALUES (?, ?, ?)", new)

    def _decoded(self, rows: list[tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
        for row in rows:
            found = self._connection.execute("SELECT doc FROM documents WHERE rowid = ?", row).fetchone()
            if found is not None:
                yield self._documents._decode_doc(found[0])


class _Cursor(Cursor):  # type: ignore[misc]
    """Yields documents as it decodes them, no more than its limit."""

    _stream: Iterator[dict[str, Any]] | None = None

    def __next__(self) -> dict[str, Any]:
        if self._stream is None:
            stop = self._skip + abs(self._limit) if self._limit else None
            found = self.collection._matching(self._spec, self._sort, stop)
            self._stream = self.collection._projected(itertools.islice(found, self._skip, stop), self._projection)
        document = next(self._stream)
        self._emitted += 1
        return document

    def rewind(self) -> None:
        self._stream = None
        super().rewind()


class _Collection(Collection):  # type: ignore[misc]
    """Writing one document is one transaction; what several writes of one call share is as in MongoDB: nothing."""

    def find(self, filter: Any = None, *args: Any, sort: Any = None, **kwargs: Any) -> Cursor:  # noqa: A002
        plain = super().find(filter, *args, **kwargs)
        order = list(sort.items()) if isinstance(sort, Mapping) else helpers.create_index_list(sort) if sort else None
        return _Cursor(self, filter or {}, order, plain._projection, plain._skip, plain._limit or 0)

    def count_documents(self, filter: Any, **kwargs: Any) -> int:  # noqa: A002
        number = None if kwargs else self._store.count(helpers.patch_datetime_awareness_in_document(filter))
        return int(super().count_documents(filter, **kwargs)) if number is None else number

    def aggregate(self, pipeline: Any, session: Any = None, **kwargs: Any) -> Any:
        groups, rest = self._sum_groups(list(pipeline))
        if groups is None:
            return super().aggregate(pipeline, session, **kwargs)
        return aggregate.process_pipeline(groups, self.database, rest, session)

    def _sum_groups(self, pipeline: list[Any]) -> tuple[list[dict[str, Any]] | None, list[Any]]:
        """Answer a pipeline's first stages, if they count or sum by fields; return also its other stages."""
        criteria = (
            helpers.patch_datetime_awareness_in_document(pipeline[0]["$match"]) if _is(pipeline, "$match") else {}
        )
        rest = pipeline[1:] if _is(pipeline, "$match") else pipeline
        if not _is(rest, "$group"):
            return None, []
        group = dict(rest[0]["$group"])
        by = group.pop("_id")
        named = by if isinstance(by, dict) else {"": by}
        paths = [_path(value) for value in named.values()]
        summed = [_summed(value) for value in group.values()]
        if None in summed:
            return None, []
        if by is None or isinstance(by, int):
            number = self._store.count(criteria) if set(summed) <= {1} else None
            found = None if number is None else [([by], [number] * len(summed))] if number else []
        else:
            found = None if None in paths else self._store.sum_groups(criteria, paths, summed)
        if found is None:
            return None, []
        return [
            {"_id": dict(zip(named, values, strict=True)) if isinstance(by, dict) else values[0]}
            | dict(zip(group, sums, strict=True))
            for values, sums in found
        ], rest[1:]

    def _get_dataset(self, spec: Any, sort: Any, fields: Any, _as_class: Any) -> Iterator[dict[str, Any]]:
        return self._projected(self._matching(spec, sort, None), fields)

    def _matching(self, spec: Any, sort: Any, stop: int | None) -> Iterator[dict[str, Any]]:
        if self._store.is_empty:
            filtering.filter_applies(spec, {})  # a wrong filter is an error also where nothing is found
        found: Iterator[dict[str, Any]] = self._store.matching(spec, list(sort or ()), stop)
        return found

    def _projected(self, documents: Iterator[dict[str, Any]], fields: Any) -> Iterator[dict[str, Any]]:
        return (self._copy_only_fields(document, fields, dict) for document in documents) if fields else documents

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


def _is(pipeline: list[Any], stage: str) -> bool:
    return bool(pipeline) and isinstance(pipeline[0], Mapping) and list(pipeline[0]) == [stage]


def _path(value: Any) -> str | None:
    """Return the path that an expression names, None if it is another expression."""
    return value[1:] if isinstance(value, str) and value.startswith("$") and not value.startswith("$$") else None


def _summed(accumulator: Any) -> str | int | None:
    """Return the path or the number that an accumulator sums, None if it is another accumulator."""
    if not isinstance(accumulator, dict) or list(accumulator) != ["$sum"]:
        return None
    value = accumulator["$sum"]
    return value if type(value) is int else _path(value)


def _sorted(documents: Iterator[dict[str, Any]], sort: Sequence[tuple[str, int]]) -> list[dict[str, Any]]:
    found = list(documents)
    for path, way in reversed(sort):
        if path == "$natural":
            found = found[::-1] if way < 0 else found
        else:
            found.sort(key=lambda document: filtering.resolve_sort_key(path, document), reverse=way < 0)
    return found


def _quoted(index_name: str) -> str:
    escaped = index_name.replace('"', '""')
    return f'"by {escaped}"'
