"""Programs that compute for us: each starts in a process group of its own, which alone is ever ended."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable

from sodalyte.errors import ConfigurationError

_PATIENCE = 5.0
"""Seconds between asking a process to end and ending it."""

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def words_of(command: str, *, setting: str) -> list[str]:
    """Split a command line as a shell would.

    Parameters
    ----------
    setting
        Where the user wrote it.

    Raises
    ------
    ConfigurationError
        It has no words, or a quote is not closed.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        words = []
    if not words:
        raise ConfigurationError(f"{command!r} is no command line; correct {setting}")
    return words


def die_with_parent(parent: int) -> Callable[[], None] | None:
    """Have the kernel end a program when the process that started it dies: no orphan computes beside a successor.

    To be called by the new process between its birth and the program, as ``preexec_fn``.
    """
    if _LIBC is None:
        return None

    def request() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return request


def end_group(pid: int, process: subprocess.Popen[bytes] | None = None, patience: float = _PATIENCE) -> None:
    """End a process group, and nothing else: it is asked, and killed when it has not ended after ``patience`` s."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, number)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if (process.poll() is not None) if process else not _alive(pid):
                return
            time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
