"""How far a running job is, from what it leaves in its run folder."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

FILE = "progress.json"
"""File in which a job may say how far it is: one flat JSON object, replaced as a whole."""

_TAIL = 4000
_DYNAMICS_STEP = re.compile(r"^\s*(\d+) T=\s*([\d.]+)", re.MULTILINE)
_IONIC_STEP = re.compile(r"^\s*(\d+) F=", re.MULTILINE)
_TAG = re.compile(r"^\s*(NSW|POTIM)\s*=\s*([\d.]+)", re.MULTILINE)


def read_progress(folder: Path, *, seconds: float) -> dict[str, Any]:
    """Return what is known: ``step``, ``of``, ``temperature`` (K), ``ps_per_day`` and whatever the job itself says.

    Parameters
    ----------
    seconds
        Since the job began.
    """
    try:
        told: dict[str, Any] = json.loads((folder / FILE).read_text())
    except (OSError, ValueError):
        return _of_vasp(folder, seconds)
    return told


def _of_vasp(folder: Path, seconds: float) -> dict[str, Any]:
    try:
        with (folder / "OSZICAR").open("rb") as file:
            file.seek(max(os.fstat(file.fileno()).st_size - _TAIL, 0))
            tail = file.read().decode(errors="replace")
        tags = {name: float(value) for name, value in _TAG.findall((folder / "INCAR").read_text())}
    except (OSError, ValueError):
        return {}
    progress: dict[str, Any] = {"of": int(tags["NSW"])} if "NSW" in tags else {}
    if steps := _DYNAMICS_STEP.findall(tail):
        step, temperature = int(steps[-1][0]), float(steps[-1][1])
        progress |= {"step": step, "temperature": temperature}
        if "POTIM" in tags and seconds > 0:
            progress["ps_per_day"] = round(step * tags["POTIM"] / 1000 / seconds * 86400, 3)
    elif steps := _IONIC_STEP.findall(tail):
        progress["step"] = int(steps[-1])
    return progress
