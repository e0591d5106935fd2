"""Sulfur-correction schemes: what an engine's energy contains, and what a hull needs on top.

PBE errs by about half an electronvolt in the reaction of sulfur to sulfide, so compounds and elements meet on one hull
only after an empirical correction per anion. How that correction treats polysulfides decides the oxidation limit of a
sodium thioantimonate, hence the scheme is an explicit, recorded input and never a default hidden in the energies:

``"mp2020"``
    As the Materials Project applies it [1]_: -0.503 eV per S of any sulfide or polysulfide, further amounts per anionic
    Sb, Cl, Br, ...; the elements are not corrected.
``"polysulfide_charge"``
    The same, but each S is corrected in proportion to its charge: in full for S2-, by half for each S of S2(2-) and for
    the ends of longer chains, not at all inside a chain. The charge-dependent error is that of the S-S bond [2]_.
``"none"``
    The bare functional.

References
----------
.. [1] A. Wang et al., Sci. Rep. 11, 15496 (2021), 10.1038/s41598-021-94550-5;
   :class:`pymatgen.analysis.compatibility.MaterialsProject2020Compatibility`.
.. [2] The idea is that of the oxide, peroxide and superoxide corrections of L. Wang, T. Maxisch and G. Ceder,
   Phys. Rev. B 73, 195107 (2006), 10.1103/PhysRevB.73.195107, carried over to sulfur.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pymatgen.analysis.compatibility import (
    MP2020_ANION_OXIDATION_STATE_RANGES,
    CompatibilityError,
    MaterialsProject2020Compatibility,
)
from pymatgen.core import Composition, Structure
from pymatgen.entries.computed_entries import (
    ComputedEntry,
    ComputedStructureEntry,
    ConstantEnergyAdjustment,
    EnergyAdjustment,
)

from sodalyte.errors import UsageError

Contained = Literal["none", "mp2020"]
Scheme = Literal["none", "mp2020", "polysulfide_charge"]

S_S_BOND = 2.35
"""Longest S-S bond, angstrom: 2.0-2.2 in polysulfides and sulfur; other S-S contacts are beyond 3."""

_GUESSABLE_ATOMS = 20  # per formula unit; the limit that pymatgen sets itself
_USUAL_STATES = {"Na": [1], "S": [-2], "Se": [-2], "F": [-1], "Cl": [-1], "Br": [-1], "I": [-1]}


def corrected_entry(
    structure: Structure,
    *,
    energy: float,
    contained: Contained,
    scheme: Scheme,
    entry_id: str | None = None,
) -> ComputedEntry:
    """Make the entry of a phase whose energy follows one scheme, whatever the engine's energy contained.

    Parameters
    ----------
    structure
        The relaxed phase.
    energy
        Of that cell as the engine gave it, eV.
    contained
        The correction that the engine's energies already hold. A potential trained on corrected Materials Project
        energies (CHGNet) holds ``"mp2020"``; plane-wave PBE holds ``"none"``.
    scheme
        The correction that the entry's energy shall hold.
    entry_id
        Kept as the entry's ``entry_id``.

    Returns
    -------
    ComputedEntry
        ``uncorrected_energy`` is the bare energy, ``energy_adjustments`` are those of ``scheme``, ``energy`` is their
        sum; ``data`` records ``contained``, ``contained_correction`` (eV), ``scheme`` and ``sulfides``, the number of S
        in the cell that are corrected as S2-, by which the uncertainty of the correction scales.

    Raises
    ------
    UsageError
        A scheme is unknown, or MP2020 has no correction for the phase without a Hubbard U.
    """
    for given, known in ((contained, get_args(Contained)), (scheme, get_args(Scheme))):
        if given not in known:
            raise UsageError(f"correction scheme {given!r} is unknown; use one of {', '.join(known)}")
    mp2020 = mp2020_adjustments(structure)
    in_energy = sum(part.value for part in mp2020) if contained == "mp2020" else 0.0
    share = _corrected_share(structure, scheme) if any(map(_is_sulfur, mp2020)) else 0.0
    return ComputedEntry(
        structure.composition,
        float(energy - in_energy),
        energy_adjustments=[_scaled(part, share) if _is_sulfur(part) else part for part in mp2020 if scheme != "none"],
        data={
            "contained": contained,
            "contained_correction": float(in_energy),
            "scheme": scheme,
            "sulfides": share * float(structure.composition["S"]),
        },
        entry_id=entry_id,
    )


def mp2020_adjustments(structure: Structure) -> list[EnergyAdjustment]:
    """Return the adjustments of the MP2020 scheme to a GGA energy, eV per cell, as pymatgen decides them.

    Raises
    ------
    UsageError
        The phase is one that the Materials Project computes with a Hubbard U (an oxide or fluoride of W, Mo, ...).
    """
    entry = ComputedStructureEntry(
        structure,
        energy=0.0,
        parameters={"run_type": "GGA", "hubbards": {}, "software": "any"},
        data={"oxidation_states": oxidation_states(structure.composition)},
    )
    try:
        adjustments: list[EnergyAdjustment] = MaterialsProject2020Compatibility().get_adjustments(entry)
    except CompatibilityError as error:
        formula = structure.composition.reduced_formula
        raise UsageError(f"MP2020 does not correct {formula} without a Hubbard U; leave it out") from error
    return adjustments


def sulfur_charges(structure: Structure) -> NDArray[np.float64]:
    """Formal charge of each S, counted from its S-S bonds.

    An S-S bond spares S one of the two electrons that it takes up, so that q = -2 + (number of S-S bonds), at most 0:
    -2 in a sulfide or thiophosphate, -1 at the ends of a polysulfide chain, 0 inside it and in sulfur.

    Returns
    -------
    ndarray, shape (n_sulfur,)
        In the order of the S sites, units of e.
    """
    sulfur = [site for site in structure if site.specie.symbol == "S"]
    if not sulfur:
        return np.empty(0)
    centres, *_ = Structure.from_sites(sulfur).get_neighbor_list(S_S_BOND)
    bonds = np.bincount(centres, minlength=len(sulfur))
    charges: NDArray[np.float64] = np.minimum(bonds - 2.0, 0.0).astype(np.float64)
    return charges


def oxidation_states(composition: Composition) -> dict[str, float]:
    """Guess mean oxidation states as far as MP2020 needs them, to tell anions from cations.

    The most probable neutral combination of the usual oxidation states, which is how the Materials Project decides for
    up to 20 atoms; a larger formula unit (a doped supercell) is tried with Na, S, Se and the halogens in their usual
    states. Where no combination is neutral (a polyanion as in NaSb) and where it does not matter, the most
    electronegative element alone counts as an anion: pymatgen's own way out.
    """
    reduced, _ = composition.element_composition.get_integer_formula_and_factor()
    reduced = Composition(reduced)
    if any(element.symbol in MP2020_ANION_OXIDATION_STATE_RANGES for element in reduced):
        large = reduced.num_atoms > _GUESSABLE_ATOMS
        usual = {symbol: states for symbol, states in _USUAL_STATES.items() if symbol in reduced and large}
        for guess in reduced.oxi_state_guesses(oxi_states_override=usual)[:1]:
            return {symbol: float(state) for symbol, state in guess.items()}
    return {max(reduced.elements, key=lambda element: element.X).symbol: -1.0}


def _corrected_share(structure: Structure, scheme: Scheme) -> float:
    if scheme == "none":
        return 0.0
    return 1.0 if scheme == "mp2020" else -float(np.mean(sulfur_charges(structure))) / 2


def _is_sulfur(part: EnergyAdjustment) -> bool:
    return str(part.name).endswith("(S)")


def _scaled(part: EnergyAdjustment, share: float) -> EnergyAdjustment:
    return ConstantEnergyAdjustment(
        share * part.value, uncertainty=share * part.uncertainty, name=f"{share:.3f} x {part.name}"
    )
