import json

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS

from sodalyte import interruption
from sodalyte.errors import StoppedError
from sodalyte.inputs.recorded import RecordedCalculator
from sodalyte.progress import read_progress


class Computer:
    """EMT, which counts its work and, like a process that is killed, does not survive call number ``fatal``."""

    def __init__(self, fatal=None):
        self.calls = 0
        self.fatal = fatal

    def __call__(self, atoms):
        self.calls += 1
        if self.calls == self.fatal:
            raise KeyboardInterrupt
        atoms = atoms.copy()
        atoms.calc = EMT()
        return {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces(), "stress": atoms.get_stress()}


def relax(computer, path):
    atoms = bulk("Cu", cubic=True, a=3.7)
    atoms.rattle(0.1, seed=3)
    atoms.calc = RecordedCalculator(computer, path)
    motion = BFGS(FrechetCellFilter(atoms), logfile=None)
    assert motion.run(fmax=0.001, steps=200)
    return atoms


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    computer = Computer()
    return relax(computer, tmp_path_factory.mktemp("undisturbed") / "steps.jsonl"), computer.calls


def test_a_killed_relaxation_goes_on_and_ends_where_the_undisturbed_one_does(undisturbed, tmp_path):
    expected, total = undisturbed
    killed, rest = Computer(fatal=6), Computer()
    with pytest.raises(KeyboardInterrupt):
        relax(killed, tmp_path / "steps.jsonl")
    atoms = relax(rest, tmp_path / "steps.jsonl")
    assert rest.calls == total - 5
    assert np.array_equal(atoms.positions, expected.positions)
    assert np.array_equal(atoms.cell.array, expected.cell.array)


def test_how_far_it_is_stands_in_its_folder(tmp_path):
    """Also for a relaxation that goes on: its steps are counted from the first."""
    for fatal in (4, 3):
        with pytest.raises(KeyboardInterrupt):
            relax(Computer(fatal=fatal), tmp_path / "steps.jsonl")
    steps = [json.loads(line) for line in (tmp_path / "steps.jsonl").read_text().splitlines()]
    progress = read_progress(tmp_path, seconds=1.0)
    assert progress["step"] == len(steps) == 5
    assert progress["max_force"] == pytest.approx(np.linalg.norm(steps[-1]["forces"], axis=1).max())


def test_a_line_torn_by_a_kill_is_computed_again(undisturbed, tmp_path):
    _, total = undisturbed
    path = tmp_path / "steps.jsonl"
    relax(Computer(), path)
    path.write_bytes(path.read_bytes()[:-20])
    again = Computer()
    relax(again, path)
    assert again.calls == 1
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == total


def test_records_of_another_configuration_are_not_used(undisturbed, tmp_path):
    path = tmp_path / "steps.jsonl"
    relax(Computer(), path)
    other = bulk("Cu", cubic=True, a=3.6)
    other.calc = RecordedCalculator(Computer(), path)
    fresh = bulk("Cu", cubic=True, a=3.6)
    fresh.calc = EMT()
    assert other.get_potential_energy() == fresh.get_potential_energy()
    assert len(path.read_text().splitlines()) == 1


def test_steps_up_to_where_another_path_begins_are_kept(undisturbed, tmp_path):
    expected, total = undisturbed
    path = tmp_path / "steps.jsonl"
    relax(Computer(), path)
    lines = path.read_text().splitlines(keepends=True)
    strange = json.loads(lines[4]) | {"positions": json.loads(lines[0])["positions"]}
    path.write_text("".join([*lines[:4], json.dumps(strange) + "\n", *lines[5:]]))
    rest = Computer()
    atoms = relax(rest, path)
    assert rest.calls == total - 4
    left = path.read_text().splitlines(keepends=True)
    assert (left[:4], len(left)) == (lines[:4], total)
    assert np.array_equal(atoms.positions, expected.positions)


def test_no_step_is_begun_for_which_there_is_no_time(monkeypatch, tmp_path):
    monkeypatch.setenv(interruption.DEADLINE, "1")
    computer = Computer()
    with pytest.raises(StoppedError, match="ionic step 1; started again, it goes on"):
        relax(computer, tmp_path / "steps.jsonl")
    assert computer.calls == 0
