import gzip
import os
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from pymatgen.io.vasp.outputs import Vasprun
from rehearsals import DYNAMICS, Campaign
from vasprun_files import Run, write_vasprun

from sodalyte.errors import CalculationError
from sodalyte.inputs.vasp.reading import iter_frames, read_dynamics, unwrapped
from sodalyte.inputs.vasp.reading.frames import Header
from sodalyte.inputs.vasp.reading.numbers import parse_rows
from sodalyte.structures import conventional, load

GENUINE = "SODALYTE_GENUINE_VASP"
"""Folder of genuine vasprun.xml files, which may not be part of this package."""

RUN = Run(12, kinds=(("Na", 12), ("S", 8)), step_length=0.08)


@pytest.fixture
def vasprun(tmp_path: Path) -> Path:
    write_vasprun(tmp_path / "vasprun.xml", RUN)
    return tmp_path / "vasprun.xml"


def change(path: Path, edit: Callable[[str], str]) -> Path:
    path.write_text(edit(path.read_text()))
    return path


def check_against_pymatgen(path: Path) -> None:
    ours = read_dynamics(path, forces=True)
    theirs = Vasprun(path, parse_dos=False, parse_eigen=False, parse_potcar_file=False)
    steps = theirs.md_data or theirs.ionic_steps
    assert ours.n_steps == len(steps)
    assert ours.complete
    assert list(ours.numbers) == [site.specie.Z for site in theirs.initial_structure]
    for index, step in enumerate(steps):
        energy = step.get("energy", step)
        assert np.array_equal(ours.fractional[index], step["structure"].frac_coords)
        assert np.array_equal(ours.cells[index], step["structure"].lattice.matrix)
        assert np.array_equal(ours.forces[index], step["forces"])
        assert np.array_equal(ours.stress[index], step.get("stress", np.full((3, 3), np.nan)), equal_nan=True)
        assert ours.free_energies[index] == energy["e_fr_energy"]
        assert ours.e_0_energies[index] == energy["e_0_energy"]
        if "kinetic" in energy:
            assert ours.kinetic[index] == energy["kinetic"]
            assert ours.thermostat_potential[index] == energy["nosepot"]
            assert ours.thermostat_kinetic[index] == energy["nosekinetic"]
            assert ours.conserved[index] == energy["total"]
    counts = [len(step["electronic_steps"]) for step in theirs.ionic_steps]
    assert [count for count in ours.electronic_steps if count] == counts


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


def write_vaspout(path: Path, source: Path) -> None:
    """Write what was read from ``source`` with the names that py4vasp's schema gives (py4vasp, _raw/definition.py)."""
    frames = read_dynamics(source, forces=True)
    tags = {
        "ion-electron   TOTEN": frames.free_energies,
        "kinetic energy EKIN": frames.kinetic,
        "kin. lattice   EKIN_LAT": np.zeros(frames.n_steps),
        "temperature    TEIN": frames.temperatures,
        "nose potential ES": frames.thermostat_potential,
        "nose kinetic   EPS": frames.thermostat_kinetic,
        "total energy   ETOTAL": frames.conserved,
    }
    with h5py.File(path, "w") as file:
        group = file.create_group("intermediate/ion_dynamics")
        group["position_ions"], group["lattice_vectors"] = frames.fractional, frames.cells
        group["forces"], group["stress"] = frames.forces, frames.stress
        group["energies"], group["energies_tags"] = np.column_stack([*tags.values()]), [tag.ljust(24) for tag in tags]
        rows = [
            [count, -500, 1e-2 * 10.0**-count, 1e-6, 8, 0.1, 0.1]
            for _ in range(frames.n_steps)
            for count in range(1, 9)
        ]
        rows[8 * 4 - 1][2] = 1e-3
        group["oszicar"] = np.array(rows)
        species = file.create_group("results/positions")
        species["ion_types"], species["number_ion_types"] = ["Na_pv", "S"], [12, 8]
        species["position_ions"] = frames.fractional[-1]
        for name, value in {"POTIM": RUN.time_step, "NSW": 12, "EDIFF": 1e-5, "NELM": 8}.items():
            file[f"input/incar/{name}"] = value
        for name, value in {"major": 6, "minor": 5, "patch": 1}.items():
            file[f"version/{name}"] = value


def test_vaspout_says_the_same_as_vasprun(vasprun: Path) -> None:
    write_vaspout(vasprun.with_name("vaspout.h5"), vasprun)
    binary, text = read_dynamics(vasprun.parent, forces=True), read_dynamics(vasprun, forces=True)
    assert binary.source.endswith("vaspout.h5")
    assert binary.complete
    assert binary.generator == "vasp 6.5.1"
    for name in ("numbers", "cells", "positions", "forces", "stress", "free_energies", "conserved", "temperatures"):
        assert np.array_equal(getattr(binary, name), getattr(text, name)), name
    assert np.isnan(binary.e_0_energies).all()
    assert np.flatnonzero(~binary.scf_converged).tolist() == [3]


def test_a_vaspout_that_says_nothing_of_convergence_gives_way_to_vasprun(vasprun: Path) -> None:
    binary = vasprun.with_name("vaspout.h5")
    write_vaspout(binary, vasprun)
    with h5py.File(binary, "r+") as file:
        rows = file["intermediate/ion_dynamics/oszicar"][:]
        del file["intermediate/ion_dynamics/oszicar"]
        file["intermediate/ion_dynamics/oszicar"] = rows[16:]
    assert read_dynamics(vasprun.parent).source.endswith("vasprun.xml")
    with pytest.raises(CalculationError, match="which electronic steps converged"):
        read_dynamics(binary)


def test_a_damaged_vaspout_gives_way_to_vasprun(vasprun: Path) -> None:
    binary = vasprun.with_name("vaspout.h5")
    write_vaspout(binary, vasprun)
    binary.write_bytes(binary.read_bytes()[:4000])
    assert read_dynamics(vasprun.parent).source.endswith("vasprun.xml")
    assert sum(1 for _ in iter_frames(vasprun.parent)) == RUN.n_steps
    with pytest.raises(CalculationError, match=r"damaged or not a vaspout\.h5"):
        read_dynamics(binary)


def write_xdatcar(folder: Path, source: Path, *, n_steps: int) -> None:
    """Write XDATCAR (with a cell that changes), OSZICAR and INCAR of what was read from ``source``."""
    frames = read_dynamics(source)
    with (folder / "XDATCAR").open("w") as file, (folder / "OSZICAR").open("w") as energies:
        for index in range(n_steps):
            if index in {0, 5}:
                edge = RUN.edge + 0.1 * (index == 5)
                file.write("synthetic\n           1\n")
                file.writelines(f"    {x:10.6f}  {y:10.6f}  {z:10.6f}\n" for x, y, z in np.eye(3) * edge)
                file.write("   Na   S\n   12    8\n")
            file.write(f"Direct configuration={index + 1:6d}\n")
            file.writelines(f"  {x:11.8f} {y:11.8f} {z:11.8f}\n" for x, y, z in frames.fractional[index])
            energies.write(
                "       N       E                     dE             d eps       ncg     rms          rms(c)\n"
            )
            change = 1e-3 if index == 2 else 1e-6
            for count in range(1, 9):
                energies.write(f"DAV: {count:3d}    -0.5E+03   {change:12.5E}   -0.1E-06   408   0.183E+02\n")
            energies.write(
                f"{index + 1:7d} T={frames.temperatures[index]:6.0f}. E= {frames.conserved[index]:.8E} "
                f"F= {frames.free_energies[index]:.8E} E0= {frames.e_0_energies[index]:.8E}  "
                f"EK= {frames.kinetic[index]:.5E} SP= {frames.thermostat_potential[index]:.2E} SK= 0.10E+00\n"
            )
    (folder / "INCAR").write_text("IBRION = 0\nNSW = 12\nPOTIM = 2.0 ! fs\nNELM = 8; EDIFF = 1E-5\n")


def test_xdatcar_and_oszicar_when_vasprun_is_lost(vasprun: Path, tmp_path: Path) -> None:
    (folder := tmp_path / "run").mkdir()
    write_xdatcar(folder, vasprun, n_steps=12)
    text, whole = read_dynamics(folder), read_dynamics(vasprun)
    assert text.complete
    assert text.source.endswith("XDATCAR")
    assert text.time_step == 2.0
    assert np.array_equal(text.numbers, whole.numbers)
    assert text.cells[:, 1, 1] == pytest.approx([14.4] * 5 + [14.5] * 7)
    assert np.array_equal(text.fractional, whole.fractional)
    assert text.free_energies == pytest.approx(whole.free_energies, rel=1e-8)
    assert text.temperatures == pytest.approx(whole.temperatures, rel=1e-5)
    assert np.isnan(text.stress).all()
    assert np.flatnonzero(~text.scf_converged).tolist() == [2]
    temperatures = [
        float(line.split()[2].rstrip(".")) for line in (folder / "OSZICAR").read_text().splitlines() if " T=" in line
    ]
    assert text.temperatures == pytest.approx(temperatures, abs=0.5)


def test_the_files_of_a_rehearsal_agree_with_each_other(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path)
    folder = campaign.folder("dynamics", conventional(load("Na3SbS4").structure), DYNAMICS, mesh=(1, 1, 1))
    campaign.run(folder)
    check_against_pymatgen(folder / "vasprun.xml")
    text, short = read_dynamics(folder / "vasprun.xml"), read_dynamics(folder / "XDATCAR")
    assert text.complete
    assert short.complete
    assert text.scf_converged.all()
    assert short.scf_converged.all()
    assert text.positions == pytest.approx(short.positions, abs=1e-5)
    assert text.free_energies == pytest.approx(short.free_energies, rel=1e-6)
    assert text.temperatures == pytest.approx(short.temperatures, rel=1e-4)
    assert text.conserved == pytest.approx(short.conserved, abs=1e-3)
    assert np.array_equal(text.electronic_steps, short.electronic_steps)
    printed = re.findall(r"T=\s*(\d+)", (folder / "OSZICAR").read_text())
    assert text.temperatures == pytest.approx([float(kelvin) for kelvin in printed], abs=0.51)


def test_an_xdatcar_alone_has_positions_and_no_claims(vasprun: Path, tmp_path: Path) -> None:
    (folder := tmp_path / "run").mkdir()
    write_xdatcar(folder, vasprun, n_steps=12)
    lines = (folder / "OSZICAR").read_text().splitlines(keepends=True)
    (folder / "OSZICAR").write_text("".join(lines[: 10 * 7 + 4]))
    assert read_dynamics(folder).n_steps == 7
    (folder / "OSZICAR").unlink()
    frames = read_dynamics(folder)
    assert frames.n_steps == 12
    assert np.isnan(frames.free_energies).all()
    assert not frames.scf_converged.any()


def test_an_xdatcar_cut_off_keeps_its_complete_frames(vasprun: Path, tmp_path: Path) -> None:
    (folder := tmp_path / "run").mkdir()
    write_xdatcar(folder, vasprun, n_steps=7)
    content = (folder / "XDATCAR").read_bytes()
    for length in range(len(content) - 300, len(content), 7):
        (folder / "XDATCAR").write_bytes(content[:length])
        frames = read_dynamics(folder)
        assert frames.n_steps in {6, 5}
        assert not frames.complete
    (folder / "INCAR").unlink()
    with pytest.raises(CalculationError, match="'POTIM', and no INCAR"):
        read_dynamics(folder)


def test_of_files_that_were_cut_off_the_longest_is_read(vasprun: Path) -> None:
    write_xdatcar(vasprun.parent, vasprun, n_steps=7)
    text = vasprun.read_text()
    ends = [match.end() for match in re.finditer("</calculation>", text)]
    vasprun.write_text(text[: ends[6]])
    assert read_dynamics(vasprun.parent).source.endswith("vasprun.xml")
    vasprun.write_text(text[: ends[4]])
    assert read_dynamics(vasprun.parent).source.endswith("XDATCAR")
