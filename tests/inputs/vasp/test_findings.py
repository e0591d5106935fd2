"""Findings 3, 4 and 11 of the eleven ways in which stock paths falsify results: what stock code gives, beside ours.

The others stand where the part of ours that prevents them is tested: 1 and 2 in ``test_sets``, 6, 7 and 10 in
``test_supervision``, 5, 8 and 9 in ``test_dynamics``. Our guards against 3 and 4 are tested in ``tests/analysis``.
"""

import numpy as np
import pytest
from ase.md.velocitydistribution import thermalize_momenta
from atomate2.common.schemas.elastic import ElasticDocument
from pymatgen.analysis.elasticity import Deformation, ElasticTensor, Strain, Stress, diff_fit
from pymatgen.io.ase import AseAtomsAdaptor

from sodalyte.analysis.elastic_tensor import fit_elastic_tensor
from sodalyte.inputs.vasp.segments import structure_of

CUBIC = np.zeros((6, 6))
CUBIC[:3, :3] = 20.0
CUBIC[np.arange(3), np.arange(3)] = 40.0
CUBIC[np.arange(3, 6), np.arange(3, 6)] = 10.0
SIZES = (-0.01, -0.005, 0.005, 0.01)


def measured(noise, tensor=CUBIC):
    chance = np.random.default_rng(3)
    strains, stresses = [], []
    for component in range(6):
        for size in SIZES:
            voigt = np.zeros(6)
            voigt[component] = size * (1 if component < 3 else 2)
            strain = Strain.from_voigt(voigt)
            residue = chance.normal(scale=noise, size=(3, 3))
            strain = Strain(strain + (residue + residue.T) / 2)
            strains.append(strain)
            stresses.append(Stress(ElasticTensor.from_voigt(tensor).calculate_stress(strain)))
    return strains, stresses


def test_stock_fit_of_a_cell_with_noise():
    """Finding 3: finite differences, atomate2's default, and a cell that is symmetric to 1e-7 only."""
    exact = ElasticTensor(diff_fit(*measured(0.0), eq_stress=Stress(np.zeros((3, 3))), order=2)[0]).voigt
    assert exact[0, 0] == pytest.approx(40.0, rel=1e-6)
    noisy = ElasticTensor(diff_fit(*measured(1e-7), eq_stress=Stress(np.zeros((3, 3))), order=2)[0]).voigt
    assert np.abs(noisy - CUBIC).max() > 1.0, "and no error is raised"
    strains, stresses = measured(1e-7)
    gradients = [np.array(strain.get_deformation_matrix()) for strain in strains]
    ours = fit_elastic_tensor(
        deformation_gradients=gradients,
        cauchy_stresses=[F @ np.array(S) @ F.T / np.linalg.det(F) for F, S in zip(gradients, stresses, strict=True)],
        reference_stress=np.zeros((3, 3)),
        rotations=[np.eye(3)],
    )
    assert np.abs(ours.tensor - CUBIC).max() < 0.01


@pytest.mark.filterwarnings("ignore:No eq state found:UserWarning")
def test_stock_document_of_a_cell_that_left_its_basin(crystal):
    """Finding 4: a shear constant of -64 GPa is a finished document, as Na3SbS4 gave it.

    Ours refuses it and names the basin: ``tests/analysis/test_elasticity.py``.
    """
    strains, stresses = measured(0.0, CUBIC - np.diag([0, 0, 0, 73.7, 73.7, 73.7]))
    deformations = [Deformation(strain.get_deformation_matrix()) for strain in strains]
    document = ElasticDocument.from_stresses(
        crystal,
        [Stress(-10 * np.array(stress)) for stress in stresses],  # kbar, compressive positive
        deformations,
        uuids=[str(number) for number in range(len(strains))],
        job_dirs=["" for _ in strains],
        symprec=None,
    )
    assert np.array(document.elastic_tensor.raw)[3, 3] == pytest.approx(-63.7, rel=0.05)
    assert not document.warnings


def test_stock_dynamics_loses_velocities(small_cell, engine, recipe):
    """Finding 11: what ASE's dynamics hands on has momenta, which pymatgen keeps under another name than it reads."""
    atoms = AseAtomsAdaptor.get_atoms(small_cell, msonable=False)
    thermalize_momenta(atoms, temperature_K=600, rng=np.random.default_rng(1))
    handed_on = AseAtomsAdaptor.get_structure(atoms)
    assert "velocities" not in handed_on.site_properties
    ours = structure_of(str(engine.dynamics(recipe, 600.0, 5).inputs(small_cell).poscar))
    assert np.abs(ours.site_properties["velocities"]).max() > 1e-4
