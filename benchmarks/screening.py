"""A screening run with one worker and with two: the ratio of their wall times.

    python benchmarks/screening.py [ENGINE]

Everything that ``sodalyte run Na3SbS4 Na3PS4`` does, with dynamics cut to 0.3 ps so that it takes minutes (chgnet).
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

RECIPE = 'base = "quick"\n[dynamics]\nequilibration = 0.1\nproduction = 0.2\nsegment_steps = 50\n'


def seconds(engine: str, workers: int) -> float:
    """Return the wall time of a run in a fresh workspace."""
    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder) / "short.toml"
        recipe.write_text(RECIPE)
        settings = ["--engine", engine, "--recipe", str(recipe), "--workers", str(workers), "--workspace", folder]
        began = time.perf_counter()
        command = [sys.executable, "-m", "sodalyte", "run", "Na3SbS4", "Na3PS4", *settings]
        subprocess.run(command, check=True, capture_output=True)
        return time.perf_counter() - began


def main() -> None:
    """Run the benchmark and print its table."""
    engine = sys.argv[1] if len(sys.argv) > 1 else "chgnet"
    one, two = seconds(engine, 1), seconds(engine, 2)
    table = Table("engine", "1 worker, s", "2 workers, s", "ratio", title="screening of Na3SbS4 and Na3PS4")
    table.add_row(engine, f"{one:.0f}", f"{two:.0f}", f"{two / one:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
