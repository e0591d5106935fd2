"""The program that a batch job becomes: starts a pilot on each slot, keeps it alive, and passes Slurm's warnings on.

Started as ``python -m sodalyte.launchers.slurm.allocation SETTINGS`` on the first node of an allocation. It imports
little, so that it starts at once and needs next to no memory.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

from sodalyte.configuration import GPAW_COMMAND, VASP_COMMAND, VASP_GAMMA_COMMAND
from sodalyte.interruption import DEADLINE
from sodalyte.launchers.policy import ROOM, Room
from sodalyte.launchers.slurm.placement import Slot, slots
from sodalyte.launchers.slurm.queue import Queue, UnreachableError
from sodalyte.launchers.slurm.settings import ROOM_RECORD, SHORTEST

MAX_RESTARTS = 5
"""How often a pilot that dies is replaced in one slot."""

_PAUSE = 0.2
_LOG_TAIL = 8000
_SHORT_RUN = 30.0
_MPI = "SLURM_MPI_TYPE"


@dataclass(frozen=True)
class Ended:
    """The record of a pilot that is over, a file ``PILOT.json`` in the folder of its allocation.

    Attributes
    ----------
    status
        Exit status of its ``srun``; 128 and more is a signal.
    log
        The end of what the pilot and Slurm wrote.
    """

    pilot: str
    slot: int
    node: str
    status: int
    ended: float
    log: str


def record_folder(settings: Path, job: str) -> Path:
    """Return the folder in which an allocation keeps its logs and records."""
    return settings.parent / job


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write a file that is there whole or not at all."""
    temporary = path.with_suffix(".partial")
    with temporary.open("w") as file:
        json.dump(record, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)


class _Seat:
    """One slot and the pilot in it."""

    def __init__(self, slot: Slot, configuration: dict[str, Any], folder: Path, deadline: float, room: Room) -> None:
        self._slot = slot
        self._room = replace(room, cores=len(slot.nodes) * slot.cores, memory=slot.memory)
        self._folder = folder
        self._configuration = configuration
        self._deadline = deadline
        self._log = folder / f"slot-{slot.number}.log"
        self._restarts = 0
        self.failed = False
        self._start()

    def _start(self) -> None:
        self._pilot = uuid.uuid4().hex
        self._began = time.time()
        self._log_from = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("ab") as log:
            self._process: subprocess.Popen[bytes] | None = subprocess.Popen(  # noqa: S603 - a list of words, no shell
                self._slot.pilot(self._configuration["pilot"], name=f"pilot-{self._slot.number}"),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment(),
                start_new_session=True,
            )

    def _environment(self) -> dict[str, str]:
        vasp = self._configuration.get("vasp", {})
        environment = self._configuration.get("environment", {})
        commands = {
            VASP_COMMAND: vasp.get("command"),
            VASP_GAMMA_COMMAND: vasp.get("gamma_command"),
            GPAW_COMMAND: environment.get(GPAW_COMMAND),
        }
        ranks, mpi = vasp.get("ranks"), os.environ.get(_MPI)
        placed = {name: self._slot.vasp(command, ranks=ranks, mpi=mpi) for name, command in commands.items() if command}
        return {
            **os.environ,
            **environment,
            **placed,
            DEADLINE: repr(self._deadline),
            "SODALYTE_PILOT": self._pilot,
            ROOM: self._room.as_json(),
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or str(self._slot.cores),
        }

    def attend(self, *, stopping: bool) -> bool:
        """Look after the pilot; return whether one is running."""
        if self._process is None:
            return False
        status = self._process.poll()
        if status is None:
            return True
        self._process = None
        self._record(status if status >= 0 else 128 - status)
        if status == 0 or stopping:
            return False
        if time.time() - self._began > _SHORT_RUN:
            self._restarts = 0
        self._restarts += 1
        if self._restarts > MAX_RESTARTS or time.time() > self._deadline - _SHORT_RUN:
            self.failed = True
            return False
        self._start()
        return True

    def stop(self) -> None:
        """Ask the pilot to end in order; ``srun`` hands the signal on."""
        if self._process is not None:
            self._process.send_signal(signal.SIGUSR1)

    def _record(self, status: int) -> None:
        with self._log.open("rb") as log:
            log.seek(max(self._log_from, self._log.stat().st_size - _LOG_TAIL))
            written = log.read().decode(errors="replace")
        ended = Ended(self._pilot, self._slot.number, self._slot.nodes[0], status, time.time(), written)
        write_record(self._folder / f"{self._pilot}.json", asdict(ended))


def _deadline(queue: Queue, job: str) -> float:
    told = os.environ.get("SLURM_JOB_END_TIME")
    if told:
        return float(told)
    for pause in (1, 2, 4, 8, 16):
        try:
            return queue.time_limit(job).timestamp()
        except (UnreachableError, ValueError, IndexError):
            time.sleep(pause)
    raise SystemExit(f"Slurm does not say when job {job} ends")


def main() -> None:
    """Run the allocation until no pilot has anything left to do, or Slurm ends it."""
    stopping = False

    def stop(*_: int | FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    settings = Path(sys.argv[1])
    configuration = json.loads(settings.read_text())
    if shutil.which("srun") is None:
        raise SystemExit("srun is not on the PATH of the nodes; add what is missing to the cluster's environment lines")
    queue, job = Queue(), os.environ["SLURM_JOB_ID"]
    deadline = _deadline(queue, job)
    folder = record_folder(settings, job)
    folder.mkdir(exist_ok=True)
    memory = os.environ.get("SLURM_MEM_PER_NODE")
    places = slots(
        queue.nodes(os.environ["SLURM_JOB_NODELIST"]),
        side_by_side=configuration["side_by_side"],
        cores=configuration["cores"],
        memory=int(memory) if memory and int(memory) else None,
    )
    room = Room(
        memory=min(slot.memory or 0 for slot in places) or None,
        hours=max(deadline - time.time() - configuration["warning"] - SHORTEST, 0.0) / 3600,
        **{name: configuration.get(name) for name in ("most_memory", "most_hours")},
    )
    write_record(folder / ROOM_RECORD, asdict(room))
    seats = [_Seat(slot, configuration, folder, deadline, room) for slot in places]
    told = False
    while sum(seat.attend(stopping=stopping) for seat in seats):
        if stopping and not told:
            told = True
            for seat in seats:
                seat.stop()
        time.sleep(_PAUSE)
    failed = any(seat.failed for seat in seats)
    write_record(folder / "end.json", {"job": job, "stopped": stopping, "failed": failed, "ended": time.time()})
    raise SystemExit(int(failed))


if __name__ == "__main__":
    main()
