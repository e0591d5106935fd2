"""What a GPAW calculation will cost: an order of magnitude.

CPU time of an ionic step at the paper's settings, in s, measured and by the formula: 5.9 and 6.0 for Na2S (3 atoms, 16
k-points), 20.5 and 19.9 for cubic Na3PS4 (8 atoms, 8 k-points), 64 for tetragonal Na3SbS4 (16 atoms, 6 k-points).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pymatgen.io.ase import AseAtomsAdaptor

from sodalyte.inputs.gpaw import Gpaw
from sodalyte.inputs.vasp.cost import irreducible_kpoints

if TYPE_CHECKING:
    from jobflow import Maker
    from pymatgen.core import Structure

UNCERTAINTY = 4.0
"""Factor, either way, within which core hours are expected."""

_SECONDS = 64.0 / (6 * 381 * 16)
_IONIC_STEPS = 8

BASIS = (
    "64 s of one core for an ionic step of the 16-atom cell of Na3SbS4 with 6 k-points, as measured, in proportion to "
    f"k-points, volume and atoms; assumed: {_IONIC_STEPS} ionic steps in a relaxation; good to a factor of "
    f"{UNCERTAINTY:g} either way"
)


def grid_and_kpoints(maker: Maker, structure: Structure) -> tuple[tuple[int, int, int], int] | None:
    """Return the grid of k-points and how many of them symmetry leaves; None for a Maker of another engine."""
    engine = getattr(maker, "potential", None)
    if not isinstance(engine, Gpaw):
        return None
    grid = engine.grid(AseAtomsAdaptor.get_atoms(structure, msonable=False))
    has_symmetry = getattr(maker, "fix_symmetry", False)
    return grid, irreducible_kpoints(structure, grid, isym=2 if has_symmetry else 0)


def core_hours(structure: Structure, kpoints: int, *, ionic_steps: int | None = None) -> float:
    """Return the estimated core hours of a calculation.

    Parameters
    ----------
    kpoints
        After symmetry.
    ionic_steps
        If not given, those of a relaxation.
    """
    step: float = _SECONDS * kpoints * structure.volume * len(structure)
    return (ionic_steps or _IONIC_STEPS) * step / 3600
