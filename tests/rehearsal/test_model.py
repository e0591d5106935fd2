"""Energies as raw PBE would have them, and answers that keep symmetry."""

import numpy as np
import pytest
from corrected_potential import Corrected
from pymatgen.analysis.compatibility import MaterialsProject2020Compatibility
from pymatgen.core import Structure
from pymatgen.entries.computed_entries import ComputedStructureEntry
from rehearsals import RELAX, STATIC, read

from sodalyte.analysis.corrections import corrected_entry
from sodalyte.inputs import engine
from sodalyte.launchers.rehearsal.cell import Cell
from sodalyte.launchers.rehearsal.incar import Incar
from sodalyte.launchers.rehearsal.memory import Memory
from sodalyte.launchers.rehearsal.model import MODEL, Model
from sodalyte.launchers.rehearsal.symmetry import Symmetry
from sodalyte.structures import phases


@pytest.fixture
def corrected(monkeypatch):
    monkeypatch.setitem(engine._SHIPPED, "corrected", "corrected_potential:Corrected")
    monkeypatch.setenv(MODEL, "corrected")


def cell_of(structure):
    structure = structure.get_sorted_structure()
    symbols = tuple(dict.fromkeys(site.specie.symbol for site in structure))
    counts = tuple(sum(site.specie.symbol == symbol for site in structure) for symbol in symbols)
    return Cell("", symbols, counts, structure.lattice.matrix, structure.frac_coords)


@pytest.mark.parametrize("formula", ["Na3SbS4", "Na2S", "S", "NaS", "Sb2S3", "NaSb"])
@pytest.mark.usefixtures("corrected")
def test_mp2020_gives_back_the_energy_of_the_model(tmp_path, formula):
    known = [crystal.structure for crystal in phases("Na-Sb-S")]
    structure = next(item for item in known if item.composition.reduced_formula == formula).get_sorted_structure()
    cell = cell_of(structure)
    bare = Model(cell, Incar({}), Memory(tmp_path), None)(cell).energy
    atoms = structure.to_ase_atoms(msonable=False)
    atoms.calc = Corrected().calculator(atoms)
    wanted = atoms.get_potential_energy()
    ours = corrected_entry(structure, energy=bare, contained="none", scheme="mp2020").energy
    theirs = ComputedStructureEntry(structure, bare, parameters={"run_type": "GGA", "hubbards": {}, "software": "any"})
    theirs = MaterialsProject2020Compatibility(check_potcar=False).process_entry(theirs, inplace=False)
    assert ours == pytest.approx(wanted, abs=1e-6)
    assert theirs.energy == pytest.approx(wanted, abs=1e-6)
    if formula != "S":
        assert abs(bare - wanted) > 0.5


@pytest.mark.usefixtures("corrected")
def test_the_correction_of_dynamics_is_constant(tmp_path, thioantimonate):
    """Sulfur that comes near sulfur for a moment is no polysulfide; the conserved energy must not jump."""
    cell = cell_of(thioantimonate)
    model = Model(cell, Incar({"NSW": 5, "IBRION": 0}), Memory(tmp_path), None)
    positions = cell.positions.copy()
    positions[8:] = positions[8] + 0.01 * np.arange(8)[:, None]
    still, near = model(cell), model(cell.at(cell.lattice, positions))
    atoms = [
        Structure(cell.lattice, cell.species, where).to_ase_atoms(msonable=False)
        for where in (cell.positions, positions)
    ]
    energies = []
    for item in atoms:
        item.calc = Corrected().calculator(atoms[0])
        energies.append(item.get_potential_energy())
    assert near.energy - still.energy == pytest.approx(energies[1] - energies[0], abs=1e-9)


def test_symmetric_forces_and_stress(thioantimonate):
    cell = cell_of(thioantimonate)
    symmetry = Symmetry.find(cell, 1e-5)
    assert len(symmetry.rotations) == 48  # I-43m: 24 rotations, and the centring
    rng = np.random.default_rng(2)
    forces = symmetry.forces(rng.normal(size=(16, 3)), cell.lattice)
    np.testing.assert_allclose(symmetry.forces(forces, cell.lattice), forces, atol=1e-12)
    np.testing.assert_allclose(forces[:8], 0, atol=1e-12)  # Na and Sb sit on fixed points
    lengths = np.linalg.norm(forces[8:], axis=1)
    np.testing.assert_allclose(lengths, lengths[0])
    stress = symmetry.stress(rng.normal(size=(3, 3)), cell.lattice)
    np.testing.assert_allclose(stress, stress[0, 0] * np.eye(3), atol=1e-12)


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore:Only FixAtoms and FixCartesian:UserWarning", "ignore:Converting a tensor:UserWarning"
)
def test_chgnet_relaxes_as_it_does_directly(campaign, thioantimonate):
    from ase.constraints import FixSymmetry
    from ase.filters import FrechetCellFilter
    from ase.optimize import BFGS

    folder = campaign.folder("relax", thioantimonate, RELAX)
    assert campaign.run(folder, SODALYTE_REHEARSAL_MODEL="chgnet") == 0
    relaxed = read(folder)
    atoms = thioantimonate.to_ase_atoms(msonable=False)
    atoms.calc = engine.get_engine("chgnet").calculator(atoms)
    atoms.set_constraint(FixSymmetry(atoms))
    BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=0.002)
    assert relaxed.final_structure.lattice.a == pytest.approx(atoms.cell.lengths()[0], abs=2e-3)
    corrected = corrected_entry(relaxed.final_structure, energy=relaxed.final_energy, contained="none", scheme="mp2020")
    assert corrected.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-3)


def test_an_unknown_model_is_named(campaign, rock_salt):
    folder = campaign.folder("static", rock_salt, STATIC)
    assert campaign.run(folder, SODALYTE_REHEARSAL_MODEL="chgnett") == 1
    assert "unknown engine 'chgnett'; did you mean 'chgnet'?" in campaign.out(folder)
