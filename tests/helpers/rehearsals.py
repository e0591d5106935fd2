"""Folders of VASP calculations for the rehearsal executable, and its starts in them."""

import json
import os
import subprocess
import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path

from forks import Fork
from pymatgen.io.vasp import Poscar, Vasprun
from pymatgen.io.vasp.outputs import UnconvergedVASPWarning

from sodalyte.launchers.rehearsal import vasp
from sodalyte.launchers.rehearsal.potcars import write_library

PROGRAM = [sys.executable, "-c", "from sodalyte.launchers.rehearsal.vasp import main; main()"]
SETTINGS = {
    "ENCUT": 520,
    "ISMEAR": 0,
    "SIGMA": 0.05,
    "EDIFF": 1e-5,
    "LREAL": ".FALSE.",
    "PREC": "Accurate",
    "ALGO": "Fast",
}
STATIC = SETTINGS | {"NSW": 0}
RELAX = SETTINGS | {"NSW": 50, "IBRION": 2, "ISIF": 3, "EDIFFG": -0.001}
ELASTIC = SETTINGS | {"NSW": 50, "IBRION": 2, "ISIF": 2, "EDIFFG": -0.001, "ISYM": 0}
DYNAMICS = SETTINGS | {
    "NSW": 10, "IBRION": 0, "ISIF": 2, "MDALGO": 2, "SMASS": 0, "POTIM": 2, "TEBEG": 600, "TEEND": 600, "ISYM": 0,
}  # fmt: skip


@dataclass
class Campaign:
    """A folder of calculations that share the rehearsal's memory."""

    root: Path
    environment: dict = field(default_factory=dict)

    def folder(self, name, structure, tags, mesh=(3, 3, 3), **more):
        """Write input files; keyword arguments are further tags, None removes one."""
        folder = self.root / name
        folder.mkdir()
        tags = {key: value for key, value in (tags | more).items() if value is not None}
        (folder / "INCAR").write_text("".join(f"{key} = {value}\n" for key, value in tags.items()))
        (folder / "KPOINTS").write_text(f"mesh\n0\nGamma\n{mesh[0]} {mesh[1]} {mesh[2]}\n")
        poscar = Poscar(structure)
        poscar.write_file(folder / "POSCAR")
        library = write_library(self.root / "library") / "POT_GGA_PAW_PBE"
        names = [{"Na": "Na_pv"}.get(symbol, symbol) for symbol in poscar.site_symbols]
        (folder / "POTCAR").write_text("".join((library / f"POTCAR.{name}").read_text() for name in names))
        return folder

    def start(self, folder, *, afresh=False, **environment):
        """Start the executable in ``folder``: ``afresh`` as users do, else with its imports done."""
        clean = {
            key: value for key, value in os.environ.items() if not key.startswith(("SODALYTE", "SLURM", "PMI", "OMPI"))
        }
        variables = clean | {"SODALYTE_REHEARSAL_MEMORY": str(self.root / "memory")} | self.environment | environment
        with (folder / "vasp.out").open("w") as out, (folder / "std_err.txt").open("w") as err:
            if afresh:
                return subprocess.Popen(PROGRAM, cwd=folder, env=variables, stdout=out, stderr=err)
            return Fork(vasp.main, folder=folder, environment=variables, out=out, error=err)

    def run(self, folder, **options):
        """Run the executable in ``folder`` and return its exit status."""
        return self.start(folder, **options).wait(timeout=120)

    def out(self, folder):
        return (folder / "vasp.out").read_text()

    @property
    def ledger(self):
        return [json.loads(line) for line in (self.root / "memory" / "ledger.jsonl").read_text().splitlines()]


def read(folder):
    """Parse a vasprun.xml, also one that did not converge, without its POTCAR."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnconvergedVASPWarning)
        return Vasprun(folder / "vasprun.xml", parse_dos=False, parse_eigen=False, parse_potcar_file=False)
