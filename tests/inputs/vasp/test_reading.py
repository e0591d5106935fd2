"""vasprun.xml is read as pymatgen reads it, whatever became of it."""

import gzip
import os
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from vasp_files import check_against_pymatgen
from vasprun_files import RUN, Run, write_vasprun

from sodalyte.errors import CalculationError
from sodalyte.inputs.vasp.reading import iter_frames, read_dynamics, unwrapped
from sodalyte.inputs.vasp.reading import vasprun as scan
from sodalyte.inputs.vasp.reading.frames import Header
from sodalyte.inputs.vasp.reading.numbers import parse_rows

GENUINE = "SODALYTE_GENUINE_VASP"
"""Folder of genuine vasprun.xml files, which may not be part of this package."""


def change(path: Path, edit: Callable[[str], str]) -> Path:
    path.write_text(edit(path.read_text()))
    return path


@pytest.mark.parametrize("n_atoms", [1, 3, 20])
def test_numbers_are_those_of_pymatgen(tmp_path: Path, n_atoms: int) -> None:
    write_vasprun(tmp_path / "vasprun.xml", Run(5, kinds=(("Na", n_atoms),)))
    check_against_pymatgen(tmp_path / "vasprun.xml")


@pytest.mark.parametrize("size", [1e-6, 1, 1e3, 1e6])
def test_numbers_are_rounded_as_float_does(size: float) -> None:
    values = (np.random.default_rng(2).uniform(-9, 9, (60, 3)) * size).round(8)
    text = "".join(f"   <v> {x:16.8f} {y:16.8f} {z:16.8f} </v>\n" for x, y, z in values.tolist()).encode()
    assert np.array_equal(
        parse_rows(b" >\n" + text, 60), [[float(word) for word in line.split()[1:4]] for line in text.splitlines()]
    )
    with pytest.raises(ValueError, match="instead of 177 numbers"):
        parse_rows(text, 59)
    with pytest.raises(ValueError, match="instead of 183 numbers"):
        parse_rows(text, 61)


@pytest.mark.skipif(GENUINE not in os.environ, reason=f"{GENUINE} names no folder with genuine files")
def test_genuine_files_give_the_numbers_of_pymatgen() -> None:
    files = sorted(Path(os.environ[GENUINE]).rglob("vasprun*.xml*"))
    assert files
    for path in files:
        check_against_pymatgen(path)
        assert read_dynamics(path).scf_converged.all()


def test_a_packed_file_reads_the_same(vasprun: Path, tmp_path: Path) -> None:
    packed = tmp_path / "vasprun.xml.gz"
    packed.write_bytes(gzip.compress(vasprun.read_bytes()))
    assert np.array_equal(read_dynamics(packed).positions, read_dynamics(vasprun).positions)


def test_temperature_of_a_genuine_run() -> None:
    header = Header("", np.zeros(64, dtype=int), 3.0, 10, 60, 1e-4, degrees_of_freedom=3 * 64 - 3)
    # VASP 6.3.2, 64 Si, TEBEG = 2000: the first step's EKIN. VASP's Boltzmann constant is 6 ppm off.
    assert header.temperature(16.28687400) == pytest.approx(2000, rel=1e-5)


def test_selective_dynamics_has_fewer_degrees_of_freedom(vasprun: Path) -> None:
    rows = "".join(f'<v type="logical"> {"T  T  F" if atom < 4 else "F  F  F"} </v>\n' for atom in range(20))
    free = read_dynamics(vasprun).temperatures
    change(
        vasprun,
        lambda text: re.sub(
            r"(initialpos.*?</crystal>.*?</varray>)",
            rf'\1<varray type="logical" name="selective">{rows}</varray>',
            text,
            count=1,
            flags=re.DOTALL,
        ),
    )
    assert read_dynamics(vasprun).temperatures == pytest.approx(free * 57 / 8)


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_cut_anywhere_keeps_its_complete_steps(vasprun: Path, tmp_path: Path, packed: bool) -> None:
    whole, text = read_dynamics(vasprun, forces=True), vasprun.read_bytes()
    first = text.index(b"</calculation>") + len(b"</calculation>")
    for length in np.linspace(first, len(text) - 2, 97, dtype=int):
        left, path = text[:length], tmp_path / "cut.xml"
        if packed:
            stream = gzip.compress(text)
            path.write_bytes(stream[: max(len(stream) * length // len(text), 2500)])
        else:
            path.write_bytes(left)
        try:
            cut = read_dynamics(path, forces=True)
        except CalculationError:
            assert packed  # where the first step ends in the packed file is not known
            continue
        assert not cut.complete or (packed and cut.n_steps == RUN.n_steps)
        if not packed:
            assert cut.n_steps == left.count(b"</calculation>")
        for name in ("fractional", "positions", "stress", "forces", "conserved", "temperatures", "electronic_steps"):
            assert np.array_equal(getattr(cut, name), getattr(whole, name)[: cut.n_steps]), name


def test_a_file_without_a_step_is_refused(vasprun: Path) -> None:
    change(vasprun, lambda text: text[: text.index("</scstep>")])
    with pytest.raises(CalculationError, match="no complete ionic step"):
        read_dynamics(vasprun)
    vasprun.write_text("<modeling>")
    with pytest.raises(CalculationError, match="no complete ionic step"):
        read_dynamics(vasprun)


def test_what_overflowed_is_missing_in_its_own_place(vasprun: Path) -> None:
    good = read_dynamics(vasprun, forces=True)
    stars = "*" * 16

    def overflow(text: str) -> str:
        steps = text.split("<calculation>")
        steps[4] = re.sub(r'(name="nosepot">)[^<]{16}', rf"\1{stars}", steps[4])
        steps[5] = re.sub(r'(name="stress" >\s*<v> .{17}).{16}', rf"\1{stars}", steps[5])
        steps[6] = re.sub(r'(name="forces" >\s*<v> .{34}).{16}', rf"\1{stars}", steps[6])
        return "<calculation>".join(steps)

    bad = read_dynamics(change(vasprun, overflow), forces=True)
    assert np.flatnonzero(np.isnan(bad.thermostat_potential)).tolist() == [3]
    assert np.argwhere(np.isnan(bad.stress)).tolist() == [[4, 0, 1]]
    assert np.argwhere(np.isnan(bad.forces)).tolist() == [[5, 0, 2]]
    for name in ("thermostat_potential", "stress", "forces"):
        kept = ~np.isnan(getattr(bad, name))
        assert np.array_equal(getattr(bad, name)[kept], getattr(good, name)[kept])
    assert np.array_equal(bad.positions, good.positions)


def test_positions_that_overflowed_are_an_error(vasprun: Path) -> None:
    change(
        vasprun,
        lambda text: re.sub(
            r"(<calculation>.*?name=\"positions\" >\s*<v> ).{16}", r"\1" + "*" * 16, text, count=1, flags=re.DOTALL
        ),
    )
    with pytest.raises(CalculationError, match="ionic step 1: positions overflow"):
        read_dynamics(vasprun)


@pytest.mark.parametrize(
    ("pattern", "into"),
    [
        (r"(name=\"positions\" >\s*<v>) \s*\S+", r"\1"),
        (r"(name=\"stress\" >\s*<v>) .{5}", r"\1 <i>bc"),
        (r"</structure>", ""),
    ],
)
def test_a_damaged_step_is_an_error_that_names_it(vasprun: Path, pattern: str, into: str) -> None:
    def damage(text: str) -> str:
        steps = text.split("<calculation>")
        steps[7] = re.sub(pattern, into, steps[7])
        return "<calculation>".join(steps)

    with pytest.raises(CalculationError, match="ionic step 7"):
        read_dynamics(change(vasprun, damage))


def test_entities_are_refused(vasprun: Path) -> None:
    bomb = '<!DOCTYPE m [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>\n<modeling>'
    change(vasprun, lambda text: text.replace("<modeling>", bomb).replace("synthetic,", "&b;"))
    with pytest.raises(CalculationError, match="declares a document type"):
        read_dynamics(vasprun)


def test_what_never_ends_is_refused_before_it_fills_the_memory(vasprun: Path, monkeypatch) -> None:
    monkeypatch.setattr(scan, "_CHUNK", 10_000)
    monkeypatch.setattr(scan, "_LARGEST", 100_000)
    text = vasprun.read_text()
    assert read_dynamics(vasprun).complete
    vasprun.write_text("<modeling>" + " " * 200_000 + text)
    with pytest.raises(CalculationError, match="no ionic step begins in its first 100000 bytes"):
        read_dynamics(vasprun)
    vasprun.write_text(text.replace("</scstep>", "") + " " * 200_000)
    with pytest.raises(CalculationError, match="an element does not end within 100000 bytes"):
        read_dynamics(vasprun)


def test_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "vasprun.xml").write_text("<html><calculation></calculation></html>")
    with pytest.raises(CalculationError, match="no header"):
        read_dynamics(tmp_path)
    with pytest.raises(CalculationError, match="does not exist"):
        read_dynamics(tmp_path / "OUTCAR")
    (tmp_path / "vasprun.xml").unlink()
    with pytest.raises(CalculationError, match=r"holds none of vaspout.h5, vasprun.xml"):
        read_dynamics(tmp_path)


def test_unwrapped_positions_follow_the_walk(vasprun: Path) -> None:
    walked = write_vasprun(vasprun, RUN)
    frames = read_dynamics(vasprun)
    assert (np.floor(walked) != np.floor(walked[0])).any()
    assert frames.positions - frames.positions[0] == pytest.approx((walked - walked[0]) * RUN.edge, abs=1e-6)
    assert np.ptp(frames.fractional) < 1


def test_unwrapping_in_a_sheared_cell_that_grows() -> None:
    rng = np.random.default_rng(3)
    walked = np.cumsum(rng.uniform(-0.2, 0.2, (600, 7, 3)), axis=0)
    cells = np.array([[5, 0, 0], [2, 6, 0], [-1, 1, 7.0]]) * np.linspace(1, 1.2, 600)[:, None, None]
    expected = np.einsum("tai,tij->taj", walked - np.floor(walked[0]), cells)
    assert unwrapped(walked % 1, cells) == pytest.approx(expected, abs=1e-10)


def test_an_ambiguous_jump_is_an_error() -> None:
    fractional = np.zeros((300, 2, 3))
    fractional[270:, 1, 2] = 0.45
    with pytest.raises(CalculationError, match=r"atom 2 moves by 0.45 .* before frame 271"):
        unwrapped(fractional, np.broadcast_to(np.eye(3), (300, 3, 3)))


def test_electronic_steps_that_do_not_converge_are_seen(vasprun: Path) -> None:
    write_vasprun(vasprun, Run(6, kinds=RUN.kinds, electronic_steps=8, nelm=8))
    assert read_dynamics(vasprun).scf_converged.all()  # at NELM, but with a last change below EDIFF

    def disturb(text: str) -> str:
        steps = text.split("<calculation>")
        scsteps = steps[3].split("</scstep>")
        scsteps[-3] = re.sub(r'(e_fr_energy"> *)-(\d+)', r"\1-1\2", scsteps[-3])
        steps[3] = "</scstep>".join(scsteps)
        return "<calculation>".join(steps)

    frames = read_dynamics(change(vasprun, disturb))
    assert np.flatnonzero(~frames.scf_converged).tolist() == [2]
    assert frames.electronic_steps.tolist() == [8] * 6


def test_a_last_step_given_up_by_a_stop_is_not_converged(vasprun: Path) -> None:
    def give_up(text: str) -> str:
        steps = text.split("<calculation>")
        scsteps = steps[-1].split("</scstep>")
        steps[-1] = "</scstep>".join([*scsteps[:3], *scsteps[-1:]])
        return "<calculation>".join(steps)

    frames = read_dynamics(change(vasprun, give_up))
    assert frames.electronic_steps[-1] == 3 < RUN.nelm
    assert frames.scf_converged.tolist() == [True] * 11 + [False]


def test_steps_of_a_force_field_stand_without_calculation(vasprun: Path) -> None:
    whole = read_dynamics(vasprun)

    def strip(text: str) -> str:
        learnt, predicted = text[: (cut := text.index("<calculation>", len(text) // 2))], text[cut:]
        return learnt + re.sub(r"</?calculation>|<scstep>.*?</scstep>", "", predicted, flags=re.DOTALL)

    frames = read_dynamics(change(vasprun, strip))
    assert np.array_equal(frames.positions, whole.positions)
    assert np.array_equal(frames.conserved, whole.conserved)
    assert set(frames.electronic_steps) == {8, 0}
    assert frames.scf_converged.all()


def test_memory_does_not_grow_with_the_number_of_steps(tmp_path: Path) -> None:
    peaks = []
    for n_steps in (150, 600):
        write_vasprun(tmp_path / f"{n_steps}.xml", Run(n_steps, kinds=(("Na", 64),), electronic_steps=2))
        tracemalloc.start()
        assert sum(1 for _ in iter_frames(tmp_path / f"{n_steps}.xml", forces=True)) == n_steps
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
