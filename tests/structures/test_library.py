import itertools

import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Composition

from sodalyte.errors import StructureError
from sodalyte.structures import crystal, crystals, known_gaps, load, phases, reduced


@pytest.mark.parametrize(
    ("name", "identifier"),
    [
        ("Na3SbS4", "Na3SbS4_t_PBE"),
        ("S4SbNa3", "Na3SbS4_t_PBE"),
        ("Na6Sb2S8", "Na3SbS4_t_PBE"),
        ("Na3SbS4_t", "Na3SbS4_t"),
        ("Na3PS4", "Na3PS4_t"),
        ("Na2S", "Na2S"),
        ("Na4S2", "Na2S"),
        ("Na2S4", "Na2S4"),
        ("NaSbS2", "NaSbS2_C2c"),
        ("Na3P", "Na3P"),
        ("Na", "Na_bcc"),
        ("NaSn2_pred", "NaSn2_pred"),
    ],
)
def test_load_by_formula_or_id(name, identifier):
    material = load(name)
    assert material.id == identifier
    assert material.formula == material.structure.composition.reduced_formula
    assert material.grade == crystal(identifier).grade
    assert f"grade {material.grade}" in material.source


@pytest.mark.parametrize(
    ("name", "polymorph", "identifier"),
    [
        ("Na3SbS4", "cubic", "Na3SbS4_c"),
        ("Na3SbS4", "Tetragonal", "Na3SbS4_t_PBE"),
        ("Na3PS4", "cubic", "Na3PS4_c"),
        ("Na2S", "orthorhombic", "Na2S_Pnma"),
        ("Na4P2S6", "trigonal", "Na4P2S6_P31m"),
    ],
)
def test_load_polymorph(name, polymorph, identifier):
    material = load(name, polymorph)
    assert material.id == identifier
    assert material.polymorph == polymorph.lower()


def test_measured_lattice_stands_beside_the_computed_one():
    """Hayashi et al., Nat. Commun. 10, 5266 (2019); M(Na3SbS4) = 318.97 g/mol, Z = 2."""
    measured = load("Na3SbS4").experimental
    assert (measured.a, measured.c) == pytest.approx((7.1708, 7.2376), abs=1e-4)
    assert measured.density == pytest.approx(318.97 * 2 / (0.602214 * 7.1708**2 * 7.2376), rel=1e-4)
    assert "Hayashi" in measured.source
    assert load("Na3SbS4", "cubic").experimental.a == pytest.approx(7.17)
    assert load("Na3Sb").experimental is None


@pytest.mark.parametrize(
    ("name", "polymorph", "message"),
    [
        ("Na3SbS5", None, "not in the library.*Na3SbS4"),
        ("na3sbs4", None, "neither a formula.*Na3SbS4"),
        ("Na3SbS4_tet", None, "nearest known names: Na3SbS4_t"),
        ("", None, "Na3SbS4 and Na3PS4"),
        ("Na2P2S6", None, "no coordinates found"),
        ("Na3SbS4", "hexagonal", "no polymorph 'hexagonal'.*cubic, tetragonal known"),
        ("Na3SbS4_t", "cubic", "Na3SbS4_t is tetragonal, not cubic"),
        ("NaSn2", None, "only as grade C.*NaSn2_pred"),
        ("Na3AsS4", None, "only as grade C.*Na3AsS4_t"),
        ("NaSbS2", "tetragonal", "only as grade C.*NaSbS2_rocksalt_I41amd"),
        ("Na2.88Sb0.88W0.12S4", None, "partial occupancies"),
        ("Na2.88Sb0.88W0.12S4_c", None, "partial occupancies"),
        ("Sb2S3", None, "no Na"),
        ("S_alpha_Fddd_exp", None, "no Na"),
        ("missing.cif", None, "missing.cif is not a file"),
        ("folder/Na3SbS4", None, "not a file"),
    ],
)
def test_load_refuses(name, polymorph, message):
    with pytest.raises(StructureError, match=message) as refusal:
        load(name, polymorph)
    assert refusal.value.exit_code == 2
    assert "\n" not in str(refusal.value)


def test_grade_c_comes_only_by_id_and_says_so():
    for known in crystals():
        if known.grade == "C":
            material = load(known.id)
            assert material.grade == "C"
            assert "grade C" in material.source


SYSTEMS = ("Na-Sb-S", "Na-P-S", "Na-P-Sb-S", "Na-Sn-Sb-S")


@pytest.mark.parametrize(
    ("chemsys", "required"),
    [
        (
            "Na-Sb-S",
            "Na3SbS4 Na3SbS3 NaSbS2 Na2S2 Na2S4 Na2S5 Na3Sb NaSb Sb2S3 Na2S S Sb Na",
        ),
        ("Na-P-S", "Na3PS4 Na4P2S6 Na3P NaP NaP7 Na3P11 P4S10 P4S3 Na2S Na2S2 Na2S4 Na2S5 S P Na"),
    ],
)
def test_phases_are_complete(chemsys, required):
    known = {phase.formula for phase in phases(chemsys)}
    assert {Composition(formula).reduced_formula for formula in required.split()} <= known


@pytest.mark.parametrize("chemsys", SYSTEMS)
def test_phases_are_trustworthy(chemsys):
    allowed = set(chemsys.split("-"))
    for phase in phases(chemsys):
        assert phase.grade in "AB"
        assert phase.is_ordered
        assert phase.role not in {"element-artefact", "doped-electrolyte", "prototype"}
        assert {element.symbol for element in phase.structure.elements} <= allowed


@pytest.mark.parametrize("chemsys", SYSTEMS)
def test_phases_hold_every_polymorph_once(chemsys):
    chosen = phases(chemsys)
    matcher = StructureMatcher()
    for one, other in itertools.combinations(chosen, 2):
        if one.formula == other.formula:
            cells = reduced(one.structure), reduced(other.structure)
            assert not matcher.fit(*cells, skip_structure_reduction=True), (one.id, other.id)
    allowed = set(chemsys.split("-"))
    kinds = {(phase.formula, phase.space_group.number) for phase in chosen}
    for known in crystals():
        if known.grade != "C" and known.is_ordered and set(known.chemsys.split("-")) <= allowed:
            assert known.role == "element-artefact" or (known.formula, known.space_group.number) in kinds


def test_phases_prefer_the_cell_nearest_to_the_truth():
    chosen = {phase.id for phase in phases("Na-P-Sb-S")}
    assert {"Na_bcc", "S_alpha_Fddd_exp", "P_black_exp", "P_Hittorf_exp", "Sb2S3_exp"} <= chosen
    assert {"Na3SbS4_t_PBE", "Na3SbS4_c", "Na2S4", "NaP"} <= chosen
    assert "Na_alphaMn_MP" not in chosen


def test_phases_do_not_depend_on_the_order_of_elements():
    assert phases("S-Sb-Na") == phases("Na-Sb-S")


@pytest.mark.parametrize("chemsys", ["Na-Sb-X", "NaSbS", "", "Na--S", "Na2-S"])
def test_chemical_system_must_be_elements(chemsys):
    with pytest.raises(StructureError, match="not an element"):
        phases(chemsys)


def test_known_gaps():
    gaps = {gap.formula: gap for gap in known_gaps("S-Na-P")}
    assert gaps["Na2P2S6"].priority == "high"
    assert "Kuhn" in gaps["Na2P2S6"].reason
    assert "Na11Sn2PS12" not in gaps
    assert known_gaps("Na-Sb-S") == ()


def test_no_gap_is_a_known_phase():
    known = {one.formula for one in crystals()}
    for gap in known_gaps("Na-Sn-P-S-Sb-Si-Ge-Mo-H-O"):
        assert Composition(gap.formula).reduced_formula not in known


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("Na3SbS4", "tetragonal"),
        ("Na3SbS4_t_PBE", "tetragonal"),
        ("Na3SbS4_t", "tetragonal (Na3SbS4_t)"),
        ("Na3SbS4_c", "cubic"),
    ],
)
def test_results_tell_crystals_of_one_polymorph_apart(name, variant):
    assert load(name).variant == variant
