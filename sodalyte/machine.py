"""What this machine has for a calculation: potentials, executables, disk, database, packages."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING

from sodalyte.configuration import VASP_COMMAND, VASP_GAMMA_COMMAND, exported
from sodalyte.diagnosis import Check, failed, ok, warning
from sodalyte.errors import ConfigurationError, DatabaseError, EngineError

if TYPE_CHECKING:
    from sodalyte.configuration import Vasp

ESSENTIAL = frozenset({"Na", "S"})
"""Elements without whose potentials nothing here can be computed."""

LOW_DISK, NO_DISK = 50.0, 2.0
"""GB of free disk below which a warning is given, and below which no calculation should start."""

_NETWORK = re.compile(r"nfs|lustre|gpfs|beegfs|cifs|smb|fuse\.|ceph|glusterfs|afs|panfs|wekafs")
_REHEARSAL = "sodalyte-vasp-rehearsal", "sodalyte.launchers.rehearsal"
_SCRIPT_SIZE = 10_000
_IMPORT_TIMEOUT = 120.0


def check_potcars(vasp: Vasp) -> list[Check]:
    """Look for the potentials of all elements in the crystal library, and read each."""
    from sodalyte.inputs.vasp.potcars import library, load_potcar, potcar_symbols
    from sodalyte.structures import crystals

    name = f"POTCAR files ({vasp.functional})"
    elements = sorted({element for crystal in crystals() for element in crystal.chemsys.split("-")})
    problems: dict[str, str] = {}
    unknown: list[str] = []
    with exported(vasp.environment()):
        try:
            where = library()
        except EngineError as error:
            return [failed(name, *_halves(error))]
        for element in elements:
            try:
                (single,) = load_potcar(potcar_symbols([element], vasp.functional), vasp.functional, rehearsal=False)
                if not _is_known(single):
                    unknown.append(single.symbol)
            except EngineError as error:
                problems[element] = str(error)
    found = f"{len(elements) - len(problems)} of {len(elements)} elements of the crystal library in {where}"
    checks = [_judge_potcars(name, found, problems)]
    if unknown:
        advice = "compare them with your VASP distribution, or name the right set as vasp.functional"
        checks.append(
            warning("POTCAR contents", f"pymatgen does not know what is in those of {', '.join(unknown)}", advice)
        )
    return checks


def _judge_potcars(name: str, found: str, problems: dict[str, str]) -> Check:
    if not problems:
        return ok(name, found)
    first = min(problems, key=lambda element: (element not in ESSENTIAL, element))
    detail = f"{found}; not usable: {', '.join(problems)}; of {first}: {problems[first]}"
    if ESSENTIAL & problems.keys():
        return failed(name, detail, "set vasp.potcars in sodalyte.toml to your licensed library")
    return warning(name, detail, "materials with these elements cannot be computed; complete the library for them")


def _is_known(single: object) -> bool:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bool(single.is_valid)  # type: ignore[attr-defined]


def check_vasp(vasp: Vasp) -> list[Check]:
    """Look for the executable in the command that starts VASP, and say if it is the rehearsal's."""
    environment = vasp.environment()
    commands = {"VASP": environment[VASP_COMMAND], "VASP at Gamma only": environment[VASP_GAMMA_COMMAND]}
    if commands["VASP"] == commands["VASP at Gamma only"]:
        del commands["VASP at Gamma only"]
    return [_check_command(name, command) for name, command in commands.items()]


def _check_command(name: str, command: str) -> Check:
    try:
        words = shlex.split(command)
    except ValueError:
        words = []
    if not words:
        return failed(
            name, f"{command!r} is no command line", f"correct vasp.command in sodalyte.toml or {VASP_COMMAND}"
        )
    programs = [words[0], *(word for word in words[1:] if Path(word).name.startswith("vasp"))]
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        advice = f"load its module, put it on the PATH, or set vasp.command in sodalyte.toml or {VASP_COMMAND}"
        return failed(name, f"{missing[0]} of the command {command!r} is not found", advice)
    if _is_rehearsal(command, programs):
        advice = "set vasp.command to your licensed VASP; for a rehearsal 'sodalyte rehearse' sets everything itself"
        return failed(name, f"{command!r} is the rehearsal, which computes nothing", advice)
    return ok(name, ", ".join(str(shutil.which(program)) for program in programs))


def _is_rehearsal(command: str, programs: list[str]) -> bool:
    """Tell whether a command is the stand-in, by its name or because it is a script that calls it."""
    texts = [command]
    for program in programs:
        path = Path(shutil.which(program) or program)
        try:
            if path.stat().st_size < _SCRIPT_SIZE:
                texts.append(path.read_text(errors="replace"))
        except OSError:
            continue
    return any(mark in text for mark in _REHEARSAL for text in texts)


def ask_python(python: str, code: str) -> str:
    """Run code with another Python of this machine.

    Returns
    -------
    str
        What it prints.

    Raises
    ------
    ConfigurationError
        It cannot be run, or it fails: the reason in a line.
    """
    command = [python, "-c", code]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_IMPORT_TIMEOUT, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigurationError(f"{python} cannot be run here: {error}") from error
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise ConfigurationError(f"{python} fails: {reason[0]}")
    return done.stdout.strip()


def check_disk(name: str, folder: Path) -> Check:
    """Write to a folder, or to the nearest one above it that exists, and look how much more it takes."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=existing) as file:
            file.write(b"sodalyte")
            file.flush()
    except OSError as error:
        return failed(name, f"{existing} cannot be written ({error.strerror})", "name a folder that can")
    free = shutil.disk_usage(existing).free / 1e9
    inodes = os.statvfs(existing).f_favail
    detail = f"{folder}, {free:.0f} GB free"
    advice = "remove old runs, or name another disk"
    if free < NO_DISK:
        return failed(name, detail, advice)
    if free < LOW_DISK:
        return warning(name, f"{detail}: WAVECAR and CHGCAR of one large cell take several", advice)
    if 0 < inodes < 10_000:
        return warning(name, f"{detail}, but only {inodes} more files can be made", advice)
    return ok(name, detail)


def check_database(uri: str) -> list[Check]:
    """Open the database, and say which it is."""
    from sodalyte.database import open_database

    if uri.startswith("lite://"):
        folder = Path(uri.removeprefix("lite://")).expanduser()
        if not folder.exists():
            return [ok("database", f"none yet at {uri}; the first run makes it"), *_check_file_system(folder)]
    try:
        with open_database(uri, create=False) as database:
            return [ok("database", f"{database.address}, {_server(uri, database)}"), *_check_file_system_of(uri)]
    except DatabaseError as error:
        return [failed("database", *_halves(error))]


def _server(uri: str, database: object) -> str:
    if uri.startswith("lite://"):
        return f"litemongo {version('litemongo')}"
    answer = database.collection("results").database.client.server_info()  # type: ignore[attr-defined]
    return f"server version {answer.get('version', 'unknown')}"


def _check_file_system_of(uri: str) -> list[Check]:
    return _check_file_system(Path(uri.removeprefix("lite://")).expanduser()) if uri.startswith("lite://") else []


def _check_file_system(folder: Path) -> list[Check]:
    """Warn of a lite:// database on a disk that several machines share: SQLite's locks do not hold there."""
    kind = file_system(folder)
    if not _NETWORK.match(kind):
        return []
    advice = "use it from one machine only, or give a mongodb:// address"
    return [warning("database folder", f"{folder} is on a network file system ({kind})", advice)]


def file_system(folder: Path) -> str:
    """Return the type of the file system that a folder is on; empty where the system does not tell."""
    try:
        mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    except OSError:
        return ""
    path = folder.absolute().resolve()
    on = [(mount[1].replace("\\040", " "), mount[2]) for mount in mounts]
    return max(((where, kind) for where, kind in on if path.is_relative_to(where)), key=lambda pair: len(pair[0]))[1]


def check_packages(extra: str = "") -> list[Check]:
    """Compare the installed packages with what sodalyte asks for, and with the versions that it was tested with.

    Parameters
    ----------
    extra
        Look at the packages of this extra, and at no others.
    """
    name = f"packages of the extra {extra}" if extra else "packages"
    wrong = list(_unsatisfied(extra))
    if wrong:
        return [failed(name, "; ".join(wrong), "run scripts/install, or pip install --upgrade sodalyte")]
    checks = [ok(name, f"sodalyte {version('sodalyte')} and all that it needs")]
    if extra:
        return checks
    other = list(_deviations())
    if other:
        shown = ", ".join(other[:5]) + (f" and {len(other) - 5} more" if len(other) > 5 else "")
        checks.append(warning("tested versions", f"not those of constraints.txt: {shown}", "run scripts/install"))
    return checks


def _unsatisfied(extra: str) -> Iterator[str]:
    from packaging.requirements import Requirement

    for line in requires("sodalyte") or ():
        requirement = Requirement(line)
        marker = requirement.marker
        if (extra and not marker) or (marker and not marker.evaluate({"extra": extra})):
            continue
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            yield f"{requirement} is not installed"
            continue
        if not requirement.specifier.contains(installed, prereleases=True):
            yield f"{requirement} is needed, {installed} is installed"


def _deviations() -> Iterator[str]:
    """Yield packages of another version than in ``constraints.txt``, if this is a checkout that has one."""
    path = Path(__file__).parent.parent / "constraints.txt"
    for line in path.read_text().splitlines() if path.is_file() else ():
        name, separator, tested = line.partition("#")[0].strip().partition("==")
        if not separator:
            continue
        try:
            installed = version(name)
        except PackageNotFoundError:
            continue
        if installed.partition("+")[0] != tested.partition("+")[0]:
            yield f"{name} {installed} (tested: {tested})"


def _halves(error: Exception) -> tuple[str, str]:
    """Split the sentence of an error into what is wrong and what to do."""
    what, _, advice = str(error).rpartition("; ")
    return (what, advice) if what else (advice, "see above")
