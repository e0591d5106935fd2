"""What becomes of a job that ended without an answer: one table to read.

The ends are Slurm's own words where Slurm has one. ``CRASHED`` is a process that died while its allocation went on, and
``VANISHED`` a job of which nobody kept a record. An end that does not stand here, such as an error that the job itself
raised, is final.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

Remedy = Literal["again", "more time", "more memory", "another node"]

MORE_TIME = 1.5
MORE_MEMORY = 2.0

ROOM = "SODALYTE_PILOT_ROOM"
"""Environment variable: a pilot's :class:`Room` as JSON."""


@dataclass(frozen=True)
class Policy:
    """What to do with a job that came to one kind of end.

    Attributes
    ----------
    meaning
        The end in words.
    remedy
        What is changed before the job runs again.
    times
        How often it may run again after this end; then it has failed.
    """

    meaning: str
    remedy: Remedy
    times: int


POLICY: dict[str, Policy] = {
    # end             in words                                                        remedy          times
    "TIMEOUT": Policy("the allocation reached its time limit", "more time", 3),
    "DEADLINE": Policy("the allocation could not end before its deadline", "more time", 1),
    "OUT_OF_MEMORY": Policy("it needed more memory than it had", "more memory", 3),
    "NODE_FAIL": Policy("a node of the allocation failed", "another node", 10),
    "BOOT_FAIL": Policy("a node of the allocation did not start", "another node", 10),
    "PREEMPTED": Policy("the allocation made way for a job of higher priority", "again", 50),
    "CANCELLED": Policy("the allocation was cancelled", "again", 20),
    "CRASHED": Policy("its process died while the allocation went on", "again", 4),
    "FAILED": Policy("the allocation's script failed", "another node", 3),
    "COMPLETED": Policy("the allocation ended without a word about it", "again", 4),
    "VANISHED": Policy("neither Slurm nor the allocation kept a record of its end", "again", 4),
    "REQUEUED": Policy("Slurm put the allocation back into the queue", "again", 10),
}


@dataclass(frozen=True)
class Room:
    """What a pilot's slot offers to a job, and the most that its cluster has; None where that is not known.

    Attributes
    ----------
    cores
        On all nodes of the slot.
    memory, most_memory
        MB of each node.
    hours, most_hours
        Of a whole allocation.
    """

    cores: int | None = None
    memory: int | None = None
    most_memory: int | None = None
    hours: float | None = None
    most_hours: float | None = None

    @classmethod
    def here(cls) -> Room:
        """Return what this process was told by whoever started it."""
        return cls(**json.loads(os.environ.get(ROOM, "{}")))

    def as_json(self) -> str:
        """Return it for the environment of a pilot."""
        return json.dumps(asdict(self))


def remedy(
    cause: str, *, ends: Mapping[str, int], room: Room | None = None, hours: float = 0.0
) -> tuple[bool, dict[str, float]]:
    """Return whether a job runs again after an end, and what it then needs.

    Parameters
    ----------
    ends
        How often it came to which end before.
    room
        What it had.
    hours
        Time that it had until the limit of its allocation.

    Returns
    -------
    bool, dict
        The needs are ``hours`` and ``memory`` (MB); empty when nothing changes.
    """
    policy = POLICY.get(cause)
    room = room or Room()
    if policy is None or ends.get(cause, 0) >= policy.times:
        return False, {}
    if policy.remedy == "more time" and hours:
        return True, {"hours": min(max(MORE_TIME * hours, room.hours or 0.0), room.most_hours or math.inf)}
    if policy.remedy == "more memory" and room.memory:
        wanted = min(MORE_MEMORY * room.memory, room.most_memory or math.inf)
        return (True, {"memory": wanted}) if wanted > room.memory else (False, {})
    return True, {}
