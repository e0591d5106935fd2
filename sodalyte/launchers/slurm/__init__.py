"""Slurm clusters: allocations in which pilots pull jobs, and the truth about how they end."""
