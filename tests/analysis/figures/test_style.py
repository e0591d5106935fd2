import matplotlib as mpl
import pytest

from sodalyte.analysis.figures import material_styles, msd_figure, render
from sodalyte.analysis.figures.style import COLOURS, drawable, fitted, text_width, tint


@pytest.fixture
def observation(specimens):
    results = specimens.transport(
        {"material": "Na3PS4", "polymorph": "tetragonal", "recipe": "paper"},
        temperature=800.0,
        diffusivity=2e-5,
        n_hops=200,
    )
    return results[0]


@pytest.mark.parametrize("file_format", ["svg", "pdf"])
def test_the_same_figure_gives_the_same_bytes_without_a_date(observation, file_format) -> None:
    first, second = (render(msd_figure([observation], colour=COLOURS[0]), file_format) for _ in range(2))
    assert first == second
    assert b"date" not in first.lower()


def test_the_users_matplotlibrc_changes_nothing(observation) -> None:
    ours = render(msd_figure([observation], colour=COLOURS[0]), "svg")
    with mpl.rc_context({"font.size": 40, "axes.facecolor": "black", "text.usetex": True, "svg.fonttype": "none"}):
        assert render(msd_figure([observation], colour=COLOURS[0]), "svg") == ours


def test_drawing_leaves_global_settings_alone(observation) -> None:
    before = dict(mpl.rcParams)
    render(msd_figure([observation], colour=COLOURS[0]), "svg")
    assert dict(mpl.rcParams) == before


def test_every_material_keeps_its_colour_and_marker() -> None:
    styles = material_styles(["a", "b", "a", "c"])
    assert list(styles) == ["a", "b", "c"]
    assert len(set(styles.values())) == 3


def test_text_that_the_font_does_not_have_is_replaced() -> None:
    assert drawable("Na3SbS4") == "Na₃SbS₄"
    assert drawable("晶\n体 a") == "? ? a"


def test_text_width_grows_with_size_and_weight() -> None:
    assert text_width("Na₃SbS₄", 16) == pytest.approx(2 * text_width("Na₃SbS₄", 8), rel=0.02)
    assert text_width("Na₃SbS₄", 8, weight="bold") > text_width("Na₃SbS₄", 8)


def test_long_text_is_cut_to_its_width_and_not_shorter_than_needed() -> None:
    cut = fitted("a long name " * 20, width=100, size=8)
    assert cut.endswith("…")
    assert 92 < text_width(cut, 8) <= 100
    assert fitted("short", width=100, size=8) == "short"


def test_tint_mixes_with_white() -> None:
    assert tint("#0072b2", 1.0) == "#0072b2"
    assert tint("#0072b2", 0.0) == "#ffffff"
