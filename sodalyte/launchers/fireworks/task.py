"""The task by which FireWorks' own ``rlaunch`` runs the same fireworks, should somebody prefer it to pilots."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from fireworks import FiretaskBase, Firework, FWAction, Workflow, explicit_serialize
from jobflow import Flow, Job

from sodalyte.database import Database
from sodalyte.launchers.execution import Executor
from sodalyte.launchers.fireworks.documents import OWN, firework_document, link
from sodalyte.launchers.identity import INCOMPLETE, parents_first

ROOT = "SODALYTE_ROOT"
"""Environment variable: the folder of the runs on this machine, where it is not the one that the firework names."""


@explicit_serialize
class RunJob(FiretaskBase):  # type: ignore[misc]
    """Run one jobflow job through the executor, with the firework's own database as its store.

    Parameters are ``job``, JSON of the job, and ``root``, the folder of the runs.
    """

    required_params = ("job",)
    optional_params = ("root",)

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        """Run the job, unless it is finished in the store, and tell FireWorks what it asks for."""
        client = self.launchpad.connection
        database = Database("FireWorks' database", client, self.launchpad.db.__getitem__)
        job = Job.from_dict(json.loads(self["job"]))
        if fw_spec.get("_fizzled_parents") or fw_spec.get(OWN, {}).get("incomplete"):
            job.metadata[INCOMPLETE] = True
        root = Path(os.environ.get(ROOT) or self.get("root") or Path.cwd())
        with Executor(database, root) as executor:
            outcome = executor.run(job)
        before = [text for text in (outcome["replace"], outcome["detour"]) if text is not None]
        return FWAction(
            detours=[self._workflow(text, fw_spec) for text in before],
            additions=[self._workflow(outcome["addition"], fw_spec)] if outcome["addition"] else [],
            defuse_children=outcome["stop_children"],
            defuse_workflow=outcome["stop_jobflow"],
        )

    def _workflow(self, text: str, fw_spec: dict[str, Any]) -> Workflow:
        """Return a flow that a job asked for as a workflow that FireWorks can append."""
        jobs = parents_first(Flow.from_dict(json.loads(text)))
        numbers = {(job.uuid, job.index): -1 - position for position, (job, _) in enumerate(jobs)}
        fireworks = []
        for job, _ in jobs:
            document = firework_document(
                job,
                numbers[job.uuid, job.index],
                workflow="",
                campaign=fw_spec.get("campaign", ""),
                root=self.get("root", ""),
                inherited=fw_spec,
            )
            document["spec"].pop(OWN)
            fireworks.append(Firework.from_dict(document))
        return Workflow(fireworks, links_dict=link(jobs, numbers), name=fw_spec.get("campaign"))
