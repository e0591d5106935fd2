"""A worker process of the local launcher: takes one job at a time from its launcher and runs it.

Started as ``python -m sodalyte.launchers.worker DESCRIPTOR LAUNCHER``, with the descriptor of the connection to the
launcher and the launcher's process id. The launcher first sends where the database is and where to run, then jobs.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
import traceback
from multiprocessing.connection import Connection
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def _die_with_launcher(launcher: int) -> None:
    """Have the kernel end this process when its launcher dies, so that no orphan computes beside a new launcher."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != launcher:
        raise SystemExit


def _work(link: Connection) -> None:
    from jobflow import Job

    from sodalyte.database import open_database
    from sodalyte.launchers.execution import Executor

    where = json.loads(link.recv_bytes())
    with open_database(where["database"]) as database:
        executor = Executor(database, Path(where["root"]))
        link.send_bytes(b"{}")
        while message := link.recv_bytes():
            started = time.perf_counter()
            reply: dict[str, object] = {}
            try:
                reply["outcome"] = executor.run(Job.from_dict(json.loads(message)))
            except Exception as error:  # noqa: BLE001 - whatever a job raises is its launcher's to report
                reply |= {"error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
            reply["seconds"] = time.perf_counter() - started
            link.send_bytes(json.dumps(reply).encode())


def main() -> None:
    """Run the worker until its launcher closes the connection or dies."""
    descriptor, launcher = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_launcher(int(launcher))
    try:
        _work(Connection(int(descriptor)))
    except (EOFError, ConnectionError):
        os._exit(0)  # all is stored; taking a hundred modules apart takes longer than many a job


if __name__ == "__main__":
    main()
