"""What custodian, pymatgen and emmet make of the files: the contract with the production path.

The elements and lines of the two lists were found by taking each away from genuine-looking files and running
custodian's validators and handlers and emmet's TaskDoc again: each is needed by one of them, or changes a document
silently.
"""

import re
import warnings

import ase.io
import numpy as np
import pytest
from custodian.vasp.handlers import (
    AliasingErrorHandler,
    DriftErrorHandler,
    IncorrectSmearingHandler,
    LargeSigmaHandler,
    MeshSymmetryErrorHandler,
    NonConvergingErrorHandler,
    PositiveEnergyErrorHandler,
    PotimErrorHandler,
    StdErrHandler,
    UnconvergedErrorHandler,
    VaspErrorHandler,
)
from custodian.vasp.validators import VaspFilesValidator, VasprunXMLValidator
from emmet.core.tasks import TaskDoc
from lxml import etree
from pymatgen.analysis.compatibility import MaterialsProject2020Compatibility
from pymatgen.io.vasp import Outcar
from rehearsals import DYNAMICS, ELASTIC, RELAX, STATIC, Campaign

KINDS = {
    "relax": RELAX,
    "elastic": ELASTIC,
    "static": STATIC | {"ISMEAR": -5, "LORBIT": 11, "LCHARG": ".TRUE."},
    "spins": RELAX | {"ISPIN": 2, "MAGMOM": "16*0.6", "LORBIT": 11},
    "dynamics": DYNAMICS,
}
XML = [
    "generator",
    "generator/i[@name='version']",
    "incar/i[@name='NSW']",
    "kpoints/varray[@name='kpointlist']",
    "kpoints/varray[@name='weights']",
    "parameters",
    "parameters//i[@name='NELECT']",
    "parameters//i[@name='NELM']",
    "parameters//i[@name='LORBIT']",
    "parameters//i[@name='IBRION']",
    "parameters//i[@name='NSW']",
    "atominfo/array[@name='atoms']",
    "atominfo/array[@name='atomtypes']",
    "structure[@name='initialpos']",
    "structure[@name='finalpos']",
    "calculation/scstep/energy/i[@name='e_0_energy']",
    "calculation/structure",
    "calculation/varray[@name='forces']",
    "calculation/varray[@name='stress']",
    "calculation/energy/i[@name='e_fr_energy']",
    "calculation/energy/i[@name='e_0_energy']",
    "calculation/energy/i[@name='e_wo_entrp']",
    "calculation/eigenvalues",
    "calculation/dos/i[@name='efermi']",
]
OUTCAR = [
    r"number of bands    NBANDS=\s+\d+",
    r"total plane-waves  NPLWV =\s+\d+",
    r"-{104}\n\n\n k-point   1 : .*  plane waves:\s+\d+\n",
    r"IBRION =\s+-?\d",
    r"total drift:\s+[\d.-]+",
    r"Iteration      1\(   1\)",
    r"entropy T\*S    EENTRO =",
    r"aborting loop because EDIFF is reached",
    r"LOOP\+:  cpu time\s+[\d.]+: real time\s+[\d.]+",
    r"General timing and accounting",
    r"external pressure =\s+[\d.-]+ kB",
    r"TOTEN  =\s+[\d.-]+ eV",
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory, thioantimonate):
    """Run each kind of calculation once, as the production path does: relaxed cells first."""
    campaign = Campaign(tmp_path_factory.mktemp("documents"))
    made = {name: campaign.folder(name, thioantimonate, tags) for name, tags in KINDS.items()}
    for folder in made.values():
        assert campaign.run(folder) == 0
    return made


@pytest.fixture(scope="module")
def documents(folders):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pymatgen: potentials that it does not know
        return {
            name: TaskDoc.from_directory(folder, store_trajectory="partial" if name == "dynamics" else "no")
            for name, folder in folders.items()
        }


@pytest.mark.parametrize("kind", KINDS)
def test_the_lines_and_elements_that_parsers_need(folders, kind):
    root = etree.parse(folders[kind] / "vasprun.xml").getroot()
    assert [path for path in XML if root.find(path) is None] == []
    assert not root.findtext("generator/i[@name='version']").strip().isdigit()
    text = (folders[kind] / "OUTCAR").read_text()
    assert [pattern for pattern in OUTCAR if not re.search(pattern, text)] == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore::pymatgen.io.vasp.inputs.UnknownPotcarWarning")
def test_custodian_finds_nothing_wrong(folders, kind):
    folder = str(folders[kind])
    assert not VasprunXMLValidator().check(folder)
    assert not VaspFilesValidator().check(folder)
    handlers = [
        *(kind("vasp.out") for kind in (VaspErrorHandler, MeshSymmetryErrorHandler, AliasingErrorHandler)),
        *(kind("OSZICAR") for kind in (NonConvergingErrorHandler, PotimErrorHandler, PositiveEnergyErrorHandler)),
        *(kind() for kind in (UnconvergedErrorHandler, LargeSigmaHandler, IncorrectSmearingHandler)),
        *(kind() for kind in (DriftErrorHandler, StdErrHandler)),
    ]
    for handler in handlers:
        assert not handler.check(folder), type(handler).__name__


@pytest.mark.parametrize(
    ("kind", "task", "points", "steps"),
    [
        ("relax", "Structure Optimization", 4, 5),
        ("elastic", "Deformation", 14, None),
        ("static", "Static", 4, 1),
        ("spins", "Structure Optimization", 4, None),
    ],
)
def test_task_document(documents, kind, task, points, steps):
    document = documents[kind]
    calculation = document.calcs_reversed[0]
    assert document.state == "successful"
    assert str(document.task_type) == task
    assert str(document.run_type) == "GGA"
    assert document.output.bandgap == pytest.approx(2.0, abs=0.01)
    assert [potential.titel for potential in calculation.input.potcar_spec] == [
        f"PAW_PBE {name} REHEARSAL" for name in ("Na_pv", "Sb", "S")
    ]
    assert calculation.input.nkpoints == points
    assert np.array(calculation.input.kpoints.kpts).tolist() == [[3, 3, 3]]
    ionic = calculation.output.ionic_steps
    assert steps is None or len(ionic) == steps
    assert ionic[-1].e_fr_energy == pytest.approx(document.output.energy, abs=1e-8)
    assert np.shape(document.output.forces) == (16, 3)
    assert np.shape(document.output.stress) == (3, 3)
    assert document.run_stats["overall"].elapsed_time > 0
    assert document.input.parameters["NELECT"] == 100.0
    assert document.input.incar["ENCUT"] == 520


def test_dynamics_document(documents, folders):
    document = documents["dynamics"]
    assert document.state == "successful"
    assert str(document.task_type) == "Molecular Dynamics"
    assert str(document.run_type) == "GGA"
    frames = ase.io.read(folders["dynamics"] / "XDATCAR", index=":", format="vasp-xdatcar")
    assert [str(frame.symbols) for frame in frames] == ["Na6Sb2S8"] * 10
    velocities = np.array(document.structure.site_properties["velocities"])
    masses = np.array([float(site.specie.atomic_mass) for site in document.structure])[:, None]
    kinetic = (masses * velocities**2).sum() / 2 * 103.6426966
    assert 2 * kinetic / (45 * 8.617333e-5) == pytest.approx(600, rel=0.3)


def test_mp2020_accepts_the_entry(documents):
    entry = documents["static"].structure_entry
    entry = MaterialsProject2020Compatibility(check_potcar=True).process_entry(entry, inplace=False)
    assert entry is not None
    assert entry.correction == pytest.approx(8 * -0.503, abs=1e-6)


def test_magnetization_is_a_site_property(documents):
    assert "magmom" in documents["spins"].structure.site_properties


def test_the_outcar_says_what_pymatgen_reads(folders):
    outcar = Outcar(folders["relax"] / "OUTCAR")
    assert outcar.nelect == 100.0
    assert outcar.efermi == 2.0
    assert outcar.drift == [[0.0, 0.0, 0.0]] * 5
    assert outcar.is_stopped is False
