"""Electrochemical window and decomposition staircase of a phase in a system open to sodium.

At a voltage V against sodium metal the chemical potential of Na is mu_na = mu_na0 - e V, with mu_na0 that of
body-centred cubic sodium at the same level of theory. The phases at equilibrium are those that minimise the grand
potential phi = E - mu_na N_na over all mixtures with the material's other elements [1]_. The window of a material is
the range of V in which no mixture of other phases lies below it [2]_.

References
----------
.. [1] S. P. Ong, L. Wang, B. Kang and G. Ceder, Chem. Mater. 20, 1798 (2008), 10.1021/cm702327g.
.. [2] W. D. Richards, L. J. Miara, Y. Wang, J. C. Kim and G. Ceder, Chem. Mater. 28, 266 (2016),
   10.1021/acs.chemmater.5b04082; Y. Zhu, X. He and Y. Mo, ACS Appl. Mater. Interfaces 7, 23685 (2015),
   10.1021/acsami.5b07517.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pymatgen.analysis.phase_diagram import PhaseDiagram
from pymatgen.core import Composition, Element
from pymatgen.entries.computed_entries import ComputedEntry
from scipy.optimize import linprog
from scipy.sparse import identity, kron

from sodalyte.errors import CalculationError, UsageError

HULL_TOLERANCE = 0.001
"""Energy above the hull, eV/atom, up to which a phase counts as on it: the reproducibility of a relaxation."""

_CUSTOMARY = {"NaS": "Na2S2", "NaS2": "Na2S4", "Na2PS3": "Na4P2S6", "P2S5": "P4S10"}
_FACE_TOLERANCE = 1e-9  # eV/atom; how far below the hull the face that touches a composition may be taken
_AMOUNT_TOLERANCE = 1e-6  # formula units
_DIGITS = 9  # of amounts, beyond which they are noise
_VOLTAGE_DIGITS = 6  # of voltages in V, beyond which they are noise


@dataclass(frozen=True, kw_only=True)
class Window:
    """Voltages, V against sodium metal, between which a phase is stable in a system open to sodium.

    Attributes
    ----------
    reduction_limit, oxidation_limit
        Below the first the phase takes up sodium and decomposes, above the second it gives up sodium and decomposes.
    e_above_hull
        eV/atom. If it is not zero, the limits are those of the phase lowered to the hull.
    decomposition_energy
        Energy, eV/atom, of the phase relative to the most stable mixture of phases of other compositions: negative if
        the phase is stable against decomposition (Bartel et al., 10.1038/s41524-020-00362-y).
    """

    reduction_limit: float
    oxidation_limit: float
    e_above_hull: float
    decomposition_energy: float

    @property
    def width(self) -> float:
        """Of the window, V."""
        return self.oxidation_limit - self.reduction_limit


@dataclass(frozen=True, kw_only=True)
class WindowSamples:
    """Windows of a Monte Carlo ensemble of energies; each array has the shape (samples,), units as in Window."""

    reduction_limit: NDArray[np.float64]
    oxidation_limit: NDArray[np.float64]
    e_above_hull: NDArray[np.float64]
    decomposition_energy: NDArray[np.float64]

    @property
    def window_width(self) -> NDArray[np.float64]:
        """Width, V."""
        return self.oxidation_limit - self.reduction_limit

    @property
    def stable_fraction(self) -> float:
        """Share of the samples in which the material is on the hull."""
        return float(np.mean(self.e_above_hull <= HULL_TOLERANCE))


@dataclass(frozen=True, kw_only=True, eq=False)
class SodiumSystem:
    """A material and the phases that it competes with, as the rows of a linear program.

    The window comes from two small linear programs. A set of chemical potentials mu is possible if no phase would form
    from it, ``fractions @ mu <= energies``. The greatest energy that such a set gives to the material's composition is
    that of the hull (the dual of minimising the energy over mixtures), and among the sets that give it the least and
    the greatest mu_na bound the window. A phase above the hull is lowered to it, so that its window is the range of
    voltages in which the equilibrium of its composition neither takes up nor gives up sodium; Zhu, He and Mo treat
    metastable conductors such as Li10GeP2S12 that way (10.1021/acsami.5b07517).

    Attributes
    ----------
    fractions
        Atomic fractions, shape (phases, elements), sodium first; one row, the most stable phase, for each composition.
    energies
        eV/atom relative to the elements, shape (phases,).
    sulfides
        S corrected as S2- per atom, shape (phases,).
    material, sodium
        The rows of the material's composition and of sodium metal.
    polymorph_energy
        eV/atom of the material above the most stable phase of its composition.
    """

    fractions: NDArray[np.float64]
    energies: NDArray[np.float64]
    sulfides: NDArray[np.float64]
    material: int
    sodium: int
    polymorph_energy: float

    @classmethod
    def from_entries(cls, entries: Sequence[ComputedEntry], *, material: ComputedEntry) -> Self:
        """Arrange the corrected entries, all at one level of theory, of a material and its competitors.

        Entries with elements that the material lacks are ignored; of each composition the most stable one counts.

        Raises
        ------
        UsageError
            The material has no sodium, or an element of it has no elemental phase.
        """
        elements = sorted(material.elements, key=lambda element: (element.symbol != "Na", element.symbol))
        if elements[0].symbol != "Na":
            raise UsageError(f"{material.reduced_formula} has no sodium, so no electrochemical window against sodium")
        lowest: dict[str, ComputedEntry] = {}
        for entry in sorted([material, *entries], key=lambda entry: float(entry.energy_per_atom)):
            if set(entry.elements) <= set(elements):
                lowest.setdefault(entry.reduced_formula, entry)
        references = {entry.elements[0]: entry for entry in lowest.values() if entry.is_element}
        for element in elements:
            if element not in references:
                raise UsageError(f"no elemental phase of {element} to refer energies to; add it to the phases")
        phases = sorted(lowest.values(), key=lambda entry: str(entry.reduced_formula))
        fractions = np.array(
            [[phase.composition.get_atomic_fraction(element) for element in elements] for phase in phases]
        )
        reference = np.array([references[element].energy_per_atom for element in elements])
        atoms = np.array([phase.composition.num_atoms for phase in phases])
        own = phases.index(lowest[material.reduced_formula])
        return cls(
            fractions=fractions,
            energies=np.array([phase.energy_per_atom for phase in phases]) - fractions @ reference,
            sulfides=np.array([phase.data.get("sulfides", 0.0) for phase in phases]) / atoms,
            material=own,
            sodium=phases.index(references[elements[0]]),
            polymorph_energy=float(material.energy_per_atom - phases[own].energy_per_atom),
        )

    def window(self) -> Window:
        """Return the window for the system's own energies."""
        drawn = self._windows(self.energies[np.newaxis])
        return Window(**{field.name: float(getattr(drawn, field.name)[0]) for field in fields(Window)})

    def sample(
        self, *, entry_uncertainty: float, correction_uncertainty: float, samples: int, seed: int
    ) -> WindowSamples:
        """Draw windows for energies that scatter by their uncertainty.

        Each composition scatters by itself; its polymorphs scatter together, for their errors largely cancel (and the
        lowest of several nearly equal structures would otherwise be a biased estimate). The error of the sulfur
        correction is one number for all, and scales with the S that are corrected. Every sample is treated as the
        nominal energies are: where the material comes to lie above the hull it is lowered to it.

        Parameters
        ----------
        entry_uncertainty
            Standard deviation of each composition's energy, eV/atom.
        correction_uncertainty
            Standard deviation of the correction, eV per S2-.
        samples
            Their number.
        seed
            Of the random numbers: the same seed and the same phases give the same samples.
        """
        random = np.random.default_rng(seed)
        energies = self.energies + entry_uncertainty * random.standard_normal((samples, len(self.energies)))
        energies += correction_uncertainty * np.outer(random.standard_normal(samples), self.sulfides)
        return self._windows(energies)

    def _windows(self, energies: NDArray[np.float64]) -> WindowSamples:
        """Windows for rows of energies, eV/atom, shape (samples, phases)."""
        own = self.fractions[self.material]
        others = np.delete(self.fractions, self.material, axis=0)
        bounds = np.delete(energies, self.material, axis=1)
        decomposed = _minimise(-own, others, bounds) @ own
        hull = np.minimum(energies[:, self.material], decomposed)
        face = np.vstack([others, -own])
        bounds = np.column_stack([bounds, _FACE_TOLERANCE - hull])
        sodium = np.eye(len(own))[0]
        greatest, least = (_minimise(sign * sodium, face, bounds)[:, 0] - energies[:, self.sodium] for sign in (-1, 1))
        energy = energies[:, self.material] + self.polymorph_energy
        return WindowSamples(
            reduction_limit=np.maximum(np.round(-greatest, _VOLTAGE_DIGITS), 0.0) + 0.0,
            oxidation_limit=np.maximum(np.round(-least, _VOLTAGE_DIGITS), 0.0) + 0.0,
            e_above_hull=energy - hull,
            decomposition_energy=energy - decomposed,
        )


def staircase(diagram: PhaseDiagram, composition: Composition) -> list[dict[str, Any]]:
    """Equilibrium products of a composition at every voltage against the sodium of the same diagram.

    Parameters
    ----------
    diagram
        Of the phases' corrected entries; its elemental sodium is the reference of the voltage.
    composition
        Of the material; amounts are per its reduced formula.

    Returns
    -------
    list of dict
        Steps in ascending voltage from 0 V: ``voltage_low`` and ``voltage_high`` (V, the last ``voltage_high`` is
        None), ``products`` (amount of each formula) and ``na_exchanged`` (Na taken up; negative if given up),
        which balance: material + na_exchanged Na = products.
    """
    sodium = Element("Na")
    profile = diagram.get_element_profile(sodium, composition.reduced_composition)
    mu_na0 = diagram.el_refs[sodium].energy_per_atom
    lows = [max(0.0, round(float(mu_na0 - step["chempot"]), _VOLTAGE_DIGITS)) for step in profile]
    highs: list[float | None] = [*lows[1:], None]
    return [
        {
            "voltage_low": low,
            "voltage_high": high,
            **_balance(composition, step["entries"], na_exchanged=step["evolution"]),
        }
        for step, low, high in zip(profile, lows, highs, strict=True)
        if high is None or high > low
    ]


def decomposition(diagram: PhaseDiagram, composition: Composition) -> dict[str, float]:
    """Phases of the hull at a composition that exchanges nothing: amounts per its reduced formula."""
    entries = diagram.get_decomposition(composition.reduced_composition)
    products: dict[str, float] = _balance(composition, entries, na_exchanged=0.0)["products"]
    return products


def customary_formula(composition: Composition) -> str:
    """Return the formula that chemists write: the reduced one, but Na2S2 and not NaS."""
    reduced = str(composition.reduced_formula)
    return _CUSTOMARY.get(reduced, reduced)


def _balance(composition: Composition, entries: Iterable[ComputedEntry], *, na_exchanged: float) -> dict[str, Any]:
    """Amounts of the products by an exact balance of the elements, and the sodium that they take up."""
    reactant = composition.reduced_composition
    names = [customary_formula(entry.composition) for entry in entries]
    products = [Composition(name) for name in names]
    held = np.array([[product[element] for product in products] for element in reactant])
    wanted = np.array([reactant[element] + na_exchanged * (element.symbol == "Na") for element in reactant])
    amounts = np.linalg.lstsq(held, wanted, rcond=None)[0]
    taken_up = amounts @ [product["Na"] for product in products] - reactant["Na"]
    return {
        "products": {
            name: round(float(amount), _DIGITS)
            for name, amount in zip(names, amounts, strict=True)
            if amount > _AMOUNT_TOLERANCE
        },
        "na_exchanged": round(float(taken_up), _DIGITS) + 0.0,
    }


def _minimise(
    objective: NDArray[np.float64], rows: NDArray[np.float64], bounds: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Minimise ``objective @ x`` under ``rows @ x <= bound`` for each bound of shape (samples, rows).

    The programs are independent; side by side, as one sparse program, they take little longer than one alone.
    """
    samples = len(bounds)
    answer = linprog(
        np.tile(objective, samples),
        A_ub=kron(identity(samples), rows, format="csc"),
        b_ub=bounds.ravel(),
        bounds=(None, None),
        method="highs",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    if answer.status != 0:
        raise CalculationError(f"the chemical potentials cannot be bounded: {answer.message}")
    solution: NDArray[np.float64] = answer.x.reshape(samples, -1)
    return solution
