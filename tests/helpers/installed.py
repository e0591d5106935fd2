"""Marks for tests of what is installed only on request."""

from importlib.util import find_spec

import pytest

needs_gpaw = pytest.mark.skipif(find_spec("gpaw") is None, reason="GPAW is missing: scripts/install --with gpaw")
