"""The process in which a pilot's jobs run: it may be killed, and the pilot lives to tell.

Started as ``python -m sodalyte.launchers.fireworks.child DESCRIPTOR PILOT``, with the descriptor of the connection to
the pilot and the pilot's process id. It leads a session of its own, so that a job and the programs it starts can be
ended together, and imports everything once for all jobs that it runs.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sodalyte import interruption

if TYPE_CHECKING:
    from sodalyte.launchers.execution import Executor
    from sodalyte.launchers.fireworks.records import Claim
    from sodalyte.launchers.outcomes import Record

_PR_SET_PDEATHSIG = 1
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Child:
    """The process, as its pilot sees it.

    Attributes
    ----------
    link
        The connection: every message that was given is answered by one, unless the process dies.
    """

    def __init__(
        self, *, database: str, root: Path, log: Path, threads: int | None = None, store_timeout: float = 15.0
    ) -> None:
        self._where = json.dumps({"database": database, "root": str(root), "store_timeout": store_timeout}).encode()
        self._log = log
        self._environment = dict(os.environ)
        if threads is not None:
            self._environment |= dict.fromkeys(_THREADS, str(threads))
        self._environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        self.start()

    def start(self) -> None:
        """Start the process, again if it died."""
        self.link, other = Pipe()
        self.link.send_bytes(self._where)  # not as arguments, which everyone can read: it may hold a password
        with other, self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own module, no shell
                [sys.executable, "-m", __name__, str(other.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[other.fileno()],
                env=self._environment,
                start_new_session=True,
            )

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
        with suppress(OSError):  # it died; take() will say so
            self.link.send_bytes(json.dumps(message).encode())

    def take(self) -> dict[str, Any] | None:
        """Return the answer that has arrived, or None when the process is gone."""
        try:
            answer: dict[str, Any] = json.loads(self.link.recv_bytes())
        except (EOFError, OSError):
            return None
        return answer

    def request_stop(self) -> None:
        """Ask the job to end in order."""
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGUSR1)

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
        code = self._process.wait()
        return f"killed by signal {-code}" if code < 0 else f"exit status {code}"

    def bury(self) -> str:
        """End what a dead process left behind; return how it died."""
        code = self._process.wait()
        self.end()
        return f"killed by signal {-code}" if code < 0 else f"exit status {code}"

    def _signal_group(self, number: int) -> bool:
        try:
            os.killpg(self._process.pid, number)
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
    while error is not None:
        if isinstance(error, MemoryError):
            return "OUT_OF_MEMORY"
        if isinstance(error, OSError) and error.errno in _DISK_FULL:
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


def _die_with_pilot(pilot: int) -> None:
    """Have the kernel end this process when its pilot dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != pilot:
        raise SystemExit


def main() -> None:
    """Run jobs until the pilot closes the connection or dies."""
    descriptor, pilot = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, lambda *_: interruption.request_stop())
    _die_with_pilot(int(pilot))
    with suppress(EOFError, ConnectionError):
        _work(Connection(int(descriptor)))
    os._exit(0)  # all is stored; taking a hundred modules apart, or leave of a database that is away, takes long


if __name__ == "__main__":
    main()
