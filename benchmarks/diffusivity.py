"""Mean squared displacement of 20,000 frames x 128 atoms: sodalyte against pymatgen's DiffusionAnalyzer.

Both remove the drift of the framework and average over ions and all time origins. Run it as it is; it prints one table.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pymatgen.analysis.diffusion.analyzer import DiffusionAnalyzer
from pymatgen.core import Lattice, Structure

from sodalyte.analysis.diffusion import diffusion_results
from sodalyte.analysis.msd import collective_squared_displacement, framework_drift, mean_squared_displacement
from sodalyte.analysis.results import Subject

N_FRAMES, N_MOBILE, N_FRAMEWORK = 20_000, 48, 80
FRAME_INTERVAL = 0.01  # ps
HOP_LENGTH = 3.6  # angstrom
EDGE = 14.4  # angstrom
N_HOPS = 2000
REPEATS = 3
RATIO_NEEDED = 5.0
MEMORY_ALLOWED = 2.0

T = TypeVar("T")


def trajectory(seed: int = 1) -> NDArray[np.float32]:
    """Hops of the mobile ions, vibrations of all, and a drifting cell: (n_frames, n_atoms, 3), angstrom."""
    rng = np.random.default_rng(seed)
    n_atoms = N_MOBILE + N_FRAMEWORK
    steps = np.zeros((N_FRAMES, n_atoms, 3), dtype=np.float32)
    hops = rng.integers(0, 3, N_HOPS), rng.choice([-HOP_LENGTH, HOP_LENGTH], N_HOPS)
    np.add.at(steps, (rng.integers(1, N_FRAMES, N_HOPS), rng.integers(0, N_MOBILE, N_HOPS), hops[0]), hops[1])
    positions = np.cumsum(steps, axis=0, dtype=np.float32)
    positions += rng.normal(scale=0.25, size=steps.shape).astype(np.float32)
    positions += np.cumsum(rng.normal(scale=0.005, size=(N_FRAMES, 1, 3)), axis=0).astype(np.float32)
    return positions


def ours(positions: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean squared displacement of the ions, and of their sum, at every lag."""
    mobile = np.arange(N_MOBILE)
    drift = framework_drift(positions, np.arange(N_MOBILE, N_MOBILE + N_FRAMEWORK))
    return (
        mean_squared_displacement(positions, mobile, drift=drift).sum(axis=1),
        collective_squared_displacement(positions, mobile, drift=drift).sum(axis=1),
    )


def best_time(work: Callable[[], T]) -> tuple[float, T]:
    """Shortest wall time of a few calls, seconds, and the last result."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - start)
    return min(times), result


def peak_memory(work: Callable[[], object]) -> int:
    """Largest memory that a call holds at once on top of what was there before, bytes."""
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def main() -> None:
    """Time both, compare their results, and print the table."""
    positions = trajectory()
    displacements = np.moveaxis(positions - positions[0], 0, 1)
    structure = Structure(
        Lattice.cubic(EDGE),
        ["Na"] * N_MOBILE + ["S"] * N_FRAMEWORK,
        np.random.default_rng(0).random((N_MOBILE + N_FRAMEWORK, 3)),
    )

    def peer() -> DiffusionAnalyzer:
        return DiffusionAnalyzer(
            structure, displacements, "Na", 800, time_step=FRAME_INTERVAL * 1000, step_skip=1, smoothed="max"
        )

    def whole() -> object:
        return diffusion_results(
            Subject(material="synthetic", polymorph="cubic", level="random walk", recipe="benchmark"),
            positions,
            frame_interval=FRAME_INTERVAL,
            mobile=np.arange(N_MOBILE),
            framework=np.arange(N_MOBILE, N_MOBILE + N_FRAMEWORK),
            hop_length=HOP_LENGTH,
            volume=EDGE**3,
            temperature=800.0,
        )

    our_time, (msd, collective) = best_time(lambda: ours(positions))
    peer_time, analyzer = best_time(peer)
    whole_time, _ = best_time(whole)
    lags = np.round(np.asarray(analyzer.dt) / (FRAME_INTERVAL * 1000)).astype(int)
    difference = float(np.abs(msd[lags] - analyzer.msd).max() / analyzer.msd.max())
    charge_difference = float(np.abs(collective[lags] - analyzer.mscd).max() / analyzer.mscd.max())
    size = positions.nbytes
    our_memory, peer_memory = (1 + peak_memory(work) / size for work in (lambda: ours(positions), peer))
    whole_memory = 1 + peak_memory(whole) / size
    ratio = peer_time / our_time

    print(f"{N_FRAMES} frames x {N_MOBILE + N_FRAMEWORK} atoms, float32, {size / 2**20:.1f} MiB; best of {REPEATS}")
    print(f"{'':34}{'sodalyte':>12}{'pymatgen':>12}{'ratio':>8}{'needed':>10}")
    print(f"{'MSD, all lags, s':34}{our_time:12.3f}{peer_time:12.3f}{ratio:8.1f}{f'>= {RATIO_NEEDED:g}':>10}")
    print(
        f"{'peak memory / trajectory':34}{our_memory:12.2f}{peer_memory:12.2f}{peer_memory / our_memory:8.1f}"
        f"{f'<= {MEMORY_ALLOWED:g}':>10}"
    )
    print(f"{'largest difference / largest MSD':34}{difference:12.1e}")
    print(f"{'the same of the collective MSD':34}{charge_difference:12.1e}")
    print(f"{'whole analysis with kinisi, s':34}{whole_time:12.3f}")
    print(f"{'its peak memory / trajectory':34}{whole_memory:12.2f}{'':20}{f'<= {MEMORY_ALLOWED:g}':>10}")
    if ratio < RATIO_NEEDED or max(our_memory, whole_memory) > MEMORY_ALLOWED or difference > 1e-6:
        raise SystemExit("slower, larger or different than it must be")


if __name__ == "__main__":
    main()
