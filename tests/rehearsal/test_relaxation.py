"""Relaxations end where the model's physics says, by VASP's criteria, in the space group of the input."""

import numpy as np
import pytest
from pymatgen.io.vasp import Outcar, Poscar
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer
from rehearsals import ELASTIC, RELAX, STATIC, read

EV_PER_A3 = 160.21766208  # GPa
LAME = 0.1  # eV/angstrom^3 of the Einstein crystal's medium, both constants


def test_the_cell_relaxes_and_keeps_its_space_group(campaign, thioantimonate):
    folder = campaign.folder("relax", thioantimonate, RELAX)
    assert campaign.run(folder) == 0
    run = read(folder)
    assert run.converged
    assert len(run.ionic_steps) > 3
    assert run.final_structure.lattice.a == pytest.approx(1.01 * thioantimonate.lattice.a, rel=1e-4)
    for structure in (run.final_structure, Poscar.from_file(folder / "CONTCAR", check_for_potcar=False).structure):
        assert SpacegroupAnalyzer(structure, symprec=1e-6).get_space_group_symbol() == "I-43m"
    assert "reached required accuracy" in (folder / "OUTCAR").read_text()


def test_the_second_relaxation_and_the_static_find_the_same_rest(campaign, thioantimonate):
    first = campaign.folder("relax", thioantimonate, RELAX)
    campaign.run(first)
    relaxed = Poscar.from_file(first / "CONTCAR", check_for_potcar=False).structure
    again, static = campaign.folder("again", relaxed, RELAX), campaign.folder("static", relaxed, STATIC)
    campaign.run(again)
    campaign.run(static)
    assert len(read(again).ionic_steps) == 1
    assert read(static).final_energy == pytest.approx(read(first).final_energy, abs=1e-6)


@pytest.mark.parametrize(("isym", "kept"), [(2, True), (0, False)])
def test_isym_keeps_the_space_group_from_asymmetric_forces(campaign, thioantimonate, isym, kept):
    rest = thioantimonate.copy()
    rest.translate_sites([0], [0.004, 0, 0])
    campaign.run(campaign.folder("rest", rest, ELASTIC))
    folder = campaign.folder("start", thioantimonate, ELASTIC, ISYM=isym)
    campaign.run(folder)
    found = SpacegroupAnalyzer(read(folder).final_structure, symprec=1e-4).get_space_group_symbol()
    assert (found == "I-43m") is kept


def test_a_compressed_cell_pushes(campaign, thioantimonate):
    folder = campaign.folder("relax", thioantimonate, RELAX, NSW=1)
    campaign.run(folder)
    stress = np.array(read(folder).ionic_steps[0]["stress"])
    # 3 lambda + 2 mu = 5 LAME against the linear strain 1 - 1/1.01, to first order
    expected = 5 * LAME * EV_PER_A3 * 10 * (1 - 1 / 1.01)
    np.testing.assert_allclose(np.diag(stress), expected, rtol=0.03)
    outcar = (folder / "OUTCAR").read_text()
    pressure = float(outcar.split("external pressure =")[1].split()[0])
    assert pressure == pytest.approx(np.trace(stress) / 3, abs=0.01)


def test_elastic_constants_are_those_of_the_medium(campaign, thioantimonate):
    """C11 = lambda + 2 mu, C12 = lambda, C44 = mu, by central differences of relaxed strained cells."""
    relax = campaign.folder("relax", thioantimonate, RELAX, EDIFFG=-1e-5)
    campaign.run(relax)
    relaxed = Poscar.from_file(relax / "CONTCAR", check_for_potcar=False).structure
    size, stress = 0.005, {}
    for name, index in (("normal", (0, 0)), ("shear", (0, 1))):
        for sign in (1, -1):
            strain = np.zeros((3, 3))
            strain[index] = strain[index[::-1]] = sign * size / (1 if name == "normal" else 2)
            cell = relaxed.copy()
            cell.lattice = cell.lattice.matrix @ (np.eye(3) + strain)
            folder = campaign.folder(f"{name}{sign}", cell, ELASTIC)
            campaign.run(folder)
            stress[name, sign] = -0.1 * np.array(read(folder).ionic_steps[-1]["stress"])
    normal = (stress["normal", 1] - stress["normal", -1]) / (2 * size)
    shear = (stress["shear", 1] - stress["shear", -1]) / (2 * size)
    assert normal[0, 0] == pytest.approx(3 * LAME * EV_PER_A3, rel=0.01)
    assert normal[1, 1] == pytest.approx(LAME * EV_PER_A3, rel=0.01)
    assert shear[0, 1] == pytest.approx(LAME * EV_PER_A3, rel=0.01)


def test_ions_alone_relax_in_a_given_cell(campaign, rock_salt, rattled):
    campaign.run(campaign.folder("rest", rock_salt, ELASTIC))
    folder = campaign.folder("rattled", rattled, ELASTIC)
    campaign.run(folder)
    run = read(folder)
    assert run.converged
    np.testing.assert_allclose(run.final_structure.lattice.matrix, rock_salt.lattice.matrix, atol=1e-8)
    assert np.linalg.norm(run.ionic_steps[0]["forces"], axis=1).max() > 0.02
    assert np.linalg.norm(run.ionic_steps[-1]["forces"], axis=1).max() < 0.001


def test_ediffg_positive_is_a_change_of_energy(campaign, thioantimonate):
    folder = campaign.folder("relax", thioantimonate, RELAX, EDIFFG=0.01)
    campaign.run(folder)
    energies = [step["e_fr_energy"] for step in read(folder).ionic_steps]
    changes = np.abs(np.diff(energies))
    assert changes[-1] < 0.01
    assert (changes[:-1] >= 0.01).all()


def test_potim_scales_the_first_step(campaign, rock_salt):
    moved = []
    for potim in (0.25, 0.5):
        folder = campaign.folder(f"potim{potim}", rock_salt, RELAX, NSW=2, POTIM=potim)
        campaign.run(folder, SODALYTE_REHEARSAL_MEMORY=str(folder / "memory"))
        steps = read(folder).ionic_steps
        moved.append(steps[1]["structure"].lattice.a - steps[0]["structure"].lattice.a)
    assert moved[1] == pytest.approx(2 * moved[0], rel=0.01)


def test_pstress_is_what_the_cell_relaxes_to(campaign, rock_salt):
    folder = campaign.folder("relax", rock_salt, RELAX, PSTRESS=5)
    campaign.run(folder)
    run = read(folder)
    assert run.converged
    np.testing.assert_allclose(np.diag(run.ionic_steps[-1]["stress"]), 5, atol=0.1)


def test_too_few_steps_are_not_converged(campaign, thioantimonate):
    folder = campaign.folder("relax", thioantimonate, RELAX, NSW=2)
    assert campaign.run(folder) == 0
    assert not read(folder).converged_ionic
    assert "reached required accuracy" not in (folder / "OUTCAR").read_text()


def test_too_few_electronic_steps_are_not_converged(campaign, rock_salt):
    folder = campaign.folder("static", rock_salt, STATIC, NELM=4)
    campaign.run(folder)
    assert not read(folder).converged_electronic
    assert "aborting loop because EDIFF is reached" not in (folder / "OUTCAR").read_text()


def test_without_isif_there_is_no_stress(campaign, rock_salt):
    folder = campaign.folder("static", rock_salt, STATIC, ISIF=0)
    campaign.run(folder)
    assert "stress" not in read(folder).ionic_steps[0]
    assert Outcar(folder / "OUTCAR").final_energy == pytest.approx(read(folder).final_energy, abs=1e-6)
