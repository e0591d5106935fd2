"""Relaxations and statics with VASP, as an atomate2 Maker."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from atomate2.vasp.jobs.base import _FILES_TO_ZIP, BaseVaspMaker, get_vasp_task_document
from emmet.core.tasks import CustodianDoc, TaskDoc
from jobflow import job
from monty.shutil import compress_file
from pymatgen.io.vasp.inputs import Incar, Poscar, UnknownPotcarWarning, VaspInput
from pymatgen.io.vasp.outputs import UnconvergedVASPWarning

from sodalyte.errors import CalculationError, StoppedError
from sodalyte.inputs.vasp.level import ORIGINAL, check_level
from sodalyte.inputs.vasp.origin import check_origin
from sodalyte.inputs.vasp.run_folder import ATTEMPTS, RunFolder, ionic_steps
from sodalyte.inputs.vasp.sets import SulfideSet, parallel_tags
from sodalyte.inputs.vasp.supervision import Run, Watch, supervise

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from sodalyte.inputs.vasp.engine import Vasp

MAX_ROUNDS = 5
"""Starts of VASP, each with a basis for the cell in which it starts, after which a relaxation has not converged."""

_INPUT_FILES = ("INCAR", "KPOINTS", "POSCAR", "POTCAR")
_DOCUMENT = {"parse_dos": False, "parse_bandstructure": False, "store_additional_json": False, "store_trajectory": "no"}


@dataclass
class VaspRelaxMaker(BaseVaspMaker):  # type: ignore[misc]
    """A relaxation or a static, as the input set says, supervised by us.

    A variable-cell relaxation is started again with the basis of the cell that it found until VASP has nothing left to
    do: energy, forces and stress of the document are those of one basis, made for the final cell.

    Attributes
    ----------
    engine
        Which VASP, and the level of theory: part of the job's identity.
    rattle, seed
        Standard deviation, angstrom, and seed of the random displacements of the start, which break its symmetry.
    revision
        To be raised with every change of this class that changes results: it is part of a job's identity.
    """

    engine: Vasp | None = None
    input_set_generator: SulfideSet = field(default_factory=SulfideSet)
    rattle: float = 0.0
    seed: int = 0
    revision: int = 2
    name: str = "relaxation"

    def inputs(self, structure: Structure, *, potcar_spec: bool = False) -> VaspInput:
        """Return what VASP will read.

        Parameters
        ----------
        potcar_spec
            Name the potentials instead of reading them, for a preview without a licence.
        """
        start = rattled(structure.get_sorted_structure(), self.rattle, self.seed)
        return as_asked(self.input_set_generator, start, potcar_spec=potcar_spec)

    @job(output_schema=TaskDoc)
    def make(self, structure: Structure, prev_dir: str | Path | None = None) -> TaskDoc:  # noqa: ARG002
        """Relax ``structure``; ``prev_dir`` is accepted as by every Maker, and not used.

        Raises
        ------
        CalculationError
            VASP gave no usable answer; the cause is named.
        StoppedError
            There was no time left; started again in the same folder it goes on from its last ionic step.
        EngineError
            A potential is missing or wrong, or the executable is not the one that the engine names.
        """
        folder = RunFolder(Path.cwd())
        folder.unpack()
        write_inputs(folder, self.inputs(structure))
        relaxation = _Relaxation(folder, self.engine)  # type: ignore[arg-type]
        relaxation.run()
        check_level(folder.path)
        check_origin(folder.path, folder.path / "POTCAR", rehearsal=bool(self.engine and self.engine.rehearsal))
        document = _document(folder, self.name)
        compress(folder)
        return document


class _Relaxation:
    def __init__(self, folder: RunFolder, engine: Vasp) -> None:
        self._folder = folder
        incar = Incar.from_file(folder.path / f"INCAR{ORIGINAL}")
        self._max_steps = int(incar.get("NSW", 0))
        self._changes_cell = int(incar.get("ISIF", 2)) > 2 and self._max_steps > 0
        self._supervised = Run(
            folder,
            prepare=self._prepare,
            dynamics=False,
            watch=Watch.from_environment(rehearsal=bool(engine.rehearsal)),
            environment={"SODALYTE_REHEARSAL_MODEL": engine.rehearsal} if engine.rehearsal else {},
        )

    def run(self) -> None:
        """Run VASP until there is nothing left to do."""
        for _ in range(MAX_ROUNDS):
            if self._is_done():
                return
            supervise(self._supervised)
            if self._supervised.stop_asked and not self._ended():
                steps = self._steps_done() + ionic_steps(self._folder.path / "OSZICAR")
                raise StoppedError(f"stopped in order after {steps} ionic steps; started again it goes on from there")

    def _is_done(self) -> bool:
        if not self._ended():
            return False
        steps = ionic_steps(self._folder.path / "OSZICAR")
        if not self._max_steps or self._steps_done() + steps >= self._max_steps:
            return True
        return self._folder.current.converged() and (not self._changes_cell or steps == 1)

    def _ended(self) -> bool:
        """Tell whether the output in the folder is of a calculation that ended by itself."""
        frames = self._folder.current.frames()
        if frames is None or not frames.complete or not frames.scf_converged[-1]:
            return False
        asked = int(Incar.from_file(self._folder.path / "INCAR").get("NSW", 0))
        return not self._max_steps or self._folder.current.converged() or frames.n_steps >= asked

    def _steps_done(self) -> int:
        return sum(ionic_steps(attempt.folder / "OSZICAR") for attempt in self._folder.attempts())

    def _prepare(self) -> int:
        self._folder.archive()
        done = self._steps_done()
        for attempt in reversed(self._folder.attempts()):
            if ionic_steps(attempt.folder / "OSZICAR"):
                (self._folder.path / "POSCAR").write_text(attempt.end() or _last_structure(attempt))
                break
        if self._max_steps:
            incar = Incar.from_file(self._folder.path / "INCAR")
            incar["NSW"] = max(self._max_steps - done, 1)
            incar.write_file(self._folder.path / "INCAR")
        return done if self._max_steps else 0


def as_asked(input_set: SulfideSet, structure: Structure, *, potcar_spec: bool = False, **tags: Any) -> VaspInput:
    """Return the inputs of a set, with further ``tags`` and those of the environment in the INCAR."""
    inputs = input_set.get_input_set(structure, potcar_spec=potcar_spec)
    inputs.incar.update({**tags, **parallel_tags()})
    return inputs


def write_inputs(folder: RunFolder, inputs: VaspInput) -> None:
    """Write the inputs that are asked for, and copies with ``.orig`` appended.

    Where VASP ran already, the POSCAR and INCAR that it used stay.
    """
    path = folder.path
    kept = {name: (path / name).read_bytes() for name in ("INCAR", "POSCAR") if (path / "vasp.out").exists()}
    inputs.write_input(path)
    for name in _INPUT_FILES:
        (path / f"{name}{ORIGINAL}").write_bytes((path / name).read_bytes())
    for name, content in kept.items():
        (path / name).write_bytes(content)


def rattled(structure: Structure, rattle: float, seed: int) -> Structure:
    """Return the structure with normally distributed displacements of standard deviation ``rattle``, angstrom."""
    if not rattle:
        return structure
    moved = structure.copy()
    displacements = np.random.default_rng(seed).normal(scale=rattle, size=(len(moved), 3))
    for index, displacement in enumerate(displacements):
        moved.translate_sites(index, displacement, frac_coords=False, to_unit_cell=False)
    return moved


def compress(folder: RunFolder) -> None:
    """Compress what VASP read and wrote."""
    for path in [*folder.path.iterdir(), *folder.path.glob(f"{ATTEMPTS}/*/*")]:
        if path.name in _FILES_TO_ZIP and path.is_file():
            compress_file(str(path))


def _document(folder: RunFolder, name: str) -> TaskDoc:
    """Return emmet's document, with the corrections of all attempts and without electronic steps."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownPotcarWarning)
        warnings.simplefilter("ignore", UnconvergedVASPWarning)  # the document says so itself
        document = get_vasp_task_document(folder.path, **_DOCUMENT)
    document.task_label = name
    document.custodian = [CustodianDoc(corrections=folder.corrections())]
    for calculation in document.calcs_reversed or []:
        for step in calculation.output.ionic_steps or []:
            step.electronic_steps = None
    return document


def _last_structure(attempt: Any) -> str:
    frames = attempt.frames()
    if frames is None:
        raise CalculationError(f"{attempt.folder} holds no configuration from which to go on")
    start = Poscar.from_str(attempt.start()).structure
    structure = type(start)(frames.cells[-1], start.species, frames.fractional[-1])
    return str(Poscar(structure).get_str(significant_figures=16))
