"""vasprun.xml of a run of any length, step by step: a scan over the bytes, no tree.

An XML parser spends its time on the half million elements of every thousand steps. Here only the header is parsed as
XML; the steps are found by their tags and their numbers are read block by block. Nothing is expanded or looked up.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase.data import atomic_numbers

from sodalyte.errors import CalculationError
from sodalyte.inputs.vasp.reading.frames import Frame, Header
from sodalyte.inputs.vasp.reading.numbers import number, parse_rows

if TYPE_CHECKING:
    from lxml.etree import _Element
    from numpy.typing import NDArray

_CHUNK = 1 << 20
_LARGEST = 1 << 26
"""Bytes that the header, or one element of a step, may have."""

_GZIP = b"\x1f\x8b"
_FIRST_STEP = re.compile(rb"<calculation>|<structure>")
_TAGS = re.compile(
    rb'<(?:scstep|structure|varray name="(?:forces|stress)"|energy>|calculation>|/calculation>|/modeling>)'
)
_ENDS = {b"scstep": b"</scstep>", b"structure": b"</structure>", b"varray": b"</varray>", b"energy>": b"</energy>"}
_ITEM = re.compile(rb'<i name="([^"]+)">([^<]*)</i>')
_SCF_ENERGY = re.compile(rb'<i name="e_fr_energy">([^<]*)</i>')
_NAMES = {
    b"e_fr_energy": "free_energy",
    b"e_0_energy": "e_0_energy",
    b"kinetic": "kinetic",
    b"nosepot": "thermostat_potential",
    b"nosekinetic": "thermostat_kinetic",
    b"total": "conserved",
}


class Vasprun:
    """The ionic steps of ``vasprun.xml`` or ``vasprun.xml.gz``, in memory one after the other.

    Attributes
    ----------
    header
        What stands before the first step.
    complete
        Whether the file's end was seen; known after the last step.

    Raises
    ------
    CalculationError
        The file is not VASP's, or a step in it is damaged. A file that ends early just has fewer steps.
    """

    def __init__(self, path: Path, *, forces: bool = False) -> None:
        self.path = path
        self.complete = False
        self._forces = forces
        self._chunks = _chunks(path)
        head = bytearray()
        found = None
        for chunk in self._chunks:
            head += chunk
            found = _FIRST_STEP.search(head)
            if found:
                break
            if len(head) > _LARGEST:
                raise CalculationError(
                    f"{path} is not a vasprun.xml: no ionic step begins in its first {_LARGEST} bytes"
                )
        if found is None:
            raise CalculationError(f"{path} holds no complete ionic step")
        self.header = _header(bytes(head[: found.start()]), path)
        self._rest = bytes(head[found.start() :])

    def __iter__(self) -> Iterator[Frame]:
        step = _Step(self.header, forces=self._forces)
        inside = False
        for name, label, content in self._elements():
            if name == b"calculation>":
                inside = True
                step.clear()
            elif name == b"/modeling>":
                self.complete = True
                return
            elif name != b"/calculation>":
                step.take(name, label, content)
            # The steps of a machine-learned force field stand alone, without <calculation>, and end with their energy.
            if name == b"/calculation>" or (name == b"energy>" and not inside):
                inside = False
                yield step.frame()
                step.clear()

    def _elements(self) -> Iterator[tuple[bytes, bytes, bytes]]:
        """Yield name, label and content of what a step consists of, and the tags that begin and end things."""
        buffer, self._rest = self._rest, b""
        position = 0
        while True:
            match = _TAGS.search(buffer, position)
            if match:
                name, _, label = match[0][1:].partition(b' name="')
                end_tag = _ENDS.get(name)
                end = buffer.find(end_tag, match.end()) if end_tag else match.end()
                if end >= 0:
                    yield name, label.rstrip(b'"'), buffer[match.end() : end]
                    position = end + len(end_tag or b"")
                    continue
            start = match.start() if match else max(position, len(buffer) - 64)
            chunk = next(self._chunks, b"")
            if not chunk:
                return
            buffer, position = buffer[start:] + chunk, 0
            if len(buffer) > _LARGEST:
                raise CalculationError(f"{self.path}: an element does not end within {_LARGEST} bytes; it is damaged")


class _Step:
    """What was read of an ionic step so far."""

    def __init__(self, header: Header, *, forces: bool) -> None:
        self._header = header
        self._forces = forces
        self._number = 0
        self._basis = b""
        self._same_cell = np.empty((0, 3))
        self.clear()

    def clear(self) -> None:
        self._cell: NDArray[np.float64] | None = None
        self._fractional: NDArray[np.float64] | None = None
        self._arrays: dict[bytes, NDArray[np.float64]] = {}
        self._energies: dict[str, float] = {}
        self._scf: list[float] = []
        self._electronic_steps = 0

    def take(self, name: bytes, label: bytes, content: bytes) -> None:
        try:
            self._take(name, label, content)
        except ValueError as error:
            what = (label or name).decode().rstrip(">")
            raise CalculationError(f"{self._where}: its {what} are damaged ({error}); remove the step") from error

    def _take(self, name: bytes, label: bytes, content: bytes) -> None:
        if b"calculation>" in content or b"<structure" in content:
            raise ValueError("without an end")
        if name == b"scstep":
            self._take_electronic_step(content)
        elif name == b"structure":
            self._take_structure(content)
        elif name == b"energy>":
            self._energies = {_NAMES[item[1]]: number(item[2]) for item in _ITEM.finditer(content) if item[1] in _NAMES}
        elif label == b"stress":
            self._arrays[label] = parse_rows(content, 3)
        elif self._forces:
            self._arrays[label] = parse_rows(content, len(self._header.numbers))

    def _take_electronic_step(self, content: bytes) -> None:
        self._electronic_steps += 1
        energy = _SCF_ENERGY.search(content)
        self._scf = [*self._scf[-1:], number(energy[1]) if energy else np.nan]

    def _take_structure(self, content: bytes) -> None:
        if not content.startswith(b">"):  # finalpos, or another named one
            return
        basis = _varray(content, b"basis")
        if basis != self._basis:
            self._basis, self._same_cell = basis, parse_rows(basis, 3)
        self._cell = self._same_cell
        self._fractional = parse_rows(_varray(content, b"positions"), len(self._header.numbers))

    def frame(self) -> Frame:
        if self._cell is None or self._fractional is None or "free_energy" not in self._energies:
            raise CalculationError(
                f"{self._where} has no structure or no energy; is it of a relaxation or of dynamics?"
            )
        if not (np.isfinite(self._cell).all() and np.isfinite(self._fractional).all()):
            raise CalculationError(f"{self._where}: positions overflow their columns (****); the run has exploded")
        self._number += 1
        kinetic = self._energies.get("kinetic", np.nan)
        last_change = self._scf[-1] - self._scf[0] if len(self._scf) == 2 else np.nan
        return Frame(
            step=self._number,
            cell=self._cell,
            fractional=self._fractional,
            free_energy=self._energies["free_energy"],
            e_0_energy=self._energies.get("e_0_energy", np.nan),
            kinetic=kinetic,
            thermostat_potential=self._energies.get("thermostat_potential", np.nan),
            thermostat_kinetic=self._energies.get("thermostat_kinetic", np.nan),
            conserved=self._energies.get("conserved", np.nan),
            temperature=self._header.temperature(kinetic),
            stress=self._arrays.get(b"stress"),
            forces=self._arrays.get(b"forces"),
            electronic_steps=self._electronic_steps,
            last_change=last_change,
            scf_converged=self._header.is_converged(self._electronic_steps, last_change),
        )

    @property
    def _where(self) -> str:
        return f"{self._header.source}: ionic step {self._number + 1}"


def _varray(content: bytes, name: bytes) -> bytes:
    start = content.find(b'<varray name="' + name + b'"')
    end = content.find(b"</varray>", start)
    if start < 0 or end < 0:
        raise ValueError(f"no {name.decode()}")
    return content[content.index(b">", start) + 1 : end]


def _chunks(path: Path) -> Iterator[bytes]:
    """Yield the content, unpacked; what is cut off or damaged at its end is not there."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == _GZIP
            file.seek(0)
            unpacker = zlib.decompressobj(31)
            while raw := file.read(_CHUNK):
                if not packed:
                    yield raw
                    continue
                while raw:
                    if unpacker.eof:
                        unpacker = zlib.decompressobj(31)
                    if content := unpacker.decompress(raw, _CHUNK):
                        yield content
                    raw = unpacker.unconsumed_tail or unpacker.unused_data
    except zlib.error:
        return
    except OSError as error:
        raise CalculationError(f"{path} cannot be read: {error.strerror or error}") from error


def _header(head: bytes, path: Path) -> Header:
    from lxml import etree

    if b"<!DOCTYPE" in head or b"<!ENTITY" in head:
        raise CalculationError(f"{path} declares a document type, which VASP never writes; it is refused")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        root = etree.fromstring(head + b"</modeling>", parser)
        parameters = {item.get("name"): item.text or "" for item in root.find("parameters").iter("i")}
        symbols = [row[0].text.strip() for row in root.find("atominfo/array[@name='atoms']/set")]
        return Header(
            source=str(path),
            numbers=np.array([atomic_numbers[symbol] for symbol in symbols]),
            time_step=float(parameters["POTIM"]),
            steps_asked=int(parameters["NSW"]),
            max_electronic_steps=int(parameters["NELM"]),
            energy_criterion=float(parameters["EDIFF"]),
            degrees_of_freedom=_degrees_of_freedom(root, len(symbols)),
        )
    except (etree.XMLSyntaxError, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise CalculationError(f"{path} has no header that VASP would write ({error!r})") from error


def _degrees_of_freedom(root: _Element, n_atoms: int) -> int:
    rows = root.find("structure[@name='initialpos']/varray[@name='selective']")
    free = 3 * n_atoms if rows is None else sum((row.text or "").split().count("T") for row in rows)
    return max(free if free < 3 * n_atoms else free - 3, 1)
