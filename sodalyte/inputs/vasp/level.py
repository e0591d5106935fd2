"""Whether a calculation was done at the level of theory that was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pymatgen.io.vasp.inputs import Incar, Kpoints, KpointsSupportedModes

from sodalyte.errors import CalculationError

if TYPE_CHECKING:
    from pathlib import Path

ORIGINAL = ".orig"
"""Ending of the copies of the inputs as they were asked for."""

_HARMLESS = frozenset(
    [
        "ALGO",
        "IALGO",
        "ISEARCH",
        "IMIX",
        "AMIX",
        "BMIX",
        "AMIN",
        "AMIX_MAG",
        "BMIX_MAG",
        "MAXMIX",
        "NELM",
        "NELMIN",
        "NELMDL",
        "ISTART",
        "ICHARG",
        "INIWAV",
        "NBANDS",
        "NSW",
        "NCORE",
        "NPAR",
        "KPAR",
        "NSIM",
        "LPLANE",
        "LSCALAPACK",
        "LSCALU",
        "ISYM",
        "SYMPREC",
        "LWAVE",
        "LCHARG",
        "LORBIT",
        "SYSTEM",
    ]
)
_HARMLESS_IN_RELAXATIONS = frozenset({"IBRION", "POTIM", "NFREE"})


def level_changes(folder: Path, used_in: Path | None = None) -> list[str]:
    """Return in words how the inputs used differ from those asked for in ``folder``, where results depend on it.

    How VASP gets to the self-consistent ground state and to the minimum may change; what it computes may not. Only
    tags known to be harmless count as such. EDIFF may become smaller.

    Parameters
    ----------
    folder
        Of the job, with copies of the inputs that were asked for.
    used_in
        Folder of the inputs that were used, where it is another one.
    """
    used = Incar.from_file((used_in or folder) / "INCAR")
    asked = Incar.from_file(folder / f"INCAR{ORIGINAL}")
    harmless = _HARMLESS | (_HARMLESS_IN_RELAXATIONS if asked.get("IBRION", -1) in (1, 2, 3) else frozenset())
    changes = [
        f"{tag} from {asked.get(tag, 'unset')} to {used.get(tag, 'unset')}"
        for tag in sorted(used.keys() | asked.keys())
        if tag not in harmless and used.get(tag) != asked.get(tag) and not (tag == "EDIFF" and _tighter(used, asked))
    ]
    before, after = _grid(folder / f"KPOINTS{ORIGINAL}"), _grid((used_in or folder) / "KPOINTS")
    if before != after:
        changes.append(f"k-points from {before} to {after}")
    return changes


def check_level(folder: Path, used_in: Path | None = None) -> None:
    """Refuse a calculation that was not done at the level asked for.

    Raises
    ------
    CalculationError
        Its inputs were changed on the way; each change is named.
    """
    if changes := level_changes(folder, used_in):
        raise CalculationError(
            f"a correction changed the level of theory ({'; '.join(changes)}), so the result is not what was asked for"
        )


def _tighter(used: Incar, asked: Incar) -> bool:
    return float(used.get("EDIFF", np.inf)) <= float(asked.get("EDIFF", 1e-4))


def _grid(path: Path) -> str:
    if not path.is_file():
        return "none"
    kpoints = Kpoints.from_file(path)
    divisions = "x".join(f"{number:g}" for number in kpoints.kpts[0]) if kpoints.num_kpts == 0 else "explicit"
    shift = "" if not np.any(kpoints.kpts_shift) else f" shifted by {tuple(kpoints.kpts_shift)}"
    style = kpoints.style.name if isinstance(kpoints.style, KpointsSupportedModes) else str(kpoints.style)
    return f"{style} {divisions}{shift}"
