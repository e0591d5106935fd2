"""What a campaign was expected to cost when it was submitted, kept beside it in the database."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sodalyte.database import Database

_COLLECTION = "campaigns"


@dataclass(frozen=True)
class Budget:
    """Core hours planned.

    Attributes
    ----------
    core_hours
        None where nothing is known about them.
    basis
        What the number rests on, or why there is none.
    """

    core_hours: float | None
    basis: str


def keep(database: Database, campaign: str, budget: Budget) -> None:
    """Store a campaign's budget in place of what was there."""
    database.collection(_COLLECTION).update_one({"_id": campaign}, {"$set": {"budget": asdict(budget)}}, upsert=True)


def budget_of(database: Database, campaign: str) -> Budget | None:
    """Return a campaign's budget, None if it was submitted without one."""
    found = database.collection(_COLLECTION).find_one({"_id": campaign}, {"budget": 1})
    return Budget(**found["budget"]) if found and "budget" in found else None


def together(budgets: list[Budget | None]) -> Budget | None:
    """Return the budget of several campaigns: a number only where every one has it."""
    if not budgets or any(budget is None for budget in budgets):
        return None
    hours = [budget.core_hours for budget in budgets if budget is not None]
    bases = "; ".join(dict.fromkeys(budget.basis for budget in budgets if budget is not None))
    return Budget(None if None in hours else sum(filter(None, hours)), bases)
