"""Relaxations that a cheap potential starts."""

from dataclasses import dataclass

import pytest

from sodalyte.inputs.einstein import EinsteinCalculator, EinsteinCrystal
from sodalyte.inputs.guided_relaxation import GuidedRelaxMaker
from sodalyte.structures import crystal, reduced


@dataclass(frozen=True)
class Swollen(EinsteinCrystal):
    """A potential that rests in a cell 5 % too long."""

    def calculator(self, reference):
        swollen = reference.copy()
        swollen.set_cell(1.05 * reference.cell.array, scale_atoms=True)
        return EinsteinCalculator(swollen)


def test_what_a_guide_makes_of_the_cell_is_not_the_reference(tmp_path, monkeypatch):
    """The reference decides about GPAW's k-points, and is where the oscillators of an Einstein crystal rest."""
    monkeypatch.chdir(tmp_path)
    structure = reduced(crystal("Na2S").structure)
    maker = GuidedRelaxMaker(
        potential=EinsteinCrystal(),
        guide=Swollen(),
        relax_cell=True,
        steps=100,
        relax_kwargs={"fmax": 1e-3, "final_atoms_object_file": None},
    )
    result = maker.run_ase(structure)
    energies = [frame["energy"] for frame in result.trajectory.frame_properties]
    assert energies[0] > energies[-1] + 0.1, "the guide swells the cell"
    assert result.final_mol_or_struct.volume == pytest.approx(structure.volume, rel=1e-3)
