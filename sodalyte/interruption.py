"""How much time a process has left, and whether it was asked to stop: known to the longest calculation.

Whoever starts processes under a time limit sets the deadline in the environment; a signal handler calls
:func:`request_stop`. Calculations look at both between steps, and end in order. A deadline is a time of day, since
Slurm gives one and the processes of several machines share it. A process reads the time of day once, when it begins,
and counts from there, so that nobody who sets the machine's clock ends its work.
"""

from __future__ import annotations

import math
import os
import threading
import time

DEADLINE = "SODALYTE_DEADLINE"
"""Environment variable: when this process will be killed, in seconds since the epoch."""

_EPOCH = time.time() - time.monotonic()
_stop = threading.Event()


def time_left() -> float:
    """Return the seconds until the deadline: infinite without one, negative after it."""
    deadline = os.environ.get(DEADLINE)
    return float(deadline) - _EPOCH - time.monotonic() if deadline else math.inf


def request_stop() -> None:
    """Ask the calculation that runs in this process to end in order, as soon as it can; safe in a signal handler."""
    _stop.set()


def stop_requested() -> bool:
    """Tell whether this process was asked to stop."""
    return _stop.is_set()
