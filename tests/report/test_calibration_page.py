import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def program():
    spec = importlib.util.spec_from_file_location("calibration_page", ROOT / "benchmarks" / "calibration_page.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_tables_of_the_page_are_those_of_the_file_that_ships(program) -> None:
    page = (ROOT / "docs" / "calibration.md").read_text()
    assert program.renewed(page) == page, "run: python benchmarks/calibration_page.py"


def test_every_table_has_its_place_and_text_around_it_stays(program) -> None:
    page = (ROOT / "docs" / "calibration.md").read_text()
    for name in program.PARTS:
        table = page.partition(f"<!-- {name} -->\n")[2].partition(f"<!-- end of {name} -->")[0]
        assert len(table.splitlines()) > 5, name
    assert program.renewed(f"before\n{page}after\n") == f"before\n{page}after\n"


def test_all_numbers_of_the_paper_are_held_against_ours(program) -> None:
    lines = program.PARTS["reproduction"]().splitlines()
    for quantity, crystal, number in [
        ("Reduction limit", "Na3SbS4", "1.83"),
        ("Oxidation limit", "Na3SbS4", "1.90"),
        ("Reduction limit", "Na3PS4", "1.39"),
        ("Oxidation limit", "Na3PS4", "2.45"),
        ("Pugh's ratio G/B", "Na3SbS4", "0.19"),
        ("Pugh's ratio G/B", "Na3PS4", "0.458"),
    ]:
        rows = [line for line in lines if line.startswith(f"| {quantity} | {crystal} ") and f"| {number} |" in line]
        assert {"tetragonal", "cubic"} == {row.split(" | ")[1].split(" ")[1] for row in rows}
