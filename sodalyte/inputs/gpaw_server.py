"""One MPI rank of GPAW, as :mod:`sodalyte.inputs.gpaw_parallel` starts them: ``python -m ... LETTER``."""

from __future__ import annotations

import json
import os
import socket
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS")
"""Environment variables by which launchers tell how many ranks they started."""

_BUILD = "but it is built without MPI: install mpic++ and ScaLAPACK and run scripts/install --with gpaw again"
_ASK_SLURM = "but they do not find each other: start them with GPAW's own MPI, or set SLURM_MPI_TYPE (srun --mpi=list)"
_CONNECT = 60.0


def main(letter: Path) -> None:
    """Answer until the connection ends."""
    import gpaw
    from gpaw.cgpaw import have_mpi

    from sodalyte.inputs.gpaw_setups import import_gpaw

    told = json.loads(letter.read_text())
    started = max(int(os.environ.get(name, "1")) for name in _SIZES)
    with _connect(*told["address"]) as connection, connection.makefile("rw") as stream:
        if have_mpi:
            gpaw.GPAW_MPI_BACKEND = "cgpaw"  # as the command "gpaw python" does
        else:
            import_gpaw()
        from gpaw.mpi import world

        introduction = {"token": told["token"], "rank": world.rank, "size": world.size}
        if started > world.size:
            advice = _ASK_SLURM if have_mpi else _BUILD
            introduction["error"] = f"{started} ranks of GPAW were started, {advice}"
        _tell(stream, introduction)
        try:
            _serve(stream, told, is_first=world.rank == 0)
        except BaseException:  # noqa: BLE001 - a rank that fails alone leaves the others waiting for ever
            traceback.print_exc()
            sys.stderr.flush()
            world.abort(1) if world.size > 1 else os._exit(1)


def _serve(stream: Any, told: dict[str, Any], *, is_first: bool) -> None:
    from sodalyte.errors import CalculationError
    from sodalyte.inputs.gpaw import Gpaw, PlaneWaves

    compute = PlaneWaves(Gpaw.from_dict(told["engine"]), _atoms(told["reference"]))
    for line in stream:
        try:
            answer = {name: np.asarray(value).tolist() for name, value in compute(_atoms(json.loads(line))).items()}
        except CalculationError as error:
            answer = {"error": str(error)}
        if is_first:
            _tell(stream, answer)


def _connect(host: str, port: int) -> socket.socket:
    name = "127.0.0.1" if host == socket.gethostname() else host
    connection = socket.create_connection((name, port), timeout=_CONNECT)
    connection.settimeout(None)
    return connection


def _tell(stream: Any, message: dict[str, Any]) -> None:
    stream.write(json.dumps(message) + "\n")
    stream.flush()


def _atoms(told: dict[str, Any]) -> Any:
    from ase import Atoms

    return Atoms(
        numbers=told["numbers"],
        cell=told["cell"],
        positions=told["positions"],
        magmoms=told["magmoms"],
        pbc=True,
    )


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main(Path(sys.argv[1]))
