"""What GPAW needs on this machine: for ``sodalyte doctor --engine gpaw``."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from sodalyte.configuration import GPAW_COMMAND
from sodalyte.diagnosis import Check, failed, ok, warning
from sodalyte.errors import ConfigurationError
from sodalyte.inputs.processes import words_of
from sodalyte.machine import ESSENTIAL, ask_python

_RANK = "import sodalyte, gpaw; from gpaw.cgpaw import have_mpi; print(gpaw.__version__, int(have_mpi))"


def checks(level: str, command: str | None) -> Iterator[Check]:
    """Look for GPAW and for its setups of all elements in the crystal library; say if it can use several cores.

    Parameters
    ----------
    level
        Level of theory of the engine.
    command
        What starts GPAW on several cores, if anything does.
    """
    yield _check_gpaw_itself()
    if command:
        yield check_command(command)
    yield from _check_setups()
    yield _check_shipped(level)


def check_command(command: str) -> Check:
    """Look for the launcher of a command, and ask the Python at its end for the GPAW that its ranks will have.

    Nothing is launched: the login node of a cluster may forbid it.
    """
    name, advice = "GPAW on several cores", f"correct gpaw_command in sodalyte.toml or {GPAW_COMMAND}"
    try:
        words = words_of(command, setting=GPAW_COMMAND)
        missing = next((program for program in (words[0], words[-1]) if shutil.which(program) is None), None)
        if missing:
            return failed(name, f"{missing} of the command {command!r} is not found", advice)
        answer = ask_python(words[-1], _RANK).split()[-2:]
    except ConfigurationError as error:
        return failed(name, str(error), advice)
    if len(answer) < 2 or answer[1] not in ("0", "1"):
        return failed(name, f"{words[-1]} of the command {command!r} is no Python", advice)
    found, has_mpi = answer
    seen = f"version {found} of {words[-1]}"
    if not int(has_mpi):
        return failed(name, f"{seen} is built without MPI", "install mpic++ and ScaLAPACK and build it anew")
    return ok(name, f"{seen}, with MPI")


def _check_gpaw_itself() -> Check:
    advice = "run scripts/install --with gpaw; without it only the results that ship with sodalyte can be used"
    if find_spec("gpaw") is None:
        return failed("GPAW", "it is not installed", advice)
    try:
        from gpaw.cgpaw import have_mpi
    except (ImportError, OSError) as error:
        return failed("GPAW", f"it cannot be loaded ({error})", advice)
    cores = "with MPI" if have_mpi else "without MPI: each calculation runs on one core"
    return ok("GPAW", f"version {version('gpaw')}, {cores}")


def _check_setups() -> Iterator[Check]:
    from sodalyte.structures import crystals

    if find_spec("gpaw") is None:
        return
    import gpaw

    name, folders = "GPAW setups (PBE)", [Path(folder) for folder in gpaw.setup_paths]
    elements = sorted({element for crystal in crystals() for element in crystal.chemsys.split("-")})
    missing = [element for element in elements if not any(any(folder.glob(f"{element}.PBE*")) for folder in folders)]
    where = ", ".join(map(str, folders)) or "no folder"
    found = f"{len(elements) - len(missing)} of {len(elements)} elements of the crystal library in {where}"
    if not missing:
        yield ok(name, found)
        return
    judge = failed if ESSENTIAL.intersection(missing) else warning
    advice = "run scripts/install --with gpaw, or set GPAW_SETUP_PATH to the folder of the setups"
    yield judge(name, f"{found}; missing: {', '.join(missing)}", advice)


def _check_shipped(level: str) -> Check:
    from sodalyte.inputs.reference import shipped

    levels = Counter(each.level for each in shipped())
    if levels[level]:
        return ok("shipped results", f"{levels[level]} calculations at the level of this GPAW")
    advice = "install the versions of constraints.txt, or everything is computed anew"
    return warning("shipped results", f"none is of {level}; they are of {' and of '.join(levels)}", advice)
