"""Whether a result comes from VASP or from a rehearsal: one never passes as the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monty.io import zopen
from monty.os.path import zpath

from sodalyte.errors import CalculationError
from sodalyte.inputs.vasp.potcars import MARK

if TYPE_CHECKING:
    from pathlib import Path

_HEAD = 20_000
_NOT_DFT = "NOT A DFT RESULT"


def check_origin(output: Path, potcar: Path, *, rehearsal: bool) -> None:
    """Compare what wrote ``vasprun.xml`` in the folder ``output``, and its potentials, with what the engine is.

    Raises
    ------
    CalculationError
        A rehearsal ran where VASP was asked for, or VASP where a rehearsal was.
    """
    path = zpath(str(output / "vasprun.xml"))
    with zopen(path, mode="rt", encoding="utf-8", errors="replace") as file:
        head = str(file.read(_HEAD)).partition("</generator>")[0]
    with zopen(zpath(str(potcar)), mode="rt", encoding="utf-8", errors="replace") as file:
        titles = [line for line in file if "TITEL" in line]
    marks = {_NOT_DFT in head, *(MARK in title for title in titles)}
    if marks == {rehearsal}:
        return
    if rehearsal:
        raise CalculationError(f"{path} was not written by a rehearsal, but the engine is one: correct vasp.command")
    raise CalculationError(
        f"{path} is of a rehearsal and not a DFT result, but the engine is vasp: correct vasp.command in sodalyte.toml"
    )
