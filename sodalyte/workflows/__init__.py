"""In which order: jobflow Makers."""

from sodalyte.workflows.dynamics import DynamicsMaker
from sodalyte.workflows.elasticity import ElasticityMaker
from sodalyte.workflows.relaxation import RelaxationMaker
from sodalyte.workflows.screening import ANALYSES, parse_analyses, screen
from sodalyte.workflows.stability import StabilityMaker

__all__ = [
    "ANALYSES",
    "DynamicsMaker",
    "ElasticityMaker",
    "RelaxationMaker",
    "StabilityMaker",
    "parse_analyses",
    "screen",
]
