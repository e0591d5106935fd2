"""Ab-initio dynamics from vasprun.xml, 128 atoms: sodalyte against pymatgen's Vasprun.

    python benchmarks/vasprun.py [STEPS...]

Positions, cells, energies, temperatures and stresses of 2,000 and of 10,000 steps, from a file as VASP 6.3 writes it.
Each reader has a process of its own, so that its peak memory is its own; the time is that of the one core it uses.
pymatgen is told to leave densities of states, eigenvalues and POTCARs alone. It has no temperatures; they are made of
its kinetic energies. Prints one table.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "helpers"))
from vasprun_files import Run, write_vasprun

SIZES = (2_000, 10_000)
RATIO_NEEDED = 5.0
MEMORY_ALLOWED = 300e6
QUANTITIES = ("fractional", "cells", "energies", "temperatures", "stress")


def ours(path: Path) -> dict[str, np.ndarray]:
    """Read with sodalyte."""
    from sodalyte.inputs.vasp.reading import read_dynamics

    frames = read_dynamics(path)
    return {name: getattr(frames, "free_energies" if name == "energies" else name) for name in QUANTITIES}


def peer(path: Path) -> dict[str, np.ndarray]:
    """Read with pymatgen."""
    from pymatgen.io.vasp.outputs import Vasprun

    steps = Vasprun(path, parse_dos=False, parse_eigen=False, parse_potcar_file=False).ionic_steps
    n_atoms = len(steps[0]["structure"])
    return {
        "fractional": np.array([step["structure"].frac_coords for step in steps]),
        "cells": np.array([step["structure"].lattice.matrix for step in steps]),
        "energies": np.array([step["e_fr_energy"] for step in steps]),
        "temperatures": np.array([step["kinetic"] for step in steps]) / (1.5 * 8.617333262e-5 * (n_atoms - 1)),
        "stress": np.array([step["stress"] for step in steps]),
    }


def read_alone(reader: str, path: Path) -> None:
    """Read in this process and print seconds and bytes; keep what was read beside the file."""
    if reader == "ours":
        import sodalyte.inputs.vasp.reading  # noqa: F401  (imports are not timed)
    else:
        import pymatgen.io.vasp.outputs  # noqa: F401
    start = time.process_time()
    arrays = (ours if reader == "ours" else peer)(path)
    seconds = time.process_time() - start
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    np.savez(path.with_name(f"{reader}.npz"), **arrays)
    print(json.dumps([seconds, peak]))


def measure(reader: str, path: Path) -> tuple[float, int]:
    """Return seconds and peak memory, bytes, of a reader in a process of its own."""
    command = [sys.executable, __file__, "--alone", reader, str(path)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds, peak = json.loads(answer.splitlines()[-1])
    return seconds, peak


def main() -> None:
    """Write the files, time both readers, compare what they read, and print the table."""
    failed = False
    print(f"{'':30}{'sodalyte':>12}{'pymatgen':>12}{'ratio':>8}{'needed':>12}")
    for n_steps in map(int, sys.argv[1:] or SIZES):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "vasprun.xml"
            write_vasprun(path, Run(n_steps))
            size = path.stat().st_size
            (our_time, our_peak), (peer_time, peer_peak) = (measure(reader, path) for reader in ("ours", "peer"))
            with np.load(path.with_name("ours.npz")) as mine, np.load(path.with_name("peer.npz")) as other:
                equal = [
                    np.allclose(mine[name], other[name], rtol=1e-14, atol=0)
                    if name == "temperatures"
                    else np.array_equal(mine[name], other[name])
                    for name in QUANTITIES
                ]
        ratio = peer_time / our_time
        print(f"{n_steps} steps, {size / 1e6:.0f} MB")
        print(f"{'  CPU time, s':30}{our_time:12.2f}{peer_time:12.1f}{ratio:8.1f}{f'>= {RATIO_NEEDED:g}':>12}")
        print(
            f"{'  peak memory, MB':30}{our_peak / 1e6:12.0f}{peer_peak / 1e6:12.0f}{peer_peak / our_peak:8.1f}"
            f"{f'< {MEMORY_ALLOWED / 1e6:g}':>12}"
        )
        print(f"{'  numbers':30}{'equal' if all(equal) else 'different':>12}")
        failed |= ratio < RATIO_NEEDED or our_peak >= MEMORY_ALLOWED or not all(equal)
    if failed:
        raise SystemExit("slower, larger or different than it must be")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--alone"]:
        read_alone(sys.argv[2], Path(sys.argv[3]))
    else:
        main()
