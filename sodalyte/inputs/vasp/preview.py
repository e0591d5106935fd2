"""The input files of a VASP calculation that has not run, and its size; without a licence a POTCAR.spec."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sodalyte.errors import EngineError
from sodalyte.inputs.vasp.cost import Size, expected_ionic_steps, size_of, valence_electrons
from sodalyte.inputs.vasp.dynamics import VaspDynamicsMaker
from sodalyte.inputs.vasp.potcars import load_potcar, potcar_symbols
from sodalyte.inputs.vasp.relaxation import VaspRelaxMaker
from sodalyte.inputs.vasp.sets import net_charge

if TYPE_CHECKING:
    from pymatgen.core import Structure
    from pymatgen.io.vasp.inputs import VaspInput

    from sodalyte.inputs.vasp.sets import SulfideSet

POTENTIALS = "POTCAR"


@dataclass(frozen=True)
class Preview:
    """What would run.

    Attributes
    ----------
    inputs
        INCAR, KPOINTS, POSCAR and potentials.
    size
        Electrons, k-points and plane waves.
    grid
        Gamma-centred.
    ionic_steps
        Expected, of a relaxation or static; those of one segment of dynamics.
    dynamics
        Whether it is a segment of dynamics.
    licensed
        Whether the potentials are there.
    missing
        What is the matter with the potentials, if anything.
    """

    inputs: VaspInput
    size: Size
    grid: tuple[int, int, int]
    ionic_steps: int
    dynamics: bool
    licensed: bool
    missing: str

    def write(self, folder: Path) -> None:
        """Write the files, as the calculation itself would."""
        self.inputs.write_input(folder)

    def files(self) -> dict[str, str]:
        """Return the text of every file but the licensed one."""
        with tempfile.TemporaryDirectory() as folder:
            self.write(Path(folder))
            paths = sorted(Path(folder).iterdir())
            return {path.name: path.read_text() for path in paths if path.name != POTENTIALS}


def preview(maker: VaspRelaxMaker | VaspDynamicsMaker, structure: Structure) -> Preview:
    """Return what ``maker`` would run for ``structure``.

    Raises
    ------
    EngineError
        A potential is one of which not even the number of electrons is known.
    """
    generator: SulfideSet = maker.input_set_generator
    elements = list(dict.fromkeys(site.specie.symbol for site in structure))
    symbols = dict(zip(elements, potcar_symbols(elements, generator.functional), strict=True))
    missing = ""
    try:
        potcar = load_potcar(list(symbols.values()), generator.functional, rehearsal=generator.rehearsal)
        valences = {element: float(single.ZVAL) for element, single in zip(elements, potcar, strict=True)}
    except EngineError as error:
        missing = str(error)
        valences = valence_electrons(symbols, generator.functional)
    inputs = maker.inputs(structure, potcar_spec=bool(missing))
    grid: tuple[int, int, int] = tuple(int(n) for n in inputs.kpoints.kpts[0])  # type: ignore[assignment]
    size = size_of(structure, inputs.incar, grid, valences)
    if net_charge(structure):
        inputs.incar["NELECT"] = size.electrons
    return Preview(
        inputs=inputs,
        size=size,
        grid=grid,
        ionic_steps=maker.steps if isinstance(maker, VaspDynamicsMaker) else expected_ionic_steps(inputs.incar),
        dynamics=isinstance(maker, VaspDynamicsMaker),
        licensed=not missing,
        missing=missing,
    )
