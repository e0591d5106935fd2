"""What is computed: published crystals, model cells."""

from sodalyte.structures.crystal import Crystal, Gap
from sodalyte.structures.library import (
    Material,
    MeasuredLattice,
    crystal,
    crystals,
    known_gaps,
    load,
    phases,
)
from sodalyte.structures.supercells import Defect, ModelCell, dynamics_cell, sodium_spacing, supercell
from sodalyte.structures.symmetry import conventional, crystal_system, reduced

__all__ = [
    "Crystal",
    "Defect",
    "Gap",
    "Material",
    "MeasuredLattice",
    "ModelCell",
    "conventional",
    "crystal",
    "crystal_system",
    "crystals",
    "dynamics_cell",
    "known_gaps",
    "load",
    "phases",
    "reduced",
    "sodium_spacing",
    "supercell",
]
