import re
from html import unescape

import pytest

from sodalyte.report.cases import arrange
from sodalyte.report.pictures import inline_svg, plates


@pytest.fixture(scope="module")
def pair(specimens):
    return named(arrange(specimens.na3sbs4() + specimens.na3ps4()))


def named(cases):
    return {picture.name: picture for plate in plates(cases) for picture in plate.pictures}


def test_each_material_has_its_figures_and_all_have_the_comparisons(pair) -> None:
    assert set(pair) == {
        *(
            f"decomposition-{material}-tetragonal-{scheme}"
            for material in ("Na3SbS4", "Na3PS4")
            for scheme in ("mp2020", "polysulfide-charge")
        ),
        *("msd-Na3SbS4-tetragonal", "msd-Na3PS4-tetragonal", "arrhenius", "elasticity", "cells"),
    }
    assert all(picture.svg for picture in pair.values())


def test_a_refused_figure_gives_its_reason(specimens) -> None:
    found = named(arrange(specimens.refused()))
    window = found["decomposition-Na3PS4-tetragonal-mp2020"]
    assert not window.svg
    assert window.caption == "Refused: missing phase Na4P2S6"
    assert found["msd-Na3PS4-tetragonal"].svg, "an observation is kept when the diffusivity is refused"
    assert "elasticity" not in found


def test_the_symmetric_answer_is_drawn_where_there_are_no_moduli(specimens) -> None:
    assert named(arrange(specimens.unstable()))["elasticity"].svg


def test_missing_analyses_are_not_drawn(specimens) -> None:
    assert set(named(arrange(specimens.relaxed_only("Na3SbS4")))) == {"cells"}


def test_file_names_are_plain_and_differ_even_without_case(hostile, specimens) -> None:
    moved = [
        result.model_copy(update={"material": material})
        for material in ("../../A b", "../../a B", "<&>")
        for result in specimens.refused()
    ]
    names = list(named(arrange(moved)))
    assert len({name.casefold() for name in names}) == len(names) == 6
    assert all(name.replace("-", "").isalnum() and name.isascii() for name in names)


def test_inlined_figures_speak_and_keep_their_ids_apart(pair) -> None:
    seen: set[str] = set()
    for picture in pair.values():
        svg = inline_svg(picture)
        ids = set(re.findall(r'\bid="([^"]+)"', svg))
        links = set(re.findall(r'href="#([^"]+)"', svg)) | set(re.findall(r"url\(#([^)]+)\)", svg))
        assert links <= ids
        assert not ids & seen
        seen |= ids
        assert f'<title id="{picture.name}-title">{picture.title}</title>' in unescape(svg)
        assert picture.caption in unescape(svg)
        assert 'role="img"' in svg
        assert "<style" not in svg
        assert "http" not in svg
