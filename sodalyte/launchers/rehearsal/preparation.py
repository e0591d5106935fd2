"""Everything that a rehearsal needs beside the executable: a library of potentials, a memory, the fault file."""

from __future__ import annotations

import hashlib
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from sodalyte.configuration import POTCAR_FUNCTIONAL, POTCAR_LIBRARY, VASP_COMMAND, VASP_GAMMA_COMMAND
from sodalyte.errors import ConfigurationError
from sodalyte.launchers.rehearsal.faults import FAULT_FILE, read_faults
from sodalyte.launchers.rehearsal.memory import MEMORY
from sodalyte.launchers.rehearsal.model import MODEL
from sodalyte.launchers.rehearsal.potcars import write_library


@dataclass(frozen=True)
class Rehearsal:
    """Where a rehearsal takes place.

    Attributes
    ----------
    folder
        Of its database, runs, trajectories and reports.
    model
        What computes in VASP's place.
    faults
        The fault file, a copy of the user's, or None.
    """

    folder: Path
    model: str
    faults: Path | None

    @property
    def memory(self) -> Path:
        """Folder that the calls of the executable share."""
        return self.folder / "memory"

    def environment(self) -> dict[str, str]:
        """Return the environment variables that put the stand-in into VASP's place."""
        command = shlex.join([sys.executable, "-m", "sodalyte.launchers.rehearsal.vasp"])
        return {
            VASP_COMMAND: command,
            VASP_GAMMA_COMMAND: command,
            POTCAR_LIBRARY: str(self.folder / "potcars"),
            POTCAR_FUNCTIONAL: "PBE",
            MODEL: self.model,
            MEMORY: str(self.memory),
            FAULT_FILE: str(self.faults or ""),
        }


def prepare(root: Path, *, model: str, faults: Path | None = None) -> Rehearsal:
    """Make the folder of a rehearsal in ``root``: one for each model and each content of the fault file.

    Raises
    ------
    ConfigurationError
        The fault file cannot be read, or holds an unknown key or an impossible value.
    """
    if faults is None:
        rehearsal = Rehearsal(root / model, model, None)
        rehearsal.folder.mkdir(parents=True, exist_ok=True)
    else:
        read_faults(faults)
        text = faults.read_bytes()
        folder = root / f"{model}-{hashlib.sha256(text).hexdigest()[:8]}"
        rehearsal = Rehearsal(folder, model, folder / "faults.yaml")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "faults.yaml").write_bytes(text)
    write_library(rehearsal.folder / "potcars")
    return rehearsal


def model_engine(model: str) -> str:
    """Return the name of the engine that rehearses with a model.

    Raises
    ------
    ConfigurationError
        There is none; the known ones are named.
    """
    from sodalyte.inputs.engine import engine_names

    prefix = "rehearsal-"
    if prefix + model not in engine_names():
        known = ", ".join(name.removeprefix(prefix) for name in engine_names() if name.startswith(prefix))
        raise ConfigurationError(f"--model {model!r} is unknown; known: {known}")
    return prefix + model
