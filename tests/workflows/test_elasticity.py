from dataclasses import dataclass

import pytest
from ase.calculators.emt import EMT
from jobflow import run_locally
from pymatgen.core import Lattice, Structure

from sodalyte.inputs.potential import Potential
from sodalyte.inputs.recipe import Recipe
from sodalyte.structures import Material
from sodalyte.workflows import ElasticityMaker, RelaxationMaker


@dataclass(frozen=True)
class Emt(Potential):
    package = "ase"
    extra = ""
    contained_correction = "none"

    def _describe(self):
        return "EMT"

    def calculator(self, reference):
        return EMT()


def test_copper_through_the_makers_has_its_elastic_constants():
    """C11, C12, C44 of EMT copper by second derivatives of its energy: 173.2, 115.9 and 90.0 GPa."""
    structure = Structure.from_spacegroup("Fm-3m", Lattice.cubic(3.65), ["Cu"], [[0, 0, 0]])
    copper = Material(formula="Cu", polymorph="cubic", structure=structure, source="made up")
    recipe = Recipe.paper().override({"relaxation": {"fmax": 1e-4}, "elasticity": {"fmax": 1e-4}})
    relaxation = RelaxationMaker.from_engine(Emt(), recipe).make(copper)
    elasticity = ElasticityMaker.from_engine(Emt(), recipe).make(copper, relaxation.output)
    relaxation.add_jobs(elasticity)
    responses = run_locally(relaxation, log=False, raise_immediately=True)
    outputs = [response.output for by_index in responses.values() for response in by_index.values()]
    results = {
        result["property"]: result
        for output in outputs
        if isinstance(output, dict)
        for result in output.get("results", [])
    }
    tensor = results["elastic_tensor"]["data"]["tensor"]
    assert tensor[0][0] == pytest.approx(173.2, rel=0.01)
    assert tensor[0][1] == pytest.approx(115.9, rel=0.01)
    assert tensor[3][3] == pytest.approx(90.0, rel=0.01)
    assert results["pugh_ratio"]["status"] == "ok"
    assert results["lattice_a"]["value"] == pytest.approx(3.5897, abs=1e-3)
    assert len(results["elastic_tensor"]["calculations"]) == 7
