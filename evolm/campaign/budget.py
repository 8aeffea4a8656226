"""Budgets: limits, the ledger of what a search has spent, and why a search ends.

Evaluations, items and tokens are charged when an individual is asked for, before cache and sharing, so equal
searches cost the same, whatever is cached. The last generation is cut to what the budget pays for; under a limit on
seconds, to what the time so far lets expect of the rest.

Readouts of a scored genome that ask the model nothing new cost no pass: some of them are free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from math import ceil
from typing import Any, TypeAlias

from evolm.config import BudgetSection
from evolm.evaluation.evaluator import Charge
from evolm.genomes import READOUT
from evolm.individual import Individual
from evolm.operators import Spent
from evolm.readout_kinds import KINDS_OF_READOUTS

Prices: TypeAlias = "tuple[float, float]"

SERVED = ("requests", "generated", "writer_requests", "writer_generated")  # amounts that servers charge for
GOLD = "gold"  # measure: the task's metric by gold that the search does not see
FIRST = 4  # individuals asked for while it is not known what one costs
FREE_READOUTS = 4  # that are not charged, of what the model was asked: a search of readouts alone must end


@dataclass
class Ledger:
    """The amounts that a search has spent.

    Attributes:
        evaluations: individuals scored.
        items: items scored.
        tokens: tokens of all requests, each counted in full.
        dropped: individuals that racing dropped before all items were scored.
        idle_generations: generations since the best last improved.
        free: individuals scored that were not charged.
        audit_peak: self-score and gold of the best of the generation whose best was worth most by gold; empty
            without an audit.
        audit_falls: generations since, in a row, whose best scored itself higher and was worth less.
        writer_tokens: of another model that writes for operators; no limit applies to them.
        generated: of ``tokens``, those that the model wrote.
        requests: HTTP requests to a served model.
        writer_generated, writer_requests: of the model that writes for operators.
        readouts: ``Genome.asked`` of the individuals scored on all items -> how many of its readouts were free.
    """

    evaluations: int = 0
    items: int = 0
    tokens: int = 0
    dropped: int = 0
    idle_generations: int = 0
    free: int = 0
    audit_peak: tuple[float, ...] = ()
    audit_falls: int = 0
    writer_tokens: int = 0
    generated: int = 0
    requests: int = 0
    writer_generated: int = 0
    writer_requests: int = 0
    readouts: dict[str, int] = field(default_factory=dict)

    def charge(self, charges: Sequence[Charge]) -> None:
        """Add the charges of some individuals."""
        self.evaluations += len(charges)
        self.items += sum(charge.items for charge in charges)
        self.tokens += sum(charge.tokens for charge in charges)
        self.generated += sum(charge.generated for charge in charges)
        self.requests += sum(charge.requests for charge in charges)

    def charge_operators(self, spent: Spent) -> None:
        """Add what operators have asked of models."""
        self.tokens += spent.tokens
        self.writer_tokens += spent.writer_tokens
        self.generated += spent.generated
        self.requests += spent.requests
        self.writer_generated += spent.writer_generated
        self.writer_requests += spent.writer_requests

    def charged(self, individuals: Sequence[Individual], charges: Sequence[Charge]) -> list[Charge]:
        """Return the charges of scored individuals without those of free readouts, which are counted.

        Args:
            individuals: in the order of asking.
            charges: in full, one for each.
        """
        due = []
        for individual, charge in zip(individuals, charges, strict=True):
            asked = individual.genome.asked
            if self.readouts.get(asked, FREE_READOUTS) < FREE_READOUTS:
                self.readouts[asked] += 1
                self.free += 1
                continue
            due.append(charge)
            readout: Any = individual.genome.chromosomes.get(READOUT)
            if individual.fitness.valid and readout and KINDS_OF_READOUTS[readout.kind].genes:
                self.readouts.setdefault(asked, 0)
        return due

    def follow_audit(self, asked: Sequence[Individual]) -> None:
        """Compare what the best of a generation thinks of itself with its gold, if gold is audited."""
        known = [individual for individual in asked if individual.fitness.valid and GOLD in individual.measures]
        if not known:
            return
        best = max(known, key=lambda individual: (individual.fitness.standing, -individual.id))
        itself, gold = float(best.fitness.values[0]), float(best.measures[GOLD])
        if not self.audit_peak or gold >= self.audit_peak[1]:
            self.audit_peak, self.audit_falls = (itself, gold), 0
        else:
            self.audit_falls = self.audit_falls + 1 if itself > self.audit_peak[0] else 0

    def to_record(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    def price(self, model: Prices = (0, 0), writer: Prices = (0, 0)) -> float:
        """Return what the tokens cost, in the currency of the prices.

        Args:
            model: of the model that evolves: prices of a million tokens that it reads and that it writes.
            writer: of another model that writes for operators.
        """
        read, written = self.tokens - self.generated, self.generated
        told, answered = self.writer_tokens - self.writer_generated, self.writer_generated
        return (read * model[0] + written * model[1] + told * writer[0] + answered * writer[1]) / 1e6


def served_record(ledger: Ledger) -> dict[str, Any]:
    """Return what was asked of servers, with the key ``"served"``; nothing if the models are local."""
    counts = {name: getattr(ledger, name) for name in SERVED if getattr(ledger, name)}
    return {"served": counts} if ledger.requests or ledger.writer_requests else {}


def individuals(budget: BudgetSection, items_each: int) -> int:
    """Return how many individuals a limit on evaluations, or else on items, pays for; 0 if neither is limited."""
    return budget.evaluations or budget.items // max(items_each, 1)


def allowed(budget: BudgetSection, ledger: Ledger, items_each: int) -> int | None:
    """Return how many more individuals the limits on evaluations and items allow, which are exact; None = any."""
    limits = []
    if budget.evaluations:
        limits.append(budget.evaluations - ledger.evaluations)
    if budget.items:
        limits.append((budget.items - ledger.items) // items_each)
    return max(min(limits), 0) if limits else None


def cautious(budget: BudgetSection, ledger: Ledger, seconds: float) -> int | None:
    """Return how many more individuals may be asked for at once under limits on tokens, requests and seconds.

    What an individual costs is unknown before its prompt is written. Under limits on tokens and requests, a few
    begin, then at most as many as there were so far, since founders may be cheaper than what follows; and no more
    than half of what is left, at the mean cost so far, is spent at a time. So only the last one exceeds the limit.
    A limit on seconds cuts no generation that fits into the time left, at the mean time so far, and never the first.

    Args:
        budget: the limits.
        ledger: what is spent.
        seconds: since the run began.

    Returns:
        A number above 0; None = any number.
    """
    limits = []
    if budget.seconds and ledger.evaluations and seconds:
        limits.append(max(int((budget.seconds - seconds) * ledger.evaluations / seconds), 1))
    for limit, so_far in ((budget.tokens, ledger.tokens), (budget.requests, ledger.requests)):
        if limit and not ledger.evaluations:
            limits.append(FIRST)
        elif limit and so_far:
            affordable = (limit - so_far) * ledger.evaluations / so_far
            limits.append(min(max(ceil(affordable / 2), 1), ledger.evaluations))
    return min(limits, default=None)


def spent(budget: BudgetSection, ledger: Ledger, items_each: int, seconds: float) -> str:
    """Return why a search must end, or ``""``."""
    if budget.evaluations and ledger.evaluations >= budget.evaluations:
        return f"all {budget.evaluations} evaluations are spent"
    if budget.items and ledger.items + items_each > budget.items:
        return f"the {budget.items - ledger.items} items left are fewer than the {items_each} of one evaluation"
    if budget.tokens and ledger.tokens >= budget.tokens:
        return f"all {budget.tokens} tokens are spent"
    if budget.requests and ledger.requests >= budget.requests:
        return f"all {budget.requests} requests are spent"
    if budget.plateau and ledger.idle_generations >= budget.plateau:
        return f"{ledger.idle_generations} generations brought nothing better"
    if budget.audit_fall and ledger.audit_falls >= budget.audit_fall:
        before = f"{ledger.audit_peak[1]:.3f}" if ledger.audit_peak else "none"
        return (
            f"{ledger.audit_falls} generations score themselves higher than one of gold {before}, and are worth less"
        )
    if budget.seconds and seconds >= budget.seconds:
        return f"{budget.seconds:g} seconds are over"
    return ""
