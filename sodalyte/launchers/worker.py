"""A worker process of the local launcher: takes one job at a time and runs it.

It is one of :mod:`~sodalyte.launchers.processes`.
"""

from __future__ import annotations

import json
import os
import time
import traceback
from multiprocessing.connection import Connection
from pathlib import Path

from sodalyte.launchers.processes import connect


def _work(link: Connection) -> None:
    from jobflow import Job

    from sodalyte.database import open_database
    from sodalyte.launchers.execution import Executor, HeldError

    where = json.loads(link.recv_bytes())
    with open_database(where["database"]) as database:
        executor = Executor(database, Path(where["root"]))
        link.send_bytes(b"{}")
        while message := link.recv_bytes():
            started = time.perf_counter()
            reply: dict[str, object] = {}
            try:
                reply["outcome"] = executor.run(Job.from_dict(json.loads(message)), wait=False)
            except HeldError as error:
                reply["held"] = str(error)
            except Exception as error:  # noqa: BLE001 - whatever a job raises is its launcher's to report
                reply |= {"error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
            reply["seconds"] = time.perf_counter() - started
            link.send_bytes(json.dumps(reply).encode())


def main() -> None:
    """Run the worker until its launcher closes the connection or dies."""
    try:
        _work(connect())
    except (EOFError, ConnectionError):
        os._exit(0)  # all is stored; taking a hundred modules apart takes longer than many a job


if __name__ == "__main__":
    main()
