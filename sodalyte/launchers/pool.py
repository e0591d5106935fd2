"""A worker process of the local launcher, as its launcher sees it."""

from __future__ import annotations

import math
import subprocess
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Self

from sodalyte.errors import CalculationError
from sodalyte.launchers.execution import run_folder
from sodalyte.launchers.processes import JobProcess

if TYPE_CHECKING:
    from sodalyte.launchers.schedule import Task

_MAX_FAILED_STARTS = 5


class Worker(JobProcess):
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
        where = {"database": database, "root": str(root)}
        super().__init__("sodalyte.launchers.worker", where=where, log=root / f"worker-{number}.log", threads=threads)

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
        self.send(task.document)

    def restart(self) -> None:
        """Start again after the process died; remember how it died.

        Raises
        ------
        CalculationError
            It died several times running before it was ready, so that another start would not help.
        """
        self.last_words = self.wait()
        self._failed_starts = 0 if self.ready else self._failed_starts + 1
        if self._failed_starts == _MAX_FAILED_STARTS:
            raise CalculationError(f"a worker did not start ({self.last_words}); see {self._log}")
        self.link.close()
        self.ready = False
        self.seconds = math.inf
        self.start()
