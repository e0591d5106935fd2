"""What is read where there is more than vasprun.xml, or none: vaspout.h5, and XDATCAR with OSZICAR."""

import re
from pathlib import Path

import h5py
import numpy as np
import pytest
from rehearsals import DYNAMICS, Campaign
from vasp_files import check_against_pymatgen
from vasprun_files import RUN

from sodalyte.errors import CalculationError
from sodalyte.inputs.vasp.reading import iter_frames, read_dynamics
from sodalyte.structures import conventional, load


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


def test_vaspout_says_the_same_as_vasprun(vasprun: Path) -> None:
    write_vaspout(vasprun.with_name("vaspout.h5"), vasprun)
    binary, text = read_dynamics(vasprun.parent, forces=True), read_dynamics(vasprun, forces=True)
    assert binary.header.source.endswith("vaspout.h5")
    assert binary.complete
    assert np.array_equal(binary.header.numbers, text.header.numbers)
    for name in ("cells", "positions", "forces", "stress", "free_energies", "conserved", "temperatures"):
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
    assert read_dynamics(vasprun.parent).header.source.endswith("vasprun.xml")
    with pytest.raises(CalculationError, match="which electronic steps converged"):
        read_dynamics(binary)


def test_a_damaged_vaspout_gives_way_to_vasprun(vasprun: Path) -> None:
    binary = vasprun.with_name("vaspout.h5")
    write_vaspout(binary, vasprun)
    binary.write_bytes(binary.read_bytes()[:4000])
    assert read_dynamics(vasprun.parent).header.source.endswith("vasprun.xml")
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
    assert text.header.source.endswith("XDATCAR")
    assert text.header.time_step == 2.0
    assert np.array_equal(text.header.numbers, whole.header.numbers)
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
    assert read_dynamics(vasprun.parent).header.source.endswith("vasprun.xml")
    vasprun.write_text(text[: ends[4]])
    assert read_dynamics(vasprun.parent).header.source.endswith("XDATCAR")
