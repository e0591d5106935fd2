"""Writes vasprun.xml as VASP 6.3.2 does it in dynamics: names, order and columns of every element are VASP's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

SCF_TERMS = ("alphaZ", "ewald", "hartreedc", "XCdc", "pawpsdc", "pawaedc", "eentropy", "bandstr", "atom")


@dataclass
class Run:
    """A random walk that crosses the faces of its cell.

    Attributes
    ----------
    kinds
        Symbol and number of the atoms of each kind.
    electronic_steps
        Of every ionic step; the last of them changes the energy by less than EDIFF.
    """

    n_steps: int
    kinds: Sequence[tuple[str, int]] = (("Na", 48), ("Sb", 16), ("S", 64))
    edge: float = 14.4
    time_step: float = 2.0
    electronic_steps: int = 8
    nelm: int = 60
    ediff: float = 1e-5
    step_length: float = 0.004
    forces: bool = True
    seed: int = 1
    incar: dict[str, Any] = field(default_factory=dict)

    @property
    def n_atoms(self) -> int:
        return sum(number for _, number in self.kinds)


RUN = Run(12, kinds=(("Na", 12), ("S", 8)), step_length=0.08)


def write_vasprun(path: Path, run: Run) -> NDArray[np.float64]:
    """Write the file and return the fractional positions before they were wrapped, rounded as they are written."""
    rng = np.random.default_rng(run.seed)
    fractional = rng.random((run.n_atoms, 3)).round(8)
    walked = []
    with path.open("w") as file:
        _write_header(file, run, fractional)
        thermostat = 0.0
        for _ in range(run.n_steps):
            walked.append(fractional)
            kinetic = 1.5 * 8.617e-5 * 600 * (run.n_atoms - 1) * rng.normal(1, 0.05)
            thermostat += rng.normal(0, 0.01)
            write_step(file, run, fractional, energy=rng.normal(-500, 1), kinetic=kinetic, nose=thermostat, rng=rng)
            fractional = (fractional + rng.normal(0, run.step_length, fractional.shape)).round(8)
        _write_structure(file, run, fractional, 'structure name="finalpos" ')
        file.write("</modeling>\n")
    return np.array(walked)


def write_step(
    file: IO[str],
    run: Run,
    fractional: NDArray[np.float64],
    *,
    energy: float,
    kinetic: float,
    nose: float,
    rng: np.random.Generator,
) -> None:
    """Write one ionic step."""
    file.write(" <calculation>\n")
    for number in range(run.electronic_steps):
        last = number == run.electronic_steps - 1
        off = 0.0 if last else run.ediff / 2 * 10.0 ** (run.electronic_steps - 2 - number)
        file.write('  <scstep>\n   <time name="dav">    0.93    1.09</time>\n')
        file.write('   <time name="total">    1.07    1.27</time>\n   <energy>\n')
        terms = [(term, -574.79745891) for term in SCF_TERMS] if last or not number else []
        _write_items(file, [*terms, *_energies(energy + off)], indent=4)
        file.write("   </energy>\n  </scstep>\n")
    _write_structure(file, run, fractional % 1, "structure", indent=2)
    if run.forces:
        _write_rows(file, "forces", rng.normal(0, 0.5, fractional.shape), indent=2)
    _write_rows(file, "stress", rng.normal(0, 5, (3, 3)), indent=2)
    file.write("  <energy>\n")
    kinds = [("kinetic", kinetic), ("lattice kinetic", 0.0), ("nosepot", nose), ("nosekinetic", 0.1)]
    _write_items(file, [*_energies(energy), *kinds, ("total", energy + kinetic + nose + 0.1)], indent=3)
    file.write('  </energy>\n  <time name="totalsc">   12.07   12.68</time>\n </calculation>\n')


def _energies(energy: float) -> list[tuple[str, float]]:
    return [("e_fr_energy", energy), ("e_wo_entrp", energy + 0.002), ("e_0_energy", energy + 0.001)]


def _write_items(file: IO[str], items: Sequence[tuple[str, float]], *, indent: int) -> None:
    for name, value in items:
        file.write(f'{" " * indent}<i name="{name}">{value:16.8f} </i>\n')


def _write_rows(file: IO[str], name: str, rows: NDArray[np.float64], *, indent: int) -> None:
    pad = " " * indent
    text = "".join(f"{pad} <v> {x:16.8f} {y:16.8f} {z:16.8f} </v>\n" for x, y, z in rows.tolist())
    file.write(f'{pad}<varray name="{name}" >\n{text}{pad}</varray>\n')


def _write_structure(file: IO[str], run: Run, fractional: NDArray[np.float64], tag: str, *, indent: int = 1) -> None:
    pad = " " * indent
    file.write(f"{pad}<{tag}>\n{pad} <crystal>\n")
    _write_rows(file, "basis", np.eye(3) * run.edge, indent=indent + 2)
    file.write(f'{pad}  <i name="volume">{run.edge**3:16.8f} </i>\n')
    _write_rows(file, "rec_basis", np.eye(3) / run.edge, indent=indent + 2)
    file.write(f"{pad} </crystal>\n")
    _write_rows(file, "positions", fractional % 1, indent=indent + 1)
    file.write(f"{pad}</structure>\n")


def _write_header(file: IO[str], run: Run, fractional: NDArray[np.float64]) -> None:
    incar = {"NSW": run.n_steps, "IBRION": 0, "NELM": run.nelm, "POTIM": run.time_step, "EDIFF": run.ediff} | run.incar
    incar = {"ISIF": 2, "ISYM": 0, "ENCUT": 520.0, "NELECT": 608.0, "SMASS": 0.0, "MDALGO": 2} | incar
    file.write('<?xml version="1.0" encoding="ISO-8859-1"?>\n<modeling>\n <generator>\n')
    file.write('  <i name="program" type="string">vasp </i>\n  <i name="version" type="string">6.3.2  </i>\n')
    file.write('  <i name="subversion" type="string">synthetic, NOT A DFT RESULT </i>\n </generator>\n <incar>\n')
    _write_tags(file, incar, indent=2)
    file.write(
        ' </incar>\n <primitive_cell>\n  <structure name="primitive_cell" >\n  </structure>\n </primitive_cell>\n'
    )
    file.write(
        ' <kpoints>\n  <generation param="Gamma">\n   <v type="int" name="divisions">       1        1        1 </v>\n'
    )
    file.write('   <v name="usershift">      0.00000000       0.00000000       0.00000000 </v>\n')
    file.write("  </generation>\n")
    _write_rows(file, "kpointlist", np.zeros((1, 3)), indent=2)
    file.write('  <varray name="weights" >\n   <v>       1.00000000 </v>\n  </varray>\n </kpoints>\n <parameters>\n')
    file.write('  <separator name="general" >\n')
    _write_tags(file, {"SYSTEM": "synthetic", **incar}, indent=3)
    file.write("  </separator>\n </parameters>\n <atominfo>\n")
    file.write(f"  <atoms>{run.n_atoms:8d} </atoms>\n  <types>{len(run.kinds):8d} </types>\n")
    file.write('  <array name="atoms" >\n   <dimension dim="1">ion</dimension>\n')
    file.write('   <field type="string">element</field>\n   <field type="int">atomtype</field>\n   <set>\n')
    for kind, (symbol, number) in enumerate(run.kinds, start=1):
        file.write(f"    <rc><c>{symbol:2}</c><c>{kind:4d}</c></rc>\n" * number)
    file.write('   </set>\n  </array>\n  <array name="atomtypes" >\n   <dimension dim="1">type</dimension>\n')
    file.write('   <field type="int">atomspertype</field>\n   <field type="string">element</field>\n')
    file.write(
        '   <field>mass</field>\n   <field>valence</field>\n   <field type="string">pseudopotential</field>\n   <set>\n'
    )
    for symbol, number in run.kinds:
        file.write(f"    <rc><c>{number:4d}</c><c>{symbol:2}</c><c>     22.99000000</c><c>      7.00000000</c>")
        file.write(f"<c>  REHEARSAL {symbol}                  </c></rc>\n")
    file.write("   </set>\n  </array>\n </atominfo>\n")
    _write_structure(file, run, fractional, 'structure name="initialpos" ')


def _write_tags(file: IO[str], tags: dict[str, Any], *, indent: int) -> None:
    for name, value in tags.items():
        if isinstance(value, float):
            file.write(f'{" " * indent}<i name="{name}">{value:16.8f}</i>\n')
        else:
            kind = "int" if isinstance(value, int) else "string"
            file.write(f'{" " * indent}<i type="{kind}" name="{name}">{value:>6}</i>\n')
