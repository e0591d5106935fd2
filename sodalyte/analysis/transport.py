"""Conductivity from diffusivity (Nernst-Einstein) and its dependence on temperature (Arrhenius)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.constants import elementary_charge
from scipy.constants import k as boltzmann
from scipy.stats import chi2

from sodalyte.analysis.msd_fit import NORMAL_95, generalised_least_squares
from sodalyte.analysis.results import Guard, Result, Subject, judge
from sodalyte.errors import UsageError

K_B = boltzmann / elementary_charge
"""Boltzmann constant, eV/K."""

ROOM_TEMPERATURE = 300.0
FEWEST_TEMPERATURES = 3
SMALLEST_P_VALUE = 0.01
"""Probability of a worse fit below which ln D is not linear in 1/T."""


def conductivity_per_diffusivity(*, n_ions: int, volume: float, temperature: float, charge: float = 1.0) -> float:
    """Nernst-Einstein conductivity n q^2 D / (k_B T) for a diffusivity of 1 cm^2/s, in mS/cm.

    It takes the ions to move independently; the measured conductivity is this one over the Haven ratio.

    Parameters
    ----------
    n_ions
        Mobile ions in the cell.
    volume
        Of the cell, angstrom^3.
    temperature
        K.
    charge
        Of an ion, in elementary charges.
    """
    density = n_ions / (volume * 1e-30)
    siemens_per_metre: float = density * (charge * elementary_charge) ** 2 / (boltzmann * temperature) * 1e-4
    return siemens_per_metre * 10


@dataclass(frozen=True)
class ArrheniusFit:
    """The line ln D = ln D0 - Ea / (k_B T).

    Attributes
    ----------
    ln_d0
        Natural logarithm of D0 in cm^2/s.
    activation_energy
        Ea, eV.
    covariance
        Of (ln D0, Ea), shape (2, 2), from the given uncertainties alone (not scaled by the scatter).
    chi_square, p_value
        Weighted squared residuals, and the probability that straight-line data give more.
    """

    ln_d0: float
    activation_energy: float
    covariance: NDArray[np.float64]
    chi_square: float
    p_value: float

    def ln_diffusivity(self, temperature: float) -> tuple[float, float]:
        """Logarithm of D (cm^2/s) at ``temperature`` (K), and its standard uncertainty by the full covariance."""
        gradient = np.array([1.0, -1 / (K_B * temperature)])
        return (
            self.ln_d0 + self.activation_energy * float(gradient[1]),
            float(np.sqrt(gradient @ self.covariance @ gradient)),
        )


def fit_arrhenius(temperatures: ArrayLike, diffusivities: ArrayLike, uncertainties: ArrayLike) -> ArrheniusFit:
    """Fit ln D against 1/T by least squares, each point weighted by the inverse square of u(D)/D.

    Parameters
    ----------
    temperatures
        K, three or more of them different.
    diffusivities, uncertainties
        cm^2/s, positive.

    Raises
    ------
    UsageError
        There are too few temperatures, or a number is not positive.
    """
    kelvin, values, errors = (
        np.asarray(column, dtype=float) for column in (temperatures, diffusivities, uncertainties)
    )
    if not kelvin.shape == values.shape == errors.shape or np.unique(kelvin).size < FEWEST_TEMPERATURES:
        raise UsageError(f"an Arrhenius fit needs D and its uncertainty at {FEWEST_TEMPERATURES} temperatures or more")
    if not all(np.isfinite(column).all() and (column > 0).all() for column in (kelvin, values, errors)):
        raise UsageError("an Arrhenius fit needs positive temperatures, diffusivities and uncertainties")
    design = np.column_stack([np.ones_like(kelvin), -1 / (K_B * kelvin)])
    relative = errors / values
    parameters, covariance = generalised_least_squares(design, np.log(values), np.diag(relative**2))
    chi_square = float(np.sum(((np.log(values) - design @ parameters) / relative) ** 2))
    return ArrheniusFit(
        ln_d0=float(parameters[0]),
        activation_energy=float(parameters[1]),
        covariance=covariance,
        chi_square=chi_square,
        p_value=float(chi2.sf(chi_square, df=len(kelvin) - 2)),
    )


def arrhenius_results(
    subject: Subject, diffusivities: Sequence[Result], *, n_ions: int, volume: float, charge: float = 1.0
) -> list[Result]:
    """Arrhenius fit, activation energy, and conductivity extrapolated to 300 K.

    Parameters
    ----------
    subject
        Of what and how the results speak.
    diffusivities
        Results ``diffusivity`` of the same subject, one or more for each temperature; refused ones are left out.
    n_ions, volume, charge
        As in :func:`conductivity_per_diffusivity`.

    Returns
    -------
    Results ``arrhenius`` and ``activation_energy`` (eV) and ``conductivity_300K`` (mS/cm, the median of a lognormal
    distribution); all refused if fewer than three temperatures gave a diffusivity, if ln D is not linear in 1/T within
    its uncertainty, or if D does not rise with temperature.

    Raises
    ------
    UsageError
        A result is not a diffusivity of this material, polymorph, level and recipe.
    """
    identity = (subject.material, subject.polymorph, subject.level, subject.recipe)
    for result in diffusivities:
        if (result.material, result.polymorph, result.level, result.recipe) != identity:
            raise UsageError(f"a diffusivity of {result.material} ({result.level}) is in the fit of {subject.material}")
        if result.property != "diffusivity" or result.temperature is None:
            raise UsageError(f"an Arrhenius fit takes diffusivities with their temperature, not {result.property}")
    usable = [result for result in diffusivities if result.status == "ok"]
    temperatures = [float(result.temperature or 0.0) for result in usable]
    distinct = len(set(temperatures))
    guards = [
        Guard(
            name="temperatures",
            passed=distinct >= FEWEST_TEMPERATURES,
            detail=f"{distinct} of {len({result.temperature for result in diffusivities})} temperatures gave a "
            f"diffusivity; an Arrhenius fit needs {FEWEST_TEMPERATURES}",
        )
    ]
    if not guards[0].passed:
        units = {"arrhenius": "eV", "activation_energy": "eV", "conductivity_300K": "mS/cm"}
        return [judge(subject, property=name, unit=unit, guards=tuple(guards)) for name, unit in units.items()]

    values = [float(result.value or 0.0) for result in usable]
    errors = [float(result.uncertainty or 0.0) for result in usable]
    fit = fit_arrhenius(temperatures, values, errors)
    energy_error = float(np.sqrt(fit.covariance[1, 1]))
    guards += [
        Guard(
            name="linear",
            passed=fit.p_value >= SMALLEST_P_VALUE,
            detail=f"chi-square of the line is {fit.chi_square:.1f} for {len(usable) - 2} degrees of freedom "
            f"(p = {fit.p_value:.2g}, at least {SMALLEST_P_VALUE} for one phase and one mechanism)",
        ),
        Guard(
            name="activated",
            passed=fit.activation_energy > 0,
            detail=f"activation energy is {fit.activation_energy:.2f} +- {energy_error:.2f} eV; D must rise with T",
        ),
    ]
    shared: dict[str, Any] = {
        "guards": tuple(guards),
        "uncertainty_basis": "uncertainties of the diffusivities, weighted least squares of ln D with full covariance",
    }
    line = {
        "temperatures": temperatures,
        "diffusivities": values,
        "uncertainties": errors,
        "ln_d0": fit.ln_d0,
        "activation_energy": fit.activation_energy,
        "covariance": fit.covariance.tolist(),
        "chi_square": fit.chi_square,
        "p_value": fit.p_value,
    }
    return [
        judge(subject, property="arrhenius", unit="eV", data=line, **shared),
        judge(
            subject,
            property="activation_energy",
            unit="eV",
            value=fit.activation_energy,
            uncertainty=energy_error,
            data={"temperature_range": [min(temperatures), max(temperatures)]},
            **shared,
        ),
        _room_temperature_conductivity(
            subject,
            fit,
            temperatures,
            conductivity_per_diffusivity(n_ions=n_ions, volume=volume, temperature=ROOM_TEMPERATURE, charge=charge),
            shared,
        ),
    ]


def _room_temperature_conductivity(
    subject: Subject, fit: ArrheniusFit, temperatures: Sequence[float], per_diffusivity: float, shared: dict[str, Any]
) -> Result:
    ln_d, error = fit.ln_diffusivity(ROOM_TEMPERATURE)
    median = float(np.exp(ln_d)) * per_diffusivity
    low, high = min(temperatures), max(temperatures)
    inside = low <= ROOM_TEMPERATURE <= high
    reach = Guard(
        name="extrapolation",
        passed=inside,
        required=False,
        detail=f"{ROOM_TEMPERATURE:g} K lies {'within' if inside else 'outside'} the simulated {low:g} to {high:g} K"
        + ("" if inside else "; right only if phase and mechanism stay the same down to it"),
    )
    factor = float(np.exp(NORMAL_95 * error))
    return judge(
        subject,
        property="conductivity_300K",
        unit="mS/cm",
        value=median,
        uncertainty=median * float(np.sqrt(np.expm1(error**2) * np.exp(error**2))),
        interval_95=(median / factor, median * factor),
        **(shared | {"guards": (*shared["guards"], reach)}),
    )
