"""GPAW on several cores: it runs in MPI processes of its own, which answer one configuration after the other.

``SODALYTE_GPAW_COMMAND`` starts them: a launcher and the Python that GPAW is installed for, such as
``mpirun -n 4 /home/me/sodalyte/.venv/bin/python``. They live as long as their calculator, so that wave functions are
used again, and end with it. Every rank is connected to this process; none of them spins while it waits.
"""

from __future__ import annotations

import json
import os
import secrets
import select
import shlex
import socket
import subprocess
import time
import weakref
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sodalyte.configuration import GPAW_COMMAND
from sodalyte.errors import CalculationError, ConfigurationError
from sodalyte.inputs.processes import die_with_parent, end_group, words_of

if TYPE_CHECKING:
    from ase import Atoms

    from sodalyte.inputs.gpaw import Gpaw

SERVER = "sodalyte.inputs.gpaw_server"
_LOG = "gpaw-server.log"
_LETTER = "gpaw-server.json"

_TICK = 1.0
_INTRODUCTION = 30.0
_START = 300.0
_FROZEN = 7200.0
"""Seconds within which all ranks have to report, and within which GPAW has to write something."""

_LONGEST = 1 << 20


class ParallelPlaneWaves:
    """As :class:`sodalyte.inputs.gpaw.PlaneWaves`, computed by the ranks that a command starts.

    Parameters
    ----------
    engine
        The settings.
    reference
        The configuration whose cell decides about the k-points.
    command
        What starts Python once for each rank.
    """

    _process: subprocess.Popen[bytes]
    _end: weakref.finalize[..., ParallelPlaneWaves]

    def __init__(self, engine: Gpaw, reference: Atoms, command: str) -> None:
        self._folder = Path.cwd()
        self._command = words_of(command, setting=GPAW_COMMAND)
        self._first = {"engine": replace(engine, guide=None).as_dict(), "reference": as_json(reference)}
        self._ranks: list[_Rank] = []

    def __call__(self, atoms: Atoms) -> dict[str, Any]:
        """Return energy (eV, zero smearing), forces (eV/angstrom) and stress (eV/angstrom^3, Voigt) of ``atoms``.

        Raises
        ------
        CalculationError
            The self-consistent cycle does not converge, or the processes ended or said nothing for two hours.
        ConfigurationError
            The command cannot be started.
        """
        if not self._ranks:
            self._start()
        try:
            for rank in self._ranks:
                rank.send(as_json(atoms))
            answer = self._wait_for_answer()
        except OSError as error:
            self._end()
            raise CalculationError(f"GPAW ended without an answer; see {self._folder / _LOG}") from error
        except CalculationError:
            self._end()
            raise
        if reason := answer.get("error"):
            raise CalculationError(reason)
        return answer

    def _start(self) -> None:
        token = secrets.token_hex(16)
        with closing(socket.create_server((_interface(), 0))) as listener:
            listener.settimeout(_TICK)
            address = [socket.gethostname(), listener.getsockname()[1]]
            letter = self._folder / _LETTER
            letter.unlink(missing_ok=True)
            letter.touch(mode=0o600)
            letter.write_text(json.dumps({"address": address, "token": token, **self._first}))
            self._process = self._begin(letter)
            self._end = weakref.finalize(self, _end, self._process, self._ranks)
            deadline = time.monotonic() + _START
            while not self._ranks or len(self._ranks) < self._ranks[0].size:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self._end()
                    raise CalculationError(
                        f"GPAW did not start with {shlex.join(self._command)!r}; see {self._folder / _LOG}"
                    )
                with suppress(TimeoutError):
                    self._welcome(listener.accept()[0], token)
        letter.unlink()

    def _begin(self, letter: Path) -> subprocess.Popen[bytes]:
        try:
            with (self._folder / _LOG).open("wb") as log:
                return subprocess.Popen(  # noqa: S603 - the user's own command, no shell
                    [*self._command, "-m", SERVER, str(letter)],
                    cwd=self._folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    preexec_fn=die_with_parent(os.getpid()),  # noqa: PLW1509 - one system call
                    env=os.environ | {"OMP_NUM_THREADS": "1"},
                )
        except OSError as error:
            raise ConfigurationError(
                f"GPAW cannot be started with {shlex.join(self._command)!r} ({error.strerror}); correct {GPAW_COMMAND}"
            ) from error

    def _welcome(self, connection: socket.socket, token: str) -> None:
        """Take a rank in; whoever does not know the token is turned away."""
        rank = _Rank(connection)
        told = None
        with suppress(OSError, ValueError):
            told = rank.receive(_INTRODUCTION)
        if not told or not secrets.compare_digest(str(told.get("token")), token):
            connection.close()
            return
        if reason := told.get("error"):
            connection.close()
            self._end()
            raise ConfigurationError(reason)
        rank.size = told["size"]
        self._ranks.insert(0 if told["rank"] == 0 else len(self._ranks), rank)

    def _wait_for_answer(self) -> dict[str, Any]:
        heard = time.monotonic()
        written = self._output()
        while (answer := self._ranks[0].receive(_TICK)) is None:
            if self._process.poll() is not None:
                raise BrokenPipeError
            if (now := self._output()) != written:
                heard, written = time.monotonic(), now
            if time.monotonic() > heard + _FROZEN:
                raise CalculationError(f"GPAW wrote nothing for {_FROZEN / 3600:g} h in {self._folder}; run it again")
        return answer

    def _output(self) -> list[int]:
        return [path.stat().st_size for path in sorted(self._folder.glob("gpaw-*.txt"))]


class _Rank:
    """The connection to one rank: a JSON document on a line, either way."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(None)
        self._connection = connection
        self._received = b""
        self.size = 0

    def send(self, message: dict[str, Any]) -> None:
        self._connection.sendall(json.dumps(message).encode() + b"\n")

    def receive(self, patience: float) -> dict[str, Any] | None:
        """Return the next document, or None if it is not whole within ``patience`` s."""
        if not select.select([self._connection], [], [], patience)[0]:
            return None
        part = self._connection.recv(_LONGEST)
        self._received += part
        if not part:
            raise BrokenPipeError
        if not self._received.endswith(b"\n"):
            return None
        line, self._received = self._received, b""
        document: dict[str, Any] = json.loads(line)
        return document

    def close(self) -> None:
        self._connection.close()


def as_json(atoms: Atoms) -> dict[str, Any]:
    """Return what a rank has to know of a configuration."""
    return {
        "numbers": atoms.numbers.tolist(),
        "cell": atoms.cell.array.tolist(),
        "positions": atoms.positions.tolist(),
        "magmoms": atoms.get_initial_magnetic_moments().tolist(),
    }


def _interface() -> str:
    """Return the address to listen at: loopback, unless the ranks may be on other nodes of a Slurm allocation."""
    return "" if int(os.environ.get("SLURM_JOB_NUM_NODES", "1")) > 1 else "127.0.0.1"


def _end(process: subprocess.Popen[bytes], ranks: list[_Rank]) -> None:
    for rank in ranks:
        rank.close()
    ranks.clear()
    if process.poll() is None:
        end_group(process.pid, process)
