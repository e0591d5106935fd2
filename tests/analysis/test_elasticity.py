from dataclasses import replace

import numpy as np
import pytest
from ase import units
from ase.calculators.emt import EMT
from pymatgen.core import Lattice, Structure
from pymatgen.core.elasticity.elastic import ElasticTensor
from pymatgen.io.ase import AseAtomsAdaptor

from sodalyte.analysis.elasticity import elasticity_results
from sodalyte.analysis.moduli import moduli
from sodalyte.analysis.responses import Reference, Response
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
TETRAGONAL = Structure.from_spacegroup(
    "P-42_1c",
    Lattice.tetragonal(6.95, 7.09),
    ["Na", "Na", "P", "S"],
    [[0.5, 0, 0.589703], [0, 0, 0], [0, 0, 0.5], [0.665505, 0.282387, 0.816009]],
)
TRIGONAL = Structure.from_spacegroup(
    "P3_221", Lattice.hexagonal(4.913, 5.405), ["Si", "O"], [[0.4697, 0, 0], [0.4135, 0.2669, 0.1191]]
)
E0 = -60.0


def cubic(c11, c12, c44):
    tensor = np.diag([c11, c11, c11, c44, c44, c44]).astype(float)
    tensor[:3, :3] += c12 * (1 - np.eye(3))
    return tensor


SOFT = cubic(42.2, 11.1, 11.7)
T_NPS = np.diag([49.8, 49.8, 42.9, 11.1, 11.1, 11.7])  # Deng et al., J. Electrochem. Soc. 163, A67 (2016)
T_NPS[:3, :3] += [[0, 11.4, 15.7], [11.4, 0, 15.7], [15.7, 15.7, 0]]
T_NPS_VOIGT = (2 * 49.8 + 42.9 + 2 * 11.4 + 4 * 15.7) / 9
T_NPS_REUSS = ((49.8 + 11.4) * 42.9 - 2 * 15.7**2) / (49.8 + 11.4 + 2 * 42.9 - 4 * 15.7)
T_NPS_BULK = (T_NPS_VOIGT + T_NPS_REUSS) / 2
QUARTZ = np.diag([87.2, 87.2, 105.8, 58.3, 58.3, 40.3])  # about that of alpha quartz
QUARTZ[:3, :3] += [[0, 6.6, 12.0], [6.6, 0, 12.0], [12.0, 12.0, 0]]
QUARTZ[3, :2] = QUARTZ[:2, 3] = [-17.2, 17.2]
QUARTZ[4, 5] = QUARTZ[5, 4] = -17.2
YZ = np.eye(3)[[0, 2, 1]] - np.diag([1, 0, 0])


def response(*, energy=E0, stress=((0.0,) * 3,) * 3, max_force=5e-4, converged=True):
    return Response(energy=energy, stress=np.array(stress), max_force=max_force, converged=converged)


def crystal_responses(tensor, crystal=CRYSTAL):
    """Responses of a crystal whose energy is quadratic in the Green-Lagrange strain."""
    full = np.asarray(ElasticTensor.from_voigt(tensor))
    answers = {}
    for cell in strained_cells(crystal, strains=SIZES):
        f = cell.deformation_gradient
        second = np.einsum("ijkl,kl->ij", full, cell.strain)
        energy = crystal.volume * units.GPa * np.sum(second * cell.strain) / 2
        answers[cell.label] = response(energy=E0 + energy, stress=f @ second @ f.T / np.linalg.det(f))
    return answers


def in_another_basin(responses, *labels, depth=0.024):
    """Replace answers by those of a structure that lies lower and pulls back."""
    return responses | {
        label: replace(responses[label], energy=E0 - depth, stress=-responses[label].stress) for label in labels
    }


def all_results(responses, *, symmetric=None, displaced=None, crystal=CRYSTAL, reference=None, polymorph="cubic"):
    rest = reference or response()
    answers = elasticity_results(
        SUBJECT.model_copy(update={"polymorph": polymorph}),
        reference=Reference(structure=crystal, polymorph=polymorph, response=rest, displaced=displaced or rest),
        cells=strained_cells(crystal, strains=SIZES),
        relaxed=responses,
        symmetric=responses if symmetric is None else symmetric,
    )
    return {answer.property: answer for answer in answers}


def results(*args, **kwargs):
    """What stands for the material."""
    return {name: answer for name, answer in all_results(*args, **kwargs).items() if name in PROPERTIES}


PROPERTIES = ("elastic_tensor", "bulk_modulus", "shear_modulus", "pugh_ratio")
IN_SYMMETRY = tuple(f"symmetric_{name}" for name in PROPERTIES)


def assert_refused(answers, reason, guard, properties=PROPERTIES):
    assert set(answers) == set(PROPERTIES)
    assert [name for name, answer in answers.items() if answer.status == "refused"] == list(properties)
    for answer in (answers[name] for name in properties):
        assert answer.value is None
        assert not answer.data
        assert reason in answer.reason
        assert guard in [check.name for check in answer.guards if not check.passed]


def assert_only_bulk_modulus_left(answers, reason, guard, *, bulk):
    assert_refused(answers, reason, guard, [name for name in PROPERTIES if name != "bulk_modulus"])
    answer = answers["bulk_modulus"]
    assert answer.value == pytest.approx(bulk, rel=1e-6)
    (warning,) = (check for check in answer.guards if not check.passed)
    assert not warning.required
    assert reason in warning.detail


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


def test_emt_copper_passes_every_required_guard():
    copper = Structure.from_spacegroup("Fm-3m", Lattice.cubic(3.58982557), ["Cu"], [[0, 0, 0]])

    def answer(structure):
        atoms = AseAtomsAdaptor.get_atoms(structure)
        atoms.calc = EMT()
        return response(energy=atoms.get_potential_energy(), stress=atoms.get_stress(voigt=False) / units.GPa)

    responses = {cell.label: answer(cell.structure) for cell in strained_cells(copper, strains=SIZES)}
    answers = results(responses, crystal=copper, reference=answer(copper))
    assert [result.status for result in answers.values()] == ["ok"] * 4
    assert answers["bulk_modulus"].value == pytest.approx(134.5, rel=0.01)


def test_a_low_ratio_counts_as_ductile():
    assert results(crystal_responses(cubic(42.2, 30.0, 5.0)))["pugh_ratio"].data["ductile"] is True


def test_results_are_plain_json():
    for answer in all_results(crystal_responses(SOFT)).values():
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
    answers = results(responses)
    assert_refused(answers, "without an answer: e_xx -0.01", "strained cells converged")
    assert "e_xx -0.01, e_yz +0.005" in answers["shear_modulus"].reason
    assert_refused(results({}), "without an answer: e_xx +0.005, e_xx -0.005", "strained cells converged")


def test_a_cell_without_a_finite_stress_counts_as_missing():
    responses = crystal_responses(SOFT)
    responses["e_xx +0.01"] = response(stress=np.full((3, 3), np.nan))
    assert_refused(results(responses), "without an answer: e_xx +0.01", "strained cells converged")


@pytest.mark.parametrize("reference", [response(energy=np.inf), response(stress=np.full((3, 3), np.nan))])
def test_a_reference_without_finite_numbers_is_refused(reference):
    assert_refused(results(crystal_responses(SOFT), reference=reference), "no finite energy", "reference relaxed")


def test_unconverged_cells_are_named():
    responses = crystal_responses(SOFT)
    responses["e_xx +0.01"] = replace(responses["e_xx +0.01"], converged=False)
    assert_refused(results(responses), "not converged: e_xx +0.01", "strained cells converged")


@pytest.mark.parametrize(
    "reference", [response(stress=np.diag([0.06, 0.06, 0.06])), response(converged=False, max_force=0.02)]
)
def test_an_unrelaxed_reference_is_refused(reference):
    assert_refused(results(crystal_responses(SOFT), reference=reference), "not relaxed", "reference relaxed")


def test_sheared_cells_in_another_basin_are_told_by_their_energy():
    responses = in_another_basin(crystal_responses(cubic(24.8, 9.2, 11.0)), "e_yz +0.005", "e_yz +0.01", depth=0.095)
    answers = results(responses)
    assert_only_bulk_modulus_left(
        answers, "the cubic polymorph is unstable against shear e_yz", "unstrained cell lowest", bulk=43.2 / 3
    )
    assert answers["shear_modulus"].reason.endswith("47.5 meV per formula unit below the unstrained one")


def test_a_basin_just_below_the_reference_is_refused_by_energy_alone():
    responses = crystal_responses(SOFT)
    responses["e_yz +0.005"] = replace(responses["e_yz +0.005"], energy=E0 - 3e-4)
    failed = [guard.name for guard in results(responses)["shear_modulus"].guards if not guard.passed]
    assert failed == ["unstrained cell lowest"]


def test_the_bulk_modulus_outlives_an_unstable_shear():
    healthy = crystal_responses(T_NPS, TETRAGONAL)
    responses = in_another_basin(healthy, "e_yz +0.005", "e_yz +0.01")
    whole = results(healthy, crystal=TETRAGONAL, polymorph="tetragonal")["bulk_modulus"]
    answers = results(responses, crystal=TETRAGONAL, polymorph="tetragonal")
    assert_only_bulk_modulus_left(answers, "unstable against shear e_yz", "unstrained cell lowest", bulk=T_NPS_BULK)
    bulk = answers["bulk_modulus"]
    assert bulk.data == pytest.approx({"voigt": T_NPS_VOIGT, "reuss": T_NPS_REUSS, "hill": T_NPS_BULK})
    assert round(bulk.value, 1) == 25.3  # as Deng et al. print it
    assert bulk.value == pytest.approx(whole.value)
    assert bulk.uncertainty < 1e-6
    (warning,) = (guard for guard in bulk.guards if not guard.passed)
    assert warning.detail.endswith("the modulus is that of the constrained tetragonal shape, from normal strains alone")
    assert "12 meV per formula unit" in warning.detail
    assert all(guard.passed for guard in whole.guards)
    assert type(bulk).model_validate_json(bulk.model_dump_json()) == bulk


@pytest.mark.parametrize(
    ("fault", "reason", "guard"),
    [
        (None, "without an answer: e_xy +0.01", "strained cells converged"),
        ({"converged": False}, "not converged: e_xy +0.01", "strained cells converged"),
        ({"stress": 0.1 * YZ}, "the stress is not linear", "linear response"),
    ],
)
def test_the_bulk_modulus_outlives_any_fault_of_a_sheared_cell(fault, reason, guard):
    responses = crystal_responses(T_NPS, TETRAGONAL)
    answer = responses.pop("e_xy +0.01")
    if fault:
        responses["e_xy +0.01"] = replace(answer, **fault)
    assert_only_bulk_modulus_left(results(responses, crystal=TETRAGONAL), reason, guard, bulk=T_NPS_BULK)


@pytest.mark.parametrize("labels", [["e_zz +0.005"], ["e_zz +0.005", "e_yz +0.01"]])
def test_a_normal_strain_in_another_basin_refuses_everything(labels):
    responses = in_another_basin(crystal_responses(T_NPS, TETRAGONAL), *labels)
    answers = results(responses, crystal=TETRAGONAL)
    assert_refused(answers, "unstable against e_zz", "unstrained cell lowest")
    assert all(guard.required for guard in answers["bulk_modulus"].guards)


def test_a_fault_of_normal_strains_behind_one_of_a_shear_refuses_the_bulk_modulus_too():
    responses = in_another_basin(crystal_responses(T_NPS, TETRAGONAL), "e_yz +0.01")
    responses["e_zz +0.01"] = replace(responses["e_zz +0.01"], stress=0.5 * responses["e_zz +0.01"].stress)
    answers = results(responses, crystal=TETRAGONAL)
    assert_refused({**answers, "bulk_modulus": answers["shear_modulus"]}, "shear e_yz", "unstrained cell lowest")
    assert answers["bulk_modulus"].status == "refused"
    assert "at e_zz" in answers["bulk_modulus"].reason


def test_a_shear_stress_in_a_cell_without_shear_is_a_fault_of_normal_strains():
    responses = in_another_basin(crystal_responses(T_NPS, TETRAGONAL), "e_yz +0.01")
    responses["e_zz +0.01"] = replace(responses["e_zz +0.01"], stress=responses["e_zz +0.01"].stress + 0.2 * YZ)
    assert results(responses, crystal=TETRAGONAL)["bulk_modulus"].status == "refused"


def test_a_shear_that_couples_to_normal_strains_takes_the_bulk_modulus_with_it():
    healthy = crystal_responses(QUARTZ, TRIGONAL)
    assert results(healthy, crystal=TRIGONAL)["bulk_modulus"].status == "ok"
    responses = in_another_basin(healthy, "e_xy +0.005", "e_xy +0.01")
    assert_refused(results(responses, crystal=TRIGONAL), "unstable against shear e_xy", "unstrained cell lowest")


def test_work_of_a_small_residual_stress_is_no_instability():
    prestress = np.diag([0.04, 0.04, 0.04])
    cells = {cell.label: cell for cell in strained_cells(CRYSTAL, strains=SIZES)}
    responses = {
        label: replace(
            answer,
            energy=answer.energy + CRYSTAL.volume * units.GPa * np.sum(prestress * cells[label].strain),
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
    responses[label] = replace(responses[label], stress=responses[label].stress + jump * YZ)
    assert_only_bulk_modulus_left(results(responses), "not linear", "linear response", bulk=64.4 / 3)


def test_a_smooth_stiffening_that_the_two_sizes_disagree_on_is_not_linear():
    responses = {}
    for label, answer in crystal_responses(SOFT).items():
        factor = 1 + 5000 * float(label.split()[1]) ** 2
        responses[label] = replace(answer, stress=factor * answer.stress)
    assert_refused(results(responses), "differ by 26 %", "linear response")


def test_what_each_size_of_strain_says_of_the_ductility_is_told_with_the_refusal():
    stiffer = cubic(42.2, 11.1, 1.5 * 11.7)
    of_large = crystal_responses(stiffer)
    responses = {
        label: of_large[label] if label.endswith(" +0.01") and "yz" in label else answer
        for label, answer in crystal_responses(SOFT).items()
    }
    small, large = (moduli(tensor).pugh_ratio.hill for tensor in (SOFT, stiffer))
    told = f"G/B would be {small:.2f} by the small strains alone and {large:.2f} by the large"
    assert_only_bulk_modulus_left(results(responses), told, "linear response", bulk=64.4 / 3)


def test_sizes_of_strain_that_leave_no_stable_crystal_are_told_no_ductility():
    responses = crystal_responses(SOFT)
    responses["e_yz +0.005"] = replace(responses["e_yz +0.005"], stress=-responses["e_yz +0.005"].stress)
    assert "G/B" not in results(responses)["shear_modulus"].reason


def test_a_kink_at_the_reference_is_not_linear():
    responses = crystal_responses(SOFT)
    for label in ("e_xx +0.005", "e_xx +0.01"):
        responses[label] = replace(responses[label], stress=0.3 * responses[label].stress)
    assert_refused(results(responses), "small and large strains", "linear response")


@pytest.mark.parametrize("factor", [-1, 10, units.GPa])
def test_a_stress_of_wrong_sign_or_unit_disagrees_with_the_energy(factor):
    responses = {
        label: replace(answer, stress=factor * answer.stress) for label, answer in crystal_responses(SOFT).items()
    }
    assert_refused(results(responses), "differ by", "energy and stress agree")


def test_no_response_at_all_is_refused():
    silent = {label: response() for label in crystal_responses(SOFT)}
    assert_refused(results(silent), "mechanically unstable", "Born stability")


def test_stability_within_the_uncertainty_only_is_refused():
    responses = crystal_responses(cubic(42.2, 11.1, 0.3))
    rng = np.random.default_rng(2)
    for label, answer in responses.items():
        noise = rng.normal(0, 0.02, (3, 3))
        responses[label] = replace(answer, stress=answer.stress + noise + noise.T)
    assert "Born stability" in [g.name for g in results(responses)["shear_modulus"].guards if not g.passed]


def test_a_hill_mean_of_distant_bounds_comes_with_a_warning():
    answers = results(crystal_responses(cubic(12.0, 2.0, 0.35)))
    shear = answers["shear_modulus"]
    assert shear.status == "ok"
    (warning,) = (guard for guard in shear.guards if not guard.passed)
    assert not warning.required
    assert warning.name == "Hill mean of the shear modulus"
    assert all(guard.passed for guard in answers["bulk_modulus"].guards)


def test_both_answers_of_a_crystal_that_stays_agree():
    healthy = crystal_responses(T_NPS, TETRAGONAL)
    answers = all_results(healthy, crystal=TETRAGONAL, polymorph="tetragonal")
    assert list(answers) == [*PROPERTIES, *IN_SYMMETRY, "structural_instability"]
    for name in PROPERTIES:
        assert answers[f"symmetric_{name}"].value == answers[name].value
    assert answers["symmetric_elastic_tensor"].data["tensor"] == answers["elastic_tensor"].data["tensor"]
    stable = answers["structural_instability"]
    assert (stable.value, stable.unit) == (0.0, "meV/f.u.")
    assert stable.uncertainty == pytest.approx(0.08)  # 1e-5 eV for each of the 8 atoms of a formula unit
    assert stable.data["unstable_against"] == stable.data["loses_symmetry_under"] == []
    unstrained, *others = stable.data["strain_energies"]
    assert unstrained == {"label": "unstrained", "symmetric": 0.0, "relaxed": 0.0}
    for energies in others:
        strained = healthy[energies["label"]].energy
        assert energies["relaxed"] == energies["symmetric"] == pytest.approx(1000 * (strained - E0) / 2)


def test_an_unstable_crystal_keeps_its_symmetric_tensor_apart_from_its_modulus():
    """The tensor of Deng et al. for ions that keep their symmetry; without it the crystal falls under e_yz."""
    symmetric = crystal_responses(T_NPS, TETRAGONAL)
    fallen = in_another_basin(symmetric, "e_yz +0.005", "e_yz +0.01")
    answers = all_results(fallen, symmetric=symmetric, crystal=TETRAGONAL, polymorph="tetragonal")
    assert [answers[name].status for name in ("elastic_tensor", "shear_modulus", "pugh_ratio")] == ["refused"] * 3
    assert np.array(answers["symmetric_elastic_tensor"].data["tensor"]) == pytest.approx(T_NPS, abs=1e-8)
    assert "within the symmetry" in answers["symmetric_elastic_tensor"].data["ions"]
    assert round(answers["symmetric_shear_modulus"].value, 1) == 13.1  # as Deng et al. print it
    assert round(answers["symmetric_pugh_ratio"].value, 2) == 0.52
    assert "ductile" not in answers["symmetric_pugh_ratio"].data
    for name in IN_SYMMETRY:
        failed = [guard for guard in answers[name].guards if not guard.passed]
        assert not any(guard.required for guard in failed)
        assert all(guard.detail.startswith("symmetric answer only: ") for guard in failed)
        assert any("unstable against shear e_yz" in guard.detail for guard in failed)
    instability = answers["structural_instability"]
    assert instability.value == pytest.approx(12.0)  # 24 meV, two formula units
    assert instability.data["unstable_against"] == instability.data["loses_symmetry_under"] == ["shear e_yz"]
    depths = {each["label"]: each["relaxed"] for each in instability.data["strain_energies"]}
    assert [label for label, energy in depths.items() if energy < 0] == ["e_yz +0.005", "e_yz +0.01"]


def test_a_symmetry_that_breaks_above_the_unstrained_energy_is_no_linear_answer():
    symmetric = crystal_responses(SOFT)
    label = "e_yz +0.01"
    relaxed = symmetric | {label: replace(symmetric[label], energy=symmetric[label].energy - 1e-3)}
    answers = all_results(relaxed, symmetric=symmetric)
    reason = "strained by shear e_yz the crystal loses its symmetry: with e_yz +0.01 the ions fall 0.5 meV"
    assert_only_bulk_modulus_left({name: answers[name] for name in PROPERTIES}, reason, "symmetry kept", bulk=64.4 / 3)
    assert answers["symmetric_shear_modulus"].value == pytest.approx(13.113, abs=1e-3)
    instability = answers["structural_instability"]
    assert (instability.value, instability.data["unstable_against"]) == (0.0, [])
    assert instability.data["loses_symmetry_under"] == ["shear e_yz"]


def test_noise_of_the_energies_is_no_loss_of_symmetry():
    symmetric = crystal_responses(SOFT)
    relaxed = {label: replace(each, energy=each.energy - 1e-4) for label, each in symmetric.items()}
    assert {answer.status for answer in all_results(relaxed, symmetric=symmetric).values()} == {"ok"}


def test_a_crystal_unstable_in_its_own_symmetry_has_no_symmetric_modulus_either():
    answers = all_results(crystal_responses(cubic(42.2, 11.1, -4.0)))
    assert answers["structural_instability"].value > 0
    assert_only_bulk_modulus_left(
        {name: answers[name] for name in PROPERTIES},
        "unstable against shear e_yz",
        "unstrained cell lowest",
        bulk=64.4 / 3,
    )
    assert answers["symmetric_shear_modulus"].status == "refused"
    assert "unstable against shear e_yz" in answers["symmetric_shear_modulus"].reason


def test_a_crystal_whose_ions_fall_without_strain_blames_no_strain():
    symmetric = crystal_responses(T_NPS, TETRAGONAL)
    fallen = in_another_basin(symmetric, *symmetric, depth=0.094)
    displaced = response(energy=E0 - 0.096)
    answers = all_results(fallen, symmetric=symmetric, displaced=displaced, crystal=TETRAGONAL, polymorph="tetragonal")
    reason = (
        "the tetragonal polymorph is unstable even without strain: displaced, its ions fall 48 meV per formula unit"
    )
    assert_refused({name: answers[name] for name in PROPERTIES}, reason, "unstrained cell keeps its symmetry")
    assert "e_" not in answers["shear_modulus"].reason
    assert answers["symmetric_shear_modulus"].status == "ok"
    (warning,) = (guard for guard in answers["symmetric_shear_modulus"].guards if not guard.passed)
    assert reason in warning.detail
    instability = answers["structural_instability"]
    assert instability.value == pytest.approx(48.0)
    assert instability.data["stable_unstrained"] is False
    assert instability.data["unstable_against"] == instability.data["loses_symmetry_under"] == []


@pytest.mark.parametrize("displaced", [response(converged=False), response(energy=np.nan)])
def test_a_crystal_of_which_it_is_not_known_whether_it_stays_has_no_modulus(displaced):
    answers = all_results(crystal_responses(SOFT), displaced=displaced)
    four = {name: answers[name] for name in PROPERTIES}
    assert_refused(four, "not known: no converged answer", "unstrained cell keeps its symmetry")
    assert answers["structural_instability"].status == "refused"


def test_a_cell_that_fell_is_a_result_also_where_others_are_missing():
    symmetric = crystal_responses(SOFT)
    relaxed = in_another_basin(symmetric, "e_yz +0.01")
    del relaxed["e_xx -0.01"]
    instability = all_results(relaxed, symmetric=symmetric)["structural_instability"]
    assert instability.value == pytest.approx(12.0)
    assert [guard.name for guard in instability.guards if not guard.passed] == ["strained cells converged"]
    missing = {energies["label"]: energies["relaxed"] for energies in instability.data["strain_energies"]}
    assert missing["e_xx -0.01"] is None


def test_stability_is_not_claimed_where_cells_are_missing():
    relaxed = crystal_responses(SOFT)
    del relaxed["e_xx -0.01"]
    instability = all_results(relaxed)["structural_instability"]
    assert instability.status == "refused"
    assert "without an answer: e_xx -0.01" in instability.reason


def test_an_unrelaxed_reference_says_nothing_about_stability():
    fallen = in_another_basin(crystal_responses(SOFT), "e_yz +0.01")
    for reference in (response(converged=False), response(energy=np.inf)):
        assert all_results(fallen, reference=reference)["structural_instability"].status == "refused"
