"""The cost model of GPAW against ionic steps that were timed on one core at the paper's settings."""

import pytest

from sodalyte.inputs.gpaw_cost import core_hours
from sodalyte.structures import crystal


@pytest.mark.parametrize(
    ("identifier", "kpoints", "seconds"), [("Na2S", 16, 5.9), ("Na3PS4_c", 8, 20.5), ("Na3SbS4_t_PBE", 6, 64.0)]
)
def test_an_ionic_step_costs_what_it_took(identifier, kpoints, seconds):
    structure = crystal(identifier).structure.get_primitive_structure()
    assert 3600 * core_hours(structure, kpoints, ionic_steps=1) == pytest.approx(seconds, rel=0.1)
