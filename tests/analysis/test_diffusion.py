"""Diffusion of synthetic crystals whose diffusivity is known: hops on a cubic lattice, vibrations about its sites."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from pymatgen.analysis.diffusion.analyzer import get_conversion_factor
from pymatgen.core import Lattice, Structure
from scipy.signal import lfilter
from scipy.stats import norm

from sodalyte.analysis import diffusivity
from sodalyte.analysis.diffusion import FEWEST_HOPS, diffusion_results
from sodalyte.analysis.msd_fit import fitted_line
from sodalyte.analysis.results import Subject
from sodalyte.errors import CalculationError, UsageError

SUBJECT = Subject(material="Na3SbS4", polymorph="cubic", level="random walk", recipe="quick")
HOP = 3.6  # angstrom
N_FRAMEWORK = 80
DIRECTIONS = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]])


@dataclass
class Walk:
    """Positions (angstrom), mobile ions first, and the true diffusivity (cm^2/s)."""

    positions: NDArray
    n_mobile: int
    diffusivity: float
    frame_interval: float = 0.02


def vibration(rng, n_frames, n_ions, *, amplitude=0.3, memory=10):
    """Positions about a site: Gaussian, correlated over ``memory`` frames (0.2 ps)."""
    decay = np.exp(-1 / memory)
    noise = rng.normal(scale=amplitude * np.sqrt(1 - decay**2), size=(n_frames, n_ions, 3))
    noise[0] *= 1 / np.sqrt(1 - decay**2)
    return lfilter([1], [1, -decay], noise, axis=0)


def crystal(rng, jumps, true_diffusivity, *, amplitude=0.3, framework_amplitude=0.2):
    """Jumps (n_frames, n_mobile, 3) with vibrations, a vibrating framework, and the drift of the whole cell."""
    n_frames, n_mobile, _ = jumps.shape
    mobile = np.cumsum(jumps, axis=0) + vibration(rng, n_frames, n_mobile, amplitude=amplitude)
    framework = vibration(rng, n_frames, N_FRAMEWORK, amplitude=framework_amplitude)
    drift = np.cumsum(rng.normal(scale=0.01, size=(n_frames, 1, 3)), axis=0)
    positions = (np.concatenate([mobile, framework], axis=1) + drift).astype(np.float32)
    return Walk(positions, n_mobile, true_diffusivity)


def hopping(seed, *, n_hops, n_frames=1001, n_mobile=47, awake=1.0, **kwargs):
    """Independent ions that hop at random times, D = Gamma a^2 / 6; in bursts for a fraction ``awake`` of the run."""
    rng = np.random.default_rng(seed)
    asleep = np.repeat(rng.random(20) > awake, n_frames // 20 + 1)[1:n_frames]
    frames = 1 + np.flatnonzero(~asleep)
    number = rng.poisson(n_hops / awake * len(frames) / (n_frames - 1))
    jumps = np.zeros((n_frames, n_mobile, 3))
    when = rng.choice(frames, number) if number else np.empty(0, dtype=int)
    np.add.at(jumps, (when, rng.integers(0, n_mobile, number)), HOP * DIRECTIONS[rng.integers(0, 6, number)])
    rate = n_hops / n_mobile / ((n_frames - 1) * Walk.frame_interval)
    return crystal(rng, jumps, rate * HOP**2 / 6 * 1e-4, **kwargs)


def vacancy(seed, *, n_hops, edge=4, n_frames=1001):
    """One vacancy on a simple cubic lattice of edge^3 sites: every hop moves an ion, often straight back."""
    rng = np.random.default_rng(seed)
    occupant = np.arange(edge**3).reshape(edge, edge, edge) - 1
    empty = np.zeros(3, dtype=int)
    number = rng.poisson(n_hops)
    jumps = np.zeros((n_frames, edge**3 - 1, 3))
    when = np.sort(rng.integers(1, n_frames, number))
    for frame, direction in zip(when, DIRECTIONS[rng.integers(0, 6, number)], strict=True):
        source = (empty + direction) % edge
        ion = occupant[tuple(source)]
        occupant[tuple(empty)], occupant[tuple(source)] = ion, -1
        jumps[frame, ion] -= HOP * direction
        empty = source
    rate = n_hops / (edge**3 - 1) / ((n_frames - 1) * Walk.frame_interval)
    return crystal(rng, jumps, correlation_factor(edge) * rate * HOP**2 / 6 * 1e-4)


def correlation_factor(edge):
    """f = (1 + <cos>) / (1 - <cos>) of an ion moved by one vacancy, from where the vacancy will meet it again."""
    sites = np.stack(np.meshgrid(*[np.arange(edge)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    wander, meets = np.zeros((edge**3, edge**3)), np.zeros(edge**3)
    for direction in DIRECTIONS:
        target = np.ravel_multi_index(tuple(((sites + direction) % edge).T), (edge,) * 3)
        away = target != 0
        wander[np.flatnonzero(away), target[away]] += 1 / 6
        meets[~away] -= direction[0] / 6
    cosine = np.linalg.solve(np.eye(edge**3 - 1) - wander[1:, 1:], meets[1:])
    mean = cosine[np.ravel_multi_index((edge - 1, 0, 0), (edge,) * 3) - 1]
    return (1 + mean) / (1 - mean)


def analyse(walk, **changes):
    n_atoms = walk.positions.shape[1]
    arguments = {
        "frame_interval": walk.frame_interval,
        "mobile": np.arange(walk.n_mobile),
        "framework": np.arange(walk.n_mobile, n_atoms),
        "hop_length": HOP,
        "volume": 30.0**3,
        "temperature": 800.0,
    }
    return diffusion_results(SUBJECT, walk.positions, **(arguments | changes))


def covered(results, walk):
    low, high = results[1].interval_95
    return low <= walk.diffusivity <= high


@pytest.fixture
def closed_form(monkeypatch):
    """Quantiles of the normal posterior in place of kinisi's samples of it (test_msd_fit.py shows that they agree)."""
    quantiles = norm.ppf((np.arange(400) + 0.5) / 400)

    def posterior_slopes(observed, *, seed):
        (slope, _), covariance = fitted_line(observed)
        return slope + np.sqrt(covariance[0, 0]) * quantiles

    monkeypatch.setattr(diffusivity, "posterior_slopes", posterior_slopes)


def test_results_of_a_diffusing_crystal():
    walk = hopping(1, n_hops=300)
    observation, found, conductivity = analyse(walk, temperatures=np.full(10, 801.0))
    assert [r.property for r in (observation, found, conductivity)] == [
        "mean_squared_displacement",
        "diffusivity",
        "conductivity",
    ]
    assert all(result.status == "ok" and result.temperature == 800.0 for result in (observation, found, conductivity))
    assert found.unit == "cm^2/s"
    assert found.value == pytest.approx(walk.diffusivity, rel=0.25)
    assert found.uncertainty == pytest.approx(0.1 * found.value, rel=0.5)
    assert covered([None, found], walk)
    assert found.data["block_value"] == pytest.approx(walk.diffusivity, rel=0.3)
    assert found.data["n_hops"] == observation.data["n_hops"] == pytest.approx(0.7 * 300, rel=0.3)
    assert np.mean(found.data["components"]) == pytest.approx(found.value, rel=0.05)

    structure = Structure(Lattice.cubic(30), ["Na+"] * 47, np.random.default_rng(0).random((47, 3)))
    factor = get_conversion_factor(structure, "Na+", 800)
    assert conductivity.value == pytest.approx(found.value * factor, rel=1e-6)
    assert conductivity.interval_95 == pytest.approx(np.array(found.interval_95) * factor, rel=1e-6)

    curve = observation.data
    assert 100 < len(curve["lag_ps"]) == len(curve["msd"]) == len(curve["low"]) == len(curve["high"]) <= 200
    assert all(low <= msd <= high for low, msd, high in zip(curve["low"], curve["msd"], curve["high"], strict=True))
    assert 1.0 <= curve["fit_start_ps"] < curve["fit_stop_ps"] == pytest.approx(0.7 * curve["length_ps"])
    assert (curve["n_mobile"], curve["hop_length"]) == (47, HOP)
    for result in (observation, found, conductivity):
        assert json.loads(result.model_dump_json())["property"] == result.property


def test_the_same_seed_gives_the_same_numbers():
    walk = hopping(2, n_hops=300)
    first, second = (analyse(walk, seed=3)[1] for _ in range(2))
    assert first == second


def test_interval_covers_the_truth_of_independent_hops(closed_form):
    walks = (hopping(seed, n_hops=200) for seed in range(100))
    found = [(results, walk) for walk in walks if (results := analyse(walk))[1].status == "ok"]
    assert len(found) >= 95
    assert sum(covered(*pair) for pair in found) >= 0.9 * len(found)
    mean = np.mean([results[1].value / walk.diffusivity for results, walk in found])
    assert mean == pytest.approx(1, abs=0.03)


@pytest.mark.slow
def test_interval_of_kinisi_itself_covers_the_truth():
    walks = [hopping(seed, n_hops=200) for seed in range(100)]
    found = [(results, walk) for walk in walks if (results := analyse(walk))[1].status == "ok"]
    assert len(found) >= 95
    assert sum(covered(*pair) for pair in found) >= 0.9 * len(found)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "settings"),
    [
        (hopping, {"n_hops": 100}),
        (hopping, {"n_hops": 1000}),
        (hopping, {"n_hops": 500, "n_frames": 4001}),
        (hopping, {"n_hops": 200, "amplitude": 0.5}),
        (hopping, {"n_hops": 1000, "awake": 0.5}),
        (vacancy, {"n_hops": 300}),
        (vacancy, {"n_hops": 1000, "n_frames": 4001}),
    ],
    ids=["few", "many", "long", "soft", "bursts", "vacancy", "long vacancy"],
)
def test_interval_covers_the_truth(closed_form, make, settings):
    walks = (make(1000 + seed, **settings) for seed in range(100))
    found = [(results, walk) for walk in walks if (results := analyse(walk))[1].status == "ok"]
    assert len(found) >= 80
    assert sum(covered(*pair) for pair in found) >= 0.9 * len(found)


def test_correlation_factor_tends_to_that_of_the_simple_cubic_lattice():
    # one vacancy in an infinite crystal: Montet, Phys. Rev. B 7, 650 (1973); the finite-size error falls as 1/N
    factors = {edge: correlation_factor(edge) for edge in (6, 9)}
    extrapolated = (9**3 * factors[9] - 6**3 * factors[6]) / (9**3 - 6**3)
    assert extrapolated == pytest.approx(0.6531, abs=5e-4)


def test_vacancy_mechanism_has_its_correlation_factor_and_haven_ratio(closed_form):
    walk = vacancy(5, n_hops=40_000, edge=5, n_frames=6001)
    _, found, _ = analyse(walk)
    assert found.value == pytest.approx(walk.diffusivity, rel=0.05)
    uncorrelated = walk.diffusivity / correlation_factor(5)
    assert found.value < 0.75 * uncorrelated
    haven, error = found.data["haven_ratio"], found.data["haven_ratio_uncertainty"]
    assert abs(haven - correlation_factor(5)) < 2 * error < 0.5


def test_haven_ratio_of_independent_ions_is_one(closed_form):
    found = [analyse(hopping(seed, n_hops=1000))[1].data for seed in range(20)]
    ratios = np.log([data["haven_ratio"] for data in found if "haven_ratio" in data])
    relative = [data["haven_ratio_uncertainty"] / data["haven_ratio"] for data in found if "haven_ratio" in data]
    assert len(ratios) >= 17
    assert np.mean(ratios) == pytest.approx(0, abs=0.25)
    assert np.mean(relative) == pytest.approx(np.std(ratios), rel=0.3)


def test_haven_ratio_is_left_out_where_it_is_noise(closed_form):
    assert "haven_ratio" not in analyse(hopping(1, n_hops=120))[1].data


def test_bursts_of_hops_widen_the_interval(closed_form):
    steady, bursts = (analyse(hopping(7, n_hops=1000, awake=awake))[1] for awake in (1.0, 0.3))
    assert bursts.uncertainty / bursts.value > 2 * steady.uncertainty / steady.value
    assert bursts.uncertainty == bursts.data["block_uncertainty"] > bursts.data["posterior_uncertainty"]


def flight(seed):
    """Ions that fly: the MSD grows with the square of the lag."""
    rng = np.random.default_rng(seed)
    steps = np.broadcast_to(rng.normal(scale=0.02, size=(1, 47, 3)), (1001, 47, 3))
    return crystal(rng, steps.copy(), 0.0)


def rattling(seed):
    """Ions that jump between two neighbouring sites, back and forth, often: no transport."""
    rng = np.random.default_rng(seed)
    side = np.cumsum(rng.random((1001, 47)) < 0.05, axis=0) % 2
    jumps = np.zeros((1001, 47, 3))
    jumps[1:, :, 0] = HOP * np.diff(side, axis=0)
    return crystal(rng, jumps, 0.0)


def confined(seed):
    """Many ions that roam a cage of 2 x 2 x 2 sites: a plateau above one hop."""
    rng = np.random.default_rng(seed)
    corner = np.cumsum(rng.random((1001, 47, 3)) < 0.02, axis=0) % 2
    return crystal(rng, HOP * np.diff(corner, axis=0, prepend=corner[:1]), 0.0)


@pytest.mark.parametrize(
    ("walk", "seen"),
    [
        (hopping(1, n_hops=0), "independent hops"),
        (hopping(1, n_hops=0, amplitude=0.6), "independent hops"),
        (hopping(1, n_hops=30), "independent hops"),
        (hopping(1, n_hops=60, n_mobile=200), "MSD ends at"),
        (rattling(1), "independent hops"),
        (confined(1), "lag^"),
        (flight(1), "lag^1.99"),
    ],
    ids=["crystal", "soft crystal", "few hops", "large cell", "rattling", "confined", "ballistic"],
)
def test_no_number_without_diffusion(closed_form, walk, seen):
    observation, found, conductivity = analyse(walk)
    for result in (found, conductivity):
        assert result.status == "refused"
        assert result.value is None
        assert result.reason.startswith("not diffusive in this run: ")
        assert seen in result.reason
    assert observation.status == "ok"
    assert observation.data["fit_start_ps"] <= observation.data["fit_stop_ps"]


def test_a_run_too_short_for_any_window_says_nothing_about_diffusion(closed_form):
    observation, found, conductivity = analyse(hopping(1, n_hops=400, n_frames=60))
    for result in (found, conductivity):
        assert result.status == "refused"
        assert result.reason == "1.18 ps are too short to tell diffusion from vibration; 2.9 ps are needed"
    assert observation.status == "ok"


@pytest.mark.parametrize("n_hops", [20, 40, 50])
def test_fewer_hops_than_the_threshold_are_always_refused(closed_form, n_hops):
    results = [analyse(hopping(seed, n_hops=n_hops)) for seed in range(15)]
    for observation, found, _ in results:
        assert found.status == "refused" or observation.data["n_hops"] >= FEWEST_HOPS
    assert sum(found.status == "refused" for _, found, _ in results) >= 13


def test_a_molten_framework_is_refused(closed_form):
    results = analyse(hopping(3, n_hops=300, framework_amplitude=0.8))
    assert results[1].status == "refused"
    assert "molten above 1.20" in results[1].reason


def test_anions_that_turn_about_a_solid_skeleton_are_not_a_melt(closed_form):
    walk = hopping(3, n_hops=300)
    walk.positions[:, -64:] += vibration(np.random.default_rng(0), 1001, 64, amplitude=1.0).astype(np.float32)
    assert analyse(walk)[1].status == "refused"
    assert analyse(walk, skeleton=np.arange(47, 63))[1].status == "ok"


@pytest.mark.parametrize(("mean", "status"), [(810.0, "ok"), (830.0, "refused")])
def test_mean_temperature(closed_form, mean, status):
    results = analyse(hopping(3, n_hops=300), temperatures=np.full(100, mean))
    assert results[1].status == status


def test_a_run_whose_rate_changes_has_estimators_that_disagree(closed_form):
    slow, fast = hopping(1, n_hops=60, n_frames=2001), hopping(2, n_hops=3000, n_frames=401)
    joined = np.concatenate([slow.positions, fast.positions[1:] + slow.positions[-1]])
    found = analyse(Walk(joined, 47, 0.0))[1]
    assert found.status == "refused" or found.uncertainty > 0.4 * found.value


def test_blocks_that_say_something_else_are_refused(closed_form, monkeypatch):
    blocks = diffusivity.block_diffusivities
    monkeypatch.setattr(diffusivity, "block_diffusivities", lambda *given, **named: 3 * blocks(*given, **named))
    found = analyse(hopping(1, n_hops=300))[1]
    assert found.status == "refused"
    assert "blocks of the run give" in found.reason


def test_a_crystal_that_drifts_as_a_whole_gives_the_same_numbers(closed_form):
    walk = hopping(1, n_hops=3000)
    still = analyse(walk)[1]
    walk.positions += np.linspace(0, 50, len(walk.positions), dtype=np.float32)[:, None, None]
    drifting = analyse(walk)[1]
    assert drifting.value == pytest.approx(still.value, rel=1e-3)
    for name in ("block_value", "charge_diffusivity", "components"):
        assert drifting.data[name] == pytest.approx(still.data[name], rel=1e-3), name


def test_a_posterior_that_went_astray_is_refused(monkeypatch):
    monkeypatch.setattr(diffusivity, "posterior_slopes", lambda *_, **__: np.full(100, 1e128))
    found = analyse(hopping(1, n_hops=300))[1]
    assert found.status == "refused"
    assert "least squares gives" in found.reason


def test_anisotropy_is_a_warning(closed_form):
    rng = np.random.default_rng(0)
    jumps = np.zeros((1001, 47, 3))
    np.add.at(jumps, (rng.integers(1, 1001, 1500), rng.integers(0, 47, 1500), 0), rng.choice([-HOP, HOP], 1500))
    found = analyse(crystal(rng, jumps, 0.0))[1]
    assert found.status == "ok"
    assert [guard.name for guard in found.guards if not guard.passed] == ["isotropy"]
    assert found.data["components"][0] > 10 * found.data["components"][2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frame_interval": 0.0}, "frame_interval is 0.0"),
        ({"hop_length": -1.0}, "hop_length is -1.0"),
        ({"volume": np.nan}, "volume is nan"),
        ({"temperature": -300.0}, "temperature is -300.0"),
        ({"mobile": [500]}, "mobile: give a mask"),
        ({"framework": np.arange(40, 127)}, "share atoms"),
        ({"skeleton": [0]}, "share atoms"),
        ({"temperatures": []}, "temperatures is empty"),
    ],
)
def test_impossible_arguments(changes, message):
    with pytest.raises(UsageError, match=message):
        analyse(hopping(1, n_hops=10, n_frames=50), **changes)


def test_a_broken_trajectory():
    walk = hopping(1, n_hops=10, n_frames=50)
    walk.positions[20] = np.nan
    with pytest.raises(CalculationError, match="not finite"):
        analyse(walk)
