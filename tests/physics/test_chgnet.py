"""What the potential that ships must give, against the paper and the chemistry of sodium sulfides."""

import json
import subprocess
import sys

import pytest


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Stability of both electrolytes, by the command that users type."""
    workspace = tmp_path_factory.mktemp("chgnet")
    command = ["run", "Na3SbS4", "Na3PS4", "--only", "relaxation,stability", "--workspace", str(workspace), "--json"]
    done = subprocess.run([sys.executable, "-m", "sodalyte", *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["results"]


def one(answers, material, name, scheme=None):
    (answer,) = [a for a in answers if (a["material"], a["property"], a["scheme"]) == (material, name, scheme)]
    assert answer["status"] == "ok", answer["reason"]
    return answer


def test_window_of_na3sbs4_is_the_papers(answers):
    """EES 2025, 18, 4288 quotes 1.83 to 1.90 V."""
    assert one(answers, "Na3SbS4", "reduction_limit", "mp2020")["value"] == pytest.approx(1.83, abs=0.05)
    assert one(answers, "Na3SbS4", "oxidation_limit", "mp2020")["value"] == pytest.approx(1.90, abs=0.05)


def test_the_window_of_na3sbs4_is_narrower_than_that_of_na3ps4(answers):
    """The statement of the paper that is robust against the level of theory."""
    for scheme in ("mp2020", "polysulfide_charge"):
        widths = [one(answers, material, "window_width", scheme)["value"] for material in ("Na3SbS4", "Na3PS4")]
        assert widths[0] < widths[1]


@pytest.mark.parametrize(("material", "pnictide"), [("Na3SbS4", "Na3Sb"), ("Na3PS4", "Na3P")])
def test_at_zero_volt_everything_is_sodium_sulfide_and_pnictide(answers, material, pnictide):
    lowest = one(answers, material, "decomposition", "mp2020")["data"]["staircase"][0]
    assert lowest["products"] == pytest.approx({"Na2S": 4, pnictide: 1})
    assert lowest["na_exchanged"] == pytest.approx(8)


def test_the_cells_are_those_that_chgnet_relaxes_to(answers):
    """c of tetragonal Na3SbS4 is 7.24 angstrom in experiment; CHGNet exaggerates c/a, which must show, not hide."""
    c = one(answers, "Na3SbS4", "lattice_c")
    assert c["value"] == pytest.approx(7.667, abs=0.01)
    assert c["data"]["deviation_percent"] > 5
    assert one(answers, "Na3PS4", "lattice_a")["value"] == pytest.approx(7.089, abs=0.01)
