"""Racing: candidates are scored on growing blocks of items and dropped once more items cannot change the selection.

In a *race* a candidate meets an incumbent that is scored on all items: the individual that it must beat to change
anything for the strategy. Items come in a random order, new in every generation, and the paired differences per item
are bet on.

- Hypothesis: over all items, the candidate is no worse than its incumbent. Every difference is a bet against it, at
  best fair, with stakes that cannot ruin the bettor; the capital starts at 1 and grows if the candidate keeps losing
  (Waudby-Smith & Ramdas 2024, "Estimating means of bounded random variables by betting",
  https://doi.org/10.1093/jrsssb/qkad009, section 5: sampling without replacement).
- Correction for repeated looks: none is needed. The capital is a nonnegative supermartingale under the hypothesis, so
  the probability that it *ever* reaches ``1 / level`` is at most ``level`` (Ville's inequality), however often one
  looks. The level holds for each candidate, not for all of them together.

Maron & Moore 1994 (Hoeffding races) and irace (López-Ibáñez 2016, https://doi.org/10.1016/j.orp.2016.09.002,
after F-Race, Birattari 2002) race in the same way; irace's test is Student's t. That test and the sign test drop good
candidates too often if differences are skewed, as those of balanced accuracy are: an item of a rare label has a large
weight, and the items seen may include none. Betting needs bounds of the numbers and no other assumption.

*Successive halving* (Jamieson & Talwalkar 2016, https://arxiv.org/abs/1502.07943) keeps the better half at every
look. Its saving is known beforehand, and it makes no statistical claim: a good candidate with a bad start is lost.

A candidate that stays is evaluated on all items in the task's order, with the same bits as without racing; so is a
candidate that fails.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from evolm.config import EvaluationSection
from evolm.evaluation.evaluator import Assessment, Charge, Evaluator, Memory
from evolm.individual import Individual
from evolm.tasks import Item

# Fractions c of the ruinous bet, (3, 1); the capital is the mean over them. They are bold: looks are few and early.
STAKES = np.array([[0.5], [0.7], [0.9]])

# (candidate, best individual that is scored on all items) -> incumbent; None = no comparison
IncumbentOf = Callable[[Individual, Individual | None], Individual | None]


@dataclass(frozen=True)
class Rules:
    """How candidates race.

    Attributes:
        mode: ``"race"`` or ``"halving"``.
        block: items of the first look; each further look has twice as many.
        level: of a race: highest probability of dropping a candidate that is no worse than its incumbent.
    """

    mode: Literal["race", "halving"]
    block: int
    level: float

    @classmethod
    def of(cls, section: EvaluationSection) -> Rules | None:
        """Return the rules that ``[evaluation]`` sets; None if individuals do not race."""
        if section.racing == "off":
            return None
        return cls(section.racing, section.race_block, section.race_level)

    def to_record(self) -> dict[str, Any]:
        """Return JSON values; the level only for a race."""
        level = {"level": self.level} if self.mode == "race" else {}
        return {"mode": self.mode, "block": self.block, **level}


@dataclass(frozen=True)
class Candidate:
    """An individual in a race, its incumbent, and the answers about it so far."""

    individual: Individual
    incumbent: Individual
    memory: Memory


class Race:
    """Evaluates a search's individuals, dropping some of them on the way.

    Args:
        evaluator: all of its scorers are decomposable.
        items: dev items, in the task's order.
        rules: how candidates race.
    """

    def __init__(self, evaluator: Evaluator, items: Sequence[Item], rules: Rules) -> None:
        self.evaluator = evaluator
        self.items = items
        self.rules = rules
        task = evaluator.task
        # Halving compares means, so every look should have the labels in their proportions.
        stratified = rules.mode == "halving" and bool(task.labels) and task.has_gold
        self.strata = task.gold_indices(items) if stratified else np.zeros(len(items), dtype=np.int64)

    def evaluate(
        self, individuals: Sequence[Individual], incumbent_of: IncumbentOf, best: Individual | None, seed: int
    ) -> list[Charge]:
        """Give every individual its fitness or its failure, or drop it; return the cost of each.

        Founders are scored on all items, since a campaign is compared with the best of them; so are individuals
        without an incumbent.

        Args:
            individuals: what is evaluated.
            incumbent_of: the strategy's choice; incumbents were evaluated by a race of this task.
            best: the best so far.
            seed: of the order of items.

        Raises:
            Interrupted: if a stop was requested.
            ScorerError: if all items of all individuals that were scored on all items failed.
        """
        founders = [individual for individual in individuals if individual.is_founder]
        charges = self._score_on_all(founders, {}, others_scored=best is not None)
        known = [one for one in (best, *founders) if one is not None and one.fitness.valid]
        best = max(known, key=lambda one: (one.fitness, -one.id), default=None)
        others = [individual for individual in individuals if not individual.is_founder]
        memories = {individual.id: Memory() for individual in others}
        incumbents = {individual.id: incumbent_of(individual, best) for individual in others}
        candidates = [
            Candidate(i, incumbent, memories[i.id]) for i in others if (incumbent := incumbents[i.id]) is not None
        ]
        charges |= self._race(candidates, seed)
        staying = [individual for individual in others if individual.id not in charges]
        others_scored = bool(known) or len(staying) < len(others)
        charges |= self._score_on_all(staying, memories, others_scored)
        return [charges[individual.id] for individual in individuals]

    def _score_on_all(
        self, individuals: Sequence[Individual], memories: Mapping[int, Memory], others_scored: bool
    ) -> dict[int, Charge]:
        own = [memories.get(individual.id, Memory()) for individual in individuals]
        charges = self.evaluator.score_individuals(individuals, self.items, own, self.items, others_scored)
        return {individual.id: charge for individual, charge in zip(individuals, charges, strict=True)}

    def _race(self, candidates: list[Candidate], seed: int) -> dict[int, Charge]:
        """Look at growing numbers of items; return id -> cost of the dropped individuals."""
        order = item_order(self.strata, seed)
        dropped: dict[int, Charge] = {}
        for count in looks(self.rules.block, len(self.items)):
            if not candidates:
                break
            seen = order[:count]
            results = self.evaluator.assess(
                [candidate.individual.genome for candidate in candidates],
                [self.items[place] for place in seen],
                [candidate.memory for candidate in candidates],
                self.items,
            )
            # A candidate that fails leaves the race; scoring on all items gives it the same reason as without racing.
            scored = [
                (candidate, assessment)
                for candidate, (assessment, _) in zip(candidates, results, strict=True)
                if isinstance(assessment, Assessment) and not assessment.failures
            ]
            terms = {candidate.individual.id: self._spread(assessment, seen) for candidate, assessment in scored}
            reasons = self._worse_half(scored) if self.rules.mode == "halving" else self._losers(scored, seen)
            for candidate, reason in reasons:
                candidate.individual.drop(f"{reason} on {count} of {len(self.items)} items")
                candidate.individual.items = count
                candidate.individual.item_terms = terms[candidate.individual.id]
                dropped[candidate.individual.id] = Charge.of(count, candidate.memory.cost)
            candidates = [candidate for candidate, _ in scored if candidate.individual.id not in dropped]
        return dropped

    def _spread(self, assessment: Assessment, seen: np.ndarray) -> np.ndarray:
        """Return ``(n_items,)`` item terms in the task's order; NaN where they are not known."""
        assert assessment.item_terms is not None  # racing asks for them
        terms = np.full(len(self.items), np.nan)
        terms[seen] = assessment.item_terms.values
        return terms

    def _losers(
        self, scored: Sequence[tuple[Candidate, Assessment]], seen: np.ndarray
    ) -> list[tuple[Candidate, str]]:
        """Return the candidates that a race drops, and why."""
        losers = []
        for candidate, assessment in scored:
            limit = candidate.incumbent.fitness.violation
            if assessment.violation != limit:  # decided by Deb's rules, whatever the items say
                if assessment.violation > limit:
                    losers.append((candidate, f"behind #{candidate.incumbent.id} by its general perplexity"))
                continue
            terms, incumbent_terms = assessment.item_terms, candidate.incumbent.item_terms
            assert terms is not None and incumbent_terms is not None  # racing asks for them
            highest = terms.highest - float(incumbent_terms.min())
            capital = capital_against(terms.values - incumbent_terms[seen], highest, len(self.items))
            if capital * self.rules.level >= 1:
                losers.append((candidate, f"worse than #{candidate.incumbent.id} (1 : {capital:.3g})"))
        return losers

    def _worse_half(self, scored: Sequence[tuple[Candidate, Assessment]]) -> list[tuple[Candidate, str]]:
        """Return the candidates that halving drops, and why; the tie-break, then age decide between equal means."""

        def key(entry: tuple[Candidate, Assessment]) -> tuple[float, float, float, int]:
            candidate, assessment = entry
            assert assessment.item_terms is not None  # racing asks for them
            mean = float(assessment.item_terms.values.mean())
            return -assessment.violation, mean, assessment.fitness[1], -candidate.individual.id

        kept = -(-len(scored) // 2)
        behind = sorted(scored, key=key, reverse=True)[kept:]
        return [(candidate, f"not among the better {kept} of {len(scored)}") for candidate, _ in behind]


def looks(block: int, n: int) -> list[int]:
    """Return how many of ``n`` items each look has: ``block``, twice as many, and so on.

    No look has more than two thirds of the items. A look computes prompts again that are no longer in memory, so one
    that can save less than a third of the items costs more than it saves.
    """
    counts = []
    while 3 * block <= 2 * n:
        counts.append(block)
        block *= 2
    return counts


def item_order(strata: np.ndarray, seed: int) -> np.ndarray:
    """Return ``(n,)`` places of items in random order, with the strata in their proportions at every point.

    Args:
        strata: ``(n,)`` whole numbers; if all are equal, the order is a plain shuffle.
        seed: equal seeds give equal orders.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    times = np.empty(len(strata))
    for stratum in np.unique(strata):
        members = rng.permutation(np.flatnonzero(strata == stratum))
        times[members] = (np.arange(len(members)) + rng.random()) / len(members)
    return np.argsort(times, kind="stable")


def capital_against(differences: np.ndarray, highest: float, n: int) -> float:
    """Return the highest capital so far of a bettor against "the mean of all ``n`` differences is at least 0".

    Symbols are those of Waudby-Smith & Ramdas 2024, section 5, for the hypothesis m = 0: ``X_t`` is the t-th
    difference drawn, ``N`` is ``n``, ``m_t`` the mean of the differences not drawn yet if the mean of all is m, and
    ``K_t = prod_i (1 + lambda_i (X_i - m_i))`` the capital. There ``X_t`` lies in [0, 1]; here it has the upper bound
    ``highest`` and no lower one, so bets are on small differences only: ``lambda_t = -c / (highest - m_t)`` with
    0 < c < 1 keeps ``K_t`` positive. The capital is the mean over several c, a mixture of bets.

    Args:
        differences: ``(k,)`` those seen, drawn without replacement, in the order drawn; ``k < n``.
        highest: upper bound of all ``n`` differences.

    Returns:
        At least 1; infinite if the remaining differences cannot raise the mean to 0. If the mean is at least 0, the
        capital reaches ``1 / level`` with a probability of at most ``level``.
    """
    sums = np.concatenate([[0.0], np.cumsum(differences)])  # (k + 1,) sum of X_1 .. X_(t-1), t = 1 .. k + 1
    m = -sums / (n - np.arange(len(sums)))  # (k + 1,) m_t = (N m - sum X_i) / (N - (t - 1)), m = 0
    room = highest - m  # (k + 1,)
    none = 1e-9 * (abs(highest) + np.abs(differences).max(initial=0.0))  # rounding
    if (room < -none).any():
        return float("inf")
    m, room = m[:-1], room[:-1]
    gains = np.where(room > none, (m - differences) / np.where(room > none, room, 1.0), 0.0)  # (k,) >= -1
    with np.errstate(over="ignore"):
        capital = np.cumprod(1 + STAKES * gains, axis=1).mean(axis=0)  # (k,) mean over c of K_t
    return float(capital.max(initial=1.0))
