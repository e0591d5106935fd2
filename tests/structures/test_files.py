import gzip
import json
import sys

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifWriter
from pymatgen.io.vasp import Poscar

from sodalyte.errors import StructureError
from sodalyte.structures import crystal, load, reduced

NAS = crystal("Na3SbS4_t").structure
CIF = str(CifWriter(NAS, symprec=0.01))
POSCAR = Poscar(NAS).get_str()
HEXAGONAL_CIF = """data_Na3Sb
_symmetry_space_group_name_H-M 'P6_3/mmc'
_cell_length_a 5.355
_cell_length_b 5.355
_cell_length_c 9.496
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 120
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Na1 Na 0.3333 0.6667 0.583
Na2 Na 0 0 0.25
Sb1 Sb 0.3333 0.6667 0.25
"""


def written(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [("mine.cif", CIF), ("mine.vasp", POSCAR), ("POSCAR", POSCAR), ("mine.json", NAS.to_json())],
)
def test_round_trip(tmp_path, name, text):
    path = written(tmp_path, name, text)
    material = load(path)
    assert (material.formula, material.polymorph) == ("Na3SbS4", "tetragonal")
    assert material.variant == f"tetragonal ({name})"
    assert (material.id, material.grade, material.path, material.notes) == (None, None, path, ())
    assert material.source == f"file {name}"
    assert reduced(material.structure).as_dict() == reduced(NAS).as_dict()
    assert material.experimental.a == pytest.approx(7.1708)


def test_supercell_in_a_file_is_still_recognised(tmp_path):
    material = load(written(tmp_path, "POSCAR", Poscar(NAS * (2, 1, 1)).get_str()), "tetragonal")
    assert len(material.structure) == 32
    assert material.experimental.c == pytest.approx(7.2376)


def test_charges_and_other_properties_are_dropped(tmp_path):
    ionic = NAS.copy().add_oxidation_state_by_element({"Na": 1, "Sb": 5, "S": -2})
    material = load(written(tmp_path, "ionic.cif", str(CifWriter(ionic, symprec=0.01))))
    assert {str(element) for element in material.structure.elements} == {"Na", "Sb", "S"}
    assert material.structure.site_properties == {}


def test_what_the_reader_changed_is_noted_and_not_warned_about(tmp_path):
    material = load(written(tmp_path, "rounded.cif", HEXAGONAL_CIF))
    assert material.polymorph == "hexagonal"
    assert any("rounded to ideal values" in note for note in material.notes)


def crowded(distance):
    structure = NAS.copy()
    structure.append("Na", NAS[0].coords + np.array([distance, 0, 0]), coords_are_cartesian=True)
    return Poscar(structure).get_str()


def without_names():
    lines = POSCAR.splitlines()
    return "\n".join(["", *lines[1:5], *lines[6:8], *(line.rpartition(" ")[0] for line in lines[8:])])


W_DOPED = CifWriter(crystal("Na2.88Sb0.88W0.12S4_c").structure, symprec=0.01)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("truncated.cif", CIF[: len(CIF) // 2], "cannot be read"),
        ("empty.cif", "", "cannot be read"),
        ("prose.cif", "hello", "cannot be read"),
        ("empty.vasp", "", "cannot be read"),
        ("short.vasp", "\n".join(POSCAR.splitlines()[:12]), "cannot be read"),
        ("unknown.format", POSCAR, "cannot be read"),
        ("two.cif", CIF + CIF.replace("data_Na3SbS4", "data_again"), "holds 2 structures"),
        ("lost.cif", CIF.replace("S8'", "S8 H4'"), "contradicts its own formula.*H"),
        ("wrong.cif", CIF.replace("S8'", "S9'"), "contradicts its own formula"),
        ("occupied.cif", CIF.replace("  1.0\n", "  0.9\n", 1), "partial occupancies.*ordered supercell"),
        ("doped.cif", str(W_DOPED), "partial occupancies"),
        ("over.cif", CIF.replace("  1.0\n", "  1.5\n", 1), "Occupancy"),
        ("sodiumless.vasp", Poscar(crystal("Sb2S3").structure).get_str(), "holds no Na"),
        ("deuterated.cif", CIF.replace(" S ", " D ").replace("S8", "D8"), "holds D"),
        ("dummy.vasp", POSCAR.replace("Sb", "Xx"), "holds Xx"),
        ("nameless.vasp", without_names(), "does not name its elements"),
        ("close.vasp", crowded(0.4), r"Na \(site \d+\) and Na \(site 17\) are 0.40 angstrom apart"),
        ("coincident.vasp", crowded(0.0), "are 0.00 angstrom apart"),
        ("flat.vasp", POSCAR.replace(POSCAR.splitlines()[3], "0 0 0"), "without volume"),
    ],
)
def test_refused_files(tmp_path, name, text, message):
    path = written(tmp_path, name, text)
    with pytest.raises(StructureError, match=message) as refusal:
        load(path)
    assert name in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_molecule_is_refused(tmp_path):
    with pytest.raises(StructureError, match="cannot be read"):
        load(written(tmp_path, "molecule.xyz", "2\n\nNa 0 0 0\nCl 0 0 2.4\n"))


def test_binary_file_and_folder_are_refused(tmp_path):
    (tmp_path / "binary.cif").write_bytes(bytes(range(256)))
    with pytest.raises(StructureError, match="cannot be read"):
        load(tmp_path / "binary.cif")
    with pytest.raises(StructureError, match="not a file"):
        load(tmp_path)


def test_a_packed_file_is_read_and_a_bomb_is_refused(tmp_path):
    (tmp_path / "mine.cif.gz").write_bytes(gzip.compress(CIF.encode()))
    assert load(tmp_path / "mine.cif.gz").formula == "Na3SbS4"
    (tmp_path / "bomb.cif.gz").write_bytes(gzip.compress(CIF.encode() + bytes(30_000_000)))
    with pytest.raises(StructureError, match="more than 20 MB"):
        load(tmp_path / "bomb.cif.gz")


def test_a_file_makes_nobody_import_the_modules_it_names(tmp_path):
    document = NAS.as_dict()
    document["sites"][0]["properties"] = {"evil": {"@module": "this", "@class": "Zen"}}
    document["properties"] = {"evil": {"@module": "this", "@class": "Zen"}}
    sys.modules.pop("this", None)
    assert load(written(tmp_path, "evil.json", json.dumps(document))).formula == "Na3SbS4"
    assert "this" not in sys.modules


def test_polymorph_must_agree_with_the_file(tmp_path):
    with pytest.raises(StructureError, match="is tetragonal, not cubic"):
        load(written(tmp_path, "mine.cif", CIF), "cubic")


def test_shortest_bonds_of_nature_pass(tmp_path):
    """N2 has 1.098 angstrom, the shortest bond without hydrogen."""
    structure = Structure(Lattice.cubic(5), ["Na", "N", "N"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0.5 + 1.098 / 5]])
    assert load(written(tmp_path, "nitrogen.vasp", Poscar(structure).get_str())).formula == "NaN2"


def test_a_formula_of_the_library_wins_over_a_file_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written(tmp_path, "Na3SbS4", POSCAR)
    assert load("Na3SbS4").path is None
