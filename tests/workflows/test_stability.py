from sodalyte.structures import phases
from sodalyte.workflows.stability import required_phases


def test_every_compound_is_required_but_no_single_polymorph_of_an_element():
    known = [phase.id for phase in phases("Na-Sb-S")]
    required = required_phases(known, known)
    assert {"Na2S", "Na2S2_beta", "Na2S2_alpha", "Na3SbS3", "Na3Sb"} <= set(required)
    assert not {"S_MP_ground", "Na_bcc", "Sb_A7"}.intersection(required)


def test_a_polymorph_that_failed_is_missed_only_where_no_other_of_its_formula_converged():
    known = [phase.id for phase in phases("Na-Sb-S")]
    assert "Na2S2_alpha" not in required_phases(set(known) - {"Na2S2_alpha"}, known)
    assert "Na3SbS3" in required_phases(set(known) - {"Na3SbS3"}, known)
