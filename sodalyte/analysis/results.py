"""What a scientific answer looks like: one small, flat, self-explaining document."""

from __future__ import annotations

import hashlib
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

REHEARSAL = "REHEARSAL"
"""With what the level of theory of a rehearsal begins, and no other."""

SYMMETRIC = "symmetric_"
"""How the names of properties begin for which the ions of strained cells kept their symmetry."""

OTHER_UNITS = {
    "lowered_by": "eV/atom",
    "temperatures": "K",
    "temperature_range": "K",
    "diffusivities": "cm^2/s",
    "uncertainties": "cm^2/s",
    "ln_d0": "ln(cm^2/s)",
    "hop_length": "angstrom",
    "volume": "angstrom^3",
    "charge": "e",
}
"""Units of what stands in ``data``; the rest is in the result's own unit, a pure number, or named with its unit."""

Status = Literal["ok", "refused"]


class Guard(BaseModel):
    """A named check of the physics, with what it saw.

    A guard that is ``required`` and failed refuses the number; one that is not accompanies it as a warning.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    passed: bool
    detail: str = Field(description="what was seen, in words a reader can check")
    required: bool = True


class Subject(BaseModel):
    """Of what, and how, a result speaks: shared by all results of one analysis."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    material: str = Field(description="reduced formula, or the name of the file it came from")
    polymorph: str
    level: str = Field(description="level of theory: engine, model and versions")
    recipe: str
    calculations: tuple[str, ...] = Field(default=(), description="uuids of the calculations it rests on")

    @property
    def is_rehearsal(self) -> bool:
        """Whether a stand-in computed this in VASP's place, so that it is a result of no level of theory."""
        return self.level.startswith(REHEARSAL)


class Result(Subject):
    """One scientific answer.

    ``uncertainty`` is one standard uncertainty in ``unit``; ``interval_95`` is given where the distribution
    is not symmetric. A refused result carries no number: ``value``, ``uncertainty``, ``interval_95`` and
    ``data`` are empty and ``reason`` says why.
    """

    property: str
    value: float | None = None
    uncertainty: float | None = None
    interval_95: tuple[float, float] | None = None
    unit: str
    status: Status = "ok"
    reason: str | None = None
    guards: tuple[Guard, ...] = ()
    temperature: float | None = Field(default=None, description="kelvin")
    scheme: str | None = Field(default=None, description="sulfur-correction scheme of a thermodynamic result")
    uncertainty_basis: str | None = Field(default=None, description="where the uncertainty comes from")
    data: dict[str, Any] = Field(default_factory=dict, description="what does not fit one number; see OTHER_UNITS")

    @model_validator(mode="after")
    def _refused_carries_no_number(self) -> Self:
        if self.status == "refused":
            if not self.reason:
                raise ValueError("a refused result needs a reason")
            if self.value is not None or self.uncertainty is not None or self.interval_95 or self.data:
                raise ValueError("a refused result carries no number that could be quoted")
        elif self.value is None and not self.data:
            raise ValueError("a result needs a value or data")
        return self

    def key(self) -> str:
        """Hash, equal for the same answer of the same calculations: saving twice changes nothing."""
        identity = (
            *(self.material, self.polymorph, self.property, self.level, self.recipe),
            *(str(self.temperature), str(self.scheme), *sorted(self.calculations)),
        )
        return hashlib.sha256("\x1f".join(identity).encode()).hexdigest()[:32]


def judge(subject: Subject, *, guards: tuple[Guard, ...] = (), **fields: Any) -> Result:
    """Make a result, refused if a required guard failed.

    Parameters
    ----------
    subject
        Of what and how the result speaks.
    guards
        The checks; the details of the required ones that failed give the reason of the refusal.
    **fields
        The fields of :class:`Result`; numbers are dropped when the result is refused.
    """
    failed = [guard for guard in guards if guard.required and not guard.passed]
    if failed:
        for name in ("value", "uncertainty", "interval_95", "data"):
            fields.pop(name, None)
        fields |= {"status": "refused", "reason": "; ".join(guard.detail for guard in failed)}
    return Result(**subject.model_dump(), guards=guards, **fields)
