"""vasprun.xml, element by element as VASP 6 writes it."""

from __future__ import annotations

import time
from typing import IO, TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import numpy as np

from sodalyte.launchers.rehearsal.electronic import FERMI, Bands, density_of_states
from sodalyte.launchers.rehearsal.fortran import STAMP, table, vector
from sodalyte.launchers.rehearsal.parameters import IALGO, PARAMETERS
from sodalyte.launchers.rehearsal.setup import VERSION
from sodalyte.launchers.rehearsal.steps import KBAR

if TYPE_CHECKING:
    from sodalyte.launchers.rehearsal.cell import Array, Cell
    from sodalyte.launchers.rehearsal.electronic import Iteration
    from sodalyte.launchers.rehearsal.setup import Setup
    from sodalyte.launchers.rehearsal.steps import Step

_PARTS = ("alphaZ", "ewald", "hartreedc", "XCdc", "pawpsdc", "pawaedc", "eentropy", "bandstr", "atom")
_SCF_SECONDS = '   <time name="dav">    0.01    0.01</time>\n   <time name="total">    0.01    0.01</time>\n'


class Vasprun:
    """Writes a vasprun.xml as the calculation goes on.

    Parameters
    ----------
    file
        An open text file.
    """

    def __init__(self, file: IO[str], setup: Setup) -> None:
        self._file = file
        self._setup = setup

    def header(self, initial: Cell) -> None:
        """Write everything before the first ionic step."""
        setup = self._setup
        write = self._file.write
        write('<?xml version="1.0" encoding="ISO-8859-1"?>\n<modeling>\n <generator>\n')
        for name, value in (
            ("program", "vasp "),
            ("version", f"{VERSION}  "),
            ("subversion", f"REHEARSAL ({setup.model}) {STAMP} "),
            ("platform", "REHEARSAL "),
            ("date", time.strftime("%Y %m %d ")),
            ("time", time.strftime("%H:%M:%S ")),
        ):
            write(f'  <i name="{name}" type="string">{value}</i>\n')
        write(" </generator>\n <incar>\n")
        for name, value in setup.incar.tags.items():
            write(_item(name, value, "  "))
        write(f" </incar>\n{self._primitive_cell()}{self._kpoints()}{self._parameters()}{self._atoms()}")
        write(_structure(initial, ' name="initialpos"', setup.incar.number("POTIM", 0.5)))

    def open_step(self) -> None:
        """Begin an ionic step."""
        self._file.write(" <calculation>\n")

    def iteration(self, iteration: Iteration) -> None:
        """Write an electronic step; the first and the last have parts, which are not known here."""
        parts = ""
        if iteration.number == 1 or iteration.converged:
            values = dict.fromkeys(_PARTS, 0.0) | {"bandstr": iteration.energy}
            parts = "".join(f'    <i name="{name}">{value:16.8f} </i>\n' for name, value in values.items())
        self._file.write(f"  <scstep>\n{_SCF_SECONDS}   <energy>\n{parts}{_energies(iteration.energy, '    ')}")
        self._file.write("   </energy>\n  </scstep>\n")

    def close_step(self, step: Step) -> None:
        """Write what an ionic step gave, and end it."""
        write = self._file.write
        answer, motion = step.answer, step.motion
        write(_structure(step.cell, "", 0.0, "  ") + _varray("forces", answer.forces, "  "))
        if self._setup.incar.freedom:
            write(_varray("stress", -answer.stress * KBAR, "  "))
        write(f"  <energy>\n{_energies(answer.energy, '   ')}")
        if motion is not None:
            for name, value in (
                ("kinetic", motion.kinetic),
                ("lattice kinetic", 0.0),
                ("nosepot", motion.thermostat_potential),
                ("nosekinetic", motion.thermostat_kinetic),
                ("total", step.total),
            ):
                write(f'   <i name="{name}">{value:16.8f} </i>\n')
        write("  </energy>\n")
        if step.last:
            write(self._dos())
        write(f'  <time name="totalsc">{step.seconds:8.2f}{step.seconds:8.2f}</time>\n')
        if step.last:
            write(self._eigenvalues())
        write(" </calculation>\n")

    def end(self, final: Cell) -> None:
        """Write the final configuration and close the document."""
        self._file.write(_structure(final, ' name="finalpos"', self._setup.incar.number("POTIM", 0.5)))
        self._file.write("</modeling>\n")

    def _primitive_cell(self) -> str:
        cell = self._setup.cell
        at_rest = cell.at(cell.lattice, cell.positions)
        text = " <primitive_cell>\n" + _structure(at_rest, ' name="primitive_cell"', 0.0, "  ")
        text += '  <varray name="primitive_index" >\n'
        text += "".join(f'   <v type="int" >{number:9d} </v>\n' for number in range(1, cell.n_ions + 1))
        return text + "  </varray>\n </primitive_cell>\n"

    def _kpoints(self) -> str:
        sampling = self._setup.sampling
        text = " <kpoints>\n"
        if sampling.style:
            text += f'  <generation param="{sampling.style}">\n'
            text += f'   <v type="int" name="divisions">{vector(sampling.mesh, "%8d ")}</v>\n'
            text += f'   <v name="usershift">{vector((0, 0, 0))} </v>\n'
            for index, row in enumerate(np.diag(1 / np.array(sampling.mesh)), 1):
                text += f'   <v name="genvec{index}">{vector(row)} </v>\n'
            text += f'   <v name="shift">{vector(sampling.shift)} </v>\n  </generation>\n'
        text += _varray("kpointlist", sampling.points, "  ")
        return text + _varray("weights", sampling.weights[:, None], "  ") + " </kpoints>\n"

    def _parameters(self) -> str:
        values = self._parameter_values()
        text, depth = " <parameters>\n", 0
        for line in PARAMETERS.strip("\n").splitlines():
            level = len(line) - len(line.lstrip())
            word, _, rest = line.strip().partition(" ")
            for closing in range(depth - 1, level - 1, -1):
                text += "  " + " " * closing + "</separator>\n"
            depth = min(depth, level)
            indent = "  " + " " * level
            if word == ">":
                text += f'{indent}<separator name="{rest}" >\n'
                depth = level + 1
            else:
                kind, _, default = rest.partition(" ")
                text += _item(word, values.get(word, _default(kind, default)), indent, kind)
        return (
            text
            + "".join("  " + " " * level + "</separator>\n" for level in range(depth - 1, -1, -1))
            + " </parameters>\n"
        )

    def _parameter_values(self) -> dict[str, Any]:
        setup, incar = self._setup, self._setup.incar
        coarse, fine = setup.grids
        begin, end = incar.temperatures
        return incar.tags | {
            "SYSTEM": incar.tags.get("SYSTEM", "unknown system"),
            "PREC": incar.word("PREC", "normal"),
            "ENMAX": setup.encut,
            "ENAUG": 1.5 * setup.encut,
            "ENINI": setup.encut,
            "IALGO": IALGO.get(incar.word("ALGO", "normal")[:1], 38),
            "NBANDS": setup.bands,
            "NELECT": setup.electrons,
            "LREAL": incar.word("LREAL", "false")[:1] in {"a", "o", "t"},
            "MAGMOM": incar.tags.get("MAGMOM", [1.0] * setup.cell.n_ions),
            "ICHARG": incar.integer("ICHARG", 2),
            "EBREAK": incar.ediff / max(setup.bands, 1) / 4,
            **dict(zip(("NGX", "NGY", "NGZ", "NGXF", "NGYF", "NGZF"), coarse + fine, strict=True)),
            "NSW": incar.steps,
            "IBRION": incar.algorithm,
            "ISIF": incar.freedom,
            "EDIFFG": incar.ediffg,
            "TEBEG": begin,
            "TEEND": end,
            "KBLOCK": incar.integer("KBLOCK", max(incar.steps, 1)),
            "POMASS": [potential.mass for potential in setup.potentials],
        }

    def _atoms(self) -> str:
        cell = self._setup.cell
        text = f" <atominfo>\n  <atoms>{cell.n_ions:8d} </atoms>\n  <types>{len(cell.symbols):8d} </types>\n"
        text += (
            '  <array name="atoms" >\n   <dimension dim="1">ion</dimension>\n   <field type="string">element</field>\n'
        )
        text += '   <field type="int">atomtype</field>\n   <set>\n'
        for kind, (symbol, count) in enumerate(zip(cell.symbols, cell.counts, strict=True), 1):
            text += f"    <rc><c>{symbol:2s}</c><c>{kind:4d}</c></rc>\n" * count
        text += '   </set>\n  </array>\n  <array name="atomtypes" >\n   <dimension dim="1">type</dimension>\n'
        text += '   <field type="int">atomspertype</field>\n   <field type="string">element</field>\n'
        text += "   <field>mass</field>\n   <field>valence</field>\n"
        text += '   <field type="string">pseudopotential</field>\n   <set>\n'
        for potential, symbol, count in zip(self._setup.potentials, cell.symbols, cell.counts, strict=True):
            text += f"    <rc><c>{count:4d}</c><c>{symbol:2s}</c><c>{potential.mass:16.8f}</c>"
            text += f"<c>{potential.valence:16.8f}</c><c>  {potential.title:38s}</c></rc>\n"
        return text + "   </set>\n  </array>\n </atominfo>\n"

    def _dos(self) -> str:
        text = f'  <dos>\n   <i name="efermi">{FERMI:16.8f} </i>\n   <total>\n    <array>\n'
        text += '     <dimension dim="1">gridpoints</dimension>\n     <dimension dim="2">spin</dimension>\n'
        text += "     <field>energy</field>\n     <field>total</field>\n     <field>integrated</field>\n     <set>\n"
        spins = self._setup.incar.spins
        rows = table(density_of_states(self._setup.electrons, spins), "%10.4f ", before="       <r> ", after="</r>")
        for spin in range(1, spins + 1):
            text += f'      <set comment="spin {spin}">\n{rows}      </set>\n'
        return text + "     </set>\n    </array>\n   </total>\n  </dos>\n"

    def _eigenvalues(self) -> str:
        setup = self._setup
        bands = Bands.of_insulator(setup.sampling, setup.electrons, setup.bands)
        text = '  <eigenvalues>\n   <array>\n    <dimension dim="1">band</dimension>\n'
        text += '    <dimension dim="2">kpoint</dimension>\n    <dimension dim="3">spin</dimension>\n'
        text += "    <field>eigene</field>\n    <field>occ</field>\n    <set>\n"
        points = ""
        for point, energies in enumerate(bands.energies, 1):
            rows = np.stack([energies, bands.occupations], axis=1)
            points += f'      <set comment="kpoint {point}">\n' + table(
                rows, "%9.4f ", before="       <r>", after="</r>"
            )
            points += "      </set>\n"
        for spin in range(1, setup.incar.spins + 1):
            text += f'     <set comment="spin {spin}">\n{points}     </set>\n'
        return text + "    </set>\n   </array>\n  </eigenvalues>\n"


def _energies(energy: float, indent: str) -> str:
    names = ("e_fr_energy", "e_wo_entrp", "e_0_energy")
    return "".join(f'{indent}<i name="{name}">{energy:16.8f} </i>\n' for name in names)


def _varray(name: str, rows: Array, indent: str) -> str:
    return (
        f'{indent}<varray name="{name}" >\n'
        + table(rows, before=f"{indent} <v>", after=" </v>")
        + f"{indent}</varray>\n"
    )


def _structure(cell: Cell, name: str, time_step: float, indent: str = " ") -> str:
    """Return a configuration; velocities in fractions of the cell per time step, as VASP has them here."""
    text = f"{indent}<structure{name}{' ' if name else ''}>\n{indent} <crystal>\n"
    text += _varray("basis", cell.lattice, indent + "  ")
    text += f'{indent}  <i name="volume">{cell.volume:16.8f} </i>\n'
    text += _varray("rec_basis", cell.reciprocal, indent + "  ")
    text += f"{indent} </crystal>\n" + _varray("positions", cell.positions % 1.0, indent + " ")
    if name and cell.velocities is not None:
        text += _varray("velocities", cell.velocities @ cell.reciprocal.T * time_step, indent + " ")
    return text + f"{indent}</structure>\n"


def _default(kind: str, text: str) -> Any:
    if kind == "s":
        return text
    numbers = [float(word) for word in text.split()] if kind != "l" else []
    return {"l": text == "T", "F": numbers}.get(kind, numbers[0] if numbers else 0.0)


def _item(name: str, value: Any, indent: str, kind: str = "") -> str:
    """Return one tag; ``kind`` as in PARAMETERS, found from the value where it is not given."""
    if isinstance(value, list) or kind == "F":
        numbers = value if isinstance(value, list) else [value]
        return f'{indent}<v name="{name}">{vector(numbers)}</v>\n'
    if kind == "s" or isinstance(value, str):
        return f'{indent}<i type="string" name="{name}">{escape(str(value))}</i>\n'
    if kind == "l" or (isinstance(value, bool) and not kind):
        return f'{indent}<i type="logical" name="{name}"> {"T" if value else "F"}  </i>\n'
    if kind == "i" or (isinstance(value, int) and not kind):
        return f'{indent}<i type="int" name="{name}">{int(value):6d}</i>\n'
    return f'{indent}<i name="{name}">{float(value):16.8f}</i>\n'
