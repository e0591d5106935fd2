"""Slurm's commands as functions: what is queued, how jobs ended, and submitting and cancelling.

Every command is a list of words, never a line for a shell, and runs under a time limit, because Slurm's clients wait
for minutes when the controller is away.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

from sodalyte.errors import ClusterError

TIMEOUT = 30.0
"""Seconds that a command of Slurm may take."""

WAITING = frozenset({"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD"})
ALIVE = frozenset({"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "RESIZING", "STAGE_OUT"})
"""States in which processes of a job may exist."""

_SEPARATOR = "|"
_ASKED_AT_ONCE = 200
_NOT_KNOWN = ("Invalid job id", "Invalid user id")
_AWAY = re.compile(
    r"unable to contact|timed out|connection|not connected|socket|communication|transmitted|configuration source", re.I
)
_UNSET = {"N/A", "Unknown", "NONE", "None", "(null)", ""}
_KEPT_VARIABLES = re.compile(r"HOME|USER|LOGNAME|SHELL|PATH|LANG|LC_\w+|TZ|SLURM_CONF|SLURM_CLUSTERS|SBATCH_\w+")


class UnreachableError(ClusterError):
    """Slurm did not answer: nothing is known, and it may be asked again."""


class RefusedError(ClusterError):
    """Slurm answered that it will not do what it was asked; the message is its own."""


@dataclass(frozen=True)
class SlurmJob:
    """One job, or one task of an array, as Slurm tells it.

    Attributes
    ----------
    id
        Its number, ``SLURM_JOB_ID`` in its environment; tasks of an array that wait have their array's.
    label
        As Slurm shows it to people and takes it back: for a task of an array ``ARRAY_TASK``.
    state
        Slurm's word: PENDING, RUNNING, COMPLETED, TIMEOUT, NODE_FAIL ...
    reason
        Why it waits, or Slurm's remark on how it ended; empty when there is none.
    exit_code, signal
        Of the batch script, where Slurm told them.
    nodes
        Its nodes in Slurm's notation; empty while it waits.
    """

    id: str
    label: str
    state: str
    reason: str = ""
    nodes: str = ""
    name: str = ""
    exit_code: int | None = None
    signal: int | None = None

    @property
    def waiting(self) -> bool:
        """Whether it has not started."""
        return self.state in WAITING

    @property
    def alive(self) -> bool:
        """Whether its processes may exist."""
        return self.state in ALIVE


class Queue:
    """The commands of one Slurm installation.

    Parameters
    ----------
    timeout
        Seconds that each command may take.
    environment
        Variables beside those of this process, such as SLURM_CONF.
    """

    def __init__(self, *, timeout: float = TIMEOUT, environment: Mapping[str, str] | None = None) -> None:
        self._timeout = timeout
        self._environment = dict(environment or {})

    def ask(self, *words: str, script: str | None = None, environment: Mapping[str, str] | None = None) -> str:
        """Run one command of Slurm and return what it prints.

        Raises
        ------
        UnreachableError
            The command is not installed, took too long, or its daemon is away.
        RefusedError
            It ended with an error.
        """
        try:
            done = subprocess.run(  # noqa: S603 - a list of words, no shell
                words,
                input=script or "",
                env={**(os.environ if environment is None else environment), **self._environment},
                capture_output=True,
                text=True,
                timeout=self._timeout,
                check=False,
            )
        except FileNotFoundError as error:
            raise UnreachableError(f"{words[0]} is not installed on this machine; run this on a login node") from error
        except subprocess.TimeoutExpired as error:
            raise UnreachableError(f"Slurm's {words[0]} gave no answer within {self._timeout:.0f} s") from error
        if done.returncode:
            message = _message(done.stderr) or f"{words[0]} ended with status {done.returncode}"
            raise (UnreachableError if _AWAY.search(message) else RefusedError)(message)
        return done.stdout

    def submit(self, script: str, *, options: Sequence[str] = (), keep: Mapping[str, str] | None = None) -> str:
        """Submit a batch script and return the job's number.

        The script is handed over on standard input. The job does not inherit this process's environment, which may hold
        passwords, but ``keep`` and what every login has (HOME, PATH, LANG ...).
        """
        environment = {name: value for name, value in os.environ.items() if _KEPT_VARIABLES.fullmatch(name)}
        answer = self.ask("sbatch", "--parsable", *options, script=script, environment=environment | dict(keep or {}))
        return answer.strip().partition(";")[0]

    def cancel(self, labels: Iterable[str]) -> None:
        """Cancel jobs, or tasks of arrays; one that is over already is no error."""
        for some in _batches(sorted(labels)):
            try:
                self.ask("scancel", *some)
            except RefusedError as error:
                if not str(error).startswith(_NOT_KNOWN):
                    raise

    def warn(self, labels: Iterable[str]) -> None:
        """Send running allocations the signal that Slurm sends before the time limit: they end in order."""
        for label in labels:
            with suppress(RefusedError):  # over already
                self.ask("scancel", "--batch", "--signal=USR1", label)

    def queued(self, *, prefix: str) -> list[SlurmJob]:
        """Return this user's jobs that wait or may have processes and whose names start with ``prefix``."""
        found = self._squeue("--me", "--array")
        return [job for job in found if job.name.startswith(prefix) and (job.waiting or job.alive)]

    def find(self, jobs: Iterable[str]) -> dict[str, SlurmJob]:
        """Return what Slurm knows about jobs, whether they wait, run or are over; not those it has forgotten.

        Jobs are given, and returned, by number or by label.

        The controller is asked first. It forgets a job some minutes after its end (MinJobAge); the accounting, where
        the site runs one, remembers.
        """
        wanted = sorted(set(jobs))
        known: dict[str, SlurmJob] = {}
        for some in _batches(wanted):
            try:
                found = self._squeue("--array", "--states=all", f"--jobs={','.join(some)}")
            except RefusedError as error:
                if not str(error).startswith(_NOT_KNOWN):
                    raise
                found = []
            known |= {key: job for job in found for key in (job.id, job.label) if key in some}
        forgotten = [job for job in wanted if job not in known]
        if forgotten and self.has_accounting:
            known |= self._remembered(forgotten)
        return {job: self._with_exit(found) for job, found in known.items()}

    def steps(self) -> set[str]:
        """Return the running steps of this user's jobs, ``LABEL.STEP`` with the job's label."""
        return set(self.ask("squeue", "--noheader", "--me", "--steps", "--format=%i").split())

    def time_limit(self, job: str) -> datetime:
        """Return when a running job will be ended, in local time."""
        shown = self.ask("squeue", "--noheader", f"--jobs={job}", "--format=%e").split()
        return datetime.fromisoformat(shown[0]).astimezone()

    def nodes(self, expression: str) -> list[str]:
        """Return the names that a node list in Slurm's notation stands for."""
        return self.ask("scontrol", "show", "hostnames", expression).split() if expression else []

    def configuration(self) -> dict[str, str]:
        """Return the site's configuration."""
        pairs = (line.partition("=") for line in self.ask("scontrol", "show", "config").splitlines())
        return {name.strip(): value.strip() for name, separator, value in pairs if separator}

    def partitions(self) -> dict[str, dict[str, str]]:
        """Return the site's partitions with their properties, by name."""
        rows = (_pairs(line) for line in self.ask("scontrol", "show", "partition", "--oneliner").splitlines())
        return {row["PartitionName"]: row for row in rows if "PartitionName" in row}

    @cached_property
    def _site(self) -> dict[str, str]:
        return self.configuration()

    @property
    def has_accounting(self) -> bool:
        """Whether the site keeps records that sacct and sacctmgr can read."""
        return self._site.get("AccountingStorageType", "").endswith("slurmdbd")

    @property
    def cluster(self) -> str:
        """Slurm's own name for this cluster, SLURM_CLUSTER_NAME in its jobs."""
        return self._site.get("ClusterName", "")

    def _squeue(self, *words: str) -> list[SlurmJob]:
        fields = ("%A", "%i", "%T", "%r", "%N", "%j")
        answer = self.ask("squeue", "--noheader", *words, f"--format={_SEPARATOR.join(fields)}")
        rows = (line.split(_SEPARATOR, len(fields) - 1) for line in answer.splitlines() if line)
        return [SlurmJob(row[0], row[1], row[2], _known(row[3]), row[4], row[5]) for row in rows]

    def _remembered(self, jobs: list[str]) -> dict[str, SlurmJob]:
        found: dict[str, SlurmJob] = {}
        fields = "JobIDRaw,JobID,State,ExitCode,Reason,NodeList,JobName"
        for some in _batches(jobs):
            try:
                answer = self.ask("sacct", "-X", "-n", "-P", f"--jobs={','.join(some)}", f"--format={fields}")
            except (RefusedError, UnreachableError):
                continue
            for line in answer.splitlines():
                number, label, state, code, reason, nodes, name = line.split(_SEPARATOR, 6)
                exit_code, signal = _exit(code)
                word = state.partition(" ")[0]  # "CANCELLED by 1000"
                job = SlurmJob(number, label, word, _known(reason), _known(nodes), name, exit_code, signal)
                found |= {key: job for key in (number, label) if key in jobs}
        return found

    def _with_exit(self, job: SlurmJob) -> SlurmJob:
        """Return the job with the exit of its script, for which squeue has no field."""
        if job.waiting or job.alive or job.exit_code is not None:
            return job
        try:
            shown = _pairs(self.ask("scontrol", "show", "job", "--oneliner", job.id))
        except RefusedError:
            return job
        exit_code, signal = _exit(shown.get("ExitCode", ""))
        return replace(job, exit_code=exit_code, signal=signal)


def _message(text: str) -> str:
    """Return what a command complained about, in one line without the names of its parts."""
    lines = [re.sub(r"^(\w+: )?((error|fatal): )?(\w+ error: )?", "", line).strip() for line in text.splitlines()]
    return "; ".join(dict.fromkeys(line for line in lines if line))


def _batches(jobs: list[str]) -> Iterable[list[str]]:
    return (jobs[start : start + _ASKED_AT_ONCE] for start in range(0, len(jobs), _ASKED_AT_ONCE))


def _pairs(line: str) -> dict[str, str]:
    return dict(re.findall(r"(\S+?)=(\S*)", line))


def _known(word: str) -> str:
    return "" if word in _UNSET else word


def _exit(text: str) -> tuple[int | None, int | None]:
    found = re.fullmatch(r"(\d+):(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (None, None)
