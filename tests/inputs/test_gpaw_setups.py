"""Which elements a plane-wave cutoff is too low for, and what it does to stresses."""

import numpy as np
import pytest
from ase.build import bulk
from ase.units import GPa
from installed import needs_gpaw

from sodalyte.errors import EngineError
from sodalyte.inputs.gpaw import Gpaw
from sodalyte.inputs.gpaw_setups import LIMIT, check_cutoff, import_gpaw, pulay_stress, sensitivity
from sodalyte.structures import crystals

pytestmark = needs_gpaw


def test_the_papers_cutoff_does_for_every_element_of_the_library():
    check_cutoff({element for crystal in crystals() for element in crystal.chemsys.split("-")}, encut=520)


@pytest.mark.parametrize(
    ("elements", "named", "enough"),
    [("F Na", "F", 1000), ("Na O P S", "O", 1000), ("N Na", "N", 750), ("N Na O", "N and O", 1000)],
)
def test_an_element_that_needs_more_is_refused_with_the_way_out(elements, named, enough):
    with pytest.raises(EngineError, match=rf"of {named}: .* set electronic\.encut to {enough} or more"):
        check_cutoff(elements.split(), encut=520)
    check_cutoff(elements.split(), encut=enough)


def test_an_element_without_a_data_set_is_named():
    with pytest.raises(EngineError, match="no PAW data set of U"):
        check_cutoff(["Na", "U"], encut=520)


def test_a_calculation_of_such_an_element_does_not_start():
    with pytest.raises(EngineError, match=r"electronic\.encut"):
        Gpaw().load(bulk("NaF", "rocksalt", a=4.7))


def test_sensitivity_falls_with_the_cutoff_and_bounds_what_an_atom_adds_to_the_stress():
    cutoffs = np.arange(300.0, 1200.0, 50.0)
    found = [sensitivity("F", cutoff) for cutoff in cutoffs]
    assert found == sorted(found, reverse=True)
    atom = bulk("F", "fcc", a=4.0)
    added = [-pulay_stress(atom, encut=cutoff) * atom.get_volume() for cutoff in cutoffs]
    assert all(one <= 1.05 * bound for one, bound in zip(added, found, strict=True))
    assert max(added) > LIMIT


@pytest.mark.parametrize(("formula", "length", "holds"), [("NaCl", 5.69, True), ("NaF", 4.70, False)])
def test_the_estimated_stress_holds_for_elements_that_pass_and_not_for_those_that_do_not(formula, length, holds):
    """Against energies at two cutoffs on one grid for the density."""
    crystal = bulk(formula, "rocksalt", a=length)
    import_gpaw()
    from gpaw import GPAW, PW

    energies = []
    for cutoff in (494.0, 546.0):
        atoms = crystal.copy()
        atoms.calc = GPAW(mode=PW(cutoff), xc="PBE", kpts=(2, 2, 2), gpts=(32, 32, 32), txt=None)
        energies.append(atoms.get_potential_energy())
    measured = 2 / 3 * 520 * (energies[1] - energies[0]) / 52 / crystal.get_volume() / GPa
    error = abs(pulay_stress(crystal, encut=520) / GPa - measured)
    assert error < 0.1 if holds else error > 0.5
