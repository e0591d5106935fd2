"""The fault file: what goes wrong in a rehearsal, where and when.

A YAML list, for example::

    - fault: zbrent          # see FAULTS
      stage: relax           # relax, elastic, static, dynamics or any (default)
      step: 4                # ionic step of the call at which it happens, from 1 (default)
      attempts: [1, 2]       # calls in one run folder, from 1; default [1]
      times: 3               # times in the whole campaign, at most; default without limit
      material: Na3SbS4      # any spelling of the reduced formula; default every material
      seconds: 2             # walltime: added to every ionic step; hang: until it goes on
      steps: 5               # noscf, walltime: ionic steps that it lasts; default to the end

Who made it all happen is told by the environment variable ``SODALYTE_REHEARSAL_FAULTS``, the path of the file.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, TypeAdapter, ValidationError

from sodalyte.errors import ConfigurationError
from sodalyte.files import UnreadableFileError, read_text
from sodalyte.safe_yaml import Document, RefusedError, read_yaml

if TYPE_CHECKING:
    from sodalyte.launchers.rehearsal.memory import Memory

FAULT_FILE = "SODALYTE_REHEARSAL_FAULTS"
"""Environment variable: path of the fault file."""

MAX_SIZE = 1_000_000
"""Bytes of a fault file."""

Kind = Literal[
    "zbrent", "brmix", "edddav", "subspace", "posmap", "read_error", "noscf", "hang", "kill", "truncate", "disk_full",
    "walltime", "segfault",
]  # fmt: skip
Stage = Literal["relax", "elastic", "static", "dynamics"]

FAULTS: dict[Kind, str] = {
    "zbrent": "the line minimisation fails and VASP ends",
    "brmix": "charge mixing fails; VASP warns and goes on",
    "edddav": "the Davidson eigensolver fails and VASP ends",
    "subspace": "VASP warns that the sub-space matrix is not Hermitian, and goes on",
    "posmap": "VASP cannot map the ions by symmetry and ends before the first step",
    "read_error": "VASP cannot read the INCAR and ends before the first step",
    "noscf": "the electrons do not converge within NELM",
    "hang": "VASP stands still",
    "kill": "VASP is killed (SIGKILL) in the middle of a step",
    "truncate": "vasprun.xml ends in the middle of a step while VASP goes on",
    "disk_full": "the disk is full: files end in the middle of a step and VASP ends",
    "walltime": "VASP is slow",
    "segfault": "VASP crashes (SIGSEGV) in the middle of a step",
}
"""What each fault is, in words."""


class Fault(BaseModel):
    """One line of a fault file; see the module."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    fault: Kind
    stage: Stage | Literal["any"] = "any"
    step: PositiveInt = 1
    attempts: Annotated[tuple[PositiveInt, ...], Field(min_length=1, strict=False)] = (1,)
    times: PositiveInt | None = None
    material: str | None = None
    seconds: PositiveFloat | None = None
    steps: PositiveInt | None = None

    def applies(self, *, stage: str, attempt: int, formula: str) -> bool:
        """Return whether it is meant for this call."""
        return (
            self.stage in {"any", stage}
            and attempt in self.attempts
            and (self.material is None or _amounts(self.material) == _amounts(formula))
        )

    def lasts(self, step: int) -> bool:
        """Return whether it is on in ionic step ``step``."""
        return step >= self.step and (self.steps is None or step < self.step + self.steps)


class Script:
    """The faults of one call, each of which may fire."""

    def __init__(self, faults: list[Fault], memory: Memory) -> None:
        self._waiting = faults
        self._memory = memory
        self.fired: list[Kind] = []

    def due(self, step: int, *kinds: Kind) -> Fault | None:
        """Return the fault of one of ``kinds`` that happens at ``step``; each happens once in a call."""
        for fault in list(self._waiting):
            if fault.fault in kinds and step >= fault.step:
                self._waiting.remove(fault)
                if self._allowed(fault):
                    return fault
        return None

    def lasting(self, step: int, kind: Kind) -> Fault | None:
        """Return the fault of ``kind`` that is on in ``step``."""
        for fault in self._waiting:
            if fault.fault == kind and fault.lasts(step) and (fault.fault in self.fired or self._allowed(fault)):
                return fault
        return None

    def _allowed(self, fault: Fault) -> bool:
        if fault.times is not None and not self._memory.count(f"fault {fault.model_dump_json()}", fault.times):
            return False
        self.fired.append(fault.fault)
        return True


def read_faults(path: Path) -> list[Fault]:
    """Read a fault file.

    Raises
    ------
    ConfigurationError
        The file cannot be read, or holds an unknown key or an impossible value.
    """
    try:
        document = read_yaml(read_text(path, limit=MAX_SIZE)[0])
        return TypeAdapter(list[Fault]).validate_python(document.value)
    except UnreadableFileError as error:
        raise ConfigurationError(f"the fault file {path} cannot be read: {error}") from error
    except RefusedError as error:
        raise ConfigurationError(f"the fault file {path}:{error.line} cannot be read: {error.message}") from None
    except ValidationError as error:
        raise ConfigurationError(_explain(error, path, document)) from None


def _explain(error: ValidationError, path: Path, document: Document) -> str:
    first = error.errors()[0]
    place: tuple[str | int, ...] = first["loc"]
    where = f"the fault file {path}:{document.line(place)}"
    if not place:
        return f"{where}: a list is wanted; begin each entry with '- fault: KIND'"
    if first["type"] == "model_type":
        return f"{where}, entry {int(place[0]) + 1}: a mapping is wanted, such as '- {{fault: kill, stage: relax}}'"
    entry = ".".join(str(part + 1 if isinstance(part, int) else part) for part in place)
    return f"{where}, entry {entry}: {first['msg'][:1].lower()}{first['msg'][1:]}"


def _amounts(formula: str) -> dict[str, float]:
    amounts: dict[str, float] = {}
    for symbol, number in re.findall(r"([A-Z][a-z]?)(\d*)", formula):
        amounts[symbol] = amounts.get(symbol, 0) + int(number or 1)
    smallest = min(amounts.values(), default=1)
    return {symbol: count / smallest for symbol, count in amounts.items()}
