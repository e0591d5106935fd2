"""What supervision costs on top of VASP: ours and custodian with its defaults, over an executable that ends at once.

Run by itself: ``python benchmarks/supervision.py``.
"""

import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

from custodian import Custodian
from custodian.vasp.handlers import VaspErrorHandler
from custodian.vasp.jobs import VaspJob
from custodian.vasp.validators import VasprunXMLValidator

from sodalyte.configuration import POTCAR_LIBRARY, VASP_COMMAND
from sodalyte.inputs.engine import get_engine
from sodalyte.inputs.recipe import Recipe
from sodalyte.inputs.vasp.relaxation import write_inputs
from sodalyte.inputs.vasp.run_folder import RunFolder
from sodalyte.inputs.vasp.supervision import Run, Watch, supervise
from sodalyte.launchers.rehearsal.potcars import write_library
from sodalyte.structures import conventional, load

OUTPUTS = ("OUTCAR", "OSZICAR", "vasprun.xml", "CONTCAR")


def main() -> None:
    """Measure both and print one table."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        os.environ[POTCAR_LIBRARY] = str(write_library(root / "potcars"))
        inputs = get_engine("rehearsal-einstein").static(Recipe.quick()).inputs(conventional(load("Na3SbS4").structure))
        finished, ours, stock = (root / part for part in ("finished", "ours", "stock"))
        for folder in (finished, ours, stock):
            folder.mkdir()
            write_inputs(RunFolder(folder), inputs)
        executable = Path(sys.executable).parent / "sodalyte-vasp-rehearsal"
        subprocess.run([executable], cwd=finished, check=True, stdout=subprocess.DEVNULL)
        instant = root / "instant.sh"
        instant.write_text(f"#!/bin/sh\ncp {' '.join(str(finished / output) for output in OUTPUTS)} .\n")
        instant.chmod(0o755)
        os.environ[VASP_COMMAND] = str(instant)

        begin = time.perf_counter()
        supervise(Run(RunFolder(ours), prepare=lambda: 0, dynamics=False, watch=Watch()))
        seconds = time.perf_counter() - begin

        begin = time.perf_counter()
        job = VaspJob([str(instant)], auto_gamma=False)
        Custodian([VaspErrorHandler()], [job], validators=[VasprunXMLValidator()], directory=str(stock)).run()
        theirs = time.perf_counter() - begin
    print("seconds on top of an instant executable")
    print(f"{'sodalyte':>10} {'custodian':>10} {'ratio':>7}")
    print(f"{seconds:10.2f} {theirs:10.2f} {theirs / seconds:7.0f}")


if __name__ == "__main__":
    main()
