"""The whole question for a set of materials, as one flow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobflow import Flow

from sodalyte.errors import UsageError, suggestion
from sodalyte.inputs.engine import configured
from sodalyte.workflows.dynamics import DynamicsMaker
from sodalyte.workflows.elasticity import ElasticityMaker
from sodalyte.workflows.relaxation import RelaxationMaker, label_of
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
_STAGES = {DynamicsMaker: "dynamics", ElasticityMaker: "elastic", StabilityMaker: "relax"}
_ASK_FOR_MORE = ("dynamics ", "strain ")
"""How the names of those jobs begin that ask for calculations when they run."""

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
    engine = configured(engine, recipe)
    relaxation = RelaxationMaker.from_engine(engine, recipe)
    makers = [maker.from_engine(engine, recipe) for name, maker in _MAKERS.items() if name in analyses]
    relaxed = [(material, relaxation.make(material)) for material in materials]
    analysed = [
        (material, _STAGES[type(maker)], maker.make(material, flow.output))
        for maker in makers
        for material, flow in relaxed
    ]
    parts = [*((material, "relax", flow) for material, flow in relaxed), *analysed]
    for material, stage, flow in parts:
        _label(flow, material=label_of(material), stage=stage)
    return Flow([flow for _, _, flow in parts], name="screening")


def _label(flow: Flow, *, material: str, stage: str) -> None:
    """Note in every job which material it is for, and in which stage of the screening it is."""
    for job, _ in flow.iterflow():
        computes = job.maker is not None or job.name.startswith(_ASK_FOR_MORE)
        job.update_metadata({"material": material, "stage": stage if computes else "analysis"}, dynamic=False)


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
