import time

import pytest

from sodalyte import interruption


def test_a_clock_that_is_set_moves_no_deadline(monkeypatch):
    now = time.time()
    monkeypatch.setenv(interruption.DEADLINE, str(now + 60))
    monkeypatch.setattr(time, "time", lambda: now + 3600)
    assert interruption.time_left() == pytest.approx(60, abs=5)
