"""Parsing agrees with pymatgen's; what cannot be honoured is refused by name."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.io.vasp import Incar as PymatgenIncar
from pymatgen.io.vasp import Poscar
from rehearsals import DYNAMICS, RELAX, STATIC

from sodalyte.launchers.rehearsal.cell import Cell, check_species, parse_potcar
from sodalyte.launchers.rehearsal.incar import Incar, InputError

TEXT = """SYSTEM = a name with = and 5
ENCUT = 520 ; ISMEAR = -5   ! semicolons and comments
EDIFF = 1.0D-05  # D as Fortran has it
MAGMOM = 2*0.6 \\
  3*-1
LWAVE = .FALSE.
LCHARG = T
LREAL = Auto
NSW = 20 steps
POTIM = 2
"""


def test_incar():
    tags = Incar.parse(TEXT).tags
    assert tags["ENCUT"] == 520.0
    assert tags["ISMEAR"] == -5
    assert tags["EDIFF"] == 1e-5
    assert tags["MAGMOM"] == [0.6, 0.6, -1, -1, -1]
    assert (tags["LWAVE"], tags["LCHARG"], tags["LREAL"]) == (False, True, "Auto")
    assert tags["NSW"] == 20
    assert isinstance(tags["POTIM"], float)


def test_incar_as_pymatgen_reads_it():
    text = "".join(f"{name} = {value}\n" for name, value in (RELAX | DYNAMICS).items())
    ours, theirs = Incar.parse(text).tags, PymatgenIncar.from_str(text)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert value == pytest.approx(theirs[name]), name


@pytest.mark.parametrize("direct", [True, False])
def test_poscar_as_pymatgen_reads_it(rattled, direct):
    rattled = rattled.copy()
    rattled.add_site_property(
        "velocities", np.random.default_rng(1).normal(scale=0.01, size=(len(rattled), 3)).tolist()
    )
    text = Poscar(rattled).get_str(direct=direct)
    cell, poscar = Cell.parse(text), Poscar.from_str(text)
    assert cell.species == [site.specie.symbol for site in poscar.structure]
    np.testing.assert_allclose(cell.lattice, poscar.structure.lattice.matrix, atol=1e-12)
    np.testing.assert_allclose(cell.positions, poscar.structure.frac_coords, atol=1e-12)
    np.testing.assert_allclose(cell.velocities, poscar.velocities, atol=1e-12)


def test_a_negative_scale_is_a_volume():
    text = "NaCl\n-179.4\n1 0 0\n0 1 0\n0 0 1\nNa Cl\n1 1\nDirect\n0 0 0\n0.5 0.5 0.5\n"
    assert Cell.parse(text).volume == pytest.approx(179.4)
    assert Poscar.from_str(text).structure.volume == pytest.approx(179.4)


def test_formula():
    cell = Cell("", ("Sb", "Na", "S"), (2, 6, 8), np.eye(3), np.zeros((16, 3)))
    assert cell.formula == "Na3S4Sb"


def test_species_in_another_order_are_refused(campaign, thioantimonate):
    folder = campaign.folder("static", thioantimonate, STATIC)
    potentials = parse_potcar((folder / "POTCAR").read_text())
    cell = Cell.parse((folder / "POSCAR").read_text())
    check_species(cell, potentials)
    with pytest.raises(InputError, match="holds S Sb Na, the POSCAR Na Sb S"):
        check_species(cell, potentials[::-1])


@pytest.mark.parametrize(
    "tags",
    [
        {"METAGGA": "R2SCAN"},
        {"GGA": "PS"},
        {"LDAU": ".TRUE."},
        {"LHFCALC": ".TRUE."},
        {"LSORBIT": ".TRUE."},
        {"LNONCOLLINEAR": "T"},
        {"LUSE_VDW": "T"},
        {"IVDW": 11},
        {"IMAGES": 5},
        {"IBRION": 5, "NSW": 1},
        {"IBRION": 6, "NSW": 1},
        {"IBRION": 8, "NSW": 1},
        {"IBRION": 44, "NSW": 1},
        *({"IBRION": 2, "NSW": 9, "ISIF": isif} for isif in (4, 5, 6, 7)),
        {"ALGO": "GW0"},
        {"LEPSILON": ".TRUE."},
        {"ML_LMLFF": ".TRUE."},
    ],
)
def test_what_cannot_be_honoured_is_named(tags):
    incar = Incar.parse("".join(f"{name} = {value}\n" for name, value in (STATIC | tags).items()))
    name = next(iter({key: value for key, value in tags.items() if key not in {"NSW"}}))
    with pytest.raises(
        InputError, match=f"cannot honour {name if 'ISIF' not in tags else 'ISIF'}.*run this.*with VASP"
    ):
        incar.check()


@pytest.mark.parametrize(
    ("tags", "named"),
    [
        ({"MDALGO": 1}, "MDALGO = 1"),
        ({"MDALGO": 3}, "MDALGO = 3"),
        ({"MDALGO": 4}, "MDALGO = 4"),
        ({"MDALGO": 0, "SMASS": -1}, "SMASS = -1"),
        ({"MDALGO": 0, "SMASS": -2}, "SMASS = -2"),
        ({"MDALGO": 2, "SMASS": -3}, "SMASS = -3"),
        ({"ISIF": 3}, "ISIF = 3"),
    ],
)
def test_dynamics_of_other_kinds_is_refused(tags, named):
    incar = Incar.parse("".join(f"{name} = {value}\n" for name, value in (DYNAMICS | tags).items()))
    with pytest.raises(InputError, match=f"cannot honour {named}"):
        incar.check()


def test_a_refusal_is_printed_and_fails(campaign, rock_salt):
    folder = campaign.folder("static", rock_salt, STATIC, METAGGA="R2SCAN")
    assert campaign.run(folder) == 1
    assert "cannot honour METAGGA = R2SCAN" in campaign.out(folder)
    assert campaign.ledger[-1]["ended"] == "refused"


@pytest.mark.parametrize("missing", ["INCAR", "POSCAR", "POTCAR"])
def test_a_missing_file_is_named(campaign, rock_salt, missing):
    folder = campaign.folder("static", rock_salt, STATIC)
    (folder / missing).unlink()
    assert campaign.run(folder) == 1
    assert f"the file {missing} cannot be read" in campaign.out(folder)


def test_vasp_names_the_item_that_it_cannot_read(campaign, rock_salt):
    folder = campaign.folder("static", rock_salt, STATIC, ISMEAR="gaussian")
    assert campaign.run(folder) == 1
    assert "Error reading item 'ISMEAR' from file INCAR." in campaign.out(folder)


def test_few_k_points_are_no_tetrahedra(campaign, rock_salt):
    folder = campaign.folder("static", rock_salt, STATIC, mesh=(1, 1, 1), ISMEAR=-5)
    assert campaign.run(folder) == 1
    assert "Tetrahedron method fails for NKPT<4. NKPT = 1" in campaign.out(folder)


def test_selective_dynamics_is_refused():
    structure = Structure(Lattice.cubic(3), ["Na"], [[0, 0, 0]], site_properties={"selective_dynamics": [[True] * 3]})
    with pytest.raises(InputError, match="selective dynamics"):
        Cell.parse(Poscar(structure).get_str())
