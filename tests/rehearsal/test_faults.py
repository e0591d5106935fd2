"""Every fault shows in VASP's own words and ways, at the step, in the attempt and as often as its file says."""

import signal
import time

import pytest
import yaml
from custodian.vasp.handlers import VaspErrorHandler
from custodian.vasp.validators import VasprunXMLValidator
from pymatgen.io.vasp import Oszicar
from rehearsals import DYNAMICS, RELAX, STATIC, read

from sodalyte.errors import ConfigurationError
from sodalyte.launchers.rehearsal.faults import FAULTS, Fault, read_faults


@pytest.fixture
def script(campaign):
    """Write the fault file of the campaign."""

    def write(*faults):
        path = campaign.root / "faults.yaml"
        path.write_text(yaml.safe_dump(list(faults)))
        campaign.environment["SODALYTE_REHEARSAL_FAULTS"] = str(path)

    return write


def ionic_steps(folder):
    if not (folder / "OSZICAR").exists():
        return 0
    return len([line for line in (folder / "OSZICAR").read_text().splitlines() if "F=" in line])


@pytest.mark.parametrize(
    ("fault", "custodian", "status", "steps"),
    [
        ("zbrent", "zbrent", 1, 3),
        ("brmix", "brmix", 0, None),
        ("edddav", "edddav", 1, 2),
        ("subspace", "subspacematrix", 0, None),
        ("posmap", "posmap", 1, 0),
        ("read_error", "read_error", 1, 0),
    ],
)
def test_custodian_recognises_it(campaign, script, rock_salt, fault, custodian, status, steps):
    script({"fault": fault, "stage": "relax", "step": 3})
    folder = campaign.folder("relax", rock_salt, RELAX)
    assert campaign.run(folder) == status
    handler = VaspErrorHandler("vasp.out")
    assert handler.check(str(folder))
    assert handler.errors == {custodian}
    if steps is not None:
        assert ionic_steps(folder) == steps
    assert campaign.ledger[-1]["faults"] == [fault]
    assert campaign.ledger[-1]["ended"] == ("error" if status else "done")


@pytest.mark.parametrize("tags", [RELAX, STATIC, DYNAMICS], ids=["relax", "static", "dynamics"])
def test_electrons_that_do_not_converge(campaign, script, rock_salt, tags):
    script({"fault": "noscf"})
    folder = campaign.folder("run", rock_salt, tags, NELM=12)
    assert campaign.run(folder) == 0
    assert "aborting loop because EDIFF is reached" not in (folder / "OUTCAR").read_text()
    assert {len(steps) for steps in Oszicar(folder / "OSZICAR").electronic_steps} == {12}
    assert not read(folder).converged_electronic


def test_electrons_that_do_not_converge_in_some_steps(campaign, script, rock_salt):
    script({"fault": "noscf", "step": 4, "steps": 2})
    folder = campaign.folder("run", rock_salt, DYNAMICS)
    campaign.run(folder)
    lengths = [len(steps) for steps in Oszicar(folder / "OSZICAR").electronic_steps]
    assert [number for number, length in enumerate(lengths, 1) if length == 60] == [4, 5]
    assert (folder / "OUTCAR").read_text().count("aborting loop because EDIFF is reached") == 8


@pytest.mark.parametrize(("fault", "number"), [("kill", signal.SIGKILL), ("segfault", signal.SIGSEGV)])
def test_a_signal_leaves_a_step_unfinished(campaign, script, rock_salt, fault, number):
    script({"fault": fault, "step": 4})
    folder = campaign.folder("run", rock_salt, DYNAMICS)
    assert campaign.run(folder) == -number
    assert ionic_steps(folder) == 3
    text = (folder / "vasprun.xml").read_text()
    assert text.count("<calculation>") == 4
    assert text.count("</calculation>") == 3
    assert not text.rstrip().endswith("</modeling>")
    assert campaign.ledger[-1]["ended"] == "killed"
    assert ("SIGSEGV" in (folder / "std_err.txt").read_text()) == (fault == "segfault")


def test_truncated_vasprun_of_a_run_that_goes_on(campaign, script, rock_salt):
    script({"fault": "truncate", "step": 4})
    folder = campaign.folder("run", rock_salt, DYNAMICS)
    assert campaign.run(folder) == 0
    assert ionic_steps(folder) == 10
    assert (folder / "vasprun.xml").read_text().count("</calculation>") == 3
    assert VasprunXMLValidator().check(str(folder))
    assert "General timing" in (folder / "OUTCAR").read_text()


def test_full_disk(campaign, script, rock_salt):
    script({"fault": "disk_full", "step": 4})
    folder = campaign.folder("run", rock_salt, DYNAMICS)
    assert campaign.run(folder) == 38
    assert "No space left on device" in (folder / "std_err.txt").read_text()
    for name in ("vasprun.xml", "OUTCAR", "OSZICAR"):
        assert not (folder / name).read_text().endswith("\n")
    assert (folder / "CONTCAR").read_text().count("\n") > 20


def test_hang(campaign, script, rock_salt):
    script({"fault": "hang", "step": 3})
    folder = campaign.folder("run", rock_salt, DYNAMICS)
    process = campaign.start(folder)
    try:
        deadline = time.monotonic() + 60
        while ionic_steps(folder) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(1)
        assert process.poll() is None
        assert ionic_steps(folder) == 2
        process.terminate()
        assert process.wait(timeout=30) == 128 + signal.SIGTERM
    finally:
        process.kill()
        process.wait()
    assert campaign.ledger[-1] | {"ionic_steps": 3, "faults": ["hang"], "ended": "terminated"} == campaign.ledger[-1]


def test_walltime_slows_every_step(campaign, script, rock_salt):
    script({"fault": "walltime", "seconds": 0.2, "step": 6})
    folder = campaign.folder("run", rock_salt, DYNAMICS)
    campaign.run(folder)
    times = [float(line.split()[-1]) for line in (folder / "OUTCAR").read_text().splitlines() if "LOOP+:" in line]
    assert min(times[5:]) >= 0.2
    assert len(times) == 10


def test_attempts_are_counted_in_a_folder_and_times_in_the_campaign(campaign, script, rock_salt):
    script(
        {"fault": "zbrent", "stage": "relax", "attempts": [1, 2]},
        {"fault": "edddav", "stage": "static", "times": 1},
    )
    relax = campaign.folder("relax", rock_salt, RELAX)
    assert [campaign.run(relax) for _ in range(3)] == [1, 1, 0]
    assert [entry["attempt"] for entry in campaign.ledger] == [1, 2, 3]
    statics = [campaign.folder(f"static{number}", rock_salt, STATIC) for number in range(2)]
    assert [campaign.run(folder) for folder in statics] == [1, 0]


@pytest.mark.parametrize(
    ("fault", "applies"),
    [
        ({"stage": "relax"}, True),
        ({"stage": "any"}, True),
        ({"stage": "static"}, False),
        ({"attempts": [2]}, False),
        ({"material": "Na3SbS4"}, True),
        ({"material": "Na6Sb2S8"}, True),
        ({"material": "Na3PS4"}, False),
    ],
)
def test_where_a_fault_applies(fault, applies):
    made = Fault.model_validate({"fault": "kill"} | fault)
    assert made.applies(stage="relax", attempt=1, formula="Na3S4Sb") is applies


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("- fault: zbrant\n", r"entry 1\.fault"),
        ("- fault: kill\n- fault: kill\n  stage: phonon\n", r"entry 2\.stage"),
        ("- {fault: kill, when: 3}\n", r"entry 1\.when.*not permitted"),
        ("- {fault: kill, step: 0}\n", r"entry 1\.step"),
        ("- {fault: kill, attempts: []}\n", r"entry 1\.attempts"),
        ("- {fault: kill, attempts: [true]}\n", r"entry 1\.attempts"),
        ("- {fault: kill, times: '3'}\n", r"entry 1\.times"),
        ("- {fault: hang, seconds: .inf}\n", r"entry 1\.seconds"),
        ("- {fault: kill}\n- kill\n", r"faults\.yaml:2, entry 2: a mapping"),
        ("- &a {fault: kill}\n- *a\n", "anchors and aliases"),
        ("[" * 30, "nested deeper"),
        ("", "empty"),
        ("fault: kill\n", "list"),
        ("- [\n", "cannot be read"),
        ("- !!python/object/apply:os.system [true]\n", "cannot be read"),
    ],
)
def test_a_wrong_fault_file_is_refused(tmp_path, text, named):
    path = tmp_path / "faults.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=named):
        read_faults(path)


def test_every_fault_is_explained():
    assert set(FAULTS) == set(Fault.model_json_schema()["properties"]["fault"]["enum"])
