"""Processes on this host: which pilots live, and what outlived the one that started it."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
import uuid
from pathlib import Path

PILOT_MODULE = "sodalyte.launchers.fireworks.pilot"

OWNER = ".owner"
"""File in a run folder: who runs the job there. It is gone when the job has ended in order."""

_GRACE = 5.0
_PAUSE = 0.05
_SESSION_LEADER_TTY = 4
"""Position of the controlling terminal in /proc/PID/stat, counted behind the name's closing parenthesis."""


def signature() -> str:
    """Return a line that identifies this process and moment."""
    return json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "token": uuid.uuid4().hex})


def end_orphans(folder: Path, signed: str, *, of: int | None = None) -> None:
    """End the processes that work in ``folder`` since somebody on this host was killed there.

    Only called by who holds the lock of the job or has seen the process ``of`` die, so that whoever signed is dead.
    Processes with a terminal are a person's and are left alone.

    Parameters
    ----------
    signed
        The :func:`signature` in the folder.
    of
        Only if this process has signed.
    """
    try:
        signer = json.loads(signed)
        host, pid = signer["host"], signer["pid"]
    except (ValueError, KeyError, TypeError):
        return
    if host != socket.gethostname() or of not in (None, pid):
        return
    deadline = time.monotonic() + _GRACE
    while pids := _working_in(folder):
        for pid in pids:
            try:
                os.kill(pid, signal.SIGTERM if time.monotonic() < deadline else signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
        if time.monotonic() > 2 * _GRACE + deadline:
            return
        time.sleep(_PAUSE)


def is_pilot(pid: int) -> bool:
    """Tell whether a process of this number exists and may be a pilot."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return not Path("/proc/self").exists() and _exists(pid)
    except OSError:
        return True
    return state != "Z" and PILOT_MODULE.encode() in words


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _working_in(folder: Path) -> list[int]:
    """Return the processes without a terminal whose working directory is ``folder``."""
    here = str(folder.resolve())
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if entry.joinpath("cwd").readlink().as_posix() != here:
                continue
            fields = entry.joinpath("stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z" and fields[_SESSION_LEADER_TTY] == "0" and int(entry.name) != os.getpid():
            found.append(int(entry.name))
    return found
