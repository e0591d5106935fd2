"""Content identity: a job's uuid is a hash of what it computes, so that finished work is found again.

Two jobs get the same uuid when they call the same function with the same settings on the same inputs, where an input
that is another job's output counts by that job's identity (a Merkle tree). A workflow that is built again, by the same
command after a crash or by a colleague, therefore points at the same documents, and nothing is computed twice.

Names of jobs and makers do not count. Versions of libraries do not enter; an engine's makers carry its level of theory,
with versions, as a setting. Steps defined in :mod:`sodalyte.workflows` are cheap and interpret: their identity includes
sodalyte's version.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from typing import Any

import networkx as nx
from jobflow import Flow, Job
from monty.json import MontyEncoder

from sodalyte import __version__

INCOMPLETE = "incomplete"
"""Key in the metadata of a job that runs although one of its parents failed."""

_MARK = "content_addressed"
_TIMINGS = frozenset({"step_seconds"})
"""Fields that say how fast a machine was, not what was computed."""

_ODD = 1 + 3.7e-11
"""Moves halves of the tenth digit away from where rounding goes up, and leaves shorter numbers as they are."""

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_VERSION = re.compile(r'"@version": (?:"[^"]*"|null)(?:, )?')


def identify(flow: Flow | Job, *, keep: str | None = None) -> Flow:
    """Return the flow with every job's uuid replaced by its content identity, and equal jobs merged.

    Parameters
    ----------
    flow
        A job or a flow, nested or not; it is not changed.
    keep
        A uuid to leave alone: that of a job which the flow replaces.

    Returns
    -------
    Flow
        A flat flow whose jobs are marked, so that flows that they return at run time are identified too.
    """
    renamed: dict[str, str] = {}
    unique: dict[tuple[str, int], Job] = {}
    for job, _ in parents_first(flow):
        text = _UUID.sub(lambda match: renamed.get(match[0], match[0]), as_json(job))
        document = json.loads(text)
        if job.uuid != keep:
            renamed[job.uuid] = document["uuid"] = _identity(document)
        document["hosts"] = []
        document["metadata"][_MARK] = True
        unique.setdefault((document["uuid"], document["index"]), Job.from_dict(document))
    return Flow(list(unique.values()))


def parents_first(flow: Flow | Job) -> list[tuple[Job, list[str]]]:
    """Return every job of ``flow`` with the uuids of its parents, parents before children, else in the flow's order."""
    graph = flow.graph
    ordered = [uuid for uuid in nx.topological_sort(graph) if "job" in graph.nodes[uuid]]
    return [(graph.nodes[uuid]["job"], list(graph.predecessors(uuid))) for uuid in ordered]


def as_json(obj: Flow | Job) -> str:
    """Serialise a job or a flow."""
    return json.dumps(obj.as_dict(), cls=MontyEncoder)


def is_identified(job: Job) -> bool:
    """Tell whether ``job`` went through :func:`identify`."""
    return bool(job.metadata.get(_MARK))


def _identity(document: dict[str, Any]) -> str:
    content = {part: _nameless(document[part]) for part in ("function", "function_kwargs")}
    content["function_args"] = [_nameless(argument) for argument in document["function_args"]]
    text = _VERSION.sub("", json.dumps(content, sort_keys=True))
    if document["function"]["@module"].startswith("sodalyte.workflows"):
        text += __version__
    return str(uuid.UUID(hashlib.sha256(text.encode()).hexdigest()[:32]))


def _nameless(value: Any, *, maker: bool = False, listed: bool = False) -> Any:
    """Return the value without the names of makers, to which jobflow copies the names of their jobs.

    Numbers count to ten digits: the last ones of a cell depend on the processor. They are rounded at an odd place:
    published numbers, which have few digits, end in halves. In a list, which may hold coordinates, what is smaller than
    5e-11 is zero; a number by itself, such as a tolerance, keeps its digits.
    """
    if isinstance(value, dict):
        if value.get("@class") == "Structure":
            value = _defining(value)
        maker = maker or str(value.get("@class")).endswith("Maker")
        kept = {key: part for key, part in value.items() if key not in _TIMINGS and not (maker and key == "name")}
        return {key: _nameless(part, maker=key == "@bound") for key, part in kept.items()}
    if isinstance(value, float):
        digits = float(f"{value * _ODD:.10g}") + 0.0
        return round(digits, 10) + 0.0 or (0.0 if listed else digits)
    return [_nameless(part, listed=True) for part in value] if isinstance(value, list) else value


def _defining(structure: dict[str, Any]) -> dict[str, Any]:
    """Return a structure's document without what follows from its cell vectors and fractional coordinates.

    Cartesian coordinates are products of many digits, of which here and there one processor rounds the tenth up and
    another down; fractional ones are what was given.
    """
    lattice = {part: structure["lattice"][part] for part in ("matrix", "pbc")}
    sites = [{part: said for part, said in site.items() if part != "xyz"} for site in structure["sites"]]
    return {**structure, "lattice": lattice, "sites": sites}
