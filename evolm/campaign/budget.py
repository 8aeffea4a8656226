"""Budgets: limits, the ledger of what a search has spent, and why a search ends.

Evaluations, items and tokens are charged when an individual is asked for, before cache and sharing, so equal
searches cost the same, whatever is cached. Seconds are checked between generations only.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from evolm.config import BudgetSection
from evolm.evaluation.evaluator import Charge


@dataclass
class Ledger:
    """The amounts that a search has spent.

    Attributes:
        evaluations: individuals scored.
        items: items scored.
        tokens: tokens of all requests, each counted in full.
        dropped: individuals that racing dropped before all items were scored.
        idle_generations: generations since the best last improved.
    """

    evaluations: int = 0
    items: int = 0
    tokens: int = 0
    dropped: int = 0
    idle_generations: int = 0

    def charge(self, charges: list[Charge]) -> None:
        """Add the charges of some individuals."""
        self.evaluations += len(charges)
        self.items += sum(charge.items for charge in charges)
        self.tokens += sum(charge.tokens for charge in charges)

    def to_record(self) -> dict[str, int]:
        """Return plain JSON values."""
        return asdict(self)


def allowed(budget: BudgetSection, ledger: Ledger, items_each: int) -> int | None:
    """Return how many more individuals may be asked for at once; None = no limit.

    The last generation is cut so that evaluations and items never exceed their limits. Tokens are unknown before a
    prompt is written, so they end a search at the first end of a generation beyond the limit.
    """
    limits = []
    if budget.evaluations:
        limits.append(budget.evaluations - ledger.evaluations)
    if budget.items:
        limits.append((budget.items - ledger.items) // items_each)
    return max(min(limits), 0) if limits else None


def spent(budget: BudgetSection, ledger: Ledger, items_each: int, seconds: float) -> str:
    """Return why a search must end, or ``""``."""
    if budget.evaluations and ledger.evaluations >= budget.evaluations:
        return f"all {budget.evaluations} evaluations are spent"
    if budget.items and ledger.items + items_each > budget.items:
        return f"the {budget.items - ledger.items} items left are fewer than the {items_each} of one evaluation"
    if budget.tokens and ledger.tokens >= budget.tokens:
        return f"all {budget.tokens} tokens are spent"
    if budget.plateau and ledger.idle_generations >= budget.plateau:
        return f"{ledger.idle_generations} generations brought nothing better"
    if budget.seconds and seconds >= budget.seconds:
        return f"{budget.seconds:g} seconds are over"
    return ""
