"""A worker process of the local launcher, as its launcher sees it."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections import deque
from multiprocessing import Pipe
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sodalyte.errors import CalculationError
from sodalyte.launchers.execution import run_folder

if TYPE_CHECKING:
    from sodalyte.launchers.schedule import Task

_MAX_FAILED_STARTS = 5
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Worker:
    """A worker process and the connection to it; as a context manager it ends the process.

    Attributes
    ----------
    tasks
        What it has been given, in order: the first is running.
    ready
        Whether it has started up.
    seconds
        What its last task took.
    last_words
        How its last process died.
    """

    def __init__(self, number: int, *, database: str, root: Path, threads: int) -> None:
        self.tasks: deque[Task] = deque()
        self.ready = False
        self.seconds = math.inf
        self.last_words = ""
        self._failed_starts = 0
        self._root = root
        self._log = root / f"worker-{number}.log"
        self._where = json.dumps({"database": database, "root": str(root)}).encode()
        self._environment = os.environ | dict.fromkeys(_THREADS, str(threads))
        self._environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.link.close()
        try:
            self._process.wait(timeout=0 if self.tasks else 5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def give(self, task: Task) -> None:
        """Have the process run ``task`` when it is done with what it has."""
        self.tasks.append(task)
        run_folder(self._root, task.uuid, task.index)  # here it costs nothing: the process is busy with something else
        try:
            self.link.send_bytes(task.document)
        except OSError:
            return  # it died; take() will say so

    def take(self) -> dict[str, Any] | None:
        """Return the reply that has arrived, or None when the process is gone."""
        try:
            reply: dict[str, Any] = json.loads(self.link.recv_bytes())
        except (EOFError, OSError):
            return None
        return reply

    def restart(self) -> None:
        """Start again after the process died; remember how it died.

        Raises
        ------
        CalculationError
            It died several times running before it was ready, so that another start would not help.
        """
        code = self._process.wait()
        self.last_words = f"killed by signal {-code}" if code < 0 else f"exit status {code}"
        self._failed_starts = 0 if self.ready else self._failed_starts + 1
        if self._failed_starts == _MAX_FAILED_STARTS:
            raise CalculationError(f"a worker did not start ({self.last_words}); see {self._log}")
        self.link.close()
        self.ready = False
        self.seconds = math.inf
        self._start()

    def _start(self) -> None:
        self.link, other = Pipe()
        self.link.send_bytes(self._where)  # not as arguments, which everyone can read: it may hold a password
        with other, self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own module, no shell
                [sys.executable, "-m", "sodalyte.launchers.worker", str(other.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[other.fileno()],
                env=self._environment,
            )
