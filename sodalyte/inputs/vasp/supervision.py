"""Running VASP under custodian, so that nothing is lost and nothing is silently wrong.

custodian with its defaults polls every ten seconds; here a job costs a fraction of a second on top of VASP. VASP gets a
process group of its own, which alone is ever killed, and it dies with the process that started it.
"""

from __future__ import annotations

import math
import os
import shlex
import shutil
import socket
import subprocess
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from custodian import Custodian
from custodian.custodian import CustodianError
from custodian.vasp.jobs import VaspJob
from pymatgen.io.vasp.inputs import Incar, Kpoints, UnknownPotcarWarning

from sodalyte.configuration import VASP_COMMAND, VASP_GAMMA_COMMAND
from sodalyte.errors import ConfigurationError, StoppedError
from sodalyte.inputs.processes import die_with_parent, end_group, words_of
from sodalyte.inputs.vasp.causes import as_error
from sodalyte.inputs.vasp.handlers import WholeOutput, fresh_handlers
from sodalyte.inputs.vasp.reading import VaspFrames
from sodalyte.inputs.vasp.run_folder import STOPCAR, RunFolder, ionic_steps, write
from sodalyte.interruption import stop_requested, time_left

TICK, FROZEN, MARGIN = "SODALYTE_VASP_TICK", "SODALYTE_VASP_FROZEN", "SODALYTE_VASP_MARGIN"
"""Environment variables: seconds, see :class:`Watch`."""

_MAX_CORRECTIONS = 15
_ROOM = 100e6
_LAST_SECONDS = 10.0
_PATIENCE = 5.0
"""Seconds between asking a process to end and ending it."""

_PID = "vasp.pid"


@dataclass(frozen=True)
class Watch:
    """How closely a run is watched, seconds.

    Attributes
    ----------
    poll
        Between looks whether VASP has ended.
    tick
        Between looks at its output and at the clock.
    frozen
        Without any output after which VASP is taken to hang; longer than the longest electronic step.
    margin
        Before the deadline at which VASP is asked to stop, on top of the time that its steps take: for its last files,
        and for reading and storing them.
    """

    poll: float = 0.1
    tick: float = 5.0
    frozen: float = 7200.0
    margin: float = 60.0

    @classmethod
    def from_environment(cls, *, rehearsal: bool) -> Self:
        """Read the environment; a rehearsal, whose steps take seconds, is watched more closely."""
        defaults = {
            TICK: 1.0 if rehearsal else cls.tick,
            FROZEN: 120.0 if rehearsal else cls.frozen,
            MARGIN: cls.margin,
        }
        tick, frozen, margin = (float(os.environ.get(name) or default) for name, default in defaults.items())
        return cls(tick=tick, frozen=frozen, margin=margin)


@dataclass
class Run:
    """One calculation under supervision: what the handlers know of it and decide about it.

    Attributes
    ----------
    folder
        Where it runs.
    prepare
        Called before every start of VASP, to write where it starts from.
    dynamics
        Whether it is dynamics, of which every step counts.
    handled
        Whether a handler has dealt with the present attempt.
    stop_asked
        Whether VASP was asked to stop.
    reason
        Why there is no result.
    restarts
        After kills and hangs.
    steps_before
        Ionic steps done before the present attempt.
    """

    folder: RunFolder
    prepare: Callable[[], int]
    dynamics: bool
    watch: Watch
    environment: dict[str, str] = field(default_factory=dict)
    handled: bool = False
    stop_asked: bool = False
    reason: str = ""
    restarts: int = 0
    steps_before: int = 0
    started: float = 0.0
    max_electronic_steps: int = 60
    _idle: int = 0
    _process: subprocess.Popen[bytes] | None = None
    _frames: VaspFrames | None = None
    _read: bool = False

    @property
    def path(self) -> Path:
        """The folder."""
        return self.folder.path

    def begin(self) -> subprocess.Popen[bytes]:
        """Start VASP in a folder without old output."""
        end_leftover(self.path)
        if self.should_stop():
            raise StoppedError(f"no time is left to start VASP in {self.path}")
        if shutil.disk_usage(self.path).free < _ROOM:
            raise as_error(f"the disk is full: make room in {self.path}")
        self.steps_before = self.prepare()
        self.handled, self._frames, self._read = False, None, False
        self.max_electronic_steps = int(Incar.from_file(self.path / "INCAR").get("NELM", 60))
        self.started = time.time()
        command = _command(self.path)
        try:
            with (self.path / "vasp.out").open("wb") as out, (self.path / "std_err.txt").open("wb") as error:
                self._process = subprocess.Popen(  # noqa: S603 - the user's own command, no shell
                    command,
                    cwd=self.path,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=error,
                    start_new_session=True,
                    preexec_fn=die_with_parent(os.getpid()),  # noqa: PLW1509 - one system call
                    env=os.environ | self.environment,
                )
        except OSError as error:
            raise ConfigurationError(
                f"VASP cannot be started with {shlex.join(command)!r} ({error.strerror}); correct vasp.command in "
                "sodalyte.toml"
            ) from error
        _note_process(self.path, self._process.pid)
        return self._process

    def end(self) -> None:
        """See to it that VASP runs no longer."""
        if self._process and self._process.poll() is None:
            end_group(self._process.pid, self._process)
        (self.path / _PID).unlink(missing_ok=True)
        (self.path / STOPCAR).unlink(missing_ok=True)

    def is_running(self) -> bool:
        """Tell whether VASP runs."""
        return self._process is not None and self._process.poll() is None

    def status(self) -> int | None:
        """Return the exit status of VASP."""
        return self._process.poll() if self._process else None

    def should_stop(self) -> bool:
        """Tell whether it is time to end in order."""
        return stop_requested() or time_left() < self.watch.margin + 2 * (self.step_seconds() or 0.0)

    def out_of_time(self) -> bool:
        """Tell whether waiting longer for VASP's orderly end would cost what it has written."""
        return time_left() < min(_LAST_SECONDS, self.watch.margin / 2)

    def ask_to_stop(self) -> None:
        """Ask VASP to stop after the present ionic step."""
        self.stop_asked = True
        write(self.path / STOPCAR, "LSTOP = .TRUE.\n")

    def step_seconds(self) -> float | None:
        """Return how long an ionic step of the present attempt takes, or None before there is one."""
        steps = ionic_steps(self.path / "OSZICAR") if self._process else 0
        return (self.last_sign() - self.started) / steps if steps else None

    def last_sign(self) -> float:
        """Return when VASP last wrote a step, seconds since the epoch."""
        path = self.path / "OSZICAR"
        return path.stat().st_mtime if path.exists() else self.started

    def frames(self) -> VaspFrames | None:
        """Return the ionic steps of the present attempt, once it has ended."""
        if not self._read:
            self._frames, self._read = self.folder.current.frames(), True
        return self._frames

    def in_order(self) -> bool:
        """Tell whether the present attempt ended and its output is complete."""
        frames = None if self.is_running() else self.frames()
        return frames is not None and frames.complete

    def unconverged_step(self) -> int | None:
        """Return the first ionic step (from one) of an ended attempt that counts and did not converge."""
        frames = None if self.is_running() else self.frames()
        if frames is None or (not self.dynamics and not frames.complete):
            return None
        converged = frames.scf_converged if self.dynamics else frames.scf_converged[-1:]
        if self.stop_asked and not self.dynamics:
            return None
        bad = [int(step) for step, good in zip(frames.steps[-len(converged) :], converged, strict=True) if not good]
        return bad[0] if bad else None

    def discard_from(self, step: int) -> None:
        """Let no ionic step from ``step`` (from one) on count."""
        if self.dynamics:
            self.folder.discard_from(step)

    def may_restart(self, most: int, most_idle: int) -> bool:
        """Count a restart; tell whether it is worth while."""
        self.restarts += 1
        self._idle = 0 if ionic_steps(self.path / "OSZICAR") else self._idle + 1
        return self.restarts <= most and self._idle <= most_idle


class _Supervised(VaspJob):  # type: ignore[misc]
    """custodian's view of a run."""

    def __init__(self, run: Run) -> None:
        super().__init__(["vasp"], backup=False, auto_gamma=False, terminate_timeout=_PATIENCE)
        self._run = run

    def as_dict(self) -> dict[str, Any]:
        return {"@module": None, "@class": None, "name": type(self).__name__}  # not to be made again from this

    def setup(self, directory: str = "./") -> None:
        """Do nothing: inputs are written by the Maker."""

    def run(self, directory: str = "./") -> subprocess.Popen[bytes]:  # noqa: ARG002
        self._vasp_process = self._run.begin()
        return self._vasp_process

    def postprocess(self, directory: str = "./") -> None:
        """Do nothing: outputs stay where they are."""


def supervise(run: Run) -> None:
    """Run VASP until its output is complete, or until it was asked to stop.

    Raises
    ------
    CalculationError
        It cannot be brought to an end; the cause is named.
    StoppedError
        There is no time left to start.
    ConfigurationError
        The command is not there.
    """
    custodian = Custodian(
        fresh_handlers(run),
        [_Supervised(run)],
        validators=[WholeOutput(run)],
        max_errors=_MAX_CORRECTIONS,
        polling_time_step=run.watch.poll,
        monitor_freq=max(1, math.ceil(run.watch.tick / run.watch.poll)),
        terminate_on_nonzero_returncode=False,
        directory=str(run.path),
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnknownPotcarWarning)
            warnings.filterwarnings("ignore", category=UserWarning, module=r"custodian\.")  # our reasons say it
            custodian.run()
    except CustodianError as error:
        raise as_error(run.reason or f"VASP in {run.path} was corrected in vain: {error.message}") from error
    finally:
        run.end()
    if run.reason:
        raise as_error(run.reason)


def _command(path: Path) -> list[str]:
    """Return the words of the command line that starts VASP for the inputs in ``path``."""
    gamma = os.environ.get(VASP_GAMMA_COMMAND)
    if gamma and (path / "KPOINTS").exists():
        kpoints = Kpoints.from_file(path / "KPOINTS")
        if kpoints.num_kpts == 0 and tuple(kpoints.kpts[0]) == (1, 1, 1) and not any(kpoints.kpts_shift):
            return words_of(gamma, setting="vasp.command in sodalyte.toml")
    return words_of(os.environ.get(VASP_COMMAND) or "vasp_std", setting="vasp.command in sodalyte.toml")


def _note_process(path: Path, pid: int) -> None:
    write(path / _PID, f"{socket.gethostname()} {pid} {_birth(pid)}\n")


def end_leftover(path: Path) -> None:
    """End a VASP that still runs in ``path`` although whoever started it has died; only on this machine."""
    try:
        host, pid, birth = (path / _PID).read_text().split()
    except (OSError, ValueError):
        return
    if host == socket.gethostname() and birth == _birth(int(pid)):
        end_group(int(pid))
    (path / _PID).unlink(missing_ok=True)


def _birth(pid: int) -> str:
    """Return when a process was born, in the kernel's own count, so that its number cannot be mistaken."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
