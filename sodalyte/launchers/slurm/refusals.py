"""Why Slurm does not let an allocation in, or never starts it: named, with the way out. Two tables to read."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sodalyte.launchers.slurm.queue import SlurmJob


@dataclass(frozen=True)
class Refusal:
    """A named state of a campaign that cannot go on.

    Attributes
    ----------
    name
        ``wrong account``, ``wrong partition`` ...
    message
        What the site said.
    advice
        The way out.
    passing
        Whether it can go away by itself, so that it is worth asking again.
    """

    name: str
    message: str
    advice: str
    passing: bool = False

    @property
    def sentence(self) -> str:
        """All of it."""
        return f"{self.name}: Slurm says '{self.message}'; {self.advice}"


_ACCOUNT = "set 'account' of the cluster's table to one that may still compute here ('sacctmgr show associations')"
_PARTITION = "set 'partition' of the cluster's table to one of those that 'sinfo' shows"
_QOS = "set 'qos' of the cluster's table to one that this account may use"
_TIME = "set 'walltime' of the cluster's table to what the partition allows"
_SIZE = "set 'nodes', 'cores' and 'memory' of the cluster's table to what the partition's nodes have"
_LIMIT = "wait, or set 'max_queued' and the size of an allocation to what the site grants this account"
_ASK = "ask the site's administrators whether this user may submit"
_CONSTRAINT = "set 'constraint' of the cluster's table to a feature that 'sinfo -o %f' shows"

_OF_MESSAGES: tuple[tuple[str, str, str, bool], ...] = (
    # what sbatch says                                                        name                  way out     passing
    (r"invalid qos", "wrong QOS", _QOS, False),
    (r"invalid account", "wrong account", _ACCOUNT, False),
    (r"account.*(expired|not permitted|not allowed)", "wrong account", _ACCOUNT, False),
    (r"invalid partition", "wrong partition", _PARTITION, False),
    (r"group not permitted|partition.*(not available|inactive|down)", "closed partition", _PARTITION, False),
    (r"time limit is invalid|PartitionTimeLimit|time limit specification", "walltime too long", _TIME, False),
    (r"invalid feature", "wrong constraint", _CONSTRAINT, False),
    (r"node configuration|more processors|node count|memory spec|too many", "too large", _SIZE, False),
    (r"violates accounting/QOS policy|submit limit|MaxSubmit|job count limit|array", "over the limit", _LIMIT, True),
    (r"permission denied|access", "not permitted", _ASK, False),
)

_OF_REASONS: tuple[tuple[str, str, str], ...] = (
    # why Slurm keeps it waiting                                              name                  way out
    (r"InvalidAccount|AccountNotAllowed|AssociationJobLimit", "wrong account", _ACCOUNT),
    (r"(Assoc|Acct|QOS)Grp(CPU|TRES|Billing|Node|Mem)?\w*(Minutes|RunMinutes)\w*", "spent account", _ACCOUNT),
    (r"InvalidQOS|QOSNotAllowed", "wrong QOS", _QOS),
    (r"PartitionTimeLimit|\w*Max(Wall|WallDuration)\w*", "walltime too long", _TIME),
    (r"PartitionNodeLimit|\w*Max\w+PerJob\w*", "too large", _SIZE),
    (r"PartitionDown|PartitionInactive", "closed partition", _PARTITION),
    (r"BadConstraints", "wrong constraint", _CONSTRAINT),
    (r"JobHeldUser|JobHeldAdmin", "held", "release it with 'scontrol release', or ask who held it"),
)


def refusal_of(message: str) -> Refusal:
    """Return the named state that a message of sbatch means."""
    for pattern, name, advice, passing in _OF_MESSAGES:
        if re.search(pattern, message, re.IGNORECASE):
            return Refusal(name, message, advice, passing)
    return Refusal("refused", message, "correct the cluster's table, or ask the site's administrators")


def hopeless(job: SlurmJob) -> Refusal | None:
    """Return why an allocation that waits will not start unless someone changes something, or None."""
    for pattern, name, advice in _OF_REASONS:
        if job.waiting and re.fullmatch(pattern, job.reason):
            return Refusal(name, job.reason, advice)
    return None
