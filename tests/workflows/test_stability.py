import pytest

from sodalyte.analysis.results import Subject
from sodalyte.inputs.gpaw import Gpaw
from sodalyte.inputs.recipe import Recipe
from sodalyte.inputs.reference import shipped
from sodalyte.structures import crystal, phases
from sodalyte.workflows.stability import analyse_stability, required_phases

NOTHING = {"structure": None, "energy": None, "state": None, "uuid": "never run"}


@pytest.fixture(scope="module")
def relaxed():
    """The PAW-PBE relaxations that ship, by the names of their jobs."""
    return {
        each.name: each for each in shipped() if each.name.startswith("relax ") and each.calculator == Gpaw.__name__
    }


def answers(identifier, relaxed, *, without=()):
    """Results of a crystal of the library, by property and scheme."""
    record = crystal(identifier)
    own = relaxed[f"relax {record.formula} {record.polymorph}"]
    subject = Subject(material=record.formula, polymorph=record.polymorph, level=own.level, recipe="paper")
    competing = [phase.id for phase in phases(record.structure.chemical_system) if phase.id != identifier]
    found = analyse_stability.original(
        subject.model_dump(),
        material_id=identifier,
        material_start=record.structure,
        material=own.outcome(),
        competitors={
            name: there.outcome() if name not in without and (there := relaxed.get(f"relax {name}")) else NOTHING
            for name in competing
        },
        gaps=[],
        contained="none",
        settings=Recipe.paper().stability,
    )
    return {(each["property"], each["scheme"]): each for each in found["results"]}


@pytest.mark.parametrize(
    ("identifier", "scheme", "reduction", "oxidation"),
    [
        ("Na3SbS4_t_PBE", "mp2020", 1.69, 1.69),
        ("Na3SbS4_t_PBE", "polysulfide_charge", 1.61, 2.24),
        ("Na3PS4_t", "mp2020", 1.27, 2.15),
        ("Na3PS4_t", "polysulfide_charge", 1.27, 2.43),
    ],
)
def test_what_ships_has_the_windows_of_the_calibration_page(relaxed, identifier, scheme, reduction, oxidation):
    found = answers(identifier, relaxed)
    assert found["reduction_limit", scheme]["value"] == pytest.approx(reduction, abs=0.01)
    assert found["oxidation_limit", scheme]["value"] == pytest.approx(oxidation, abs=0.01)
    assert found["window_width", scheme]["status"] != "refused"


def test_without_a_formula_there_is_no_window_and_without_a_polymorph_a_warning(relaxed):
    assert "NaP7 (missing)" in answers("Na3PS4_t", relaxed, without=["NaP7"])["window_width", "mp2020"]["reason"]
    limit = answers("Na3PS4_t", relaxed, without=["Na4P2S6_C2m"])["reduction_limit", "mp2020"]
    assert limit["value"] == pytest.approx(1.20, abs=0.01), "the polymorph alone makes it 1.27"
    (warning,) = [guard for guard in limit["guards"] if guard["name"] == "optional phases"]
    assert not warning["passed"]
    assert "Na4P2S6_C2m (missing)" in warning["detail"]


def test_every_compound_is_required_but_no_single_polymorph_of_an_element():
    known = [phase.id for phase in phases("Na-Sb-S")]
    required = required_phases(known, known)
    assert {"Na2S", "Na2S2_beta", "Na2S2_alpha", "Na3SbS3", "Na3Sb"} <= set(required)
    assert not {"S_MP_ground", "Na_bcc", "Sb_A7"}.intersection(required)


def test_a_polymorph_that_failed_is_missed_only_where_no_other_of_its_formula_converged():
    known = [phase.id for phase in phases("Na-Sb-S")]
    assert "Na2S2_alpha" not in required_phases(set(known) - {"Na2S2_alpha"}, known)
    assert "Na3SbS3" in required_phases(set(known) - {"Na3SbS3"}, known)
