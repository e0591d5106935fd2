"""One figure per file, drawn from results alone and with no global state."""

from sodalyte.analysis.figures.arrhenius import arrhenius_figure
from sodalyte.analysis.figures.cells import cells_figure
from sodalyte.analysis.figures.decomposition import decomposition_figure
from sodalyte.analysis.figures.elasticity import elasticity_figure, has_moduli
from sodalyte.analysis.figures.msd import msd_figure
from sodalyte.analysis.figures.style import Sample, material_styles, render
from sodalyte.analysis.figures.windows import Window, windows_figure

__all__ = [
    "Sample",
    "Window",
    "arrhenius_figure",
    "cells_figure",
    "decomposition_figure",
    "elasticity_figure",
    "has_moduli",
    "material_styles",
    "msd_figure",
    "render",
    "windows_figure",
]
