"""A real Slurm for the tests: one for those that leave it as it was, one of its own for those that break it."""

import os

import pytest
from campaigns import Campaign
from mongodb_server import mongodb_uri, restartable_mongodb  # noqa: F401
from slurm_lab import ACCOUNTING_PROGRAMS, NO_SLURM, Lab, missing

from sodalyte.launchers.slurm.queue import Queue


@pytest.fixture(scope="session")
def _installed():
    if reason := os.environ.get(NO_SLURM):
        pytest.skip(f"{NO_SLURM}={reason}")
    if absent := missing():
        pytest.fail(f"no {', '.join(absent)}; run scripts/install-slurm, or set {NO_SLURM} to a reason to go without")


@pytest.fixture(scope="session")
def lab(_installed):
    """Four nodes of two cores that every test may use and none may break."""
    with Lab(nodes=4) as cluster:
        yield cluster


@pytest.fixture
def make_lab(_installed):
    """Start a cluster that the test may break: ``make_lab(nodes=2, accounting=True)``."""
    started = []

    def make(**options):
        if options.get("accounting") and (absent := missing(ACCOUNTING_PROGRAMS)):
            pytest.fail(f"no {', '.join(absent)}; run scripts/install-slurm, or set {NO_SLURM}")
        started.append(Lab(**options))
        return started[-1].__enter__()

    yield make
    for cluster in started:
        cluster.__exit__()


@pytest.fixture
def queue(lab):
    return Queue(environment=lab.environment)


@pytest.fixture
def make_campaign(lab, mongodb_uri, tmp_path):  # noqa: F811
    """Set up a campaign whose manager ends with the test: ``make_campaign(other_lab, max_queued=2)``."""
    campaigns = []

    def make(on=lab, **table):
        campaigns.append(Campaign(tmp_path, on, mongodb_uri, **table))
        return campaigns[-1]

    yield make
    for campaign in campaigns:
        campaign.__exit__()
