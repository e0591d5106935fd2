import json

import numpy as np
import pytest
from pymatgen.analysis.diffusion.analyzer import fit_arrhenius as pymatgen_fit
from pymatgen.analysis.diffusion.analyzer import get_conversion_factor
from pymatgen.core import Lattice, Structure
from scipy.optimize import curve_fit
from scipy.stats import chi2

from sodalyte.analysis.results import Guard, Subject, judge
from sodalyte.analysis.transport import K_B, arrhenius_results, conductivity_per_diffusivity, fit_arrhenius
from sodalyte.errors import UsageError

SUBJECT = Subject(material="Na3PS4", polymorph="cubic", level="CHGNet 0.3.0", recipe="paper")
TEMPERATURES = np.array([600.0, 700.0, 800.0, 900.0, 1000.0])
CELL = {"n_ions": 47, "volume": 2900.0}


def line(temperatures, *, ln_d0=-7.0, energy=0.25):
    return np.exp(ln_d0 - energy / (K_B * np.asarray(temperatures)))


def diffusivities(values, temperatures=TEMPERATURES, *, relative=0.1, subject=SUBJECT):
    return [
        judge(
            subject,
            property="diffusivity",
            unit="cm^2/s",
            value=float(value),
            uncertainty=float(relative * value),
            temperature=float(temperature),
        )
        for value, temperature in zip(values, temperatures, strict=True)
    ]


def refused(temperature):
    stuck = Guard(name="hops", passed=False, detail="not diffusive in this run: 3 independent hops")
    return judge(SUBJECT, property="diffusivity", unit="cm^2/s", temperature=temperature, guards=(stuck,))


@pytest.mark.parametrize("species", ["Na+", "Mg2+"])
def test_nernst_einstein_is_that_of_pymatgen(species):
    structure = Structure(Lattice.cubic(14.3), [species] * 47, np.random.default_rng(0).random((47, 3)))
    charge = structure[0].specie.oxi_state
    ours = conductivity_per_diffusivity(n_ions=47, volume=structure.volume, temperature=650.0, charge=charge)
    assert ours == pytest.approx(get_conversion_factor(structure, species, 650.0), rel=1e-6)


def test_nernst_einstein_by_hand():
    # 1e22 cm^-3 * (1.602177e-19 C)^2 * 1e-8 cm^2/s / (1.380649e-23 J/K * 300 K) = 6.1976e-4 S/cm
    found = 1e-8 * conductivity_per_diffusivity(n_ions=10, volume=1000.0, temperature=300.0)
    assert found == pytest.approx(0.61976, rel=1e-4)


def test_fit_with_equal_weights_is_that_of_pymatgen():
    values = line(TEMPERATURES) * np.exp([0.1, -0.2, 0.05, 0.1, -0.1])
    fit = fit_arrhenius(TEMPERATURES, values, 0.1 * values)
    energy, prefactor, _ = pymatgen_fit(TEMPERATURES, values)
    assert fit.activation_energy == pytest.approx(energy, rel=1e-6)
    assert np.exp(fit.ln_d0) == pytest.approx(prefactor, rel=1e-6)


def test_weighted_fit_and_covariance_are_those_of_scipy():
    values = line(TEMPERATURES) * np.exp([0.1, -0.2, 0.05, 0.1, -0.1])
    errors = values * np.array([0.4, 0.3, 0.2, 0.1, 0.05])
    fit = fit_arrhenius(TEMPERATURES, values, errors)
    parameters, covariance = curve_fit(
        lambda kelvin, ln_d0, energy: ln_d0 - energy / (K_B * kelvin),
        TEMPERATURES,
        np.log(values),
        p0=(-7, 0.3),
        sigma=errors / values,
        absolute_sigma=True,
    )
    assert (fit.ln_d0, fit.activation_energy) == pytest.approx(parameters, rel=1e-6)
    assert fit.covariance == pytest.approx(covariance, rel=1e-5)
    residuals = (
        (np.log(values) - np.log(line(TEMPERATURES, ln_d0=parameters[0], energy=parameters[1]))) * values / errors
    )
    assert fit.p_value == pytest.approx(chi2.sf((residuals**2).sum(), 3), rel=1e-5)


def test_uncertainty_at_300_kelvin_needs_the_whole_covariance():
    values = line(TEMPERATURES)
    fit = fit_arrhenius(TEMPERATURES, values, 0.1 * values)
    rng = np.random.default_rng(0)
    logarithms = []
    for _ in range(2000):
        noisy = values * np.exp(rng.normal(scale=0.1, size=5))
        logarithms.append(fit_arrhenius(TEMPERATURES, noisy, 0.1 * noisy).ln_diffusivity(300.0)[0])
    mean, error = fit.ln_diffusivity(300.0)
    assert mean == pytest.approx(np.log(line(300.0)), rel=1e-9)
    assert error == pytest.approx(np.std(logarithms), rel=0.05)
    diagonal = np.sqrt(fit.covariance[0, 0] + fit.covariance[1, 1] / (K_B * 300) ** 2)
    assert diagonal > 1.2 * error


def test_results_of_a_straight_line():
    values = line(TEMPERATURES)
    arrhenius, energy, room = arrhenius_results(SUBJECT, diffusivities(values), **CELL)
    assert [result.property for result in (arrhenius, energy, room)] == [
        "arrhenius",
        "activation_energy",
        "conductivity_300K",
    ]
    assert all(result.status == "ok" for result in (arrhenius, energy, room))
    assert energy.value == pytest.approx(0.25, rel=1e-6)
    assert energy.uncertainty == pytest.approx(np.sqrt(arrhenius.data["covariance"][1][1]))
    assert arrhenius.data["diffusivities"] == values.tolist()
    factor = conductivity_per_diffusivity(temperature=300.0, **CELL)
    assert room.value == pytest.approx(line(300.0) * factor, rel=1e-6)
    low, high = room.interval_95
    assert low * high == pytest.approx(room.value**2)
    error = np.log(high / low) / (2 * 1.96)
    lognormal = room.value * np.exp(np.random.default_rng(0).normal(scale=error, size=400_000))
    assert room.uncertainty == pytest.approx(lognormal.std(), rel=0.02)
    assert [guard.name for guard in room.guards if not guard.passed] == ["extrapolation"]
    for result in (arrhenius, energy, room):
        assert json.loads(result.model_dump_json())["level"] == SUBJECT.level


def test_room_temperature_inside_the_range_is_no_extrapolation():
    temperatures = np.array([250.0, 300.0, 350.0])
    room = arrhenius_results(SUBJECT, diffusivities(line(temperatures), temperatures), **CELL)[2]
    assert all(guard.passed for guard in room.guards)


def test_interval_covers_the_truth():
    rng = np.random.default_rng(1)
    hits = {"Ea": 0, "sigma": 0}
    truth = line(300.0) * conductivity_per_diffusivity(temperature=300.0, **CELL)
    kept = 0
    for _ in range(200):
        relative = rng.uniform(0.05, 0.3, size=5)
        noisy = line(TEMPERATURES) * np.exp(rng.normal(scale=relative))
        points = [
            diffusivities([value], [kelvin], relative=error)[0]
            for value, kelvin, error in zip(noisy, TEMPERATURES, relative, strict=True)
        ]
        _, energy, room = arrhenius_results(SUBJECT, points, **CELL)
        if room.status == "ok":
            kept += 1
            hits["Ea"] += abs(energy.value - 0.25) < 1.96 * energy.uncertainty
            hits["sigma"] += room.interval_95[0] < truth < room.interval_95[1]
    assert kept > 190
    assert min(hits.values()) > 0.92 * kept


@pytest.mark.parametrize(
    "points",
    [
        diffusivities(line(TEMPERATURES[:2]), TEMPERATURES[:2]),
        [*diffusivities(line(TEMPERATURES[:2]), TEMPERATURES[:2]), refused(800.0)],
        diffusivities(line([600.0, 600.0, 700.0]), [600.0, 600.0, 700.0]),
        [],
    ],
    ids=["two", "third refused", "repeated", "none"],
)
def test_fewer_than_three_temperatures_are_refused(points):
    for result in arrhenius_results(SUBJECT, points, **CELL):
        assert result.status == "refused"
        assert "temperatures gave a diffusivity; an Arrhenius fit needs 3" in result.reason


def test_a_refused_temperature_is_left_out():
    points = [*diffusivities(line(TEMPERATURES)), refused(500.0)]
    arrhenius, *_ = arrhenius_results(SUBJECT, points, **CELL)
    assert arrhenius.data["temperatures"] == TEMPERATURES.tolist()
    assert arrhenius.guards[0].detail.startswith("5 of 6 temperatures")


def test_a_kink_is_refused():
    kinked = line(TEMPERATURES) * np.where(TEMPERATURES < 750, 0.2, 1.0)
    for result in arrhenius_results(SUBJECT, diffusivities(kinked), **CELL):
        assert result.status == "refused"
        assert "chi-square" in result.reason


def test_a_diffusivity_that_falls_with_temperature_is_refused():
    for result in arrhenius_results(SUBJECT, diffusivities(line(TEMPERATURES, energy=-0.2)), **CELL):
        assert result.status == "refused"
        assert "activation energy is -0.20" in result.reason


def test_levels_are_not_mixed():
    other = SUBJECT.model_copy(update={"level": "PBE"})
    with pytest.raises(UsageError, match="PBE"):
        arrhenius_results(SUBJECT, diffusivities(line(TEMPERATURES), subject=other), **CELL)


def test_other_properties_are_not_fitted():
    wrong = [result.model_copy(update={"property": "conductivity"}) for result in diffusivities(line(TEMPERATURES))]
    with pytest.raises(UsageError, match="conductivity"):
        arrhenius_results(SUBJECT, wrong, **CELL)


@pytest.mark.parametrize(
    ("temperatures", "values", "errors"),
    [
        ([600, 700], [1e-6, 2e-6], [1e-7, 1e-7]),
        ([600, 700, 800], [1e-6, 2e-6], [1e-7, 1e-7]),
        ([600, 700, 800], [1e-6, -2e-6, 3e-6], [1e-7, 1e-7, 1e-7]),
        ([600, 700, 800], [1e-6, 2e-6, 3e-6], [1e-7, 0.0, 1e-7]),
        ([600, 700, np.nan], [1e-6, 2e-6, 3e-6], [1e-7, 1e-7, 1e-7]),
    ],
)
def test_impossible_points(temperatures, values, errors):
    with pytest.raises(UsageError, match="an Arrhenius fit needs"):
        fit_arrhenius(temperatures, values, errors)
