from dataclasses import replace

import numpy as np
import pytest
from ase import units
from ase.calculators.emt import EMT
from pymatgen.core import Lattice, Structure
from pymatgen.core.elasticity.elastic import ElasticTensor
from pymatgen.io.ase import AseAtomsAdaptor

from sodalyte.analysis.elasticity import Response, elasticity_results
from sodalyte.analysis.results import Subject
from sodalyte.analysis.strains import strained_cells

SIZES = (-0.01, -0.005, 0.005, 0.01)
SUBJECT = Subject(material="Na3SbS4", polymorph="cubic", level="made up", recipe="paper", calculations=("a", "b"))
CRYSTAL = Structure.from_spacegroup(
    "I-43m",
    Lattice.cubic(7.191),
    ["Na", "Sb", "S"],
    [[0, 0.5, 0.5], [0, 0, 0], [0.195, 0.195, 0.195]],
)
CELLS = strained_cells(CRYSTAL, strains=SIZES)
E0 = -60.0


def cubic(c11, c12, c44):
    tensor = np.diag([c11, c11, c11, c44, c44, c44]).astype(float)
    tensor[:3, :3] += c12 * (1 - np.eye(3))
    return tensor


SOFT = cubic(42.2, 11.1, 11.7)


def response(*, energy=E0, stress=((0.0,) * 3,) * 3, max_force=5e-4, converged=True):
    return Response(energy=energy, stress=np.array(stress), max_force=max_force, converged=converged)


def crystal_responses(tensor):
    """Responses of a crystal whose energy is quadratic in the Green-Lagrange strain."""
    full = np.asarray(ElasticTensor.from_voigt(tensor))
    answers = {}
    for cell in CELLS:
        f = cell.deformation_gradient
        second = np.einsum("ijkl,kl->ij", full, cell.strain)
        energy = CRYSTAL.volume * units.GPa * np.sum(second * cell.strain) / 2
        answers[cell.label] = response(energy=E0 + energy, stress=f @ second @ f.T / np.linalg.det(f))
    return answers


def results(responses, *, reference=None):
    answers = elasticity_results(
        SUBJECT, structure=CRYSTAL, reference=reference or response(), cells=CELLS, responses=responses
    )
    return {answer.property: answer for answer in answers}


def assert_all_refused(answers, reason, guard):
    assert set(answers) == {"elastic_tensor", "bulk_modulus", "shear_modulus", "pugh_ratio"}
    for answer in answers.values():
        assert answer.status == "refused"
        assert answer.value is None
        assert not answer.data
        assert reason in answer.reason
        assert guard in [check.name for check in answer.guards if not check.passed]


def test_a_healthy_crystal_gives_all_four_answers():
    answers = results(crystal_responses(SOFT))
    assert [(answer.property, answer.unit) for answer in answers.values()] == [
        ("elastic_tensor", "GPa"),
        ("bulk_modulus", "GPa"),
        ("shear_modulus", "GPa"),
        ("pugh_ratio", "1"),
    ]
    for answer in answers.values():
        assert answer.status == "ok"
        assert answer.calculations == ("a", "b")
        assert all(guard.passed for guard in answer.guards)
        assert "level of theory" in answer.uncertainty_basis
    assert answers["bulk_modulus"].value == pytest.approx(21.467, abs=1e-3)
    assert answers["shear_modulus"].value == pytest.approx(13.113, abs=1e-3)
    ratio = answers["pugh_ratio"]
    assert ratio.value == pytest.approx(0.6109, abs=1e-4)
    assert ratio.data["ductile"] is False
    assert "metals" in ratio.data["criterion"]
    tensor = answers["elastic_tensor"]
    assert tensor.value is None
    assert np.array(tensor.data["tensor"]) == pytest.approx(SOFT, abs=1e-8)
    assert tensor.data["hill"]["bulk"] == answers["bulk_modulus"].value
    assert tensor.data["eigenvalues"] == pytest.approx(sorted(np.linalg.eigvalsh(SOFT)))
    assert {entry["label"] for entry in tensor.data["strain_energies"]} == {cell.label for cell in CELLS}
    assert min(entry["energy"] for entry in tensor.data["strain_energies"]) > 0


def test_emt_copper_passes_every_required_guard():
    copper = Structure.from_spacegroup("Fm-3m", Lattice.cubic(3.58982557), ["Cu"], [[0, 0, 0]])

    def answer(structure):
        atoms = AseAtomsAdaptor.get_atoms(structure)
        atoms.calc = EMT()
        return response(energy=atoms.get_potential_energy(), stress=atoms.get_stress(voigt=False) / units.GPa)

    cells = strained_cells(copper, strains=SIZES)
    answers = elasticity_results(
        SUBJECT,
        structure=copper,
        reference=answer(copper),
        cells=cells,
        responses={cell.label: answer(cell.structure) for cell in cells},
    )
    assert [result.status for result in answers] == ["ok"] * 4
    assert answers[1].value == pytest.approx(134.5, rel=0.01)


def test_a_low_ratio_counts_as_ductile():
    assert results(crystal_responses(cubic(42.2, 30.0, 5.0)))["pugh_ratio"].data["ductile"] is True


def test_results_are_plain_json():
    for answer in results(crystal_responses(SOFT)).values():
        assert type(answer).model_validate_json(answer.model_dump_json()) == answer


def test_uncertainties_follow_the_linear_propagation_of_a_cubic_tensor():
    responses = crystal_responses(SOFT)
    rng = np.random.default_rng(5)
    for label, answer in responses.items():
        noise = rng.normal(0, 0.002, (3, 3))
        responses[label] = replace(answer, stress=answer.stress + noise + noise.T)
    answers = results(responses)
    std = np.array(answers["elastic_tensor"].data["tensor_std"])
    bulk = answers["bulk_modulus"].uncertainty
    assert 0 < bulk < 0.2
    assert abs(std[0, 0] - 2 * std[0, 1]) / 3 <= bulk <= (std[0, 0] + 2 * std[0, 1]) / 3  # B = (C11 + 2 C12) / 3
    shear, ratio = answers["shear_modulus"], answers["pugh_ratio"]
    assert 0 < shear.uncertainty < 0.5
    relative = (shear.uncertainty / shear.value, bulk / answers["bulk_modulus"].value)
    assert abs(relative[0] - relative[1]) <= ratio.uncertainty / ratio.value * (1 + 1e-4) <= 1.001 * sum(relative)


def test_missing_cells_are_named():
    responses = crystal_responses(SOFT)
    del responses["e_xx -0.01"], responses["e_yz +0.005"]
    assert_all_refused(results(responses), "without an answer: e_xx -0.01, e_yz +0.005", "cells complete")


def test_a_cell_without_a_finite_stress_counts_as_missing():
    responses = crystal_responses(SOFT)
    responses["e_yz +0.01"] = response(stress=np.full((3, 3), np.nan))
    assert_all_refused(results(responses), "e_yz +0.01", "cells complete")
    unstrained = response(energy=np.inf)
    assert_all_refused(results(crystal_responses(SOFT), reference=unstrained), "unstrained", "cells complete")


def test_unconverged_cells_are_named():
    responses = crystal_responses(SOFT)
    responses["e_yz +0.01"] = replace(responses["e_yz +0.01"], converged=False)
    assert_all_refused(results(responses), "not converged: e_yz +0.01", "strained cells converged")


@pytest.mark.parametrize(
    "reference", [response(stress=np.diag([0.06, 0.06, 0.06])), response(converged=False, max_force=0.02)]
)
def test_an_unrelaxed_reference_is_refused(reference):
    assert_all_refused(results(crystal_responses(SOFT), reference=reference), "not relaxed", "reference relaxed")


def test_sheared_cells_in_another_basin_are_told_by_their_energy():
    responses = crystal_responses(cubic(24.8, 9.2, 11.0))
    for label in ("e_yz +0.005", "e_yz +0.01"):
        answer = responses[label]
        stress = -64 * 2 * float(label.split()[1]) * (np.eye(3)[[0, 2, 1]] - np.diag([1, 0, 0]))
        responses[label] = replace(answer, energy=E0 - 0.095, stress=stress)
    answers = results(responses)
    assert_all_refused(answers, "the cubic polymorph is unstable against e_yz", "unstrained cell lowest")
    assert_all_refused(answers, "95 meV below", "unstrained cell lowest")
    assert_all_refused(answers, "mechanically unstable", "Born stability")


def test_a_basin_just_below_the_reference_is_refused_by_energy_alone():
    responses = crystal_responses(SOFT)
    responses["e_yz +0.005"] = replace(responses["e_yz +0.005"], energy=E0 - 3e-4)
    failed = [guard.name for guard in results(responses)["bulk_modulus"].guards if not guard.passed]
    assert failed == ["unstrained cell lowest"]


def test_work_of_a_small_residual_stress_is_no_instability():
    prestress = np.diag([0.04, 0.04, 0.04])
    responses = {
        label: replace(
            answer,
            energy=answer.energy
            + CRYSTAL.volume * units.GPa * np.sum(prestress * {c.label: c for c in CELLS}[label].strain),
            stress=answer.stress + prestress,
        )
        for label, answer in crystal_responses(cubic(9.0, 4.0, 3.0)).items()
    }
    assert min(answer.energy for answer in responses.values()) < E0 - 1e-5 * len(CRYSTAL)
    assert results(responses, reference=response(stress=prestress))["bulk_modulus"].status == "ok"


@pytest.mark.parametrize("jump", [0.1, -0.08])
def test_a_stress_that_jumps_is_not_linear(jump):
    responses = crystal_responses(SOFT)
    label = "e_yz +0.01"
    stress = responses[label].stress + jump * (np.eye(3)[[0, 2, 1]] - np.diag([1, 0, 0]))
    responses[label] = replace(responses[label], stress=stress)
    assert_all_refused(results(responses), "small and large strains", "linear response")


def test_a_smooth_stiffening_that_the_two_sizes_disagree_on_is_not_linear():
    responses = {}
    for label, answer in crystal_responses(SOFT).items():
        factor = 1 + 2000 * float(label.split()[1]) ** 2
        responses[label] = replace(answer, stress=factor * answer.stress)
    assert_all_refused(results(responses), "differ by 13 %", "linear response")


def test_a_kink_at_the_reference_is_not_linear():
    responses = crystal_responses(SOFT)
    for label in ("e_xx +0.005", "e_xx +0.01"):
        responses[label] = replace(responses[label], stress=0.3 * responses[label].stress)
    assert_all_refused(results(responses), "small and large strains", "linear response")


@pytest.mark.parametrize("factor", [-1, 10, units.GPa])
def test_a_stress_of_wrong_sign_or_unit_disagrees_with_the_energy(factor):
    responses = {
        label: replace(answer, stress=factor * answer.stress) for label, answer in crystal_responses(SOFT).items()
    }
    assert_all_refused(results(responses), "differ by", "energy and stress agree")


def test_no_response_at_all_is_refused():
    silent = {label: response() for label in crystal_responses(SOFT)}
    assert_all_refused(results(silent), "mechanically unstable", "Born stability")


def test_stability_within_the_uncertainty_only_is_refused():
    responses = crystal_responses(cubic(42.2, 11.1, 0.3))
    rng = np.random.default_rng(2)
    for label, answer in responses.items():
        noise = rng.normal(0, 0.02, (3, 3))
        responses[label] = replace(answer, stress=answer.stress + noise + noise.T)
    assert "Born stability" in [g.name for g in results(responses)["bulk_modulus"].guards if not g.passed]


def test_a_hill_mean_of_distant_bounds_comes_with_a_warning():
    answers = results(crystal_responses(cubic(12.0, 2.0, 0.35)))
    shear = answers["shear_modulus"]
    assert shear.status == "ok"
    (warning,) = (guard for guard in shear.guards if not guard.passed)
    assert not warning.required
    assert warning.name == "Hill mean of the shear modulus"
    assert all(guard.passed for guard in answers["bulk_modulus"].guards)
