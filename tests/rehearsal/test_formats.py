"""Our files against genuine ones: order, units and formats of the elements that parsers use.

The facts were noted from VASP 6.3.2 (64 Si, 10 steps of MDALGO 2) and 5.2.12 (bcc Li, relaxation; 2 Si, static) among
pymatgen's public test files.
"""

import re

import numpy as np
import pytest
from lxml import etree
from rehearsals import DYNAMICS, RELAX, STATIC, Campaign

REAL = r" *-?\d+\.\d{8}"
TOP = ["generator", "incar", "primitive_cell", "kpoints", "parameters", "atominfo", "initialpos"]
PARAMETERS = [
    "general", "electronic", "grids", "ionic", "ionic md", "symmetry", "dos", "writing", "performance", "miscellaneous",
    "electronic exchange-correlation", "vdW DFT", "linear response parameters", "orbital magnetization",
]  # fmt: skip
ELECTRONIC = [
    "electronic smearing", "electronic projectors", "electronic startup", "electronic spin",
    "electronic exchange-correlation", "electronic convergence", "electronic mixer", "electronic dipolcorrection",
]  # fmt: skip
SCSTEP_ENERGIES = [
    "alphaZ", "ewald", "hartreedc", "XCdc", "pawpsdc", "pawaedc", "eentropy", "bandstr", "atom", "e_fr_energy",
    "e_wo_entrp", "e_0_energy",
]  # fmt: skip
DYNAMICS_ENERGIES = [
    "e_fr_energy", "e_wo_entrp", "e_0_energy", "kinetic", "lattice kinetic", "nosepot", "nosekinetic", "total",
]  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory, rock_salt):
    campaign = Campaign(tmp_path_factory.mktemp("formats"))
    made = {
        name: campaign.folder(name, rock_salt, tags)
        for name, tags in (("relax", RELAX), ("static", STATIC | {"ISPIN": 2}), ("dynamics", DYNAMICS))
    }
    for folder in made.values():
        campaign.run(folder)
    return made


@pytest.fixture(scope="module")
def roots(folders):
    return {name: etree.parse(folder / "vasprun.xml").getroot() for name, folder in folders.items()}


def keys(element):
    return [child.get("name") or child.tag for child in element]


def vectors(element):
    return np.array([[float(word) for word in row.text.split()] for row in element])


def test_order_of_the_document(roots):
    for name, steps in (("static", 1), ("dynamics", 10)):
        assert keys(roots[name]) == [*TOP, *["calculation"] * steps, "finalpos"]


def test_order_of_a_step(roots):
    """In VASP 6 densities of states come before the time, eigenvalues after it, and only in the last step."""
    *first, last = roots["dynamics"].findall("calculation")
    for calculation in first:
        assert [key for key in keys(calculation) if key != "scstep"] == [
            "structure",
            "forces",
            "stress",
            "energy",
            "totalsc",
        ]
    assert keys(last)[-7:] == ["structure", "forces", "stress", "energy", "dos", "totalsc", "eigenvalues"]
    assert keys(last)[0] == "scstep"


def test_energies_of_steps(roots):
    for calculation in roots["dynamics"].findall("calculation"):
        first, *middle, last = calculation.findall("scstep")
        assert keys(first.find("energy")) == keys(last.find("energy")) == SCSTEP_ENERGIES
        assert all(keys(step.find("energy")) == SCSTEP_ENERGIES[-3:] for step in middle)
        assert keys(calculation.find("energy")) == DYNAMICS_ENERGIES
        energies = {item.get("name"): float(item.text) for item in calculation.find("energy")}
        parts = sum(energies[name] for name in ("e_fr_energy", "kinetic", "nosepot", "nosekinetic"))
        assert energies["total"] == pytest.approx(parts, abs=3e-8)
    relax = roots["relax"].find("calculation/energy")
    assert keys(relax) == DYNAMICS_ENERGIES[:3]


def test_groups_of_parameters(roots):
    parameters = roots["static"].find("parameters")
    electronic = parameters.find("separator[@name='electronic']")
    for parent, names in ((parameters, PARAMETERS), (electronic, ELECTRONIC)):
        assert [child.get("name") for child in parent if child.tag == "separator"] == names
    assert parameters.find(".//i[@name='NELECT']").get("type") is None
    assert parameters.find(".//i[@name='NELM']").get("type") == "int"
    assert parameters.find(".//i[@name='LREAL']").text == " F  "
    assert parameters.find(".//i[@name='NELM']").text == "    60"


@pytest.mark.parametrize(
    "line",
    [
        rf'   <varray name="basis" >\n    <v>{REAL}{REAL}{REAL} </v>\n',
        rf'   <i name="volume">{REAL} </i>\n   <varray name="rec_basis" >\n',
        rf'  <varray name="positions" >\n   <v>{REAL}{REAL}{REAL} </v>\n',
        rf'  <varray name="forces" >\n   <v>{REAL}{REAL}{REAL} </v>\n',
        rf'  <varray name="stress" >\n   <v>{REAL}{REAL}{REAL} </v>\n',
        rf'   <energy>\n    <i name="alphaZ">{REAL} </i>\n',
        r'  <time name="totalsc"> +\d+\.\d\d +\d+\.\d\d</time>\n',
        r"    <rc><c>Na</c><c>   1</c></rc>\n",
        rf"    <rc><c>   4</c><c>Na</c><c>{REAL}</c><c>{REAL}</c><c>  PAW_PBE Na_pv REHEARSAL +</c></rc>\n",
        r'  <generation param="Gamma">\n   <v type="int" name="divisions">       3        3        3 </v>\n',
        r"       <r> +-?\d+\.\d{4} +\d\.\d{4} </r>\n",
        r'<structure name="initialpos" >\n  <crystal>\n',
        r'  <i type="int" name="IBRION">     0</i>\n',
        r'  <i name="POTIM">      2.00000000</i>\n',
    ],
)
def test_lines_of_vasprun(folders, line):
    assert re.search(line, (folders["dynamics"] / "vasprun.xml").read_text())


def test_velocities_are_fractions_per_step(roots):
    """In the genuine run the final positions are the last ones plus the final velocities, to 1e-8."""
    last, final = roots["dynamics"].findall("calculation")[-1], roots["dynamics"].find("structure[@name='finalpos']")
    moved = vectors(final.find("varray[@name='positions']")) - vectors(last.find("structure/varray[@name='positions']"))
    moved -= np.round(moved)
    np.testing.assert_allclose(moved, vectors(final.find("varray[@name='velocities']")), atol=2e-8)
    initial = roots["dynamics"].find("structure[@name='initialpos']")
    first = roots["dynamics"].find("calculation/structure")
    np.testing.assert_array_equal(*(vectors(item.find("varray[@name='positions']")) for item in (initial, first)))
    assert initial.find("varray[@name='velocities']") is not None


def test_positions_are_in_the_cell(roots):
    for name, root in roots.items():
        for structure in root.iter("structure"):
            positions = vectors(structure.find("varray[@name='positions']"))
            assert (positions >= 0).all(), name
            assert (positions <= 1).all(), name


def fortran(digits):
    """Return the pattern of a number in Fortran's scientific form."""
    return rf"(?:-?\.|0\.|-0\.)\d{{{digits}}}E[+-]\d\d"


F8 = fortran(8)
FIXED = r" +-?\d+\.\d+"
LINES = {
    "relax OSZICAR": [
        r"       N       E                     dE             d eps       ncg     rms          rms\(c\)",
        rf"DAV:   1    ? {fortran(12)}   ? {fortran(5)}   -{fortran(5)} +\d+   {fortran(3)}\n",
        rf"   1 F= {F8} E0= {F8}  d E ={fortran(6)}\n",
    ],
    "dynamics OSZICAR": [
        rf"      1 T=   600\. E= {F8} F= {F8} E0= {F8}  EK= {fortran(5)} SP= {fortran(2)} SK= {fortran(2)}\n",
    ],
    "dynamics XDATCAR": [
        r"\n     5\.640000    0\.000000    0\.000000\n",
        r"\nDirect configuration=     1\n   0\.\d{8}  0\.\d{8}  0\.\d{8}\n",
    ],
    "dynamics CONTCAR": [
        r"\n   1\.00000000000000     \n     5\.6\d{15}    0\.0{16}    0\.0{16}\n",
        r"\n   Na   Cl\n     4     4\nDirect\n  0\.\d{16}  0\.\d{16}  0\.\d{16}\n",
        rf" \n( [ -]{F8}){{3}}\n",
        rf"\n           1\n   2\.00000000000000     \n( [ -]{F8}){{4}}\n( [ -]{F8}){{3}}\n",
    ],
    "relax OUTCAR": [
        r"\n-{24} aborting loop because EDIFF is reached -{40}\n",
        rf"\n  in kB {FIXED * 6}\n",
        r" POSITION {39}TOTAL-FORCE \(eV/Angst\)\n -{83}\n",
        rf"  FREE ENERGIE OF THE ION-ELECTRON SYSTEM \(eV\)\n  -{{51}}\n  free  energy   TOTEN  ={FIXED} eV\n",
        rf"  Total CPU time used \(sec\):{FIXED}\n",
        r"\n reached required accuracy - stopping structural energy minimisation\n",
    ],
}


@pytest.mark.parametrize(("file", "pattern"), [(file, pattern) for file in LINES for pattern in LINES[file]])
def test_lines_of_text_files(folders, file, pattern):
    kind, name = file.split()
    assert re.search(pattern, (folders[kind] / name).read_text())


def test_files_that_vasp_leaves(folders):
    for name in ("WAVECAR", "CHGCAR", "CHG", "EIGENVAL", "DOSCAR", "IBZKPT", "PCDAT", "CONTCAR", "XDATCAR"):
        assert (folders["relax"] / name).exists(), name
