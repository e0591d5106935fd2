"""The executable as a process: its start, ranks, stops, marks, ledger and shared memory."""

import os
import time

import pytest
from pymatgen.io.vasp import Outcar, Poscar, Potcar
from rehearsals import DYNAMICS, RELAX, STATIC, read

from sodalyte.errors import ConfigurationError
from sodalyte.launchers.rehearsal.fortran import STAMP, scientific
from sodalyte.launchers.rehearsal.memory import Memory, read_ledger
from sodalyte.launchers.rehearsal.potcars import write_library


def test_a_static_takes_less_than_a_second_of_work(campaign, rock_salt):
    folder = campaign.folder("static", rock_salt, STATIC)
    work = []
    for _ in range(4):
        before = os.times()
        campaign.run(folder, afresh=True)
        after = os.times()
        work.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert min(work) < 1.0


@pytest.mark.parametrize("variable", ["SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK"])
def test_only_rank_0_works(campaign, rock_salt, variable):
    folder = campaign.folder("static", rock_salt, STATIC)
    assert campaign.run(folder, **{variable: "1"}) == 0
    assert not (folder / "OUTCAR").exists()
    assert campaign.out(folder) == ""
    assert campaign.run(folder, **{variable: "0"}) == 0
    assert (folder / "OUTCAR").exists()


def test_mpirun_counts_more_than_the_batch_step(campaign, rock_salt):
    folder = campaign.folder("static", rock_salt, STATIC)
    campaign.run(folder, OMPI_COMM_WORLD_RANK="2", SLURM_PROCID="0")
    assert not (folder / "OUTCAR").exists()


def test_outputs_of_an_earlier_attempt_are_gone_at_once(campaign, rock_salt):
    folder = campaign.folder("static", rock_salt, STATIC)
    names = ("OUTCAR", "OSZICAR", "vasprun.xml", "XDATCAR", "CONTCAR")
    for name in names:
        (folder / name).write_text("ZBRENT: fatal error in bracketing\n" * 3)
    (folder / "INCAR").unlink()
    campaign.run(folder)
    for name in names:
        assert "ZBRENT" not in (folder / name).read_text()
    assert campaign.out(folder).startswith(" running    1 mpi-ranks")


@pytest.mark.parametrize(
    ("text", "word"), [("LSTOP = .TRUE.\n", "soft"), ("LABORT = .TRUE.\n", "hard"), ("LSTOP=T", "soft")]
)
def test_stopcar(campaign, rock_salt, text, word):
    folder = campaign.folder("run", rock_salt, DYNAMICS, NSW=100000)
    process = campaign.start(folder, afresh=True)
    deadline = time.monotonic() + 60
    while "      5 T=" not in campaign.out(folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    (folder / "STOPCAR").write_text(text)
    assert process.wait(timeout=30) == 0
    assert not (folder / "STOPCAR").exists()
    assert f" {word} stop encountered!  aborting job ..." in (folder / "OUTCAR").read_text()
    assert Outcar(folder / "OUTCAR").is_stopped == (word == "soft")
    run = read(folder)
    assert 5 <= len(run.ionic_steps) < 100000
    assert "eigenvalues" in (folder / "vasprun.xml").read_text()
    assert campaign.ledger[-1]["ended"] == "stopped"
    assert campaign.ledger[-1]["ionic_steps"] == len(run.ionic_steps)


def test_a_stopped_relaxation_goes_on_from_its_contcar(campaign, thioantimonate):
    whole = campaign.folder("whole", thioantimonate, RELAX)
    campaign.run(whole)
    folder = campaign.folder("relax", thioantimonate, RELAX, NSW=3)
    campaign.run(folder)
    (folder / "POSCAR").write_text((folder / "CONTCAR").read_text())
    (folder / "INCAR").write_text((whole / "INCAR").read_text())
    campaign.run(folder)
    assert read(folder).final_energy == pytest.approx(read(whole).final_energy, abs=1e-4)


def test_every_file_is_marked(campaign, rock_salt):
    folder = campaign.folder("run", rock_salt, DYNAMICS)
    campaign.run(folder)
    given = {"INCAR", "POSCAR", "KPOINTS", "std_err.txt"}
    written = [path for path in folder.iterdir() if path.name not in given and path.is_file() and path.stat().st_size]
    assert {"OUTCAR", "OSZICAR", "vasprun.xml", "XDATCAR", "CONTCAR", "vasp.out", "POTCAR"} <= {p.name for p in written}
    for path in written:
        assert STAMP in path.read_text(), path.name


def test_the_mark_does_not_grow(campaign, rock_salt):
    folder = campaign.folder("run", rock_salt, DYNAMICS)
    for _ in range(2):
        campaign.run(folder)
        (folder / "POSCAR").write_text((folder / "CONTCAR").read_text())
    assert (folder / "POSCAR").read_text().splitlines()[0].count(STAMP) == 1


def test_ledger(campaign, thioantimonate):
    folder = campaign.folder("static", thioantimonate, STATIC, NELECT=99)
    campaign.run(folder)
    (entry,) = read_ledger(campaign.root / "memory")
    assert entry.pop("seconds") > 0
    assert entry == {
        "folder": str(folder),
        "stage": "static",
        "attempt": 1,
        "formula": "Na3S4Sb",
        "model": "einstein",
        "ions": 16,
        "electrons": 99.0,
        "k_points": 4,
        "bands": 60,
        "plane_waves": entry["plane_waves"],
        "encut": 520.0,
        "spins": 1,
        "ionic_steps": 1,
        "electronic_steps": len([line for line in campaign.out(folder).splitlines() if line[:4] in {"DAV:", "RMM:"}]),
        "faults": [],
        "ended": "done",
    }


def test_charge_is_recorded(campaign, rock_salt):
    folder = campaign.folder("static", rock_salt, STATIC, NELECT=55)
    campaign.run(folder)
    assert read(folder).parameters["NELECT"] == 55.0
    assert Outcar(folder / "OUTCAR").nelect == 55.0


def test_memory_counts_to_a_limit(tmp_path):
    memory = Memory(tmp_path / "memory")
    assert [memory.count("a"), memory.count("a"), memory.count("b")] == [1, 2, 1]
    assert [memory.count("c", 2) for _ in range(4)] == [1, 2, 0, 0]
    assert Memory(tmp_path / "memory").count("a") == 3


def test_oscillators_of_a_continued_run_keep_their_sites(campaign, rock_salt):
    first = campaign.folder("first", rock_salt, DYNAMICS, NSW=40)
    campaign.run(first)
    later = Poscar.from_file(first / "CONTCAR", check_for_potcar=False).structure
    plain = type(later)(later.lattice, later.species, later.frac_coords)
    assert campaign.run(campaign.folder("second", plain, DYNAMICS, NSW=1)) == 0
    rest, moved = (read(campaign.root / name).ionic_steps[0]["e_fr_energy"] for name in ("first", "second"))
    assert moved > rest + 0.01


def test_library(tmp_path):
    write_library(tmp_path)
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "POT_GGA_PAW_PBE").iterdir()}
    assert write_library(tmp_path) == tmp_path
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "POT_GGA_PAW_PBE").iterdir()} == files
    for path in files:
        assert "REHEARSAL" in path.read_text().splitlines()[0]


@pytest.mark.filterwarnings("ignore::pymatgen.io.vasp.inputs.UnknownPotcarWarning")
def test_library_in_pymatgen(tmp_path):
    write_library(tmp_path, "PBE_54")
    potcar = Potcar.from_file(tmp_path / "POT_GGA_PAW_PBE_54" / "POTCAR.Na_pv")[0]
    assert (potcar.symbol, potcar.element, potcar.nelectrons, potcar.TITEL) == (
        "Na_pv",
        "Na",
        7.0,
        "PAW_PBE Na_pv REHEARSAL",
    )


def test_library_of_an_unknown_functional(tmp_path):
    with pytest.raises(ConfigurationError, match="did you mean 'PBE_54'"):
        write_library(tmp_path, "PBE_53")


@pytest.mark.parametrize(
    ("value", "width", "digits", "text"),
    [
        (-10.645278, 14, 8, "-.10645278E+02"),
        (0.0, 12, 6, "0.000000E+00"),
        (-6.85330892437, 20, 12, "-0.685330892437E+01"),
        (16.2869, 11, 5, "0.16287E+02"),
        (-0.033306, 8, 2, "-.33E-01"),
        (0.99999999, 8, 2, "0.10E+01"),
    ],
)
def test_numbers_as_fortran_writes_them(value, width, digits, text):
    assert scientific(value, width, digits) == text.rjust(width)
