"""The process in which a pilot's jobs run: it may be killed, and the pilot lives to tell.

It is one of :mod:`~sodalyte.launchers.processes`, which imports everything once for all jobs that it runs.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import time
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sodalyte import interruption
from sodalyte.launchers.processes import JobProcess, connect

if TYPE_CHECKING:
    from sodalyte.launchers.execution import Executor
    from sodalyte.launchers.fireworks.records import Claim
    from sodalyte.launchers.outcomes import Record

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


class Child(JobProcess):
    """The process, as its pilot sees it."""

    def __init__(
        self, *, database: str, root: Path, log: Path, threads: int | None = None, store_timeout: float = 15.0
    ) -> None:
        where = {"database": database, "root": str(root), "store_timeout": store_timeout}
        super().__init__(__name__, where=where, log=log, threads=threads, leads_session=True)

    @property
    def pid(self) -> int:
        """Of the process, dead or alive."""
        return self._process.pid

    def give(self, claim: Claim) -> None:
        """Have the process run a claimed job."""
        message = {
            "job": claim.job,
            "incomplete": claim.incomplete,
            "fw_id": claim.fw_id,
            "launch_id": claim.launch_id,
        }
        self.send(json.dumps(message).encode())

    def request_stop(self) -> None:
        """Ask the job to end in order."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGUSR1)

    def end(self, grace: float = 5.0) -> str:
        """End the process and everything in its group; return how it ended."""
        self.link.close()
        self._signal_group(signal.SIGTERM)
        deadline = time.monotonic() + grace
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=grace)
        while self._signal_group(0) and time.monotonic() < deadline:
            time.sleep(0.02)
        self._signal_group(signal.SIGKILL)
        return self.wait()

    def bury(self) -> str:
        """End what a dead process left behind; return how it died."""
        self.wait()
        return self.end()

    def _signal_group(self, number: int) -> bool:
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True


def _run(executor: Executor, message: dict[str, Any]) -> dict[str, Any]:
    """Run a job; whatever happens becomes the answer."""
    from jobflow import Job

    from sodalyte.errors import StoppedError
    from sodalyte.launchers.execution import HeldError, KeptError
    from sodalyte.launchers.identity import INCOMPLETE
    from sodalyte.launchers.outcomes import is_away

    job = Job.from_dict(json.loads(message["job"]))
    if message["incomplete"]:
        job.metadata[INCOMPLETE] = True
    try:
        return {"outcome": executor.run(job, wait=False)}
    except KeptError as error:
        return {"kept": str(error.path)}
    except HeldError as error:
        return {"held": str(error)}
    except StoppedError as error:
        return {"stopped": str(error)}
    except Exception as error:  # noqa: BLE001 - whatever a job raises is its pilot's to report
        if is_away(error):
            return {"away": "the database went away before the job began"}
        lines = str(error).strip().splitlines() or [""]
        reason = f"{type(error).__name__}: {lines[0]}"
        return {"error": reason, "cause": _cause(error), "traceback": traceback.format_exc()}


def _cause(error: BaseException | None) -> str:
    """Name what stopped a job, looking through the exceptions that it caused."""
    from sodalyte.errors import DiskFullError, OutOfMemoryError

    while error is not None:
        if isinstance(error, MemoryError | OutOfMemoryError):
            return "OUT_OF_MEMORY"
        if isinstance(error, DiskFullError) or (isinstance(error, OSError) and error.errno in _DISK_FULL):
            return "DISK_FULL"
        error = error.__cause__ or error.__context__
    return "ERROR"


def _work(link: Connection) -> None:
    from sodalyte.database import open_database
    from sodalyte.errors import SodalyteError
    from sodalyte.launchers.execution import Executor
    from sodalyte.launchers.fireworks import spool

    where = json.loads(link.recv_bytes())
    root = Path(where["root"])
    current: dict[str, int] = {}

    def keep(record: Record) -> Path:
        return spool.keep(root, record, **current)

    try:
        database = open_database(where["database"])
    except SodalyteError as error:
        link.send_bytes(json.dumps({"unready": str(error)}).encode())
        return
    executor = Executor(database, root, keep=keep, store_timeout=where["store_timeout"])
    link.send_bytes(b"{}")
    while data := link.recv_bytes():
        message = json.loads(data)
        current.update(fw_id=message["fw_id"], launch_id=message["launch_id"])
        link.send_bytes(json.dumps(_run(executor, message)).encode())


def main() -> None:
    """Run jobs until the pilot closes the connection or dies."""
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, lambda *_: interruption.request_stop())
    with suppress(EOFError, ConnectionError):
        _work(connect())
    os._exit(0)  # all is stored; taking a hundred modules apart, or leave of a database that is away, takes long


if __name__ == "__main__":
    main()
