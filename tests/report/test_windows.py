import pytest
from matplotlib.collections import PolyCollection

from sodalyte.analysis.results import Guard, Subject, judge
from sodalyte.errors import UsageError
from sodalyte.report.calibration import Answer
from sodalyte.report.windows import windows_picture

NAMES = ("reduction_limit", "oxidation_limit")
PBE = "PBE, PAW, plane waves to 520 eV (GPAW 26.7.0, setups gpaw-data 1.2.1)"
ABOVE = Guard(name="on the hull", passed=False, required=False, detail="4 meV/atom above the hull")


def answers(*limits, level=PBE, recipe="paper", guards=(), reason="", polymorph="cubic"):
    subject = Subject(material="Na3SbS4", polymorph=polymorph, level=level, recipe=recipe)
    if reason:
        guards = (Guard(name="all phases", passed=False, detail=reason),)
    for name, limit in zip(NAMES, limits, strict=True):
        value = {} if reason else {"value": limit, "uncertainty": 0.1}
        result = judge(subject, property=name, unit="V", scheme="mp2020", guards=guards, **value)
        yield Answer(result=result, key=f"{level}{name}", date="2026-11-23")


def drawn(*found):
    figure = windows_picture([each for some in found for each in some], wanted=lambda *_: True)
    (axes,) = figure.axes
    texts = [text.get_text() for text in axes.texts]
    return axes, texts, [text.get_text() for text in figure.legends[0].get_texts()]


def test_each_engine_has_its_line_with_its_limits_and_uncertainties() -> None:
    axes, texts, legend = drawn(answers(1.61, 2.24), answers(1.63, 2.28, level="CHGNet 0.3.0 (chgnet 0.4.2)"))
    assert texts == ["Na₃SbS₄ cubic", "MP2020 correction", "1.63 to 2.28 V", "1.61 to 2.24 V"]
    assert legend == ["CHGNet 0.3.0", "GPAW PBE", "the paper"]
    chgnet, gpaw = axes.containers
    assert chgnet.lines[0].get_xdata() == pytest.approx([1.63, 2.28])
    assert gpaw.lines[0].get_xdata() == pytest.approx([1.61, 2.24])
    whiskers = [segment[:, 0].tolist() for segment in gpaw.lines[2][0].get_segments()]
    assert whiskers == [pytest.approx([1.51, 1.71]), pytest.approx([2.14, 2.34])]
    assert chgnet.lines[0].get_ydata()[0] < gpaw.lines[0].get_ydata()[0], "texts stand beside their lines"


def test_the_papers_window_lies_behind_both_polymorphs() -> None:
    axes, _, _ = drawn(answers(1.61, 2.24), answers(1.61, 2.24, polymorph="tetragonal"))
    boxes = [band.get_paths()[0].get_extents() for band in axes.collections if isinstance(band, PolyCollection)]
    assert [(box.x0, box.x1) for box in boxes] == [pytest.approx((1.83, 1.90))] * 2
    (cubic, tetragonal), (above, below) = (container.lines[0].get_ydata()[0] for container in axes.containers), boxes
    assert above.y0 < cubic < above.y1 < below.y0 < tetragonal < below.y1


def test_a_window_of_a_crystal_above_the_hull_is_hollow() -> None:
    axes, _, legend = drawn(answers(1.69, 1.70, guards=(ABOVE,)))
    assert axes.containers[0].lines[0].get_markerfacecolor() == "white"
    assert legend[1].startswith("hollow: above the hull")


def test_silence_has_its_word_and_another_recipe_is_named() -> None:
    _, texts, _ = drawn(answers(0, 0, reason="not computed yet: 3 of 9"))
    assert texts[-1] == "not computed"
    axes, texts, legend = drawn(answers(0, 0, reason="a phase did not converge"), answers(1.5, 2.5, recipe="quick"))
    assert texts[-2:] == ["refused", "1.50 to 2.50 V"]
    assert legend[:2] == ["GPAW PBE", "GPAW PBE, recipe quick"]
    assert len(axes.containers) == 1


def test_of_nothing_there_is_no_picture() -> None:
    with pytest.raises(UsageError, match="nothing to draw"):
        windows_picture([], wanted=lambda *_: True)
