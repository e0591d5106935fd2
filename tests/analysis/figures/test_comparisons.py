import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from sodalyte.analysis.figures import Sample, arrhenius_figure, cells_figure, elasticity_figure, material_styles
from sodalyte.errors import UsageError

BOLTZMANN = 8.617333262e-5  # eV/K, CODATA 2018


@pytest.fixture
def samples(specimens):
    results = {"Na₃SbS₄": specimens.na3sbs4(), "Na₃PS₄": specimens.na3ps4()}
    styles = material_styles(list(results))
    return [Sample(label, *styles[label], tuple(found)) for label, found in results.items()]


def legend(figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def test_arrhenius_line_and_band(samples) -> None:
    figure = arrhenius_figure(samples)
    assert legend(figure) == ["Na₃SbS₄: 5 temperatures"]
    dashed = next(line for line in figure.axes[0].lines if line.get_linestyle() == "--")
    inverse, diffusivity = (values[-1] for values in dashed.get_data())
    assert inverse == pytest.approx(1000 / 300)
    assert diffusivity == pytest.approx(np.exp(-6.9 - 0.22 / (BOLTZMANN * 300)), rel=1e-4)

    data = samples[0].find("arrhenius").data
    draws = np.random.default_rng(1).multivariate_normal(
        [data["ln_d0"], data["activation_energy"]], data["covariance"], size=200_000
    )
    sampled = np.exp(draws[:, 0] - draws[:, 1] / (BOLTZMANN * 300))
    band = figure.axes[0].collections[-1].get_paths()[0].vertices
    at_300 = band[np.isclose(band[:, 0], 1000 / 300), 1]
    expected = np.percentile(sampled, [2.5, 97.5])
    assert [at_300.min(), at_300.max()] == pytest.approx(expected, rel=0.03)


def test_pughs_line_and_published_ratios(samples) -> None:
    figure = elasticity_figure(samples, published_ratios={"Na₃SbS₄": 0.19, "unknown": 0.3})
    slopes = {
        line.get_label(): line.get_ydata()[1] / line.get_xdata()[1]
        for line in figure.axes[0].lines
        if line.get_xdata()[0] == 0
    }
    assert slopes["Pugh's line, G = 0.571 B (ductile below)"] == pytest.approx(0.571)
    assert slopes["Na₃SbS₄, published G/B = 0.19"] == pytest.approx(0.19)
    assert len(legend(figure)) == 4


def test_moduli_stay_in_the_picture(samples) -> None:
    figure = elasticity_figure(samples)
    (left, right), (bottom, top) = figure.axes[0].get_xlim(), figure.axes[0].get_ylim()
    for sample in samples:
        bulk, shear = sample.find("bulk_modulus"), sample.find("shear_modulus")
        assert left < bulk.data["voigt"] + bulk.uncertainty < right
        assert bottom < shear.data["voigt"] + shear.uncertainty < top


def test_a_material_without_moduli_shows_its_symmetric_answer_as_such(samples, specimens) -> None:
    unstable = Sample("t-Na₃PS₄", "#d55e00", "s", tuple(specimens.unstable()))
    figure = elasticity_figure([samples[0], unstable])
    assert legend(figure)[0] == "Na₃SbS₄, Hill (band: Reuss to Voigt)"
    assert legend(figure)[1] == "t-Na₃PS₄, symmetric answer, not its modulus"
    filled, hollow = (container.lines[0].get_markerfacecolor() for container in figure.axes[0].containers)
    assert (filled, hollow) == (samples[0].colour, "white")


def test_cells_are_written_with_their_deviation(samples) -> None:
    figure = cells_figure(samples)
    written = [text.get_text().replace("\xa0", " ") for text in figure.axes[0].texts]
    assert "7.610 Å  (+5.1 %)" in written  # 7.6099 against 7.2376 angstrom
    assert "2.077 g/cm³  (no experiment)" in written
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    for text in figure.axes[0].texts:
        box = text.get_window_extent(renderer)
        assert figure.bbox.x0 <= box.x0, text
        assert box.x1 <= figure.bbox.x1, text


def test_a_long_name_is_cut_to_the_page(specimens) -> None:
    sample = Sample("a very long name " * 20, "#000000", "o", tuple(specimens.na3sbs4()))
    for figure in (arrhenius_figure([sample]), elasticity_figure([sample]), cells_figure([sample])):
        renderer = FigureCanvasAgg(figure).get_renderer()
        figure.draw(renderer)
        axes = figure.axes[0]
        artists = [*axes.texts, *(axes.get_legend().get_texts() if axes.get_legend() else ())]
        assert any("…" in artist.get_text() for artist in artists)
        assert max(artist.get_window_extent(renderer).x1 for artist in artists) <= figure.bbox.x1


def test_refused_results_are_left_out(specimens) -> None:
    sample = Sample("Na₃PS₄", "#000000", "o", tuple(specimens.refused()))
    assert sample.find("bulk_modulus") is None
    for draw in (arrhenius_figure, elasticity_figure, cells_figure):
        with pytest.raises(UsageError, match="nothing to draw"):
            draw([sample])
