"""The inputs are exactly the paper's, and those that stock makers would write are not."""

import warnings
from pathlib import Path

import pytest
from atomate2.vasp.sets.core import MDSetGenerator, RelaxSetGenerator
from pymatgen.analysis.compatibility import CompatibilityError, MaterialsProject2020Compatibility
from pymatgen.entries.computed_entries import ComputedStructureEntry
from pymatgen.io.vasp.sets import MPRelaxSet

from sodalyte.errors import EngineError
from sodalyte.inputs.engine import get_engine
from sodalyte.inputs.recipe import Recipe
from sodalyte.inputs.vasp.sets import PARALLEL, SulfideSet, net_charge, nose_mass, parallel_tags
from sodalyte.structures import conventional, crystal, dynamics_cell, load, reduced

GOLDEN = Path(__file__).parent / "golden"
PAPER = Recipe.paper()


def inputs(maker, structure):
    return maker.inputs(structure)


def golden(kind, formula):
    engine = get_engine("rehearsal-einstein")
    crystal = conventional(load(formula).structure)
    if kind.startswith("strained"):
        strained = crystal.copy()
        strained.apply_strain([0.01, 0.0, 0.0])
        return inputs(engine.relax_ions(PAPER, keep_symmetry=kind == "strained-symmetric"), strained)
    if kind == "dynamics":
        cell = dynamics_cell(crystal, defect="na_vacancy", supercell=(2, 2, 2)).structure
        return inputs(engine.dynamics(PAPER, 600.0, 2000), cell)
    return inputs({"relax": engine.relax, "static": engine.static}[kind](PAPER), crystal)


def described(files):
    poscar = str(files.poscar).splitlines()
    return "\n".join(
        [
            str(files.incar).rstrip(),
            "--- KPOINTS",
            str(files.kpoints).rstrip(),
            "--- POTCAR.spec",
            *(potential.symbol for potential in files.potcar),
            "--- POSCAR",
            *(" ".join(f"{float(word):.4f}" for word in line.split()) for line in poscar[2:5]),
            *poscar[5:8],
            "",
        ]
    )


@pytest.mark.parametrize("formula", ["Na3SbS4", "Na3PS4"])
@pytest.mark.parametrize("kind", ["relax", "static", "strained", "strained-symmetric", "dynamics"])
def test_golden(kind, formula):
    """The files in ``golden`` were read by a person, tag by tag; a change of them is a change of the level."""
    assert described(golden(kind, formula)) == (GOLDEN / f"{formula}-{kind}.txt").read_text()


@pytest.mark.parametrize("kind", ["relax", "static", "strained", "strained-symmetric", "dynamics"])
def test_the_paper(kind):
    files = golden(kind, "Na3SbS4")
    incar = files.incar
    assert "GGA" not in incar, "emmet calls GGA = PE 'PBE', which MP2020 rejects; the POTCAR decides"
    assert {potential.keywords["LEXCH"] for potential in files.potcar} == {"PE"}
    assert (incar["ENCUT"], incar["ISPIN"], incar["ISMEAR"], incar["SIGMA"]) == (520, 1, 0, 0.05)
    assert str(files.kpoints.style) == "Gamma"
    assert tuple(files.kpoints.kpts[0]) == (3, 3, 3)
    assert [potential.symbol for potential in files.potcar] == ["Na_pv", "Sb", "S"]
    assert not {"MAGMOM", "LVTOT", "LAECHG", "METAGGA", "LDAU"} & incar.keys()


def test_stock_makers_compute_something_else():
    """Findings 1 and 2 of the notes: atomate2's defaults are PBEsol, spin-polarised, Gamma only for the supercell."""
    cell = dynamics_cell(conventional(load("Na3SbS4").structure), defect="none", supercell=(2, 2, 2)).structure
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stock = MDSetGenerator().get_input_set(cell, potcar_spec=True)
        relaxation = RelaxSetGenerator().get_input_set(cell, potcar_spec=True)
    assert (stock.incar["GGA"].upper(), stock.incar["ISPIN"]) == ("PS", 2)
    assert tuple(stock.kpoints.kpts[0]) == (1, 1, 1)
    assert relaxation.incar["ENCUT"] == 680


@pytest.mark.parametrize(("run_type", "accepted"), [("GGA", True), ("PBE", False), ("PBESol", False)])
def test_mp2020_applies_to_the_run_type_gga_only(run_type, accepted):
    """Finding 1: what emmet makes of ``GGA = PE``, "PBE", is refused; what it makes of no tag, "GGA", is corrected."""
    structure = conventional(load("Na3SbS4").structure)
    parameters = {"run_type": run_type, "hubbards": {}, "potcar_symbols": ["PBE Na_pv", "PBE Sb", "PBE S"]}
    entry = ComputedStructureEntry(structure, -60.0, parameters=parameters)
    entry.data["oxidation_states"] = {"Na": 1, "Sb": 5, "S": -2}
    if not accepted:
        with pytest.raises(CompatibilityError):
            MaterialsProject2020Compatibility().get_adjustments(entry)
        return
    adjustments = MaterialsProject2020Compatibility().get_adjustments(entry)
    assert sum(part.value for part in adjustments) == pytest.approx(-0.503 * 8, abs=0.01)


def test_competing_phases_have_the_density_of_the_materials_project_and_metals_eight_times_that():
    engine = get_engine("rehearsal-einstein")
    competing = engine.relax(PAPER.for_competing_phases())
    grid = inputs(competing, conventional(load("Na3SbS4").structure)).kpoints
    assert (str(grid.style), tuple(grid.kpts[0])) == ("Gamma", (3, 3, 3)), "one grid for the material and its phases"
    for name, density in (("Na_bcc", 512), ("Sb_A7", 512), ("Na2S", 64), ("NaSb", 64)):
        cell = reduced(crystal(name).structure)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = MPRelaxSet(cell, force_gamma=True, user_kpoints_settings={"reciprocal_density": density}).kpoints
        assert tuple(inputs(competing, cell).kpoints.kpts[0]) == tuple(theirs.kpts[0]), name
    assert inputs(competing, conventional(load("Na3SbS4").structure)).incar["EDIFFG"] == -0.02


@pytest.mark.parametrize(("defect", "electrons"), [("none", 800), ("na_vacancy", 794), ("na_interstitial", 806)])
def test_a_charged_cell_sets_nelect(defect, electrons):
    """48 Na_pv of 7 electrons, 16 Sb of 5, 64 S of 6; a missing Na+ leaves its electron: 47*7 + 16*5 + 64*6 + 1."""
    cell = dynamics_cell(conventional(load("Na3SbS4").structure), defect=defect, supercell=(2, 2, 2)).structure
    files = inputs(get_engine("rehearsal-einstein").dynamics(PAPER, 600.0, 10), cell)
    valence = sum(n * p.ZVAL for n, p in zip(files.poscar.natoms, files.potcar, strict=True))
    assert files.incar.get("NELECT", valence) == electrons
    assert ("NELECT" in files.incar) == (defect != "none")
    assert electrons % 2 == 0, "closed shell, as ISPIN = 1 says"


def test_nelect_survives_the_store():
    cell = dynamics_cell(conventional(load("Na3SbS4").structure), defect="na_vacancy", supercell=(2, 2, 2)).structure
    restored = type(cell).from_dict(cell.as_dict())
    assert inputs(get_engine("rehearsal-einstein").dynamics(PAPER, 600.0, 10), restored).incar["NELECT"] == 794


def test_nose_mass_is_vasps_for_a_period_of_40_steps():
    """VASP's own SMASS = 0 is ((40 dt / 2 pi)^2 2 kB T N_f) / (amu a^2); its period is sqrt(2) pi tau of ours."""
    structure = conventional(load("Na3SbS4").structure)
    boltzmann, amu = 1.380649e-23, 1.66053906660e-27
    period, temperature = 40 * 2e-15, 600.0
    freedom = 3 * len(structure) - 3
    vasps = (period / 6.283185307179586) ** 2 * 2 * boltzmann * temperature * freedom / amu
    vasps /= (structure.lattice.a * 1e-10) ** 2
    ours = nose_mass(structure, temperature=temperature, thermostat_time=80.0 / (2**0.5 * 3.141592653589793))
    assert ours == pytest.approx(vasps, rel=1e-6)


def test_a_preview_needs_no_potentials(monkeypatch):
    monkeypatch.setenv("SODALYTE_POTCARS", "/nowhere")
    cell = dynamics_cell(conventional(load("Na3SbS4").structure), defect="na_vacancy", supercell=(2, 2, 2)).structure
    engine = get_engine("vasp")
    for maker in (engine.relax(PAPER), engine.dynamics(PAPER, 600.0, 100)):
        files = maker.inputs(cell, potcar_spec=True)
        assert files["POTCAR.spec"].split() == ["Na_pv", "Sb", "S"]
        assert net_charge(cell) == -1


def test_tungsten_has_another_potential_in_later_sets():
    from sodalyte.inputs.vasp.potcars import potcar_symbols

    assert potcar_symbols(["Na", "W", "S"], "PBE") == ["Na_pv", "W_pv", "S"]
    assert potcar_symbols(["Na", "W", "S"], "PBE_54") == ["Na_pv", "W_sv", "S"]


def test_another_functional_is_refused():
    with pytest.raises(EngineError, match="PBEsol"):
        get_engine("vasp").relax(PAPER.override({"electronic": {"functional": "PBEsol"}}))


def test_sets_survive_serialisation():
    generator = get_engine("rehearsal-einstein").relax(PAPER).input_set_generator
    assert SulfideSet.from_dict(generator.as_dict()).as_dict() == generator.as_dict()


def test_parallel_tags_of_the_environment(monkeypatch):
    monkeypatch.setenv(PARALLEL, "NCORE=4 KPAR=2")
    assert parallel_tags() == {"NCORE": 4, "KPAR": 2}
    monkeypatch.setenv(PARALLEL, "ENCUT=300")
    with pytest.raises(EngineError, match="ENCUT=300"):
        parallel_tags()
