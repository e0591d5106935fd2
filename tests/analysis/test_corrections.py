"""Correction schemes against pymatgen's own decisions, the published MP2020 numbers and the chemistry of S-S bonds."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from pymatgen.analysis.compatibility import MaterialsProject2020Compatibility
from pymatgen.core import Composition, Lattice, Structure
from pymatgen.entries.computed_entries import ComputedStructureEntry

from sodalyte.analysis.corrections import corrected_entry, mp2020_adjustments, oxidation_states, sulfur_charges
from sodalyte.errors import UsageError
from sodalyte.structures.library import crystal, crystals

# eV per S of Na-S phases, from MP2020 (-0.503) and the number of S2- that a chain amounts to: one per Na2
PER_SULFUR = {
    "Na2S": -0.503,
    "Na2S2_beta": -0.503 / 2,
    "Na2S2_alpha": -0.503 / 2,
    "Na2S4": -0.503 / 4,
    "Na2S4_exp": -0.503 / 4,
    "Na2S5": -0.503 / 5,
    "Na3PS4_t": -0.503,
    "Na3SbS4_t": -0.503,
    "Na4P2S6_C2m": -0.503,
    "P4S10": -0.503,
    "Sb2S3_exp": -0.503,
    "S_alpha_Fddd_exp": 0.0,
}


@pytest.mark.parametrize(
    ("identifier", "expected"),
    [
        ("Na2S", {-2}),
        ("Na2S2_beta", {-1}),
        ("Na2S4", {-1, 0}),
        ("Na2S5", {-1, 0}),
        ("S_alpha_Fddd_exp", {0}),
        ("Na3PS4_c", {-2}),
        ("Na4P2S6_C2m", {-2}),
        ("Sb2S3", {-2}),
    ],
)
def test_sulfur_charges(identifier, expected):
    structure = crystal(identifier).structure
    charges = sulfur_charges(structure)
    assert set(charges) == expected
    assert len(charges) == structure.composition["S"]


@pytest.mark.parametrize("identifier", ["Na2S", "Na2S2_alpha", "Na2S2_beta", "Na2S4", "Na2S5"])
def test_sulfur_charges_balance_sodium(identifier):
    structure = crystal(identifier).structure
    assert sulfur_charges(structure).sum() == -structure.composition["Na"]


def test_no_sulfur_no_charges():
    assert sulfur_charges(crystal("Na3Sb").structure).shape == (0,)


@pytest.mark.parametrize("identifier", PER_SULFUR)
def test_polysulfide_charge_scheme(identifier):
    structure = crystal(identifier).structure
    entry = corrected_entry(structure, energy=0.0, contained="none", scheme="polysulfide_charge")
    n_sulfur = structure.composition["S"]
    assert entry.correction / n_sulfur == pytest.approx(PER_SULFUR[identifier], abs=1e-9)
    assert entry.data["sulfides"] / n_sulfur == pytest.approx(PER_SULFUR[identifier] / -0.503, abs=1e-9)


def test_mp2020_reproduces_materials_project_na2s():
    """Uncorrected -3.32422 eV/atom becomes -3.492 eV/atom."""
    entry = corrected_entry(
        crystal("Na2S").structure, energy=12 * -3.32422, contained="none", scheme="mp2020", entry_id="Na2S"
    )
    assert entry.energy_per_atom == pytest.approx(-3.492, abs=5e-4)
    assert entry.entry_id == "Na2S"


@pytest.mark.parametrize("identifier", ["Na2S", "Na2S5", "Na3Sb", "S_alpha_Fddd_exp", "Na3SbS4_t"])
def test_corrected_energies_are_not_corrected_twice(identifier):
    structure = crystal(identifier).structure
    entry = corrected_entry(structure, energy=-50.0, contained="mp2020", scheme="mp2020")
    assert entry.energy == pytest.approx(-50.0, abs=1e-12)
    assert entry.data["contained_correction"] == pytest.approx(entry.correction)
    bare = corrected_entry(structure, energy=-50.0, contained="mp2020", scheme="none")
    assert bare.energy == pytest.approx(-50.0 - entry.correction)
    assert bare.data["sulfides"] == 0.0


@pytest.mark.parametrize("scheme", ["mp2020", "polysulfide_charge"])
@pytest.mark.parametrize(("identifier", "per_antimony"), [("Na3Sb", -0.192), ("NaSb", -0.192), ("Sb_A7", 0.0)])
def test_anionic_antimony(identifier, per_antimony, scheme):
    structure = crystal(identifier).structure
    entry = corrected_entry(structure, energy=0.0, contained="none", scheme=scheme)
    assert entry.correction == pytest.approx(per_antimony * structure.composition["Sb"])


@pytest.mark.parametrize("identifier", ["Na3SbS4_t", "Na3SbS3", "NaSbS2_C2c", "Sb2S3_exp"])
def test_cationic_antimony_is_not_corrected(identifier):
    structure = crystal(identifier).structure
    entry = corrected_entry(structure, energy=0.0, contained="none", scheme="mp2020")
    assert entry.correction == pytest.approx(-0.503 * structure.composition["S"])


def test_sodium_compounds_of_the_library_are_corrected_as_pymatgen_does():
    compatibility = MaterialsProject2020Compatibility(check_potcar=False)
    compounds = [record for record in crystals() if record.is_ordered and "Na" in record.chemsys]
    for record in compounds:
        entry = ComputedStructureEntry(
            record.structure, 0.0, parameters={"run_type": "GGA", "hubbards": {}, "software": "any"}
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pymatgen warns where it cannot guess oxidation states
            theirs = sum(part.value for part in compatibility.get_adjustments(entry))
        ours = sum(part.value for part in mp2020_adjustments(record.structure))
        assert ours == pytest.approx(theirs), record.id


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("Na3SbS4", {"Na": 1, "Sb": 5, "S": -2}),
        ("Na6Sb2", {"Na": 1, "Sb": -3}),
        ("Na46W2Sb14S64", {"Na": 1, "W": 6, "Sb": 5, "S": -2}),
        ("Na47Sb16S63Cl", {"Na": 1, "Sb": 5, "S": -2, "Cl": -1}),
        ("Na2ClS", {"Na": 1, "Cl": -1, "S": -1}),
        ("NaP7", {"P": -1}),
        ("NaSb2", {"Sb": -1}),
        ("Na3Sb16S64", {"S": -1}),
    ],
)
def test_oxidation_states(formula, expected):
    assert oxidation_states(Composition(formula)) == expected


def test_halide_in_a_doped_supercell_is_corrected():
    host = crystal("Na3SbS4_t").structure * (2, 2, 2)
    sulfur = next(index for index, site in enumerate(host) if site.specie.symbol == "S")
    sodium = next(index for index, site in enumerate(host) if site.specie.symbol == "Na")
    host.replace(sulfur, "Cl")
    host.remove_sites([sodium])
    entry = corrected_entry(host, energy=0.0, contained="none", scheme="polysulfide_charge")
    assert entry.correction == pytest.approx(63 * -0.503 - 0.614)
    assert entry.data["sulfides"] == 63


def test_sulfate_has_no_sulfide_correction():
    cell = Lattice.cubic(6.0)
    tetrahedron = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) * 0.85
    structure = Structure(
        cell, ["S", *["O"] * 4, "Na", "Na"], [[0, 0, 0], *tetrahedron, [3, 3, 3], [3, 0, 0]], coords_are_cartesian=True
    )
    entry = corrected_entry(structure, energy=0.0, contained="none", scheme="polysulfide_charge")
    assert entry.correction == pytest.approx(4 * -0.687)
    assert entry.data["sulfides"] == 0.0


def test_hubbard_oxide_is_refused():
    tungstate = Structure(Lattice.cubic(3.8), ["W", "O", "O", "O"], [[0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]])
    with pytest.raises(UsageError, match=r"WO3.*Hubbard U"):
        corrected_entry(tungstate, energy=0.0, contained="none", scheme="mp2020")


@pytest.mark.parametrize(
    "schemes", [{"contained": "polysulfide_charge", "scheme": "mp2020"}, {"contained": "none", "scheme": "mp"}]
)
def test_unknown_scheme(schemes):
    with pytest.raises(UsageError, match="unknown; use one of none, mp2020"):
        corrected_entry(crystal("Na2S").structure, energy=0.0, **schemes)
