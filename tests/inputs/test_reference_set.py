"""The list of what the PAW-PBE reference set computes, and in which order."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpaw_reference.py"


@pytest.fixture(scope="module")
def order():
    listed = subprocess.run([sys.executable, SCRIPT, "list"], capture_output=True, text=True, check=True).stdout
    return [line.split(" relax ")[1] for line in listed.splitlines()]


@pytest.mark.parametrize(
    "names",
    [
        ("Na2S", "Na3SbS4 tetragonal", "Sb2S3_exp", "Na3PS4_c", "NaP7"),
        ("Na3PS4_t", "NaP7", "S_alpha_Fddd_exp with D3", "P4S10 with D3", "P4S3 with D3"),
        ("P4S3 with D3", "Na2S2_beta", "P_Hittorf_exp"),
    ],
    ids=["one whole hull before the next", "dispersion after both hulls", "dispensable polymorphs last"],
)
def test_calculations_come_in_the_order_in_which_answers_need_them(order, names):
    assert [name for name in order if name in names] == list(names)


def test_every_phase_is_computed_once(order):
    assert len(set(order)) == len(order) > 30
