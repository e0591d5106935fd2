import numpy as np
import pytest

from sodalyte.analysis.figures import msd_figure
from sodalyte.analysis.figures.style import COLOURS
from sodalyte.errors import UsageError

WHO = {"material": "Na3PS4", "polymorph": "tetragonal", "recipe": "paper"}


def curves(specimens, **changes):
    settings = {"temperature": 800.0, "diffusivity": 1e-5, "n_hops": 200} | changes
    observation, diffusivity, _ = specimens.transport(WHO, **settings)
    return observation, diffusivity


def legend(figure) -> list[str]:
    return [text.get_text().replace("\xa0", " ") for text in figure.axes[0].get_legend().get_texts()]


def dashed(figure):
    return [line for line in figure.axes[0].lines if line.is_dashed() and len(line.get_xdata()) > 2]


def test_the_line_rises_by_6d(specimens) -> None:
    observation, diffusivity = curves(specimens)
    (line,) = dashed(msd_figure([observation], colour=COLOURS[0], diffusivities=[diffusivity]))
    lag, msd = line.get_data()
    # 1e-5 cm^2/s is 0.1 angstrom^2/ps, and MSD = 6 D t (Einstein 1905): 6 angstrom^2 in 10 ps
    assert np.polyfit(lag, msd, 1)[0] * 10 == pytest.approx(6.0)
    assert lag[0] >= observation.data["fit_start_ps"]
    assert lag[-1] <= observation.data["fit_stop_ps"]


def test_a_refused_diffusivity_has_no_line_and_no_number(specimens) -> None:
    observation, diffusivity = curves(specimens, n_hops=3)
    figure = msd_figure([observation], colour=COLOURS[0], diffusivities=[diffusivity])
    assert dashed(figure) == []
    assert legend(figure)[0] == "800 K: not diffusive in this run"


def test_other_refusals_are_not_called_not_diffusive(specimens) -> None:
    observation, diffusivity = curves(specimens, n_hops=3)
    molten = diffusivity.model_copy(update={"reason": "framework ions moved 3 angstrom"})
    assert legend(msd_figure([observation], colour=COLOURS[0], diffusivities=[molten]))[0] == "800 K: D refused"


def test_temperatures_are_listed_from_the_lowest(specimens) -> None:
    pairs = [curves(specimens, temperature=kelvin) for kelvin in (1000.0, 600.0, 800.0)]
    observations, diffusivities = zip(*pairs, strict=True)
    written = legend(msd_figure(observations, colour=COLOURS[0], diffusivities=diffusivities))
    assert [line.split(" K")[0] for line in written[:3]] == ["600", "800", "1000"]
    assert written[0] == "600 K: D = (1.00 ± 0.22)×10⁻⁵ cm²/s"
    assert written[-1] == "one hop, a² = 13.0 Å²"


def test_a_flat_curve_is_seen_below_one_hop(specimens) -> None:
    observation, _ = curves(specimens, diffusivity=1e-9)
    top = msd_figure([observation], colour=COLOURS[0]).axes[0].get_ylim()[1]
    assert top > specimens.HOP_LENGTH**2


def test_an_empty_fit_window_is_not_drawn(specimens) -> None:
    observation, diffusivity = curves(specimens, n_hops=3)
    data = observation.data | {"fit_start_ps": observation.data["fit_stop_ps"]}
    figure = msd_figure([observation.model_copy(update={"data": data})], colour=COLOURS[0], diffusivities=[diffusivity])
    assert max(line.get_linewidth() for line in figure.axes[0].lines if len(line.get_xdata())) < 2


def test_a_result_without_a_curve_cannot_be_drawn(specimens) -> None:
    _, diffusivity = curves(specimens)
    with pytest.raises(UsageError, match="diffusivity of Na3PS4"):
        msd_figure([diffusivity], colour=COLOURS[0])
