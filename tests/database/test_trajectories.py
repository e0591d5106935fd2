import os
import subprocess
import sys
import tracemalloc
from itertools import pairwise

import h5py
import numpy as np
import pytest
from pydantic import ValidationError

from sodalyte.database import h5md
from sodalyte.database.trajectories import Segment, read_trajectory, write_segment
from sodalyte.errors import CalculationError

NUMBERS = [11, 11, 51, 16]
CELL = np.diag([7.0, 7.0, 7.5])


def motion(steps):
    """Positions that are a known function of the step and leave the cell, shape (n_frames, 4, 3)."""
    rest = np.linspace(0, 6, 12).reshape(4, 3)
    return (rest + np.asarray(steps)[:, None, None] * 0.013).astype(np.float32)


def write(root, name, first, last, *, interval=5, steps=None, **changes):
    if steps is None:
        steps = np.arange(first + interval - first % interval, last + 1, interval)
    fields = {
        "numbers": NUMBERS,
        "cell": CELL,
        "positions": motion(steps),
        "energies": -1.0 * np.asarray(steps),
        "temperatures": 300.0 + np.asarray(steps),
        "conserved": 2.0 * np.asarray(steps),
        "time_step": 2.0,
        "sample_interval": interval,
        "attributes": {"level": "EMT"},
    }
    return write_segment(root, name, steps=steps, first_step=first, last_step=last, **(fields | changes))


def test_segments_join_to_one_trajectory(tmp_path):
    segments = [write(tmp_path, f"ab/{first}.h5", first, first + 50) for first in (0, 50, 100)]
    joined = read_trajectory(segments, tmp_path, verify=True)
    steps = np.arange(5, 151, 5)
    np.testing.assert_array_equal(joined.steps, steps)
    np.testing.assert_array_equal(joined.positions, motion(steps))
    np.testing.assert_allclose(joined.times, steps * 0.002)
    np.testing.assert_array_equal(joined.energies, -1.0 * steps)
    np.testing.assert_array_equal(joined.temperatures, 300.0 + steps)
    np.testing.assert_array_equal(joined.conserved, 2.0 * steps)
    np.testing.assert_array_equal(joined.cell, CELL)
    np.testing.assert_array_equal(joined.numbers, NUMBERS)
    assert joined.frame_interval == pytest.approx(0.01)
    assert joined.positions.dtype == np.float32


def test_a_frame_on_both_sides_of_a_seam_is_kept_once(tmp_path):
    segments = [
        write(tmp_path, "a.h5", 0, 50, steps=np.arange(0, 51, 5)),
        write(tmp_path, "b.h5", 50, 100, steps=np.arange(50, 101, 5)),
    ]
    np.testing.assert_array_equal(read_trajectory(segments, tmp_path).steps, np.arange(0, 101, 5))


def test_segments_may_end_between_frames_or_hold_none(tmp_path):
    bounds = [0, 23, 24, 41, 60]
    segments = [write(tmp_path, f"{first}.h5", first, last) for first, last in pairwise(bounds)]
    assert [segment.n_frames for segment in segments] == [4, 0, 4, 4]
    np.testing.assert_array_equal(read_trajectory(segments, tmp_path).steps, np.arange(5, 61, 5))
    with pytest.raises(CalculationError, match=r"no frame in 23\.h5"):
        read_trajectory(segments[1:2], tmp_path)


def test_a_changing_cell_stands_beside_its_frames(tmp_path):
    steps = np.arange(5, 51, 5)
    cells = CELL * (1 + steps[:, None, None] / 1000)
    segments = [write(tmp_path, "a.h5", 0, 50, cell=cells), write(tmp_path, "b.h5", 50, 100)]
    joined = read_trajectory(segments, tmp_path)
    np.testing.assert_array_equal(joined.cell[:10], cells)
    np.testing.assert_array_equal(joined.cell[10:], np.broadcast_to(CELL, (10, 3, 3)))


def test_the_file_follows_h5md(tmp_path):
    """Names, shapes and attributes that the H5MD 1.1 specification demands."""
    write(tmp_path, "a.h5", 0, 50)
    with h5py.File(tmp_path / "a.h5") as file:
        assert list(file["h5md"].attrs["version"]) == [1, 1]
        assert {"name"} <= set(file["h5md/author"].attrs)
        assert {"name", "version"} <= set(file["h5md/creator"].attrs)
        assert list(file["h5md/modules/units"].attrs["version"]) == [1, 0]
        box = file["particles/all/box"]
        assert box.attrs["dimension"] == 3
        assert list(box.attrs["boundary"]) == [b"periodic"] * 3
        assert file["particles/all/species"].shape == (4,)
        position = file["particles/all/position"]
        for element in (position, box["edges"], *file["observables"].values()):
            assert len(element["value"]) == len(element["step"]) == len(element["time"]) == 10
            assert element["step"] == position["step"]
            assert element["time"].attrs["unit"] == "ps"
        assert {name: element["value"].attrs["unit"] for name, element in file["observables"].items()} == {
            "potential_energy": "eV",
            "temperature": "K",
            "conserved_energy": "eV",
        }
        assert file["parameters"].attrs["level"] == "EMT"


def test_the_same_frames_give_the_same_file(tmp_path):
    assert write(tmp_path, "a.h5", 0, 50).sha256 == write(tmp_path, "b.h5", 0, 50).sha256


def test_missing_steps_are_named(tmp_path):
    segments = [write(tmp_path, "a.h5", 0, 50), write(tmp_path, "b.h5", 55, 100)]
    with pytest.raises(CalculationError, match=r"b\.h5 starts from step 55, but a\.h5 before it ends with step 50"):
        read_trajectory(segments, tmp_path)
    missing = write(tmp_path, "c.h5", 50, 100, steps=np.arange(65, 101, 5))
    with pytest.raises(CalculationError, match=r"c\.h5: frames are missing"):
        read_trajectory([segments[0], missing], tmp_path)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"numbers": [11, 11, 51, 15]}, "other atoms"),
        ({"cell": CELL * 1.001}, "another cell"),
        ({"time_step": 1.0}, "another number of atoms, time step or sample interval"),
        ({"interval": 10}, "another number of atoms, time step or sample interval"),
        ({"positions": motion(np.arange(55, 101, 5)) - np.float32(7.0)}, "positions jump"),
    ],
)
def test_segments_that_do_not_fit_are_refused(tmp_path, changes, sentence):
    segments = [write(tmp_path, "a.h5", 0, 50), write(tmp_path, "b.h5", 50, 100, **changes)]
    with pytest.raises(CalculationError, match=sentence) as caught:
        read_trajectory(segments, tmp_path)
    assert "b.h5" in str(caught.value)


def test_damaged_files_are_named(tmp_path):
    segment = write(tmp_path, "a.h5", 0, 50)
    path = tmp_path / "a.h5"
    whole = path.read_bytes()
    for content, sentence in (
        (whole[: len(whole) // 2], "damaged or not a trajectory"),
        (b"not HDF5", "damaged or not a trajectory"),
        (b"", "damaged or not a trajectory"),
    ):
        path.write_bytes(content)
        with pytest.raises(CalculationError, match=sentence) as caught:
            read_trajectory([segment], tmp_path)
        assert "a.h5" in str(caught.value)
    path.unlink()
    with pytest.raises(CalculationError, match=r"a\.h5 is missing"):
        read_trajectory([segment], tmp_path)


def test_another_file_under_the_name_is_noticed(tmp_path):
    segment = write(tmp_path, "a.h5", 0, 50)
    write(tmp_path, "a.h5", 0, 50, energies=np.zeros(10))
    with pytest.raises(CalculationError, match="checksum differs"):
        read_trajectory([segment], tmp_path, verify=True)
    write(tmp_path, "a.h5", 0, 45)
    with pytest.raises(CalculationError, match="does not hold the frames that its record counts"):
        read_trajectory([segment], tmp_path)


def test_an_explosion_is_not_stored(tmp_path):
    positions = motion(np.arange(5, 51, 5))
    positions[7, 2, 1] = np.inf
    with pytest.raises(CalculationError, match="not finite"):
        write(tmp_path, "a.h5", 0, 50, positions=positions)
    assert not list(tmp_path.iterdir())


def test_frames_and_their_numbers_have_to_agree(tmp_path):
    with pytest.raises(ValueError, match="positions of shape"):
        write(tmp_path, "a.h5", 0, 50, positions=motion([5]))
    with pytest.raises(ValueError, match="as many as the steps"):
        write(tmp_path, "a.h5", 0, 50, energies=[1.0])


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def fail(_path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(h5md, "_sync", fail)
    with pytest.raises(CalculationError, match=r"a\.h5 cannot be written: .*No space left"):
        write(tmp_path, "a.h5", 0, 50)
    assert not list(tmp_path.iterdir())


def test_a_killed_writer_leaves_no_segment_and_the_next_one_cleans_up(tmp_path):
    script = """
import os, signal, sys
import numpy as np
from pathlib import Path
from sodalyte.database import h5md
from sodalyte.database.trajectories import write_segment
h5md._sync = lambda path: os.kill(os.getpid(), signal.SIGKILL)
write_segment(Path(sys.argv[1]), "a.h5", numbers=[11], cell=np.eye(3), positions=np.zeros((1, 1, 3), np.float32),
    steps=[5], energies=[0], temperatures=[0], conserved=[0], time_step=2.0, sample_interval=5, first_step=0,
    last_step=5)
"""
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path)], env=os.environ, check=False)
    assert killed.returncode == -9
    (leftover,) = tmp_path.iterdir()
    assert leftover.name != "a.h5"
    segment = write(tmp_path, "a.h5", 0, 50)
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]
    assert len(read_trajectory([segment], tmp_path).steps) == 10


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../outside.h5", "a/../../outside.h5"])
def test_a_record_cannot_point_outside_the_root(path):
    with pytest.raises(ValidationError):
        Segment(
            path=path, first_step=0, last_step=5, n_frames=1, n_atoms=1, time_step=1.0, sample_interval=5, sha256=""
        )


def test_a_record_survives_its_database_document(tmp_path):
    segment = write(tmp_path, "a.h5", 0, 50)
    assert Segment.model_validate(segment.model_dump(mode="json") | {"@module": "any", "@class": "Segment"}) == segment


def test_reading_needs_little_more_memory_than_the_positions(tmp_path):
    steps = np.arange(1, 1001)
    rng = np.random.default_rng(1)
    segments = []
    for number in range(3):
        positions = rng.random((1000, 128, 3), dtype=np.float32)
        first = 1000 * number
        more = {"interval": 1, "steps": first + steps, "positions": positions, "numbers": [11] * 128}
        segments.append(write(tmp_path, f"{number}.h5", first, first + 1000, **more))
    tracemalloc.start()
    joined = read_trajectory(segments, tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.3 * joined.positions.nbytes
