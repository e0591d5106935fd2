"""What an engine answers for a crystal and its strained cells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from pymatgen.core import Structure
from pymatgen.core.units import Unit

from sodalyte.analysis.strains import StrainedCell

ENERGY_TOLERANCE = 1e-5
"""Below this, eV/atom, a difference of energies is none: the noise of a single-precision potential."""

GPA = float(Unit("GPa").get_conversion_factor(Unit("eV ang^-3")))


@dataclass(frozen=True, kw_only=True, eq=False)
class Response:
    """What an engine answered for one cell with relaxed ions.

    Attributes
    ----------
    energy
        eV per cell.
    stress
        Cauchy stress, GPa, tensile positive, shape (3, 3).
    max_force
        Largest force on an atom, eV/angstrom.
    converged
        Whether the engine reached the recipe's force criterion, and its electrons theirs.
    """

    energy: float
    stress: ArrayLike
    max_force: float
    converged: bool

    @property
    def is_finite(self) -> bool:
        """Whether energy and stress are numbers."""
        return bool(np.isfinite(self.energy) and np.isfinite(np.asarray(self.stress)).all())


@dataclass(frozen=True, kw_only=True, eq=False)
class Reference:
    """The relaxed crystal that was strained.

    Attributes
    ----------
    structure
        Its cell.
    polymorph
        As people call it.
    response
        What the engine answered for it, relaxed with its space group kept.
    displaced
        What it answered for the same cell when the ions, slightly displaced, were free to leave their symmetry; None
        if it did not answer.
    """

    structure: Structure
    polymorph: str
    response: Response
    displaced: Response | None

    @property
    def tolerance(self) -> float:
        """Below this, eV per cell, a difference of energies is none."""
        return ENERGY_TOLERANCE * len(self.structure)

    @property
    def formula_units(self) -> float:
        """Formula units in the cell."""
        return float(self.structure.composition.get_reduced_composition_and_factor()[1])

    @property
    def displaced_energy(self) -> float | None:
        """Energy of the displaced crystal above the symmetric one, eV per cell, if it is known."""
        if self.displaced is None or not self.displaced.is_finite:
            return None
        return self.displaced.energy - self.response.energy

    @property
    def leaves_symmetry(self) -> bool:
        """Whether the unstrained crystal is known to gain energy by leaving its symmetry."""
        return self.displaced_energy is not None and self.displaced_energy < -self.tolerance

    def strain_energies(
        self, cells: Iterable[StrainedCell], answers: Mapping[str, Response]
    ) -> dict[StrainedCell, float]:
        """Energies of strained cells above the unstrained one, less the work of the residual stress; eV per cell.

        Of those cells for which ``answers`` holds one under their label.
        """
        prestress = self.structure.volume * GPA * np.asarray(self.response.stress)
        return {
            cell: answers[cell.label].energy - self.response.energy - float(np.sum(prestress * cell.strain))
            for cell in cells
            if cell.label in answers
        }

    def fallen(self, energies: Mapping[StrainedCell, float]) -> list[StrainedCell]:
        """Return the cells whose energy (eV per cell) is below zero by more than the tolerance, deepest first."""
        return sorted((cell for cell in energies if energies[cell] < -self.tolerance), key=lambda cell: energies[cell])

    def per_formula_unit(self, energy: float) -> float:
        """Return an energy in eV per cell as meV per formula unit."""
        return 1e3 * energy / self.formula_units


def directions(cells: Iterable[StrainedCell]) -> list[str]:
    """Name the components along which cells are strained, each once: ``["e_xx", "shear e_yz"]``."""
    names = (f"{'shear ' if cell.is_shear else ''}{cell.label.split()[0]}" for cell in cells)
    return list(dict.fromkeys(names))


def symmetry_breaking(
    *, relaxed: Mapping[StrainedCell, float], symmetric: Mapping[StrainedCell, float]
) -> dict[StrainedCell, float]:
    """Return how far the energies without symmetry lie above those with it, eV per cell, where both are known."""
    return {cell: energy - symmetric[cell] for cell, energy in relaxed.items() if cell in symmetric}
