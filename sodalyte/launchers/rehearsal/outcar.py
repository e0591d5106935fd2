"""The OUTCAR: the parts that people and parsers read, in VASP's order and formats."""

from __future__ import annotations

import resource
import time
from typing import IO, TYPE_CHECKING

import numpy as np

from sodalyte.launchers.rehearsal.electronic import FERMI
from sodalyte.launchers.rehearsal.fortran import STAMP, scientific, table, vector
from sodalyte.launchers.rehearsal.nose_hoover import nose_period
from sodalyte.launchers.rehearsal.setup import VERSION
from sodalyte.launchers.rehearsal.steps import KBAR

if TYPE_CHECKING:
    from sodalyte.launchers.rehearsal.cell import Array, Cell
    from sodalyte.launchers.rehearsal.electronic import Iteration
    from sodalyte.launchers.rehearsal.setup import Setup
    from sodalyte.launchers.rehearsal.steps import Step

_RULE = "-" * 104
_KINDS = {0: "molecular dynamics for ions", 1: "quasi-Newton relaxation of ions", 2: "relaxation of ions"}


class Outcar:
    """Writes an OUTCAR as the calculation goes on.

    Parameters
    ----------
    file
        An open text file.
    """

    def __init__(self, file: IO[str], setup: Setup) -> None:
        self._file = file
        self._setup = setup

    def header(self) -> None:
        """Write everything before the first ionic step."""
        setup, write = self._setup, self._file.write
        write(f" vasp.{VERSION} REHEARSAL ({setup.model}) {STAMP}\n  \n")
        write(f" executed on          REHEARSAL date {time.strftime('%Y.%m.%d  %H:%M:%S')}\n")
        write(f" running    1 mpi-ranks, with    1 threads/rank, on    1 nodes\n\n\n{_RULE}\n\n\n INCAR:\n")
        for name, value in setup.incar.tags.items():
            words = " ".join(map(str, value)) if isinstance(value, list) else value
            write(f"   {name} = {words}\n")
        write("".join(f"\n POTCAR:    {potential.title:40s}" for potential in setup.potentials) + "\n")
        for potential in setup.potentials:
            write(f" POTCAR:    {potential.title:40s}\n   VRHFIN ={potential.element}: {STAMP}\n   LEXCH  = PE\n")
            write(f"   TITEL  = {potential.title}\n   POMASS ={potential.mass:9.3f}; ZVAL   ={potential.valence:9.3f}")
            write("    mass and valenz\n")
            write(f"   ENMAX  ={potential.enmax:9.3f}; ENMIN  ={potential.enmin:9.3f} eV\n")
        self._kpoints()
        self._dimensions()
        self._tags()
        self._geometry()

    def iteration(self, step: int, iteration: Iteration) -> None:
        """Write an electronic step."""
        energy = iteration.energy
        head = f" Iteration {step:6d}({iteration.number:4d})  "
        self._file.write(
            f"\n\n{'-' * 41}{head}{'-' * 39}\n\n\n"
            "    --------------------------------------------\n"
            "      LOOP:  cpu time      0.0100: real time      0.0100\n\n"
            f" total energy-change (2. order) :{scientific(iteration.change, 14, 7)}"
            f"  ({scientific(iteration.change / 2, 14, 7)})\n"
            f" number of electron {self._setup.electrons:15.7f} magnetization {0.0:15.7f}\n\n"
            " Free energy of the ion-electron system (eV)\n"
            "  ---------------------------------------------------\n"
            "  entropy T*S    EENTRO =         0.00000000\n"
            f"  eigenvalues    EBANDS = {energy:18.8f}\n"
            "  ---------------------------------------------------\n"
            f"  free energy    TOTEN  = {energy:18.8f} eV\n\n"
            f"  energy without entropy = {energy:18.8f}  energy(sigma->0) = {energy:18.8f}\n\n\n{_RULE}\n\n\n"
        )

    def electrons_end(self, *, converged: bool) -> None:
        """Say how the electronic steps ended."""
        reason = "because EDIFF is reached" if converged else "EDIFF was not reached (unconverged)"
        dashes = "-" * (40 if converged else 37)
        self._file.write(f"\n------------------------ aborting loop {reason} {dashes}\n\n\n")

    def step(self, step: Step) -> None:
        """Write what an ionic step gave."""
        write, cell, energy = self._file.write, step.cell, step.answer.energy
        write(f" E-fermi : {FERMI:8.4f}     XC(G=0):  -9.0000     alpha+bet : -8.0000\n\n")
        if step.last and self._setup.incar.spins == 2:
            self._moments()
        if self._setup.incar.freedom:
            self._stress(cell, step.answer.stress)
        write("\n VOLUME and BASIS-vectors are now :\n ")
        write(f"{'-' * 77}\n  energy-cutoff  : {self._setup.encut:11.2f}\n{_volume(cell)}\n\n")
        write(" POSITION                                       TOTAL-FORCE (eV/Angst)\n ")
        write("-" * 83 + "\n")
        positions = (cell.positions % 1.0) @ cell.lattice
        for position, force in zip(positions, step.answer.forces, strict=True):
            write(f"{vector(position, '%13.5f')}    {vector(force, '%14.6f')}\n")
        write(f" {'-' * 83}\n    total drift:                     {vector(step.answer.forces.sum(axis=0), '%14.6f')}\n")
        write(f"\n\n{_RULE}\n\n\n\n  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)\n  {'-' * 51}\n")
        write(f"  free  energy   TOTEN  = {energy:18.8f} eV\n\n")
        write(f"  energy  without entropy={energy:18.8f}  energy(sigma->0) ={energy:18.8f}\n \n\n\n{_RULE}\n\n\n")
        if step.motion is not None:
            self._motion(step)

    def step_end(self, seconds: float) -> None:
        """Write the time that the step took."""
        self._file.write(f"     LOOP+:  cpu time {seconds:11.4f}: real time {seconds:11.4f}\n")

    def line(self, text: str) -> None:
        """Write a line of VASP's own."""
        self._file.write(text + "\n")

    def end(self, seconds: float) -> None:
        """Write the accounting at the end of a calculation."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        self._file.write("\n\n  \n  \n General timing and accounting informations for this job:\n ")
        self._file.write("=" * 56 + "\n  \n")
        for name, number in (
            ("         Total CPU time used (sec)", f"{usage.ru_utime + usage.ru_stime:12.3f}"),
            ("                   User time (sec)", f"{usage.ru_utime:12.3f}"),
            ("                 System time (sec)", f"{usage.ru_stime:12.3f}"),
            ("                Elapsed time (sec)", f"{seconds:12.3f}\n  "),
            ("          Maximum memory used (kb)", f"{usage.ru_maxrss:12.0f}."),
            ("          Average memory used (kb)", "         N/A\n  "),
            ("                 Minor page faults", f"{usage.ru_minflt:12d}"),
            ("                 Major page faults", f"{usage.ru_majflt:12d}"),
            ("        Voluntary context switches", f"{usage.ru_nvcsw:12d}"),
        ):
            self._file.write(f"         {name}: {number}\n")

    def _kpoints(self) -> None:
        sampling = self._setup.sampling
        self._file.write(f"\n\n{_RULE}\n\n Subroutine IBZKPT returns following result:\n {'=' * 43}\n \n")
        self._file.write(
            f" Found {sampling.n_points:6d} irreducible k-points:\n \n Following reciprocal coordinates:\n"
        )
        self._file.write("            Coordinates               Weight\n")
        for point, weight in zip(sampling.points, sampling.weights / sampling.weights.min(), strict=True):
            self._file.write(f"{vector(point, '%10.6f')}    {weight:10.6f}\n")

    def _dimensions(self) -> None:
        setup, points = self._setup, self._setup.sampling.n_points
        coarse, fine = setup.grids
        self._file.write(
            f"\n\n{_RULE}\n\n\n\n\n Dimension of arrays:\n"
            f"   k-points           NKPTS = {points:6d}   k-points in BZ     NKDIM = {points:6d}"
            f"   number of bands    NBANDS={setup.bands:7d}\n"
            f"   number of dos      NEDOS =    301   number of ions     NIONS = {setup.cell.n_ions:6d}\n"
            "   non local maximal  LDIM  =      6   non local SUM 2l+1 LMDIM =     18\n"
            f"   total plane-waves  NPLWV = {int(np.prod(coarse)):6d}\n"
            "   max r-space proj   IRMAX =      1   max aug-charges    IRDMAX=      1\n"
            f"   dimension x,y,z NGX = {coarse[0]:5d} NGY ={coarse[1]:5d} NGZ ={coarse[2]:5d}\n"
            f"   dimension x,y,z NGXF= {fine[0]:5d} NGYF={fine[1]:5d} NGZF={fine[2]:5d}\n"
            f"   ions per type =            {vector(setup.cell.counts, '%4d')}\n\n"
        )

    def _tags(self) -> None:
        setup, incar = self._setup, self._setup.incar
        begin, end = incar.temperatures
        masses, valences = zip(*((p.mass, p.valence) for p in setup.potentials), strict=True)
        period = nose_period(setup)
        shown = f"{period:6.2f}" if period < 1000 else "******"
        self._file.write(
            f" SYSTEM =  {incar.tags.get('SYSTEM', 'unknown system')!s:40s}\n POSCAR =  {setup.cell.comment:40s}\n\n"
            f" Startparameter for this run:\n   PREC   = {incar.word('PREC', 'normal')[:6]}    normal or accurate\n"
            f"   ISPIN  = {incar.spins:6d}    spin polarized calculation?\n"
            "   LNONCOLLINEAR =      F non collinear calculations\n   LSORBIT =      F    spin-orbit coupling\n"
            "   METAGGA=      F    non-selfconsistent MetaGGA calc.\n\n"
            f" Electronic Relaxation 1\n   ENCUT  = {setup.encut:6.1f} eV\n"
            f"   NELM   = {incar.integer('NELM', 60):6d};   NELMIN= {incar.integer('NELMIN', 2):2d};"
            f" NELMDL= {incar.integer('NELMDL', -5):2d}     # of ELM steps\n"
            f"   EDIFF  ={scientific(incar.ediff, 8, 1)}   stopping-criterion for ELM\n"
            f" Ionic relaxation\n   EDIFFG ={scientific(incar.ediffg, 8, 1)}   stopping-criterion for IOM\n"
            f"   NSW    = {incar.steps:6d}    number of steps for IOM\n"
            f"   IBRION = {incar.algorithm:6d}    ionic relax: 0-MD 1-quasi-New 2-CG\n"
            f"   ISIF   = {incar.freedom:6d}    stress and relaxation\n"
            f"   ISYM   = {incar.symmetry:6d}    0-nonsym 1-usesym 2-fastsym\n\n"
            f"   POTIM  ={incar.number('POTIM', 0.5):8.4f}    time-step for ionic-motion\n"
            f"   TEBEG  ={begin:7.1f};   TEEND  ={end:6.1f} temperature during run\n"
            f"   SMASS  ={incar.number('SMASS', -3.0):7.2f}    Nose mass-parameter (am)\n"
            f"   estimated Nose-frequenzy (Omega)   period in steps ={shown}\n"
            f"   PSTRESS={incar.number('PSTRESS', 0.0):8.1f} pullay stress\n\n"
            f"  Mass of Ions in am\n   POMASS ={vector(masses, '%7.2f')}\n"
            f"  Ionic Valenz\n   ZVAL   ={vector(valences, '%7.2f')}\n"
            f"   NELECT = {setup.electrons:12.4f}    total number of electrons\n\n"
            f" DOS related values:\n   ISMEAR ={incar.integer('ISMEAR', 1):6d};"
            f"   SIGMA  ={incar.number('SIGMA', 0.2):7.2f}  broadening in eV -4-tet -1-fermi 0-gaus\n\n"
            " Exchange correlation treatment:\n   GGA     =    --    GGA type\n"
            "   LHFCALC =     F    Hartree Fock is set to\n\n"
            " Linear response parameters\n   LEPSILON=     F    determine dielectric tensor\n"
            "   LCHIMAG =     F  perturbation theory with respect to B field\n\n"
        )

    def _geometry(self) -> None:
        setup, sampling = self._setup, self._setup.sampling
        kind = _KINDS.get(setup.incar.algorithm, "static calculation")
        write = self._file.write
        write(f"\n\n{_RULE}\n\n\n {kind}\n {STAMP}\n\n\n{_RULE}\n\n\n")
        write(f"  energy-cutoff  : {setup.encut:11.2f}\n{_volume(setup.cell)}\n\n \n")
        write(" k-points in reciprocal lattice and weights:\n")
        for point, weight in zip(sampling.points, sampling.weights, strict=True):
            write(f"{vector(point, '%12.8f')}      {weight:6.3f}\n")
        write(" \n position of ions in fractional coordinates (direct lattice) \n")
        write(table(setup.cell.positions, "%12.8f", before=" "))
        write(f" \n\n\n{_RULE}\n\n\n")
        for number, point in enumerate(sampling.points, 1):
            write(f" k-point {number:3d} :  {vector(point, '%8.4f')}  plane waves: {setup.plane_waves:7d}\n")
        write("\n maximum and minimum number of plane-waves per node :")
        write(f" {setup.plane_waves:8d} {setup.plane_waves:8d}\n\n\n\n{_RULE}\n\n\n")

    def _moments(self) -> None:
        n_ions = self._setup.cell.n_ions
        for title in ("total charge     ", "magnetization (x)"):
            self._file.write(f"\n\n {title}\n \n# of ion       s       p       d       tot\n{'-' * 42}\n")
            self._file.write("".join(f"{ion:5d}    {vector([0.0] * 4, '%8.3f')}\n" for ion in range(1, n_ions + 1)))
            self._file.write(f"{'-' * 50}\ntot      {vector([0.0] * 4, '%8.3f')}\n \n")

    def _stress(self, cell: Cell, stress: Array) -> None:
        pressure = -stress
        parts = np.array([pressure[index] for index in ((0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (2, 0))])
        external = np.trace(pressure) / 3 * KBAR
        self._file.write(
            "  FORCE on cell =-STRESS in cart. coord.  units (eV):\n"
            "  Direction    XX          YY          ZZ          XY          YZ          ZX\n"
            f"  {'-' * 86}\n  Total  {vector(parts * cell.volume, '%12.5f')}\n"
            f"  in kB  {vector(parts * KBAR, '%12.5f')}\n"
            f"  external pressure = {external - self._setup.incar.number('PSTRESS', 0.0):12.2f} kB"
            f"  Pullay stress = {self._setup.incar.number('PSTRESS', 0.0):12.2f} kB\n\n"
        )

    def _motion(self, step: Step) -> None:
        motion = step.motion
        assert motion is not None  # noqa: S101 - the caller looked
        self._file.write(
            f"  ENERGY OF THE ELECTRON-ION-THERMOSTAT SYSTEM (eV)\n  {'-' * 51}\n"
            f"% ion-electron   TOTEN  = {step.answer.energy:16.6f}  see above\n"
            f"  kinetic energy EKIN   = {motion.kinetic:16.6f}\n"
            f"  kin. lattice  EKIN_LAT= {0.0:16.6f}  (temperature {motion.temperature:8.2f} K)\n"
            f"  nose potential ES     = {motion.thermostat_potential:16.6f}\n"
            f"  nose kinetic   EPS    = {motion.thermostat_kinetic:16.6f}\n  {'-' * 51}\n"
            f"  total energy   ETOTAL = {step.total:16.6f} eV\n\n\n"
        )


def _volume(cell: Cell) -> str:
    reciprocal = np.linalg.inv(cell.lattice).T
    text = f"  volume of cell : {cell.volume:11.2f}\n"
    text += "      direct lattice vectors                 reciprocal lattice vectors\n"
    for direct, inverse in zip(cell.lattice, reciprocal, strict=True):
        text += f"    {vector(direct, '%13.9f')}    {vector(inverse, '%13.9f')}\n"
    lengths = [*np.linalg.norm(cell.lattice, axis=1)], [*np.linalg.norm(reciprocal, axis=1)]
    return text + f"\n  length of vectors\n    {vector(lengths[0], '%13.9f')}    {vector(lengths[1], '%13.9f')}\n"
