import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def specimens() -> ModuleType:
    path = Path(__file__).parents[2] / "report" / "specimens.py"
    spec = importlib.util.spec_from_file_location("specimens", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
