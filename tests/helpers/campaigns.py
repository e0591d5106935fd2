"""Campaigns of trivial jobs on a private Slurm: started, watched, disturbed, and counted afterwards."""

import os
import subprocess
import sys
import time
import uuid
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pymongo
from jobflow import Flow, job
from slurm_lab import wait_until

from sodalyte.configuration import Cluster
from sodalyte.database import open_database
from sodalyte.launchers.fireworks import Launchpad
from sodalyte.launchers.identity import identify
from sodalyte.launchers.slurm.settings import Settings, load_state

HELPERS = Path(__file__).parent


@job
def careful(folder, number, *, seconds=0.0, after=None):
    """Note when it starts and ends, and whether another copy is at work in the same folder."""
    mine = Path("at-work")
    with Path(folder, "log").open("a") as log:
        if mine.exists() and _alive(int(mine.read_text())):
            print("OVERLAP", number, os.getpid(), file=log, flush=True)
        mine.write_text(str(os.getpid()))
        print("start", number, os.getpid(), file=log, flush=True)
        time.sleep(seconds)
        print("end", number, os.getpid(), file=log, flush=True)
    mine.unlink()
    return number


@job
def hog(megabytes, *, seconds):
    """Hold memory for a while."""
    held = bytearray(b"x") * (megabytes * 1024 * 1024)
    time.sleep(seconds)
    return len(held)


@job
def fill_disk():
    """Write to a device that is always full."""
    with Path("/dev/full").open("wb") as file:
        file.write(bytes(100_000))


def _alive(pid):
    try:
        return pid != os.getpid() and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def chains(folder, *, number, length, seconds):
    """Return ``number`` chains of ``length`` jobs that depend on each other."""
    jobs = []
    for chain in range(number):
        previous = None
        for link in range(length):
            name = f"{chain}.{link}"
            jobs.append(careful(str(folder), name, seconds=seconds, after=previous and previous.output))
            previous = jobs[-1]
    return Flow(jobs)


class Campaign:
    """A campaign in its own database and workspace; a context manager that ends its managers and drops the database."""

    def __init__(self, folder, lab, server, *, pause=0.5, name=None, campaign="trivial", cluster="lab", **table):
        self.folder, self.lab = folder, lab
        self.pause = pause
        self._server = server
        self._name = name or f"test_{uuid.uuid4().hex}"
        self.database = urlsplit(server)._replace(path=f"/{self._name}").geturl()
        self.settings = Settings(
            campaign=campaign,
            cluster_name=cluster,
            cluster=Cluster(**{"cores": 2, "walltime": 0.5, "max_queued": 4} | table),
            database=self.database,
            root=folder / "runs",
            python=Path(sys.executable),
            environment={"PYTHONPATH": str(HELPERS), "PYTHONWARNINGS": "ignore"},
        )
        self.manager = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.manager is not None and self.manager.poll() is None:
            self.manager.kill()
            self.manager.wait()
        self.lab.run("scancel", "--me", check=False)
        with pymongo.MongoClient(self._server) as client:
            client.drop_database(self._name)

    def add(self, flow):
        with open_database(self.database) as database:
            return Launchpad(database).add(identify(flow), campaign=self.settings.campaign, root=self.settings.root)

    def start(self):
        """Start a manager, as ``sodalyte submit --detach`` does."""
        path = self.settings.save()
        with self._log.open("ab") as log:
            self.manager = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", "sodalyte.launchers.slurm.manager", str(path), str(self.pause)],
                env=os.environ | self.lab.environment,
                stdout=log,
                stderr=log,
            )
        return self.manager

    def is_managed(self):
        """Tell whether the manager that was started last has looked at everything once, or has ended."""
        state = self.state()
        return self.manager.poll() is not None or (state is not None and state.pid == self.manager.pid)

    def counts(self):
        with open_database(self.database) as database:
            return dict(Launchpad(database).counts(self.settings.campaign))

    def control(self, action, **query):
        """Pause, resume, cancel or retry jobs; return how many."""
        with open_database(self.database) as database:
            return getattr(Launchpad(database), action)(**query)

    def attempts(self):
        """Return the named ends that each firework came to."""
        with open_database(self.database) as database:
            found = Launchpad(database).collections.fireworks.find({}, {"spec._sodalyte.attempts": 1})
            return [document["spec"]["_sodalyte"].get("attempts", []) for document in found]

    def needs(self):
        """Return what each firework asks for beyond an ordinary slot."""
        with open_database(self.database) as database:
            found = Launchpad(database).collections.fireworks.find({}, {"spec._sodalyte.overrides": 1})
            return [document["spec"]["_sodalyte"].get("overrides", {}) for document in found]

    def running(self):
        with open_database(self.database) as database:
            return Launchpad(database).running()

    def state(self):
        return load_state(self.settings.folder)

    def events(self):
        """Return what jobs noted: word, number, process."""
        path = self.folder / "log"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def ended(self):
        return Counter(words[1] for words in self.events() if words[0] == "end")

    def journal(self):
        """Return the executor's journal: event, job."""
        path = self.settings.root / "journal.txt"
        return [tuple(line.split()[1:3]) for line in path.read_text().splitlines()] if path.exists() else []

    def said(self):
        return self._log.read_text()

    @property
    def _log(self):
        return self.folder / f"manager-{self.settings.campaign}-{self.settings.cluster_name}.log"

    def wait(self, seconds=60):
        """Wait until the manager ends; return its exit status."""
        return wait_until(
            lambda: None if self.manager.poll() is None else (self.manager.returncode,),
            seconds=seconds,
            what=self.said(),
        )[0]
