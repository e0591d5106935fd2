"""How far a running job is: told by it in its run folder, and read there by who launched it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

FILE = "progress.json"
"""One flat JSON object, replaced as a whole."""

_TAIL = 4000
_DYNAMICS_STEP = re.compile(r"^\s*(\d+) T=\s*([\d.]+)", re.MULTILINE)
_IONIC_STEP = re.compile(r"^\s*(\d+) F=", re.MULTILINE)
_TAG = re.compile(r"^\s*(NSW|POTIM)\s*=\s*([\d.]+)", re.MULTILINE)


def tell_progress(folder: Path, **progress: float) -> None:
    """Say how far the job is that runs in ``folder``: ``step``, ``max_force`` (eV/angstrom) or what else it knows."""
    new = folder / f"{FILE}.new"
    with suppress(OSError):
        new.write_text(json.dumps(progress))
        new.replace(folder / FILE)


def in_words(progress: Mapping[str, Any]) -> str:
    """Write how many steps a job has made, of how many, and how large the largest force still is.

    >>> in_words({"step": 40, "of": 2000}), in_words({"step": 7, "max_force": 0.0251}), in_words({})
    ('40/2000', '7 (25 meV/Å)', '')
    """
    step, steps, force = (progress.get(name) for name in ("step", "of", "max_force"))
    words = "" if step is None else str(step)
    if steps is not None:
        words += f"/{steps}"
    if isinstance(force, int | float):
        words += f" ({1000 * force:.2g} meV/Å)"
    return words


def read_progress(folder: Path, *, seconds: float) -> dict[str, Any]:
    """Return what is known: ``step``, ``of``, ``temperature`` (K), ``ps_per_day`` and whatever the job itself says.

    Parameters
    ----------
    seconds
        Since the job began.
    """
    try:
        told = json.loads((folder / FILE).read_text())
    except (OSError, ValueError):
        told = None
    return told if isinstance(told, dict) else _of_vasp(folder, seconds)


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
