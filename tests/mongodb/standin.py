"""A stand-in for mongod: enough of MongoDB's wire protocol for pymongo, maggma, jobflow and FireWorks.

    python standin.py [--port PORT] [--data FOLDER]

prints its address and serves 127.0.0.1 until it is terminated. Documents are kept by litemongo in SQLite files with the
indexes of ``sodalyte.database.lite``: a server that is killed has lost nothing that it had acknowledged, and goes on
from the same folder; without ``--data`` the folder is a temporary one. One command runs at a time, so each is atomic.
``serverStatus`` counts commands, by their kind (``opcounters``) and by their name (``commands``).

It does not prove what only MongoDB can: its query planner, authentication, replica sets, transactions, the power
failing, array filters, or limits other than the 16 MB of a document, which pymongo itself enforces.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import itertools
import re
import resource
import shutil
import signal
import struct
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import bson
import litemongo
from litemongo.sqlite_store import ServerStore
from pymongo import ReturnDocument
from pymongo.errors import PyMongoError

from sodalyte.database import lite

Document = dict[str, Any]

HEADER = struct.Struct("<iiii")
OP_REPLY, OP_QUERY, OP_MSG = 1, 2004, 2013
BATCH = 101
BATCH_BYTES = 8_000_000
INDEX_OPTIONS = ("name", "unique", "sparse", "partialFilterExpression", "expireAfterSeconds")
COUNTERS = {"insert": "insert", "find": "query", "update": "update", "delete": "delete", "getMore": "getmore"}


class Database:
    """A database of the server; its collections are opened when they are first asked for."""

    def __init__(self, client: litemongo.MongoClient, name: str) -> None:
        self.name = name
        self._client = client

    def __getitem__(self, name: str) -> Any:
        return lite.open_collection(self._client, self.name, name)

    def created(self) -> list[str]:
        return [name for name in self._client[self.name].list_collection_names() if self[name]._store.is_created]


class Commands:
    """One method for each database command: ``find_and_modify`` for ``findAndModify``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.client = litemongo.MongoClient(ServerStore(folder))
        self.commands: Counter[str] = Counter()
        self.cursors: dict[int, tuple[str, list[Document]]] = {}
        self.cursor_numbers = itertools.count(1)

    def run(self, command: Document) -> Document:
        """Run a command; what goes wrong becomes the error document that a server would send."""
        name = next(iter(command))
        self.commands[name] += 1
        method = getattr(self, re.sub("[A-Z]", lambda match: f"_{match[0].lower()}", name), None)
        if method is None or name.startswith("_") or name == "run":
            return _error(59, "CommandNotFound", f"no such command: {name}")
        if "startTransaction" in command:
            return _error(20, "IllegalOperation", "transactions need a replica set")
        try:
            reply = method(Database(self.client, command.get("$db", "admin")), command)
        except Exception as error:  # noqa: BLE001  whatever happens, the client gets an answer
            return _error(_code(error), type(error).__name__, str(error))
        return {"ok": 1.0} | (reply or {})

    # --- the server -------------------------------------------------------------------------------------------

    def hello(self, _database: Database, _command: Document) -> Document:
        return {
            "helloOk": True,
            "ismaster": True,
            "isWritablePrimary": True,
            "maxBsonObjectSize": 16 * 1024**2,
            "maxMessageSizeBytes": 48_000_000,
            "maxWriteBatchSize": 100_000,
            "localTime": dt.datetime.now(dt.UTC),
            "logicalSessionTimeoutMinutes": 30,
            "minWireVersion": 0,
            "maxWireVersion": 21,
            "readOnly": False,
        }

    ismaster = is_master = hello

    def ping(self, _database: Database, _command: Document) -> None:
        """Answer."""

    end_sessions = kill_cursors = ping

    def build_info(self, _database: Database, _command: Document) -> Document:
        return {"version": "7.0.0", "versionArray": [7, 0, 0, 0], "maxBsonObjectSize": 16 * 1024**2}

    buildinfo = build_info

    def sasl_start(self, _database: Database, _command: Document) -> Document:
        return _error(18, "AuthenticationFailed", "Authentication failed.")

    def list_databases(self, _database: Database, _command: Document) -> Document:
        return {"databases": [{"name": name} for name in self.client.list_database_names()]}

    def server_status(self, _database: Database, _command: Document) -> Document:
        counters = dict.fromkeys((*COUNTERS.values(), "command"), 0)
        for name, number in self.commands.items():
            counters[COUNTERS.get(name, "command")] += number
        return {"opcounters": counters, "commands": dict(self.commands)}

    def db_stats(self, database: Database, _command: Document) -> Document:
        sizes = [path.stat().st_size for path in (self.folder / database.name).glob("*")]
        objects = sum(len(database[name]._store) for name in database.created())
        return {"db": database.name, "collections": len(database.created()), "objects": objects, "dataSize": sum(sizes)}

    # --- databases, collections, indexes ----------------------------------------------------------------------

    def drop_database(self, database: Database, _command: Document) -> None:
        """Remove the files too, so that a long session of tests does not run out of open files."""
        self.client[database.name]._store.close()
        self.client[database.name]._collection_accesses.clear()
        shutil.rmtree(self.folder / database.name)
        (self.folder / database.name).mkdir()

    def create(self, database: Database, command: Document) -> Document | None:
        if command["create"] in database.created():
            return _error(48, "NamespaceExists", f"collection {command['create']} exists")
        database[command["create"]]._store.create()
        return None

    def drop(self, database: Database, command: Document) -> None:
        database[command["drop"]]._store.drop()

    def list_collections(self, database: Database, command: Document) -> Document:
        wanted = (command.get("filter") or {}).get("name")
        found = [{"name": name, "type": "collection"} for name in database.created()]
        return self._cursor(database, "$cmd", [entry for entry in found if wanted in (None, entry["name"])], command)

    def create_indexes(self, database: Database, command: Document) -> None:
        for index in command["indexes"]:
            options = {key: index[key] for key in INDEX_OPTIONS if key in index}
            database[command["createIndexes"]].create_index(list(index["key"].items()), **options)

    def list_indexes(self, database: Database, command: Document) -> Document:
        name = command["listIndexes"]
        if name not in database.created():
            return _error(26, "NamespaceNotFound", f"no collection {name}")
        indexes = [
            {"v": 2, "name": key, **index, "key": dict(index["key"])}
            for key, index in database[name].index_information().items()
        ]
        return self._cursor(database, name, indexes, command)

    def drop_indexes(self, database: Database, command: Document) -> None:
        collection, index = database[command["dropIndexes"]], command["index"]
        for name in list(collection._store.indexes) if index == "*" else [index]:
            collection.drop_index(name if isinstance(name, str) else list(name.items()))

    # --- writing ----------------------------------------------------------------------------------------------

    def insert(self, database: Database, command: Document) -> Document:
        collection = database[command["insert"]]
        return _write(collection, command, command["documents"], lambda document: collection.insert_one(document) and 1)

    def update(self, database: Database, command: Document) -> Document:
        collection = database[command["update"]]
        upserted: list[Document] = []
        modified = 0

        def apply(update: Document) -> int:
            nonlocal modified
            change, upsert = update["u"], update.get("upsert", False)
            if _replaces(change):
                result = collection.replace_one(update["q"], change, upsert=upsert)
            else:
                method = collection.update_many if update.get("multi") else collection.update_one
                result = method(update["q"], change, upsert=upsert)
            modified += result.modified_count
            if result.upserted_id is None:
                return result.matched_count
            upserted.append({"index": command["updates"].index(update), "_id": result.upserted_id})
            return 1

        reply = _write(collection, command, command["updates"], apply)
        return reply | {"nModified": modified} | ({"upserted": upserted} if upserted else {})

    def delete(self, database: Database, command: Document) -> Document:
        collection = database[command["delete"]]

        def apply(deletion: Document) -> int:
            method = collection.delete_one if deletion.get("limit") else collection.delete_many
            return method(deletion["q"]).deleted_count

        return _write(collection, command, command["deletes"], apply)

    def find_and_modify(self, database: Database, command: Document) -> Document:
        collection = database[command["findAndModify"]]
        query, change = command.get("query") or {}, command.get("update")
        options: Document = {"projection": command.get("fields")}
        if command.get("sort"):
            options["sort"] = list(command["sort"].items())
        if command.get("remove"):
            return {"value": collection.find_one_and_delete(query, **options)}
        options |= {
            "upsert": command.get("upsert", False),
            "return_document": ReturnDocument.AFTER if command.get("new") else ReturnDocument.BEFORE,
        }
        method = collection.find_one_and_replace if _replaces(change) else collection.find_one_and_update
        return {"value": method(query, change, **options)}

    # --- reading ----------------------------------------------------------------------------------------------

    def find(self, database: Database, command: Document) -> Document:
        found = database[command["find"]].find(command.get("filter") or {}, command.get("projection") or None)
        if command.get("sort"):
            found = found.sort(list(command["sort"].items()))
        found = found.skip(command.get("skip", 0)).limit(abs(command.get("limit", 0)))
        return self._cursor(database, command["find"], list(found), command)

    def aggregate(self, database: Database, command: Document) -> Document:
        found = list(database[command["aggregate"]].aggregate(command["pipeline"]))
        return self._cursor(database, command["aggregate"], found, command)

    def count(self, database: Database, command: Document) -> Document:
        return {"n": database[command["count"]].count_documents(command.get("query") or {})}

    def distinct(self, database: Database, command: Document) -> Document:
        return {"values": database[command["distinct"]].distinct(command["key"], command.get("query") or {})}

    def get_more(self, _database: Database, command: Document) -> Document:
        number = command["getMore"]
        if number not in self.cursors:
            return _error(43, "CursorNotFound", f"cursor {number} not found")
        namespace, documents = self.cursors.pop(number)
        return self._batch(namespace, documents, command.get("batchSize") or len(documents), "nextBatch", number)

    def _cursor(self, database: Database, name: str, documents: list[Document], command: Document) -> Document:
        size = command.get("batchSize", (command.get("cursor") or {}).get("batchSize", BATCH))
        if command.get("singleBatch"):
            documents = documents[:size]
        number = next(self.cursor_numbers)
        return self._batch(f"{database.name}.{name}", documents, size, "firstBatch", number)

    def _batch(self, namespace: str, documents: list[Document], size: int, key: str, number: int) -> Document:
        lengths = itertools.accumulate(len(bson.encode(document)) for document in documents[:size])
        size = max(sum(length < BATCH_BYTES for length in lengths), min(size, 1))
        if size < len(documents):
            self.cursors[number] = (namespace, documents[size:])
        else:
            number = 0
        return {"cursor": {key: documents[:size], "id": bson.Int64(number), "ns": namespace}}


def _write(collection: Any, command: Document, items: list[Document], apply: Callable[[Document], int]) -> Document:
    """Apply each item, stopping at the first error unless the command says that order does not matter."""
    count, errors = 0, []
    with collection._store._connection:
        for index, item in enumerate(items):
            try:
                count += apply(item)
            except PyMongoError as error:
                errors.append({"index": index, "code": _code(error), "errmsg": str(error)})
                if command.get("ordered", True):
                    break
    return {"n": count} | ({"writeErrors": errors} if errors else {})


def _replaces(change: Any) -> bool:
    return isinstance(change, dict) and not next(iter(change), "").startswith("$")


def _code(error: Exception) -> int:
    return 11000 if "Duplicate" in type(error).__name__ else getattr(error, "code", None) or 2


def _error(code: int, name: str, message: str) -> Document:
    return {"ok": 0.0, "code": code, "codeName": name, "errmsg": message}


def _parse_message(payload: bytes) -> Document:
    """Put an OP_MSG together: its body and the document sequences that belong to it."""
    (flags,) = struct.unpack_from("<I", payload)
    end, position = len(payload) - 4 * (flags & 1), 4
    command: Document = {}
    sequences: dict[str, list[Document]] = {}
    while position < end:
        kind, (length,) = payload[position], struct.unpack_from("<i", payload, position + 1)
        section = payload[position + 1 : position + 1 + length]
        if kind == 0:
            command = bson.decode(section)
        else:
            name, _, documents = section[4:].partition(b"\0")
            sequences[name.decode()] = bson.decode_all(documents)
        position += 1 + length
    return command | sequences


def _parse_query(payload: bytes) -> Document:
    """Read the OP_QUERY with which pymongo greets a server that it does not know yet."""
    body = payload[payload.index(b"\0", 4) + 1 + 8 :]
    return bson.decode(body[: struct.unpack_from("<i", body)[0]])


async def _serve(commands: Commands, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            length, request, _, operation = HEADER.unpack(await reader.readexactly(HEADER.size))
            payload = await reader.readexactly(length - HEADER.size)
            if operation == OP_MSG:
                answer = struct.pack("<IB", 0, 0) + bson.encode(commands.run(_parse_message(payload)))
                kind = OP_MSG
            elif operation == OP_QUERY:
                answer = struct.pack("<iqii", 8, 0, 0, 1) + bson.encode(commands.run(_parse_query(payload)))
                kind = OP_REPLY
            else:
                return
            writer.write(HEADER.pack(HEADER.size + len(answer), 0, request, kind) + answer)
            await writer.drain()
    except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
        pass
    finally:
        writer.close()


async def _main(port: int, folder: Path) -> None:
    commands = Commands(folder)
    server = await asyncio.start_server(lambda *streams: _serve(commands, *streams), "127.0.0.1", port)
    sys.stdout.write(f"mongodb://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with server:
        await ended.wait()


def _arguments(words: Iterable[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="stand-in for mongod, for tests")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--data", type=Path, required=True, help="folder of the documents")
    return parser.parse_args(words)


if __name__ == "__main__":
    arguments = _arguments()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    asyncio.run(_main(arguments.port, arguments.data))
