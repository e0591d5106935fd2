import io

import pytest
from rich.console import Console
from trivial import add

from sodalyte.cli import progress
from sodalyte.launchers.local import Event
from sodalyte.launchers.schedule import Task
from sodalyte.progress import FILE, in_words, read_progress, tell_progress


def test_what_a_job_tells_is_read(tmp_path):
    assert read_progress(tmp_path, seconds=1.0) == {}
    tell_progress(tmp_path, step=3, max_force=0.05)
    tell_progress(tmp_path, step=4, max_force=0.02)
    assert read_progress(tmp_path, seconds=1.0) == {"step": 4, "max_force": 0.02}
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_a_job_that_cannot_tell_goes_on(tmp_path):
    tell_progress(tmp_path / "gone", step=1)


@pytest.mark.parametrize("torn", ["", "[", "null", "[1, 2]", '"step"'])
def test_what_is_no_progress_says_nothing(tmp_path, torn):
    (tmp_path / FILE).write_text(torn)
    assert read_progress(tmp_path, seconds=1.0) == {}


def test_vasp_tells_by_its_oszicar(tmp_path):
    (tmp_path / "INCAR").write_text("NSW = 2000\nPOTIM = 2.0\n")
    (tmp_path / "OSZICAR").write_text("   1 T=   612. E= -.1E+03\n  400 T=   598. E= -.1E+03\n")
    seen = read_progress(tmp_path, seconds=864.0)
    assert seen == {"of": 2000, "step": 400, "temperature": 598.0, "ps_per_day": pytest.approx(80.0)}
    assert in_words(seen) == "400/2000"
    (tmp_path / "OSZICAR").write_text("   7 F= -.6E+02 E0= -.6E+02\n")
    assert in_words(read_progress(tmp_path, seconds=1.0)) == "7/2000"


@pytest.fixture
def shown(monkeypatch):
    """Show events that come so many seconds after one another; return the lines on a screen that is no terminal."""

    def show(*events, apart):
        now, stream = [0.0], io.StringIO()
        monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
        monkeypatch.setattr(progress, "Console", lambda **_: Console(file=stream, width=200))
        with progress.Progress() as display:
            for event in events:
                now[0] += apart
                display.show(event)
        return stream.getvalue().splitlines()

    return show


def running(step):
    return Event("running", TASK, 1, 3, progress={"step": step, "max_force": 0.1 / step})


TASK = Task.of(add(1, 2))


def test_of_a_long_job_there_is_a_line_a_minute(shown):
    lines = shown(*map(running, range(1, 11)), apart=30.0)
    assert [line.split("step ")[1] for line in lines] == [
        "3 (33 meV/Å)",
        "6 (17 meV/Å)",
        "9 (11 meV/Å)",
    ]
    assert all(" s add, step" in line for line in lines)
    assert shown(*map(running, range(1, 5)), apart=10.0) == [], "who is done within a minute need not tell"
