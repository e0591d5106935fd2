"""The whole question for a set of materials, as one flow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobflow import Flow

from sodalyte.errors import UsageError, suggestion
from sodalyte.workflows.dynamics import DynamicsMaker
from sodalyte.workflows.elasticity import ElasticityMaker
from sodalyte.workflows.relaxation import RelaxationMaker
from sodalyte.workflows.stability import StabilityMaker

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sodalyte.inputs.engine import Engine
    from sodalyte.inputs.recipe import Recipe
    from sodalyte.structures import Material

_MAKERS: dict[str, type[DynamicsMaker | ElasticityMaker | StabilityMaker]] = {
    "diffusion": DynamicsMaker,
    "elasticity": ElasticityMaker,
    "stability": StabilityMaker,
}
ANALYSES = ("relaxation", *_MAKERS)


def screen(
    materials: Iterable[Material], *, engine: Engine, recipe: Recipe, analyses: Collection[str] = ANALYSES
) -> Flow:
    """Return the flow that answers ``analyses`` for every material; relaxation is always part of it.

    Parameters
    ----------
    analyses
        Some of ``ANALYSES``.
    """
    relaxation = RelaxationMaker.from_engine(engine, recipe)
    makers = [maker.from_engine(engine, recipe) for name, maker in _MAKERS.items() if name in analyses]
    relaxed = [(material, relaxation.make(material)) for material in materials]
    return Flow(
        [
            *(flow for _, flow in relaxed),
            *(maker.make(material, flow.output) for maker in makers for material, flow in relaxed),
        ],
        name="screening",
    )


def parse_analyses(text: str) -> list[str]:
    """Return the analyses that a comma-separated list names.

    Raises
    ------
    UsageError
        A name is unknown; the nearest is given.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in ANALYSES:
            raise UsageError(f"--only: unknown analysis {name!r}; {suggestion(name, ANALYSES)}")
    if not names:
        raise UsageError(f"--only names no analysis; known: {', '.join(ANALYSES)}")
    return names
