"""Ionic steps that a first Hessian of springs spares, on the energy surface of a potential.

    python benchmarks/first_hessian.py [--engine sevennet] [PHASE]...

Equal curvatures are ASE's BFGS, springs are what relaxations with GPAW start from; on a potential's surface both take
minutes instead of days. Cells are relaxed from the library's to 20 meV/angstrom, as competing phases are; then the ions
of the displaced electrolytes at a fixed cell to 1 meV/angstrom, as in strained cells.
"""

from __future__ import annotations

import argparse
import warnings
from typing import TYPE_CHECKING

from sodalyte.inputs.engine import get_engine
from sodalyte.inputs.guided_relaxation import GuidedRelaxMaker
from sodalyte.inputs.recipe import Recipe
from sodalyte.structures import crystal, reduced

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from sodalyte.inputs.ase_relaxation import PotentialRelaxMaker

PHASES = ("NaP", "NaSb", "NaP5", "Sb2S3_exp", "P_black_exp", "S_alpha_Fddd_exp", "P4S10", "Na3P11", "P4S3", "NaP7")
DISPLACED = ("Na3SbS4_t", "Na3PS4_t", "Na3SbS4_c", "Na3PS4_c")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", default="chgnet", choices=("chgnet", "sevennet"))
    parser.add_argument("phases", nargs="*", help="crystals of the library")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    engine, recipe = get_engine(arguments.engine), Recipe.paper()
    print(f"{'':32}{'equal':>8}{'springs':>9}{'meV/atom':>10}")
    for name in arguments.phases or PHASES:
        tell(name, engine.relax(recipe.for_competing_phases()), reduced(crystal(name).structure))
    for name in arguments.phases or DISPLACED:
        tell(f"{name}, ions displaced", engine.relax_ions(recipe), crystal(name).structure)


def tell(name: str, plain: PotentialRelaxMaker, cell: Structure) -> None:
    """Print the ionic steps of a relaxation from equal curvatures and from springs, and how far the energies differ."""
    steps, energies = [], []
    for maker in (plain, GuidedRelaxMaker.from_plain(plain)):
        relaxed = maker.run_ase(cell)
        *found, _ = [frame["energy"] for frame in relaxed.trajectory.frame_properties]  # the last is recorded twice
        steps.append(str(len(found)) if relaxed.converged else f">{len(found)}")
        energies.append(found[-1])
    apart = 1000 * (energies[1] - energies[0]) / len(cell)
    print(f"{name:32}{steps[0]:>8}{steps[1]:>9}{apart:10.2f}", flush=True)


if __name__ == "__main__":
    main()
