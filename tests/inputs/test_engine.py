from importlib.metadata import EntryPoint

import pytest

from sodalyte.errors import EngineError
from sodalyte.inputs import engine
from sodalyte.inputs.einstein import EinsteinCrystal
from sodalyte.inputs.engine import get_engine
from sodalyte.inputs.potential import CHGNet


def test_an_unknown_engine_is_refused_with_the_nearest():
    with pytest.raises(EngineError, match="did you mean 'chgnet'"):
        get_engine("chgnt")


def test_a_missing_package_is_refused_with_its_extra(monkeypatch):
    monkeypatch.setattr(CHGNet, "package", "no_such_package")
    with pytest.raises(EngineError, match=r"pip install 'sodalyte\[potential\]'"):
        get_engine("chgnet")


def test_other_packages_register_engines(monkeypatch):
    point = EntryPoint(name="mine", value="sodalyte.inputs.einstein:EinsteinCrystal", group="sodalyte.engines")
    monkeypatch.setattr(engine, "entry_points", lambda **_: [point])
    assert isinstance(get_engine("mine"), EinsteinCrystal)


def test_a_calculation_is_refused_where_another_version_is_installed():
    with pytest.raises(EngineError, match="asks for CHGNet 9"):
        CHGNet(level="CHGNet 9").load(None)
