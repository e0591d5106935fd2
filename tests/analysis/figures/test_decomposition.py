from itertools import combinations, pairwise

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from sodalyte.analysis.figures import decomposition_figure
from sodalyte.analysis.figures.style import COLOURS
from sodalyte.errors import UsageError

WHO = {"material": "Na3SbS4", "polymorph": "tetragonal", "recipe": "paper"}


def results(specimens, staircase=None, **changes):
    settings = {"limits": (1.83, 1.90), "spread": 0.05, "staircase": staircase or specimens.SB_STAIRCASE} | changes
    return {result.property: result for result in specimens.stability(WHO, scheme="mp2020", **settings)}


def draw(found, **changes):
    return decomposition_figure(
        found["decomposition"],
        colour=COLOURS[0],
        reduction_limit=found["reduction_limit"],
        oxidation_limit=found["oxidation_limit"],
        **changes,
    )


def texts(figure) -> list[str]:
    return [text.get_text() for panel in figure.axes for text in panel.texts]


def overlaps(figure) -> list[tuple[str, str]]:
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for panel in figure.axes for text in panel.texts]
    page = figure.bbox
    outside = [(name, "the page") for name, box in boxes if box.x0 < page.x0 or box.x1 > page.x1]
    return outside + [(one[0], two[0]) for one, two in combinations(boxes, 2) if one[1].overlaps(two[1])]


def test_products_are_written_with_amounts(specimens) -> None:
    written = texts(draw(results(specimens)))
    assert "Na₃Sb + 4 Na₂S" in written
    assert "0.5 Sb₂S₃ + 2.5 S" in written
    assert "1.83 to 1.90 V" in written


@pytest.mark.parametrize("name", ["SB_STAIRCASE", "P_STAIRCASE"])
def test_labels_neither_overlap_nor_leave_the_page(specimens, name) -> None:
    assert overlaps(draw(results(specimens, getattr(specimens, name)), published=(1.83, 1.90))) == []


@pytest.mark.parametrize(("low", "high"), [(0.1, 3.4), (0.05, 0.2), (3.3, 3.45), (0.2, 5.0)])
def test_window_numbers_stay_on_the_page(specimens, low, high) -> None:
    staircase = [(0.0, low, {"Na2S": 4.0}, 8.0), (low, high, {"Na3SbS4": 1.0}, 0.0), (high, None, {"S": 4.0}, -3.0)]
    figure = draw(results(specimens, staircase), published=(low, high))
    assert f"{low:.2f} to {high:.2f} V" in texts(figure)
    assert overlaps(figure) == []


def test_labels_keep_apart_when_steps_are_close_and_products_many(specimens) -> None:
    crowd = {f"Na{count}P{count}S{count + 3}": 0.125 for count in range(3, 12)}
    edges = [0.0, *(3.3 + 0.01 * step for step in range(10)), None]
    staircase = [
        (low, high, crowd if step % 2 else {"Na2S": 4.0}, 10.0 - step)
        for step, (low, high) in enumerate(pairwise(edges))
    ]
    assert overlaps(draw(results(specimens, staircase))) == []


def test_the_step_line_is_the_sodium_taken_up(specimens) -> None:
    figure = draw(results(specimens))
    stairs = figure.axes[1].patches[-1]
    taken_up = {step[3] for step in specimens.SB_STAIRCASE}
    assert {float(value) for value in stairs.get_data().values} == taken_up
    assert stairs.get_data().edges[0] == 0
    assert stairs.get_data().edges[-1] == 3.5


def test_a_refused_limit_leaves_no_window(specimens) -> None:
    found = results(specimens)
    refused = results(specimens, missing="Na2S5")
    written = texts(draw(found | {"oxidation_limit": refused["oxidation_limit"]}))
    assert "refused" in written
    assert "1.83 to 1.90 V" not in written


def test_a_material_above_the_hull_has_no_window(specimens) -> None:
    staircase = [
        (low, high, {"Na3SbS3": 1.0, "S": 1.0} if products == {"Na3SbS4": 1.0} else products, taken)
        for low, high, products, taken in specimens.SB_STAIRCASE
    ]
    assert "above the hull at every voltage" in texts(draw(results(specimens, staircase)))


def test_a_refused_decomposition_cannot_be_drawn(specimens) -> None:
    refused = results(specimens, missing="Na2S5")
    with pytest.raises(UsageError, match="Na2S5"):
        draw(refused)
