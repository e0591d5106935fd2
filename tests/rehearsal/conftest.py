import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from rehearsals import Campaign


@pytest.fixture
def campaign(tmp_path):
    return Campaign(tmp_path)


@pytest.fixture(scope="session")
def rock_salt():
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.fixture(scope="session")
def thioantimonate():
    """Cubic Na3SbS4, I-43m."""
    from sodalyte.structures import load

    return load("Na3SbS4", polymorph="cubic").structure.get_sorted_structure()


@pytest.fixture(scope="session")
def rattled(rock_salt):
    cell = rock_salt.copy()
    rng = np.random.default_rng(5)
    for index in range(len(cell)):
        cell.translate_sites(index, rng.normal(scale=0.02, size=3), frac_coords=False)
    return cell
