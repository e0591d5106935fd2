"""Processes that run jobs for a launcher: started with a connection to it, and gone when it dies.

They are modules of ours, started as ``python -m MODULE DESCRIPTOR LAUNCHER PATH`` with the descriptor of the
connection, the launcher's process id and its PYTHONPATH. The launcher first sends where the database is and where to
run, then jobs.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

_PATH = "PYTHONPATH"
_PR_SET_PDEATHSIG = 1
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class JobProcess:
    """The process, as its launcher sees it.

    Parameters
    ----------
    module
        Its name.
    where
        What the process is told first.
    log
        File to which its output is appended.
    threads
        Of numerical libraries; what the environment says if it is None.
    leads_session
        Whether it leads a session of its own, so that it and the programs it starts can be ended together.

    Attributes
    ----------
    link
        The connection: every message that was given is answered by one, unless the process dies.
    """

    link: Connection

    def __init__(
        self, module: str, *, where: dict[str, Any], log: Path, threads: int | None, leads_session: bool = False
    ) -> None:
        self._module = module
        self._where = json.dumps(where).encode()
        self._log = log
        self._leads_session = leads_session
        self._environment = os.environ | ({} if threads is None else dict.fromkeys(_THREADS, str(threads)))
        self._environment[_PATH] = os.pathsep.join(path for path in sys.path if path)
        self.start()

    def start(self) -> None:
        """Start the process, again if it died."""
        self.link, other = Pipe()
        self.link.send_bytes(self._where)  # not as arguments, which everyone can read: it may hold a password
        with other, self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own module, no shell
                [sys.executable, "-m", self._module, str(other.fileno()), str(os.getpid()), os.environ.get(_PATH, "")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[other.fileno()],
                env=self._environment,
                start_new_session=self._leads_session,
            )

    def send(self, message: bytes) -> None:
        """Give the process a message; whether it died meanwhile, :meth:`take` will say."""
        try:
            self.link.send_bytes(message)
        except OSError:
            return

    def take(self) -> dict[str, Any] | None:
        """Return the answer that has arrived, or None when the process is gone."""
        try:
            answer: dict[str, Any] = json.loads(self.link.recv_bytes())
        except (EOFError, OSError):
            return None
        return answer

    def wait(self) -> str:
        """Wait until the process has ended; return how."""
        code = self._process.wait()
        return f"killed by signal {-code}" if code < 0 else f"exit status {code}"


def connect() -> Connection:
    """Return the connection to the launcher that started this process, and have the process end when it dies.

    Where this process finds its modules is not for the programs that it starts, which may be of another Python.
    """
    descriptor, launcher = map(int, sys.argv[1:3])
    os.environ[_PATH] = sys.argv[3]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != launcher:
        raise SystemExit
    return Connection(descriptor)
