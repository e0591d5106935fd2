"""Where each of the jobs that share an allocation runs: its own nodes, or its own cores of one node, by name.

A pilot and each VASP that it starts are steps of their own. Slurm gives every step its own processes and its own
signals, so that what happens to one cannot reach its neighbour; nothing is ever ended by the name of its program.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Slot:
    """Nodes, or a share of one, on which one job runs at a time.

    Attributes
    ----------
    number
        Counted from 0 within the allocation.
    nodes
        Names of its nodes; a slot that is a share of a node has one.
    cores, memory
        On each of its nodes; MB, None when the site does not count memory.
    """

    number: int
    nodes: tuple[str, ...]
    cores: int
    memory: int | None = None

    def pilot(self, words: Sequence[str], *, name: str) -> list[str]:
        """Return the command that starts a pilot on the slot's first node.

        It overlaps with the steps that the pilot starts: while VASP computes, the pilot only waits. It is no parallel
        program, and must not look like one to those that it runs in its own process.
        """
        return [
            *("srun", "--overlap", "--export=ALL", f"--job-name={name}", "--input=none", "--unbuffered"),
            "--mpi=none",
            *("--nodes=1", f"--nodelist={self.nodes[0]}", "--ntasks=1", "--ntasks-per-node=1"),
            *(f"--cpus-per-task={self.cores}", f"--mem={self.memory or 0}"),
            *words,
        ]

    def vasp(self, command: str, *, ranks: int | None = None, mpi: str | None = None) -> str:
        """Return the command line that starts ``command`` on exactly this slot, one rank of one thread for each core.

        Parameters
        ----------
        command
            As a user would write it in a shell; it is split and quoted anew.
        ranks
            Fewer ranks than cores, for programs that are not parallel.
        mpi
            How ranks find each other, as ``srun --mpi`` names it; the site's way if not given. The pilot cannot hand it
            on: its own step has another.
        """
        number = len(self.nodes) * self.cores if ranks is None else ranks
        nodes = self.nodes[: min(len(self.nodes), number)]
        return shlex.join(
            [
                *("srun", "--exact", "--export=ALL", "--kill-on-bad-exit=1", "--input=none"),
                *(f"--nodes={len(nodes)}", f"--nodelist={','.join(nodes)}", f"--ntasks={number}"),
                *(f"--ntasks-per-node={-(-number // len(nodes))}", "--cpus-per-task=1", "--distribution=block"),
                f"--mem={self.memory or 0}",
                *([f"--mpi={mpi}"] if mpi else []),
                *("env", "OMP_NUM_THREADS=1", *shlex.split(command)),
            ]
        )


def slots(nodes: Sequence[str], *, side_by_side: int, cores: int, memory: int | None = None) -> list[Slot]:
    """Divide an allocation.

    Parameters
    ----------
    nodes
        Its nodes.
    side_by_side
        Slots wanted. No more than there are nodes: each gets whole nodes, and the first ones get those left over. More:
        each node is shared evenly by the slots that fall on it.
    cores, memory
        Of one node.
    """
    if side_by_side <= len(nodes):
        share, rest = divmod(len(nodes), side_by_side)
        starts = [number * share + min(number, rest) for number in range(side_by_side + 1)]
        parts = [tuple(nodes[start:stop]) for start, stop in pairwise(starts)]
        return [Slot(number, part, cores, memory) for number, part in enumerate(parts)]
    share, rest = divmod(side_by_side, len(nodes))
    found: list[Slot] = []
    for place, node in enumerate(nodes):
        sharing = min(share + (place < rest), cores)
        for _ in range(sharing):
            found.append(Slot(len(found), (node,), cores // sharing, memory and memory // sharing))
    return found
