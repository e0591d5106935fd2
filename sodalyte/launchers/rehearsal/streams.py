"""The files that VASP keeps open, and those that it leaves behind."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import IO, Any

from sodalyte.launchers.rehearsal.fortran import STAMP

_LEFT = ("WAVECAR", "CHGCAR", "CHG", "EIGENVAL", "DOSCAR", "IBZKPT", "PCDAT")
_ON_REQUEST = {
    "LAECHG": ("AECCAR0", "AECCAR1", "AECCAR2"),
    "LVTOT": ("LOCPOT",),
    "LVHAR": ("LOCPOT",),
    "LELF": ("ELFCAR",),
}


class Streams:
    """OUTCAR, OSZICAR, vasprun.xml, XDATCAR and the standard output, truncated when this is made.

    Parameters
    ----------
    folder
        The run folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.outcar = (folder / "OUTCAR").open("w")
        self.oszicar = (folder / "OSZICAR").open("w")
        self.vasprun = (folder / "vasprun.xml").open("w", encoding="iso-8859-1", errors="xmlcharrefreplace")
        self.xdatcar = (folder / "XDATCAR").open("w")
        self.stdout: IO[str] = sys.stdout
        (folder / "CONTCAR").write_text("")
        for name in _LEFT:
            (folder / name).touch()

    @property
    def contcar(self) -> Path:
        """Path of the CONTCAR."""
        return self.folder / "CONTCAR"

    def touch_requested(self, tags: dict[str, Any]) -> None:
        """Make the files that some tags ask for; they are empty, as are all that would hold densities."""
        if tags.get("LORBIT", 0) >= 10:
            (self.folder / "PROCAR").touch()
        if tags.get("MDALGO", 0) > 0:
            (self.folder / "REPORT").write_text(f"{STAMP}\n")
        for tag, names in _ON_REQUEST.items():
            if tags.get(tag) is True:
                for name in names:
                    (self.folder / name).touch()

    def say(self, text: str) -> None:
        """Print to the standard output."""
        self.stdout.write(text)

    def both(self, text: str) -> None:
        """Print to OSZICAR and the standard output."""
        self.oszicar.write(text)
        self.stdout.write(text)

    def flush(self) -> None:
        """Let others see what was written."""
        for file in (self.outcar, self.oszicar, self.vasprun, self.xdatcar, self.stdout):
            if not file.closed:
                file.flush()

    def cut(self, *files: IO[str]) -> None:
        """Let ``files`` end in the middle of a line, now; what is written to them later is lost."""
        for file in files:
            file.flush()
            path = Path(file.name)
            size = path.stat().st_size
            with path.open("r+b") as raw:
                raw.truncate(max(size - 7, 0))
            file.close()

    def asks_to_abort(self) -> bool:
        """Return whether a STOPCAR asks to stop at once."""
        path = self.folder / "STOPCAR"
        return path.exists() and "LABORT" in path.read_text().upper()

    def stop_request(self) -> str:
        """Return LSTOP or LABORT where a STOPCAR asks for it (the file is then deleted), else nothing."""
        path = self.folder / "STOPCAR"
        with contextlib.suppress(OSError):
            words = path.read_text().upper().replace(" ", "").replace(".", "")
            for tag in ("LABORT", "LSTOP"):
                if f"{tag}=T" in words:
                    path.unlink()
                    return tag
        return ""
