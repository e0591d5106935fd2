"""What the engines that ship are known to get wrong: their numbers for known crystals."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict

from sodalyte.analysis.calibration import elastic_constants
from sodalyte.analysis.results import Result

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

FILE = "calibration.jsonl"

NOT_COMPUTED = "not computed"
"""How the reason begins of a refusal that only says that calculations are still to be done."""


class Answer(BaseModel):
    """A result with what tells it apart: its key in the store, and when and by which version it was computed.

    The result comes without its uuids, its data and the guards that passed; the store that has the key has them too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    result: Result
    key: str
    date: str
    version: str | None = None

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> Self:
        """Take a result as a store keeps it."""
        result = Result(**{name: document[name] for name in Result.model_fields if name in document})
        return cls(result=result, key=document["key"], date=document["created_at"])


def expanded(answer: Answer) -> Iterator[Answer]:
    """Yield what of an answer can stand in a table: its number or refusal, or the constants of its elastic tensor.

    The c of a cubic cell is its a, and would count twice.
    """
    if answer.result.property == "lattice_c" and answer.result.polymorph.startswith("cubic"):
        return
    constants = tuple(elastic_constants(answer.result))
    for result in constants or (answer.result,):
        if result.value is not None or result.status == "refused":
            yield answer.model_copy(update={"result": result})


@cache
def shipped() -> tuple[Answer, ...]:
    """Give the answers of the engines for known crystals that ship with this version."""
    return read((files("sodalyte.report") / FILE).read_text(encoding="utf-8"))


def read(text: str) -> tuple[Answer, ...]:
    """Parse the lines of a calibration file."""
    return tuple(Answer.model_validate_json(line) for line in text.splitlines())


def write(answers: Iterable[Answer], path: Path) -> None:
    """Write a calibration file, one answer per line in a fixed order."""
    ordered = sorted(answers, key=_position)
    path.write_text("".join(f"{answer.model_dump_json(exclude_defaults=True)}\n" for answer in ordered), "utf-8")


def _position(answer: Answer) -> tuple[str, ...]:
    result = answer.result
    return result.level, result.material, result.polymorph, result.property, result.scheme or "", result.recipe
