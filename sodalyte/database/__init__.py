"""Where it is kept: stores, results, trajectories."""

from sodalyte.database.query import find, query_frame, to_frame
from sodalyte.database.results import load_results, results_of, save_results
from sodalyte.database.store import Database, open_database

__all__ = [
    "Database",
    "find",
    "load_results",
    "open_database",
    "query_frame",
    "results_of",
    "save_results",
    "to_frame",
]
