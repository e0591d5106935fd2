"""Opening a database by its address, with or without a server."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sodalyte.errors import DatabaseError

if TYPE_CHECKING:
    from jobflow import JobStore

NAME = "sodalyte"
"""Name of the database where the address gives none."""

ANSWER_TIMEOUT = 3.0
"""Seconds in which a server has to answer when the database is opened."""

OUTPUTS, BLOBS, RESULTS = "outputs", "blobs", "results"

Indexes = Mapping[str, Sequence[tuple[Sequence[str], bool]]]
"""For each collection: fields (see :func:`ways`), the most selective first, and whether they are unique together."""

INDEXES: Indexes = {
    OUTPUTS: ((("uuid", "index"), True),),
    BLOBS: ((("blob_uuid",), True), (("job_uuid", "job_index"), False)),
    RESULTS: (
        (("material", "polymorph", "property", "temperature", "scheme", "created_at", "_id"), False),
        (("property", "value"), False),
        (("status", "material"), False),
        (("level", "recipe"), False),
        (("reason",), False),
        (("value",), False),
        (("created_at",), False),
        (("key",), False),
    ),
}

COLUMNS = {RESULTS: ("uncertainty", "interval_95.0", "interval_95.1", "unit", "level", "recipe")}
"""Further fields that a database without a server filters and sorts by without loading documents."""

_DUPLICATE = 11000


class Database:
    """An open database: the job store for calculations and the collection of results.

    It belongs to the thread and process that opened it; every other one opens the same address for itself. As a context
    manager it closes itself.

    Attributes
    ----------
    address
        Where the database is, without credentials: safe to print.
    collection
        Gives the collection of a name, spoken to as pymongo's ``Collection`` on either backend.
    """

    def __init__(self, address: str, client: Any, collection: Callable[[str], Any]) -> None:
        self.address = address
        self._client = client
        self.collection = collection

    def __repr__(self) -> str:
        return f"Database({self.address!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    @cached_property
    def job_store(self) -> JobStore:
        """Outputs of jobs, large parts of them in the additional store ``data``."""
        from jobflow import JobStore
        from maggma.stores import MongoStore

        documents, blobs = (MongoStore.from_collection(self.collection(name)) for name in (OUTPUTS, BLOBS))
        return JobStore(documents, additional_stores={"data": blobs})

    @property
    def results(self) -> Any:
        """The collection of results."""
        return self.collection(RESULTS)

    def close(self) -> None:
        """Close the connection; closing twice does nothing."""
        self._client.close()

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Turn what goes wrong between here and the database into a :class:`DatabaseError`."""
        from pymongo.errors import PyMongoError

        try:
            yield
        except (PyMongoError, sqlite3.OperationalError, OSError) as error:
            raise DatabaseError(_explain(self.address, error)) from error


def ways(fields: Iterable[str]) -> list[tuple[str, int]]:
    """Return fields, of which those with a ``-`` before them descend, as pymongo writes an order."""
    return [(field.removeprefix("-"), -1 if field.startswith("-") else 1) for field in fields]


def declare_indexes(database: Database, indexes: Indexes) -> None:
    """Make the indexes that are missing."""
    for name, wanted in indexes.items():
        collection = database.collection(name)
        declared = [list(map(tuple, index["key"])) for index in collection.index_information().values()]
        for fields, unique in wanted:
            if ways(fields) not in declared:
                collection.create_index(ways(fields), unique=unique)


def insert_missing(collection: Any, documents: list[dict[str, Any]]) -> int:
    """Insert documents, passing over those whose key or unique fields are there; return how many are new."""
    from pymongo.errors import BulkWriteError

    if not documents:
        return 0
    try:
        return len(collection.insert_many(documents, ordered=False).inserted_ids)
    except BulkWriteError as error:
        if any(failure["code"] != _DUPLICATE for failure in error.details["writeErrors"]):
            raise
        return int(error.details["nInserted"])


def open_database(uri: str, *, create: bool = True) -> Database:
    """Open the database at an address.

    Parameters
    ----------
    uri
        ``lite://FOLDER``, a folder of SQLite files on a disk of this machine, for any number of its processes; or
        ``mongodb://`` and ``mongodb+srv://`` addresses as MongoDB defines them, in which a database name replaces
        ``sodalyte``.
    create
        Make folder, collections and indexes that are missing; without it a missing folder is an error.

    Raises
    ------
    DatabaseError
        The address is malformed, the folder cannot be used or holds something else, or no server answers within
        three seconds. No message repeats a password.
    """
    scheme, separator, rest = uri.partition("://")
    if separator and rest:
        if scheme == "lite":
            return _open_folder(rest, create=create)
        if scheme in ("mongodb", "mongodb+srv"):
            return _open_server(uri, create=create)
    raise DatabaseError(
        "the database address is malformed: it has to be lite://FOLDER or mongodb://[USER:PASSWORD@]HOST[:PORT][/NAME]"
    )


def _open_folder(path: str, *, create: bool) -> Database:
    address = f"lite://{path}"
    try:
        folder = Path(path).expanduser().absolute()
        kept = {entry.name for entry in folder.iterdir() if entry.suffix != ".lock"} if folder.exists() else None
        if kept and NAME not in kept:
            raise DatabaseError(f"the folder {folder} holds other files, not a database; name another folder")
        if not kept and not create:
            raise DatabaseError(f"there is no database at {address}; 'sodalyte run' makes one")
        folder.mkdir(parents=True, exist_ok=True)
        return _open_files(address, folder, create=create)
    except (OSError, ValueError, RuntimeError, sqlite3.Error) as error:
        raise DatabaseError(_explain(address, error)) from error


def _open_files(address: str, folder: Path, *, create: bool) -> Database:
    import litemongo
    from litemongo.sqlite_store import ServerStore

    from sodalyte.database import lite

    client = litemongo.MongoClient(ServerStore(folder))
    database = Database(address, client, lambda name: lite.open_collection(client, NAME, name))
    try:
        with lite.alone(folder):
            for name in INDEXES:
                lite.open_collection(client, NAME, name)
            if create:
                declare_indexes(database, INDEXES)
                for name, paths in COLUMNS.items():
                    database.collection(name)._store.add_columns(paths)
    except BaseException:
        database.close()
        raise
    return database


def _open_server(uri: str, *, create: bool) -> Database:
    import pymongo
    from pymongo.uri_parser import parse_uri

    scheme, _, rest = uri.partition("://")
    if "@" in rest.partition("/")[2]:
        raise DatabaseError(_malformed(scheme))
    try:
        parsed = parse_uri(uri, warn=False, connect_timeout=ANSWER_TIMEOUT)
        client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(uri, connect=False)
    except Exception:  # noqa: BLE001  the parser and the resolver raise many kinds, some repeating the password
        raise DatabaseError(_malformed(scheme)) from None
    name = parsed["database"] or NAME
    hosts = parsed["fqdn"] or ",".join(f"{host}:{port}" if port else host for host, port in parsed["nodelist"])
    database = Database(f"{scheme}://{hosts}/{name}", client, client[name].__getitem__)
    try:
        with database.answering():
            with pymongo.timeout(ANSWER_TIMEOUT):
                client.admin.command("ping")
            if create:
                declare_indexes(database, INDEXES)
    except BaseException:
        database.close()
        raise
    return database


def _malformed(scheme: str) -> str:
    unresolved = " or its host name cannot be resolved" if scheme.endswith("srv") else ""
    return (
        f"the {scheme}:// address is malformed{unresolved}: it has to be {scheme}://[USER:PASSWORD@]HOST[/NAME], "
        "special characters in user and password percent-encoded"
    )


def _explain(address: str, error: Exception) -> str:
    from pymongo.errors import ConnectionFailure, OperationFailure

    if isinstance(error, ConnectionFailure):
        return f"no database server answers at {address}; start it, or correct the address"
    if isinstance(error, OperationFailure):
        reason = (error.details or {}).get("codeName") or f"code {error.code}"
        if error.code in (8000, 18):
            reason = "wrong user or password"
        elif error.code == 13:
            reason = "this user may not do this"
        return f"the database {address} refuses: {reason}"
    if isinstance(error, OSError):
        return f"the database {address} cannot be used ({error.strerror or error}); name a folder that can be written"
    return f"the database {address} cannot be used: {error}"
