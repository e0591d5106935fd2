"""The diffusivity of molecular dynamics that still runs, from the segments that it has finished.

A preliminary number for who watches: the straight line through the mean squared displacement, with the same window and
the same least number of hops as the final analysis, but one estimator and no guards on temperature or melting.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sodalyte.errors import CalculationError

if TYPE_CHECKING:
    from sodalyte.database import Database
    from sodalyte.database.trajectories import Trajectory

DISCARDED = 0.2
"""Part of the run at its beginning that is left out as equilibration."""

NOT_YET = "not diffusive yet"


@dataclass(frozen=True)
class RunningDiffusivity:
    """What is known so far.

    ``value`` and ``uncertainty`` are in cm^2/s, None as long as nothing can be said; ``length`` is what was looked at,
    ps; ``n_hops`` counts independent hops.
    """

    length: float
    n_hops: float = 0.0
    value: float | None = None
    uncertainty: float | None = None

    def __str__(self) -> str:
        """Write it for a table."""
        if self.value is None or self.uncertainty is None:
            return NOT_YET
        return f"{self.value:.1e} ± {self.uncertainty:.0e}"


class DynamicsReader:
    """Finds the finished segments of running dynamics, and reads their files once for each new segment.

    A segment's job does not know the ones before the last; the job that waits for it, and decides whether another
    segment follows, does (:func:`sodalyte.workflows.dynamics.run_segments`).

    Parameters
    ----------
    root
        Of the trajectories.
    """

    def __init__(self, database: Database, root: Path) -> None:
        self._fireworks = database.collection("fireworks")
        self._workflows = database.collection("workflows")
        self._root = root
        self._known: dict[int, RunningDiffusivity | None] = {}

    def of(self, fw_id: int) -> RunningDiffusivity | None:
        """Return what the segments before a running one say; None if there are none, or they cannot be read here."""
        if fw_id not in self._known:
            try:
                self._known[fw_id] = self._read(fw_id)
            except (CalculationError, KeyError, TypeError, ValueError):
                self._known[fw_id] = None
        return self._known[fw_id]

    def _read(self, fw_id: int) -> RunningDiffusivity | None:
        from pymatgen.core import Structure

        from sodalyte.database.trajectories import Segment, read_trajectory
        from sodalyte.structures import sodium_spacing

        workflow = self._workflows.find_one({"nodes": fw_id}, {f"links.{fw_id}": 1})
        children = workflow["links"].get(str(fw_id), []) if workflow else []
        for child in self._fireworks.find({"fw_id": {"$in": children}}, {"spec._tasks": 1}):
            job = json.loads(child["spec"]["_tasks"][0]["job"])
            done = job.get("function_kwargs", {}).get("done")
            if done:
                structure = Structure.from_dict(job["function_args"][1])
                segments = [Segment.model_validate(segment) for segment in done]
                trajectory = read_trajectory(segments, self._root)
                return running_diffusivity(trajectory, hop_length=sodium_spacing(structure))
        return None


def running_diffusivity(trajectory: Trajectory, *, hop_length: float) -> RunningDiffusivity:
    """Estimate the diffusivity of sodium in a trajectory that still grows.

    Parameters
    ----------
    hop_length
        Distance of neighbouring sodium sites, angstrom.
    """
    from sodalyte.analysis.diffusion import CM2_PER_S, FEWEST_HOPS, SHORTEST_RUN
    from sodalyte.analysis.diffusivity import Run, motion
    from sodalyte.analysis.msd import framework_drift
    from sodalyte.analysis.msd_fit import fitted_line

    positions = trajectory.positions[int(DISCARDED * len(trajectory.positions)) :]
    sodium = np.flatnonzero(trajectory.numbers == 11)
    framework = np.flatnonzero(trajectory.numbers != 11)
    length = max(len(positions) - 1, 0) * trajectory.frame_interval
    if length < SHORTEST_RUN or not sodium.size or not framework.size:
        return RunningDiffusivity(length)
    drift = framework_drift(positions, framework)
    run = Run(positions, drift, sodium, trajectory.frame_interval, hop_length)
    moved = motion(run)
    if moved.window is None or moved.n_hops < FEWEST_HOPS:
        return RunningDiffusivity(length, moved.n_hops)
    (slope, _), covariance = fitted_line(moved.window)
    if slope <= 0:
        return RunningDiffusivity(length, moved.n_hops)
    scale = CM2_PER_S / 6
    return RunningDiffusivity(length, moved.n_hops, float(slope * scale), float(np.sqrt(covariance[0, 0]) * scale))
