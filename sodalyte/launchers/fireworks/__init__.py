"""FireWorks as the launcher of campaigns: many pilots, on many nodes, pull jobs from one MongoDB."""

from sodalyte.launchers.fireworks.launchpad import Launchpad
from sodalyte.launchers.fireworks.records import Added, Claim, Pilot, Running

__all__ = ["Added", "Claim", "Launchpad", "Pilot", "Running"]
