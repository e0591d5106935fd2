"""The calculations that ship with sodalyte: PAW-PBE results that took days, under the identities of their jobs."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from pathlib import Path

    from pymatgen.core import Structure

_FILE = "gpaw_reference.jsonl"


class Calculation(BaseModel):
    """One finished relaxation or static, enough of it to stand for the document in a store.

    Attributes
    ----------
    uuid
        Content identity of the job (:mod:`sodalyte.launchers.identity`).
    name
        What it is of, for people.
    level
        Level of theory with versions.
    lattice, species, coordinates
        The final cell: vectors (3, 3) in angstrom, one symbol and three fractional coordinates per atom.
    energy
        eV per cell, extrapolated to zero smearing.
    forces
        eV/angstrom, (n_atoms, 3).
    stress
        kbar, (3, 3), compressive positive.
    fmax
        Criterion, eV/angstrom.
    steps
        Frames of the relaxation; the last one counts twice.
    seconds
        Wall time of the run that finished it.
    calculator
        Name of the engine's class.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    uuid: str
    name: str
    level: str
    lattice: list[list[float]]
    species: list[str]
    coordinates: list[list[float]]
    energy: float
    forces: list[list[float]]
    stress: list[list[float]]
    converged: bool
    fmax: float
    steps: int
    seconds: float
    calculator: str = "Gpaw"

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Self:
        """Take what counts from a document of the store's outputs (a relaxation by the maker of potentials)."""
        output = document["output"]
        structure = output["structure"]
        return cls(
            uuid=document["uuid"],
            name=document["name"],
            level=output["tags"][0],
            lattice=structure["lattice"]["matrix"],
            species=[site["species"][0]["element"] for site in structure["sites"]],
            coordinates=[site["abc"] for site in structure["sites"]],
            energy=output["output"]["energy"],
            forces=output["output"]["forces"],
            stress=output["output"]["stress"],
            converged=output["state"] == "successful",
            fmax=output["input"]["relax_kwargs"]["fmax"],
            steps=output["output"]["n_steps"],
            seconds=round(output["output"]["elapsed_time"], 1),
            calculator=output["ase_calculator_name"],
        )

    def structure(self) -> Structure:
        """Return the final cell."""
        from pymatgen.core import Structure

        return Structure(self.lattice, self.species, self.coordinates)

    def outcome(self) -> dict[str, Any]:
        """Return what analyses take of the job: :func:`sodalyte.workflows.relaxation.outcome`, resolved."""
        return {
            "structure": self.structure(),
            "energy": self.energy,
            "stress": self.stress,
            "forces": self.forces,
            "state": self.state,
            "uuid": self.uuid,
        }

    @property
    def state(self) -> str:
        """How the calculation ended, in atomate2's words."""
        return "successful" if self.converged else "failed"

    def task_document(self) -> dict[str, Any]:
        """Return the output document that the job would have stored."""
        from atomate2.ase.schemas import AseStructureTaskDoc, InputDoc, OutputDoc
        from monty.json import jsanitize

        structure = self.structure()
        document = AseStructureTaskDoc.from_structure(
            meta_structure=structure,
            structure=structure,
            input=InputDoc(relax_kwargs={"fmax": self.fmax}),
            output=OutputDoc(
                energy=self.energy,
                energy_per_atom=self.energy / len(structure),
                forces=self.forces,
                stress=self.stress,
                n_steps=self.steps,
                elapsed_time=self.seconds,
            ),
            ase_calculator_name=self.calculator,
            state=self.state,
            is_force_converged=self.converged,
            tags=[self.level, "shipped with sodalyte"],
        )
        sanitized: dict[str, Any] = jsanitize(document, strict=True, allow_bson=True)
        return sanitized


@cache
def shipped() -> tuple[Calculation, ...]:
    """Return the calculations that ship with this version."""
    return read(files("sodalyte.inputs").joinpath(_FILE).read_text())


def read(text: str) -> tuple[Calculation, ...]:
    """Parse the lines of a reference file."""
    return tuple(Calculation(**json.loads(line)) for line in text.splitlines())


def write(calculations: list[Calculation], path: Path) -> None:
    """Write a reference file, one calculation per line, ordered by name and uuid."""
    ordered = sorted(calculations, key=lambda calculation: (calculation.name, calculation.uuid))
    temporary = path.with_suffix(".new")
    temporary.write_text("".join(f"{calculation.model_dump_json(exclude_defaults=True)}\n" for calculation in ordered))
    temporary.replace(path)
