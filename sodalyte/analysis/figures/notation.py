"""How numbers, units and formulas are written, in figures and in text alike."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from uncertainties import ufloat  # type: ignore[import-untyped, unused-ignore]

_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_FORMULA = re.compile(r"(?:[A-Z][a-z]?\d*|[()\[\]]\d*)+")
_SCHEMES = {
    "none": "no correction",
    "mp2020": "MP2020 correction",
    "polysulfide_charge": "polysulfide-charge correction",
}
_UNITS = {"1": "", "angstrom": "Å", "angstrom^2": "Å²", "angstrom^3": "Å³", "g/cm^3": "g/cm³", "cm^2/s": "cm²/s"}


def formula(text: str) -> str:
    """Write a chemical formula with subscripts; any other text, such as a file's name, is left alone.

    >>> formula("Na3SbS4")
    'Na₃SbS₄'
    """
    return text.translate(_SUBSCRIPTS) if _FORMULA.fullmatch(text) else text


def reaction_side(amounts: Mapping[str, float]) -> str:
    """Write amounts of phases as one side of a reaction.

    >>> reaction_side({"Na3Sb": 1.0, "Na2S": 4.0})
    'Na₃Sb + 4 Na₂S'
    """
    terms = []
    for name, amount in amounts.items():
        coefficient = f"{amount:.3g}"
        terms.append(formula(name) if coefficient == "1" else f"{coefficient} {formula(name)}")
    return " + ".join(terms)


def scheme_label(scheme: str) -> str:
    """Name a sulfur-correction scheme in words; an unknown one keeps its own name."""
    return _SCHEMES.get(scheme, scheme)


def unit_symbol(unit: str) -> str:
    """Write a unit as print does; pure numbers (``"1"``) have none."""
    return _UNITS.get(unit, unit)


def power_of_ten(exponent: int) -> str:
    """Write a factor of ten to ``exponent``.

    >>> power_of_ten(-6)
    '×10⁻⁶'
    """
    return f"×10{str(exponent).translate(_SUPERSCRIPTS)}"


def quantity(value: float, uncertainty: float | None = None, *, digits: int = 4) -> str:
    r"""Write a value, rounded to its standard uncertainty by the rule of the Particle Data Group.

    Parameters
    ----------
    value
        In any unit; the unit is not written.
    uncertainty
        One standard uncertainty. Without one (or with zero) ``value`` is given to ``digits`` significant digits.
    digits
        Significant digits of a value without uncertainty.

    Examples
    --------
    >>> quantity(1.2345e-6, 3.1e-7), quantity(-0.0141, 0.003), quantity(21.5)
    ('(1.23\xa0±\xa00.31)×10⁻⁶', '−0.0141\xa0±\xa00.0030', '21.50')
    """
    if not math.isfinite(value):
        return "not a number"
    if uncertainty is None or not math.isfinite(uncertainty) or uncertainty <= 0:
        return _minus(_plain(value, digits))
    decimals = _decimals(uncertainty)
    if decimals < 0 and abs(value) < 1e5:
        written = f"{round(value, decimals):.0f}±{round(uncertainty, decimals):.0f}"
    else:
        written = f"{ufloat(value, uncertainty):P}"
    return _minus(written.replace("±", "\xa0±\xa0"))


def difference(value: float, decimals: int) -> str:
    """Write a difference with its sign; what rounds to zero has none.

    >>> difference(-41.23, 0), difference(5.02, 1), difference(-0.04, 1)
    ('−41', '+5.0', '0.0')
    """
    written = _minus(f"{value:+.{decimals}f}")
    return written if round(value, decimals) else written[1:]


def rounded(value: float, uncertainty: float | None) -> str:
    """Write a value as :func:`quantity` does, without the uncertainty.

    >>> rounded(1.4213, 0.62), rounded(1.32e-6, 5e-7)
    ('1.4', '1.3×10⁻⁶')
    """
    head, _, tail = quantity(value, uncertainty).partition("\xa0±\xa0")
    return head.removeprefix("(") + tail.partition(")")[2]


def interval(low: float, high: float) -> str:
    """Write an interval, both ends to the decimal that a quarter of its width, as an uncertainty, would have.

    >>> interval(1.7512, 1.9249), interval(4.1e-7, 2.6e-6)
    ('1.75 to 1.92', '(0.4 to 2.6)×10⁻⁶')
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return "not a number"
    largest = max(abs(low), abs(high))
    exponent = math.floor(math.log10(largest)) if largest > 0 else 0
    exponent = 0 if -3 <= exponent < 5 else exponent
    low, high = low / 10**exponent, high / 10**exponent
    decimals = _decimals((high - low) / 4)
    ends = f"{_fixed(low, decimals)} to {_fixed(high, decimals)}"
    return _minus(f"({ends}){power_of_ten(exponent)}" if exponent else ends)


def _decimals(uncertainty: float) -> int:
    """Decimals by the rule of the Particle Data Group: two significant digits below 355, one above."""
    if uncertainty <= 0:
        return 4
    leading = math.floor(math.log10(uncertainty))
    digits = 2 if uncertainty / 10**leading < 3.55 else 1
    return digits - 1 - leading


def _fixed(value: float, decimals: int) -> str:
    return f"{round(value, decimals) + 0.0:.{max(0, decimals)}f}"


def _plain(value: float, digits: int) -> str:
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    if value == 0:
        return "0"
    if -3 <= int(exponent) < 5:
        return f"{value:#.{digits}g}".rstrip(".")
    return f"{float(mantissa):g}{power_of_ten(int(exponent))}"


def _minus(text: str) -> str:
    return text.replace("-", "−")
