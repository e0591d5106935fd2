import numpy as np
import pytest

from sodalyte.analysis.moduli import PUGH_DUCTILE, bulk_modulus, moduli
from sodalyte.errors import CalculationError


def tetragonal(*, c11, c33, c12, c13, c44, c66):
    tensor = np.diag([c11, c11, c33, c44, c44, c66]).astype(float)
    tensor[0, 1] = tensor[1, 0] = c12
    tensor[0, 2] = tensor[2, 0] = tensor[1, 2] = tensor[2, 1] = c13
    return tensor


def cubic(c11, c12, c44):
    return tetragonal(c11=c11, c33=c11, c12=c12, c13=c12, c44=c44, c66=c44)


T_NPS = tetragonal(c11=49.8, c33=42.9, c12=11.4, c13=15.7, c44=11.1, c66=11.7)


@pytest.mark.parametrize(
    ("tensor", "published"),
    [
        # Deng et al., J. Electrochem. Soc. 163, A67 (2016): B, G, E (GPa), Poisson ratio, G/B of c-Na3PS4 (PBEsol),
        # t-Na3PS4 (PBEsol) and Na2S (PBE). Their constants are rounded: E of the first and the third comes out 0.1
        # above the printed 32.6 and 44.5.
        (cubic(42.2, 11.1, 11.7), (21.5, 13.1, 32.7, 0.25, 0.61)),
        (T_NPS, (25.3, 13.1, 33.6, 0.28, 0.52)),
        (cubic(54.3, 15.5, 17.1), (28.4, 18.0, 44.6, 0.24, 0.63)),
    ],
    ids=["c-Na3PS4", "t-Na3PS4", "Na2S"],
)
def test_published_moduli_follow_from_published_constants(tensor, published):
    result = moduli(tensor)
    gigapascals = (result.bulk.hill, result.shear.hill, result.youngs_modulus)
    ratios = (result.poisson_ratio, result.pugh_ratio.hill)
    assert (*(round(x, 1) for x in gigapascals), *(round(x, 2) for x in ratios)) == published


def test_cubic_formulas():
    c11, c12, c44 = 172.7, 115.5, 90.3
    result = moduli(cubic(c11, c12, c44))
    assert result.bulk.voigt == pytest.approx((c11 + 2 * c12) / 3)
    assert result.bulk.reuss == pytest.approx((c11 + 2 * c12) / 3)
    assert result.shear.voigt == pytest.approx((c11 - c12 + 3 * c44) / 5)
    assert result.shear.reuss == pytest.approx(5 * (c11 - c12) * c44 / (4 * c44 + 3 * (c11 - c12)))
    assert result.shear.hill == pytest.approx((result.shear.voigt + result.shear.reuss) / 2)
    assert result.pugh_ratio.reuss == pytest.approx(result.shear.reuss / result.bulk.reuss)
    assert result.cauchy_pressure == pytest.approx(c12 - c44)
    assert result.universal_anisotropy == pytest.approx(5 * result.shear.voigt / result.shear.reuss - 5)


def test_constants_among_normal_strains_give_the_bulk_modulus_of_a_tetragonal_crystal():
    c11, c33, c12, c13 = 49.8, 42.9, 11.4, 15.7
    bulk = bulk_modulus(T_NPS[:3, :3])
    assert bulk.voigt == pytest.approx((2 * c11 + c33 + 2 * c12 + 4 * c13) / 9)
    # Watt and Peselnick, J. Appl. Phys. 51, 1525 (1980)
    assert bulk.reuss == pytest.approx(((c11 + c12) * c33 - 2 * c13**2) / (c11 + c12 + 2 * c33 - 4 * c13))
    assert bulk.hill == pytest.approx(moduli(T_NPS).bulk.hill)


def test_isotropic_crystal_has_no_anisotropy():
    result = moduli(cubic(30, 10, 10))
    assert result.universal_anisotropy == pytest.approx(0, abs=1e-12)
    assert result.shear.voigt == pytest.approx(result.shear.reuss)


def test_cauchy_pressure_of_a_tetragonal_crystal_is_the_stated_mean():
    result = moduli(T_NPS)
    assert result.cauchy_pressure == pytest.approx((11.4 - 11.7 + 2 * (15.7 - 11.1)) / 3)


def test_pugh_threshold_is_his_1_75():
    assert pytest.approx(1 / 1.75, abs=5e-4) == PUGH_DUCTILE


def test_moduli_of_an_unstable_crystal_are_refused():
    with pytest.raises(CalculationError, match=r"-63\.7 GPa"):
        moduli(cubic(24.8, 9.2, -63.7))
    with pytest.raises(CalculationError, match=r"-2 GPa"):
        bulk_modulus(cubic(9.0, 11.0, 5.0)[:3, :3])
