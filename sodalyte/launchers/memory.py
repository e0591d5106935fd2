"""Whether the kernel killed a process for want of memory: Slurm's control groups say so, and to nobody else."""

from __future__ import annotations

import re
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")


def oom_kills() -> int:
    """Return how many processes of this process's control group were killed for want of memory; 0 if that is unknown.

    Both generations of control groups are understood: ``memory.oom_control`` and ``memory.events`` hold ``oom_kill N``.
    """
    for line in _text(Path("/proc/self/cgroup")).splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            told = _text(_GROUPS / "memory" / path.lstrip("/") / "memory.oom_control")
        elif not controllers:
            told = _text(_GROUPS / path.lstrip("/") / "memory.events")
        else:
            continue
        if found := re.search(r"^oom_kill (\d+)$", told, re.MULTILINE):
            return int(found[1])
    return 0


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
