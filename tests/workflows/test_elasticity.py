from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from ase import units
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.stress import full_3x3_to_voigt_6_stress
from jobflow import run_locally
from pymatgen.core import Lattice, Structure

from sodalyte.inputs.guided_relaxation import GuidedRelaxMaker
from sodalyte.inputs.potential import Potential
from sodalyte.inputs.recipe import Recipe
from sodalyte.launchers.identity import identify
from sodalyte.structures import Material, conventional
from sodalyte.workflows import ElasticityMaker, RelaxationMaker, screen
from sodalyte.workflows.elasticity import release_ions, strain_cells
from sodalyte.workflows.plan import plan_calculations
from sodalyte.workflows.relaxation import label_of


@dataclass(frozen=True)
class Emt(Potential):
    package = "ase"
    extra = ""
    contained_correction = "none"

    def _describe(self):
        return "EMT"

    def calculator(self, reference):
        return EMT()


A = 3.5  # angstrom
LAME = 0.1  # eV/angstrom^3
SPRING = 1.0  # eV/angstrom^2
QUARTIC = 10.0  # eV/angstrom^4
SALT = Structure.from_spacegroup("Pm-3m", Lattice.cubic(A), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


class SoftModeCalculator(Calculator):
    """An isotropic medium whose anion sits in a spring of its own, which shear weakens across the shear.

    With the Green-Lagrange strain E and the displacement w of the anion, both in the frame of the unstrained crystal,
    the energy is V (lambda tr(E)^2 + 2 mu E:E) / 2 + k w^2 / 2 + q w^4 / 4 + g w E' w, E' without its diagonal: under
    e_yz = E the mode along (0, 1, -1) has the curvature k - 2 g E.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "forces", "stress"]

    def __init__(self, spring, coupling):
        super().__init__()
        self.spring = spring
        self.coupling = coupling

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        gradient = self.atoms.cell.array.T / A
        strain = (gradient.T @ gradient - np.eye(3)) / 2
        anion, cation = (self.atoms.get_scaled_positions()[self.atoms.symbols == symbol][0] for symbol in ("Cl", "Cs"))
        w = A * ((anion - cation) % 1 - 0.5)
        shear = strain - np.diag(np.diag(strain))
        medium = LAME * (np.trace(strain) * np.eye(3) + 2 * strain)
        slope = (self.spring + QUARTIC * w @ w) * w + 2 * self.coupling * shear @ w
        pull = np.linalg.solve(gradient.T, slope)
        off = np.outer(w, w) * (1 - np.eye(3))
        second_piola = medium + self.coupling * off / A**3
        self.results = {
            "energy": A**3 / 2 * np.sum(medium * strain)
            + self.spring / 2 * w @ w
            + QUARTIC / 4 * (w @ w) ** 2
            + self.coupling * w @ shear @ w,
            "forces": np.where((self.atoms.symbols == "Cl")[:, None], -pull, pull),
            "stress": full_3x3_to_voigt_6_stress(gradient @ second_piola @ gradient.T / np.linalg.det(gradient)),
        }


@dataclass(frozen=True)
class SoftMode(Potential):
    package = "ase"
    extra = ""
    contained_correction = "none"
    spring: float = SPRING
    coupling: float = 0.0

    def _describe(self):
        return "planted soft mode"

    def calculator(self, reference):
        return SoftModeCalculator(self.spring, self.coupling)


def screened(engine, structure):
    """Results by property."""
    material = Material(formula=structure.reduced_formula, polymorph="made up", structure=structure, source="none")
    recipe = Recipe.paper().override({"relaxation": {"fmax": 1e-4}, "elasticity": {"fmax": 1e-4}})
    flow = RelaxationMaker.from_engine(engine, recipe).make(material)
    flow.add_jobs(ElasticityMaker.from_engine(engine, recipe).make(material, flow.output))
    outputs = []
    for by_index in run_locally(flow, log=False, raise_immediately=True).values():
        outputs += [response.output for response in by_index.values()]
    return {each["property"]: each for output in outputs if isinstance(output, dict) for each in output["results"]}


def test_a_planted_soft_mode_is_found_and_both_answers_are_kept():
    coupling = 150.0
    results = screened(SoftMode(coupling=coupling), SALT)
    assert len(results["structural_instability"]["calculations"]) == 2 + 2 * 6, (
        "the crystal, symmetric and displaced; e_xx with two sizes and signs and e_yz with two sizes, each twice"
    )
    curvature = SPRING - 2 * coupling * 0.01
    depth = curvature**2 / (4 * QUARTIC) - A**3 * 2 * LAME * 0.01**2
    instability = results["structural_instability"]
    assert instability["value"] == pytest.approx(1000 * depth, rel=1e-3)
    assert instability["data"]["unstable_against"] == ["shear e_yz"]
    for name in ("elastic_tensor", "shear_modulus", "pugh_ratio"):
        assert results[name]["status"] == "refused"
        assert "unstable against shear e_yz" in results[name]["reason"]
        assert results[f"symmetric_{name}"]["status"] == "ok"
    tensor = np.array(results["symmetric_elastic_tensor"]["data"]["tensor"]) * units.GPa
    assert tensor[0, 0] == pytest.approx(3 * LAME, rel=1e-3)
    assert tensor[0, 1] == pytest.approx(LAME, rel=1e-3)
    assert tensor[3, 3] == pytest.approx(LAME, rel=1e-3)


def test_a_mode_that_is_soft_without_strain_is_no_fault_of_the_strain():
    results = screened(SoftMode(spring=-0.5), SALT)
    instability = results["structural_instability"]
    assert instability["value"] == pytest.approx(1000 * 0.5**2 / (4 * QUARTIC), rel=1e-3)
    assert not instability["data"]["stable_unstrained"]
    assert "unstable even without strain" in results["bulk_modulus"]["reason"]
    assert results["symmetric_bulk_modulus"]["value"] * units.GPa == pytest.approx(LAME * 5 / 3, rel=1e-3)


def test_a_guide_does_not_bring_displaced_ions_back(tmp_path, monkeypatch):
    """The guide's crystal is stable: from its relaxed positions the mode would not be found."""
    monkeypatch.chdir(tmp_path)
    maker = GuidedRelaxMaker(
        potential=SoftMode(spring=-0.5),
        guide=SoftMode(),
        rattle=0.01,
        relax_cell=False,
        steps=200,
        relax_kwargs={"fmax": 1e-4, "final_atoms_object_file": None},
    )
    energies = [frame["energy"] for frame in maker.run_ase(SALT).trajectory.frame_properties]
    assert energies[-1] == pytest.approx(-(0.5**2) / (4 * QUARTIC), rel=1e-3)


def test_a_mode_that_stays_stiff_gives_the_same_answer_twice():
    """2 g E = 0.6 k at the largest strain: softened, but the ions come back."""
    results = screened(SoftMode(coupling=30.0), SALT)
    assert {each["status"] for name, each in results.items()} == {"ok"}
    assert results["structural_instability"]["value"] == 0
    for name in ("bulk_modulus", "shear_modulus", "pugh_ratio"):
        assert results[name]["value"] == pytest.approx(results[f"symmetric_{name}"]["value"], rel=1e-3)
    assert results["shear_modulus"]["value"] * units.GPa == pytest.approx(LAME, rel=1e-3)


def asked_for(job, **arguments):
    """The calculations that a job of ours asks for, and the arguments of the job that follows."""
    flow = job.original({"material": "CsCl", "polymorph": "cubic", "calculations": []}, **arguments).replace
    *made, rest = flow.jobs
    return {calculation.name: calculation for calculation in made}, rest.function_kwargs


def answered(structure, energy=-1.0):
    stress, forces = np.zeros((3, 3)), np.zeros((len(structure), 3))
    state = "successful"
    return {"structure": structure, "energy": energy, "stress": stress, "forces": forces, "state": state, "uuid": ""}


def strained(structure):
    """What the cells of a crystal ask for before and after their ions may leave their symmetry."""
    maker = ElasticityMaker.from_engine(SoftMode(), Recipe.paper())
    settings = {"strains": maker.strains, "symprec": maker.symprec, "strained_symprec": maker.strained_symprec}
    relaxed = answered(structure)
    first, following = asked_for(
        strain_cells,
        relaxed=relaxed,
        relax_in_symmetry=maker.relax_in_symmetry,
        relax_ions=maker.relax_ions,
        **settings,
    )
    cells = {name.partition(" symmetric")[0]: job.function_args[0] for name, job in first.items()}

    def release(energy=-1.0):
        return asked_for(
            release_ions,
            relaxed=relaxed,
            displaced=answered(structure, energy),
            symmetric={label: answered(cells[label]) for label in following["symmetric"]},
            relax_ions=maker.relax_ions,
            **settings,
        )[0]

    return first, release


def test_the_ions_are_released_only_where_the_unstrained_crystal_keeps_its_symmetry():
    first, release = strained(SALT)
    assert len(first) == 1 + 6
    assert len(release()) == 6
    assert release(energy=-1.1) == {}


def test_a_cell_without_symmetry_is_relaxed_once():
    lattice = Lattice.from_parameters(5, 6, 7, 80, 85, 95)
    first, release = strained(Structure(lattice, ["Na", "S", "P"], [[0, 0, 0], [0.4, 0.5, 0.6], [0.8, 0.3, 0.2]]))
    assert len(first) == 6 * 4
    assert release() == {}


def test_the_plan_knows_what_a_relaxed_crystal_will_ask_for():
    salt = Material(formula="CsCl", polymorph="cubic", structure=SALT, source="none")
    start = conventional(SALT)
    flow = identify(screen([salt], engine=SoftMode(), recipe=Recipe.paper(), analyses=["elasticity"]))
    _, *planned = plan_calculations(
        flow,
        [salt],
        engine=SoftMode(),
        recipe=Recipe.paper(),
        analyses=["elasticity"],
        relaxed={label_of(salt): start},
    )
    first, release = strained(start)
    named = {each.name.replace(label_of(salt), "CsCl cubic"): each for each in planned}
    assert set(named) == {*first, *release()}
    for name, job in (first | release()).items():
        made = identify(named[name].maker.make(job.function_args[0])).jobs[0].uuid
        assert made == identify(job).jobs[0].uuid
        assert (named[name].before is None) == (name in first)


def test_copper_through_the_makers_has_its_elastic_constants():
    """C11, C12, C44 of EMT copper by second derivatives of its energy: 173.2, 115.9 and 90.0 GPa."""
    copper = Structure.from_spacegroup("Fm-3m", Lattice.cubic(3.65), ["Cu"], [[0, 0, 0]])
    results = screened(Emt(), copper)
    tensor = results["elastic_tensor"]["data"]["tensor"]
    assert tensor[0][0] == pytest.approx(173.2, rel=0.01)
    assert tensor[0][1] == pytest.approx(115.9, rel=0.01)
    assert tensor[3][3] == pytest.approx(90.0, rel=0.01)
    assert results["pugh_ratio"]["status"] == "ok"
    assert results["lattice_a"]["value"] == pytest.approx(3.5897, abs=1e-3)
    assert len(results["elastic_tensor"]["calculations"]) == 2 + 2 * 6
