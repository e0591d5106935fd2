"""Which phases are admitted to a hull, and what is said about the others."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from sodalyte.analysis.phases import Phase, admit, changed_bonds
from sodalyte.structures.library import crystal

LEVEL = "some engine 1.0"


def phase(identifier, **changes):
    structure = crystal(identifier).structure
    made = Phase(
        id=identifier,
        structure=structure,
        energy=-3.0 * len(structure),
        converged=True,
        level=LEVEL,
        source=f"uuid of {identifier}",
        crystal=structure,
    )
    return replace(made, **changes)


SULFIDE = phase("Na2S")
SYSTEM = [phase("Na_bcc"), phase("S_alpha_Fddd_exp"), phase("Na2S2_beta")]


def guards_of(material, phases, **options):
    admitted, guards = admit(material, phases, level=options.pop("level", LEVEL), **options)
    return [phase.id for phase in admitted], {guard.name: guard for guard in guards}


def test_sound_system():
    admitted, guards = guards_of(SULFIDE, [*SYSTEM, phase("Na3Sb")])
    assert admitted == ["Na2S", "Na2S2_beta", "Na_bcc", "S_alpha_Fddd_exp"]
    assert all(guard.passed for guard in guards.values())
    assert {name for name, guard in guards.items() if guard.required} == {
        *("complete phase set", "one level of theory"),
        *("elemental references", "competing phases known"),
    }


@pytest.mark.parametrize(
    ("changes", "fault"), [({"converged": False}, "not converged"), ({"energy": math.nan}, "energy not finite")]
)
def test_unusable_phase(changes, fault):
    polysulfide = phase("Na2S4", **changes)
    admitted, guards = guards_of(SULFIDE, [*SYSTEM, polysulfide])
    assert "Na2S4" not in admitted
    assert guards["complete phase set"].passed
    assert not guards["optional phases"].passed
    assert f"Na2S4 ({fault})" in guards["optional phases"].detail

    _, guards = guards_of(SULFIDE, [*SYSTEM, polysulfide], required_ids=["Na2S4"])
    assert not guards["complete phase set"].passed
    assert f"Na2S4 ({fault})" in guards["complete phase set"].detail


def test_missing_required_phases_are_named():
    _, guards = guards_of(SULFIDE, SYSTEM, required_ids=["Na2S5", "Na2S4", "Na_bcc"])
    assert guards["complete phase set"].detail == ("required phases are not usable: Na2S4 (missing), Na2S5 (missing)")


def test_missing_optional_phases_are_named_and_do_no_harm():
    _, guards = guards_of(SULFIDE, SYSTEM, required_ids=["Na2S5"], optional_ids=["Na2S2_alpha", "Na_bcc"])
    assert guards["complete phase set"].detail == "required phases are not usable: Na2S5 (missing)"
    assert guards["optional phases"].detail == "left out: Na2S2_alpha (missing)"


def test_material_itself_must_be_sound():
    _, guards = guards_of(replace(SULFIDE, converged=False), SYSTEM)
    assert "Na2S (not converged)" in guards["complete phase set"].detail


def test_phase_of_other_elements_cannot_fail_the_hull():
    _, guards = guards_of(SULFIDE, [*SYSTEM, phase("Na3Sb", converged=False)], required_ids=["Na3Sb"])
    assert guards["complete phase set"].passed


@pytest.mark.parametrize(("level", "culprit"), [("another engine", SULFIDE), (LEVEL, replace(SULFIDE, level="PBE"))])
def test_mixed_levels(level, culprit):
    _, guards = guards_of(culprit, SYSTEM, level=level)
    assert not guards["one level of theory"].passed
    assert LEVEL in guards["one level of theory"].detail


def test_missing_element():
    _, guards = guards_of(SULFIDE, SYSTEM[:1])
    assert guards["elemental references"].detail == "no usable elemental phase of S"
    assert not guards["competing phases known"].passed


def test_only_bcc_sodium_is_a_reference():
    artefact = phase("Na_alphaMn_MP")
    admitted, guards = guards_of(SULFIDE, [*SYSTEM, artefact])
    assert "Na_bcc" in admitted
    assert "Na_alphaMn_MP" not in admitted
    assert guards["elemental references"].passed
    _, guards = guards_of(SULFIDE, [artefact, *SYSTEM[1:]])
    assert guards["elemental references"].detail == "no usable elemental phase of Na (body-centred cubic)"


def test_known_gaps_warn():
    _, guards = guards_of(SULFIDE, SYSTEM, known_gaps=["Na2S3 (no coordinates)"])
    assert not guards["known gaps"].passed
    assert not guards["known gaps"].required
    assert "Na2S3 (no coordinates)" in guards["known gaps"].detail


def swollen(identifier, strain):
    structure = crystal(identifier).structure
    return structure.apply_strain(strain, inplace=False)


def test_swelling_warns():
    """PBE swells alpha-S8 by 41 % in volume (2.067 to 1.470 g/cm3) while its rings stay."""
    sulfur = crystal("S_alpha_Fddd_exp").structure
    relaxed = spread_molecules(sulfur, 1.41 ** (1 / 3))
    admitted, guards = guards_of(SULFIDE, [SYSTEM[0], SYSTEM[2], phase("S_alpha_Fddd_exp", structure=relaxed)])
    assert "S_alpha_Fddd_exp" in admitted
    assert not guards["volumes kept"].passed
    assert not guards["volumes kept"].required
    assert "S_alpha_Fddd_exp +41%" in guards["volumes kept"].detail


def spread_molecules(structure, factor):
    """Move whole S8 rings apart: keep each ring and scale its centre with the lattice."""
    centres, neighbours, images, _ = structure.get_neighbor_list(2.35)
    spread = structure.copy()
    spread.scale_lattice(structure.volume * factor**3)
    placed = {}
    for start in range(len(structure)):
        if start in placed:
            continue
        ring, queue = {start: structure[start].frac_coords}, [start]
        while queue:
            here = queue.pop()
            for there, image in zip(neighbours[centres == here], images[centres == here], strict=True):
                if there not in ring:
                    ring[there] = ring[here] + (structure[there].frac_coords + image - structure[here].frac_coords)
                    queue.append(there)
        middle = sum(ring.values()) / len(ring)
        placed |= {site: middle + (place - middle) / factor for site, place in ring.items()}
    for site, place in placed.items():
        spread[site].frac_coords = place
    return spread


def test_lost_space_group_warns():
    structure = crystal("Na2S2_beta").structure
    structure.translate_sites([0], [0.03, 0.01, 0.02])
    _, guards = guards_of(SULFIDE, [*SYSTEM[:2], phase("Na2S2_beta", structure=structure)])
    assert "Na2S2_beta went from P-62m to" in guards["space groups kept"].detail


def test_merged_thiophosphate_is_rejected():
    """A potential's spurious minimum of Na4P2S6 has P-P 2.94 angstrom where a bond is 2.2."""
    structure = crystal("Na4P2S6_C2m").structure
    broken = swollen("Na4P2S6_C2m", 0.35)
    assert "P-P bonds broken" in changed_bonds(structure, broken)
    assert "P-P bonds formed" in changed_bonds(broken, structure)
    material = phase("Na3PS4_t")
    system = [*SYSTEM, phase("P_black_exp"), phase("Na4P2S6_C2m", structure=broken)]
    admitted, guards = guards_of(material, system)
    assert "Na4P2S6_C2m" not in admitted
    assert "P-P bonds broken" in guards["optional phases"].detail
    _, guards = guards_of(material, system, required_ids=["Na4P2S6_C2m"])
    assert "P-P bonds broken" in guards["complete phase set"].detail


@pytest.mark.parametrize("identifier", ["Sb2S3_exp", "Na2S5", "P4S3", "P_black_exp", "Na3SbS4_t", "Sb_A7"])
@pytest.mark.parametrize("strain", [-0.03, 0.03])
def test_ordinary_relaxation_keeps_the_bonds(identifier, strain):
    """Neither does a supercell change them."""
    structure = crystal(identifier).structure
    assert changed_bonds(structure, swollen(identifier, strain)) == []
    assert changed_bonds(structure, structure * (2, 1, 1)) == []


def test_measured_and_computed_cells_have_the_same_bonds():
    assert changed_bonds(crystal("Sb2S3_exp").structure, crystal("Sb2S3").structure) == []


def test_cations_and_metals_have_no_bonds_to_change():
    assert changed_bonds(crystal("Na_bcc").structure, swollen("Na_bcc", 0.3)) == []
