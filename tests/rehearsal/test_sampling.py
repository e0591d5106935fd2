"""k-points, bands and grids are those of genuine VASP runs (facts noted from pymatgen's public test files)."""

import numpy as np
import pytest
import spglib

from sodalyte.launchers.rehearsal.cell import Cell
from sodalyte.launchers.rehearsal.incar import Incar
from sodalyte.launchers.rehearsal.sampling import default_bands, fft_grid, plane_waves, read_sampling

LITHIUM = Cell("", ("Li",), (1,), np.array([[1.7535, 1.7535, 1.7535], [0, 3.507, 0], [0, 0, 3.507]]), np.zeros((1, 3)))
LITHIUM_POINTS = [
    (0, 0, 0, 1), (1, 0, 0, 6), (2, 0, 0, 6), (3, 0, 0, 1), (0, 1, 0, 12), (2, 1, 0, 24), (3, 1, 0, 12), (0, 2, 0, 12),
    (3, 2, 0, 12), (0, 3, 0, 6), (0, 1, 1, 24), (3, 1, 1, 24), (0, 2, 1, 48), (0, 2, 2, 8), (1, 2, 2, 8), (1, 3, 2, 12),
]  # fmt: skip
"""VASP 5.2.12, bcc Li, 6x6x6 around Gamma: sixths of the reciprocal vectors, and the weight out of 216."""

SILICON = Cell("", ("Si",), (2,), 2.734364 * (np.ones((3, 3)) - np.eye(3)), np.array([[0.375] * 3, [0.625] * 3]))
SILICON_WEIGHTS = [1, 3, 3, 3, 3, 6, 6, 3, 1, 3]
"""VASP 5.2.12, diamond Si, Monkhorst-Pack 4x4x4: out of 32."""


def test_irreducible_points_of_lithium():
    sampling = read_sampling("k\n0\nGamma\n6 6 6\n", LITHIUM, Incar({}))
    np.testing.assert_allclose(sampling.points, [[x / 6, y / 6, z / 6] for x, y, z, _ in LITHIUM_POINTS], atol=1e-9)
    np.testing.assert_allclose(sampling.weights * 216, [weight for *_, weight in LITHIUM_POINTS])


def test_irreducible_points_of_silicon():
    sampling = read_sampling("k\n0\nMonkhorst\n4 4 4\n0 0 0\n", SILICON, Incar({}))
    np.testing.assert_allclose(sampling.weights * 32, SILICON_WEIGHTS)
    np.testing.assert_allclose(sampling.points[:3], [[0.125] * 3, [0.375, 0.125, 0.125], [-0.375, 0.125, 0.125]])
    assert sampling.shift == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("mesh", [(3, 3, 3), (4, 4, 4), (2, 3, 4)])
def test_as_many_points_as_spglib_finds(mesh, thioantimonate):
    kinds = [site.specie.Z for site in thioantimonate]
    cell = (thioantimonate.lattice.matrix, thioantimonate.frac_coords, kinds)
    mapping, _ = spglib.get_ir_reciprocal_mesh(mesh, cell, symprec=1e-5)
    ours = Cell("", ("Na", "Sb", "S"), (6, 2, 8), *cell[:2])
    sampling = read_sampling("k\n0\nGamma\n{} {} {}\n".format(*mesh), ours, Incar({}))
    assert sampling.n_points == len(np.unique(mapping))
    assert sampling.weights.sum() == pytest.approx(1)


@pytest.mark.parametrize(("tags", "points"), [({"ISYM": 0}, 14), ({"ISYM": -1}, 27), ({"NSW": 5, "IBRION": 0}, 14)])
def test_time_reversal_alone_leaves_14_of_27(tags, points, thioantimonate):
    ours = Cell("", ("Na", "Sb", "S"), (6, 2, 8), thioantimonate.lattice.matrix, thioantimonate.frac_coords)
    assert read_sampling("k\n0\nGamma\n3 3 3\n", ours, Incar(tags)).n_points == points


def test_spacing_as_the_wiki_defines_it():
    # |b| = 2 pi / 3.507 sqrt(2) = 2.534 /angstrom, and 2 pi / 3.037 sqrt(3) = 3.583 for the first
    sampling = read_sampling(None, LITHIUM, Incar({"KSPACING": 0.5}))
    assert sampling.mesh == (8, 6, 6)
    assert sampling.style == "Gamma"


def test_a_list_keeps_its_weights():
    sampling = read_sampling("k\n2\nReciprocal\n0 0 0 1\n0.5 0 0 3\n", LITHIUM, Incar({}))
    np.testing.assert_allclose(sampling.weights, [0.25, 0.75])


@pytest.mark.parametrize(
    ("electrons", "ions", "moment", "bands"),
    [(256, 64, 0.0, 161), (3, 1, 0.6, 5), (8, 2, 1.2, 9)],
    ids=["64 Si in VASP 6.3.2", "Li", "2 Si with MAGMOM 0.6"],
)
def test_bands_of_genuine_runs(electrons, ions, moment, bands):
    assert default_bands(electrons, ions, moment) == bands


def test_grids_of_genuine_runs():
    assert fft_grid(LITHIUM.lattice, 520, accurate=True) == ([24, 28, 28], [48, 56, 56])
    assert fft_grid(SILICON.lattice, 100, accurate=True) == ([14, 14, 14], [28, 28, 28])
    assert fft_grid(10.8618 * np.eye(3), 184.009, accurate=False)[0] == [36, 36, 36]


def test_plane_waves_of_genuine_runs():
    """Means over the k-points of the tables in the two OUTCARs."""
    lithium = [603, 587, 590, 586, 585, 580, 578, 577, 578, 590, 588, 583, 581, 577, 589, 566]
    silicon = [95, 93, 92, 89, 90, 95, 92, 96, 92, 93]
    assert plane_waves(LITHIUM.volume, 520) == pytest.approx(np.mean(lithium), rel=0.01)
    assert plane_waves(SILICON.volume, 100) == pytest.approx(np.mean(silicon), rel=0.01)
