import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from sodalyte.report import write_report


@pytest.fixture(scope="session")
def specimens() -> ModuleType:
    path = Path(__file__).parent / "specimens.py"
    spec = importlib.util.spec_from_file_location("specimens", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def hostile(specimens):
    name = "<script>alert('x')</script> ../../etc/passwd & \"quoted\" $\\frac$ 晶体 \u202e]]> -->"
    return specimens.relaxed_only(name) + specimens.relaxed_only("<SCRIPT>alert('x')</script> ../../etc/passwd")


@pytest.fixture(scope="session")
def full_report(specimens, tmp_path_factory) -> Path:
    """Everything at once: two complete materials, a refused one."""
    results = specimens.na3ps4() + specimens.na3sbs4() + specimens.refused()
    return write_report(results, tmp_path_factory.mktemp("full"), title="Na3SbS4, Na3PS4", order=["Na3SbS4"])


@pytest.fixture(scope="session")
def hostile_report(hostile, specimens, tmp_path_factory) -> Path:
    return write_report(hostile + specimens.refused(), tmp_path_factory.mktemp("hostile"), title="<b>bold</b>")
