"""Where it is kept: stores, results, trajectories."""
