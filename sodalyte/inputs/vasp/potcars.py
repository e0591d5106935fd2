"""POTCARs: found in the user's own library, and checked before anything runs.

Which potential stands for an element is the choice of the Materials Project (pymatgen's MPRelaxSet), so that energies
may be compared with theirs. No potential is part of this package.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from monty.io import zopen
from pymatgen.core import SETTINGS
from pymatgen.io.vasp.inputs import Potcar, PotcarSingle
from pymatgen.io.vasp.sets import MPRelaxSet

from sodalyte.configuration import POTCAR_LIBRARY
from sodalyte.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MARK = "REHEARSAL"
"""What the title of every synthetic potential holds, and no genuine one."""

_FOLDERS = {
    "PBE": ("POT_GGA_PAW_PBE", "potpaw_PBE", "PBE"),
    "PBE_52": ("POT_GGA_PAW_PBE_52", "POTPAW_PBE_52", "potpaw_PBE.52", "potpaw_PBE_52", "PBE_52"),
    "PBE_54": ("POT_GGA_PAW_PBE_54", "POTPAW_PBE_54", "potpaw_PBE.54", "potpaw_PBE_54", "PBE_54"),
    "PBE_64": ("POT_PAW_PBE_64", "POT_GGA_PAW_PBE_64", "potpaw_PBE.64", "potpaw_PBE_64", "PBE_64"),
}
_END, _TAIL = "End of Dataset", 200
_ENDINGS = ("", ".gz", ".bz2", ".xz", ".Z")
_REPLACED = {"W_pv": "W_sv"}  # the first is not in the sets of 2012 and later


def potcar_symbols(elements: Iterable[str], functional: str) -> list[str]:
    """Return which potential the Materials Project takes for each element, such as ``Na_pv``."""
    chosen = MPRelaxSet.CONFIG["POTCAR"]
    symbols = [chosen.get(element, element) for element in elements]
    return symbols if functional == "PBE" else [_REPLACED.get(symbol, symbol) for symbol in symbols]


def load_potcar(symbols: Sequence[str], functional: str, *, rehearsal: bool) -> Potcar:
    """Read potentials from the user's library.

    Parameters
    ----------
    symbols
        As :func:`potcar_symbols` gives them, in the order of the POSCAR.
    functional
        Set of potentials: PBE, PBE_52, PBE_54 or PBE_64.
    rehearsal
        Whether the synthetic potentials of a rehearsal are wanted, or genuine ones.

    Raises
    ------
    EngineError
        No library is set, it does not hold a potential, or what it holds is not what was asked for; element, functional
        and the folders searched are named.
    """
    potcar = Potcar(functional=functional)
    potcar.extend(_load(symbol, functional, rehearsal=rehearsal) for symbol in symbols)
    return potcar


def library() -> Path:
    """Return the folder of the user's POTCAR library.

    Raises
    ------
    EngineError
        None is set, or it is not there.
    """
    folder = os.environ.get(POTCAR_LIBRARY) or SETTINGS.get("PMG_VASP_PSP_DIR")
    if not folder:
        raise EngineError(
            "no POTCAR library is set; write its folder into sodalyte.toml as vasp.potcars, "
            f"or into the environment as {POTCAR_LIBRARY} or pymatgen's PMG_VASP_PSP_DIR"
        )
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise EngineError(f"the POTCAR library {path} is not a folder; correct vasp.potcars in sodalyte.toml")
    return path


def _load(symbol: str, functional: str, *, rehearsal: bool) -> PotcarSingle:
    path = _find(symbol, functional)
    try:
        text = _whole_text(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about keywords and hashes that pymatgen does not know: we check below
            single = PotcarSingle(text, symbol)
        title, exchange = str(single.keywords["TITEL"]), str(single.keywords["LEXCH"])
    except (OSError, EOFError, KeyError, ValueError, IndexError, AttributeError) as error:
        raise EngineError(f"{path} is not a whole POTCAR ({error})") from error
    words = title.split()
    if len(words) < 2 or words[1] != symbol or exchange.upper() != "PE":
        raise EngineError(
            f"{path} is not the potential {symbol} of the set {functional}: TITEL is {title!r}, LEXCH {exchange}"
        )
    if (MARK in title) != rehearsal:
        kind, way_out = (
            ("genuine", "set vasp.potcars to the synthetic library of 'sodalyte rehearse'")
            if rehearsal
            else ("a synthetic potential of a rehearsal", "set vasp.potcars to your licensed library")
        )
        raise EngineError(f"{path} is {kind}, which must not meet this engine; {way_out}")
    return single


def _whole_text(path: Path) -> str:
    with zopen(path, mode="rt", encoding="utf-8", errors="replace") as file:
        text = str(file.read())
    if _END not in text[-_TAIL:]:
        raise ValueError(f"it does not end with {_END!r}; copy it again from your VASP distribution")
    return text


def _find(symbol: str, functional: str) -> Path:
    if functional not in _FOLDERS:
        raise EngineError(f"the set of potentials {functional!r} is unknown; use {', '.join(_FOLDERS)}")
    root = library()
    folders = [root / name for name in _FOLDERS[functional]]
    for folder in folders:
        for name in (f"POTCAR.{symbol}", f"{symbol}/POTCAR"):
            for ending in _ENDINGS:
                if (path := folder / f"{name}{ending}").is_file():
                    return path
    searched = ", ".join(str(folder) for folder in folders)
    raise EngineError(
        f"no POTCAR of {symbol} (element {symbol.partition('_')[0]}, set {functional}) in {searched}; "
        f"each may hold POTCAR.{symbol} or {symbol}/POTCAR"
    )
