"""Racing: candidates are scored on growing blocks of items and leave when more items would change nothing.

In a *race* a candidate meets a incumbent that is scored on all items already: whoever it must not be worse than to
matter to the strategy. Items come in a random order, new in every generation, and the paired differences per item
are bet on.

- Test of "over all items, the candidate is no worse than its incumbent". Every difference is a bet against it, fair
  at best, with stakes that cannot ruin; the wealth of whoever bets begins at 1 and grows where the candidate
  keeps losing (Waudby-Smith & Ramdas 2024, "Estimating means of bounded random variables by betting",
  https://doi.org/10.1093/jrsssb/qkad009, section 5: drawn without replacement).
- Correction for repeated looks: none is needed. The wealth is a supermartingale under the hypothesis, so it *ever*
  reaches ``1 / level`` with a probability of at most ``level`` (Ville's inequality), however often one looks. The
  level holds for each candidate, not for all of them together.

Maron & Moore 1994 (Hoeffding races) and irace (López-Ibáñez 2016, https://doi.org/10.1016/j.orp.2016.09.002,
after F-Race, Birattari 2002) race in the same way; irace's test is Student's t. That, and the sign test, drop good
candidates too often where differences are skewed, and balanced accuracy skews them: an item of a rare label counts
much, and none may have been seen yet. Betting needs bounds of the numbers and nothing else.

*Successive halving* (Jamieson & Talwalkar 2016, https://arxiv.org/abs/1502.07943) keeps the better half at every
look. What it saves is known beforehand, and it makes no statistical claim: a good candidate with a bad start is lost.

Whoever stays is evaluated on all items in the task's order, to the bit as without racing; so is whoever fails.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from evolm.evaluation.evaluator import Assessment, Charge, Evaluator, Memory
from evolm.individual import Individual
from evolm.tasks import Item

# Shares of the stake that could ruin; wealth is the mean of all. Bold ones, since looks are few and early.
STAKES = np.array([[0.5], [0.7], [0.9]])

# (an individual that was asked for, the best of all that were scored on all items) -> its incumbent
RivalOf = Callable[[Individual, Individual | None], Individual | None]


@dataclass(frozen=True)
class Rules:
    """How candidates race.

    Attributes:
        mode: ``"race"`` or ``"halving"``.
        block: items of the first look; each further one knows twice as many.
        level: of a race: how probable it may be that a candidate is dropped which is no worse than its incumbent.
    """

    mode: Literal["race", "halving"]
    block: int
    level: float

    def to_record(self) -> dict[str, Any]:
        """Return JSON values; the level only where it decides something."""
        level = {"level": self.level} if self.mode == "race" else {}
        return {"mode": self.mode, "block": self.block, **level}


@dataclass(frozen=True)
class Runner:
    """Who races, against whom, and what it was answered so far."""

    individual: Individual
    incumbent: Individual
    memory: Memory


class Race:
    """Evaluates a search's individuals, dropping some of them on the way.

    Args:
        evaluator: all of its scorers must have parts.
        items: dev items, in the task's order.
        rules: how candidates race.
    """

    def __init__(self, evaluator: Evaluator, items: Sequence[Item], rules: Rules) -> None:
        self.evaluator = evaluator
        self.items = items
        self.rules = rules
        task = evaluator.task
        # Halves are compared, not tested: there, every look should show the labels in their proportions.
        alike = rules.mode == "halving" and bool(task.labels) and task.has_gold
        self.strata = task.gold_indices(items) if alike else np.zeros(len(items), dtype=np.int64)

    def evaluate(
        self, individuals: Sequence[Individual], rival_of: RivalOf, best: Individual | None, seed: int
    ) -> list[Charge]:
        """Give every individual its fitness or its failure, or drop it; return what each costs.

        Founders are scored on all items, since the best of them is what a campaign is compared with; so is whoever
        has no incumbent.

        Args:
            individuals: who is evaluated.
            rival_of: the strategy's; its rivals were evaluated by a race of this task.
            best: the best so far.
            seed: of the order of items.

        Raises:
            Interrupted: if a stop was requested.
            ScorerError: if all items of everybody who was scored on all of them failed.
        """
        given = [individual for individual in individuals if individual.is_founder]
        charges = self._scored_on_all(given, {}, proven=best is not None)
        known = [one for one in (best, *given) if one is not None and one.fitness.valid]
        best = max(known, key=lambda one: (one.fitness.values, -one.id), default=None)
        others = [individual for individual in individuals if not individual.is_founder]
        memories = {individual.id: Memory() for individual in others}
        rivals = {individual.id: rival_of(individual, best) for individual in others}
        runners = [Runner(i, incumbent, memories[i.id]) for i in others if (incumbent := rivals[i.id]) is not None]
        charges |= self._run(runners, seed)
        staying = [individual for individual in others if individual.id not in charges]
        charges |= self._scored_on_all(staying, memories, proven=bool(known) or len(staying) < len(others))
        return [charges[individual.id] for individual in individuals]

    def _scored_on_all(
        self, individuals: Sequence[Individual], memories: Mapping[int, Memory], proven: bool
    ) -> dict[int, Charge]:
        own = [memories.get(individual.id, Memory()) for individual in individuals]
        charges = self.evaluator.score_individuals(individuals, self.items, own, self.items, proven)
        return {individual.id: charge for individual, charge in zip(individuals, charges, strict=True)}

    def _run(self, runners: list[Runner], seed: int) -> dict[int, Charge]:
        """Look at growing numbers of items; return what those cost who were dropped."""
        order = item_order(self.strata, seed)
        gone: dict[int, Charge] = {}
        for count in looks(self.rules.block, len(self.items)):
            if not runners:
                break
            seen = order[:count]
            results = self.evaluator.assess(
                [runner.individual.genome for runner in runners],
                [self.items[place] for place in seen],
                [runner.memory for runner in runners],
                self.items,
            )
            # Whoever fails here leaves the race and fails on all items, for the reason that it has without a race.
            scored = [
                (runner, said)
                for runner, (said, _) in zip(runners, results, strict=True)
                if isinstance(said, Assessment) and not said.failures
            ]
            reasons = self._better_half(scored) if self.rules.mode == "halving" else self._losers(scored, seen)
            for runner, reason in reasons:
                runner.individual.drop(f"{reason} on {count} of {len(self.items)} items")
                runner.individual.items = count
                gone[runner.individual.id] = Charge(count, runner.memory.tokens)
            runners = [runner for runner, _ in scored if runner.individual.id not in gone]
        return gone

    def _losers(self, scored: Sequence[tuple[Runner, Assessment]], seen: np.ndarray) -> list[tuple[Runner, str]]:
        """Return who is dropped from a race, and why."""
        losers = []
        for runner, said in scored:
            theirs = runner.incumbent.parts
            assert said.parts is not None and theirs is not None  # both were asked for
            highest = said.parts.highest - float(theirs.min())
            wealth = wealth_against(said.parts.values - theirs[seen], highest, len(self.items))
            if wealth * self.rules.level >= 1:
                losers.append((runner, f"worse than #{runner.incumbent.id} (1 : {wealth:.3g})"))
        return losers

    def _better_half(self, scored: Sequence[tuple[Runner, Assessment]]) -> list[tuple[Runner, str]]:
        """Return who is dropped by halving, and why; equal means are told apart by the tie-break, then by age."""

        def key(entry: tuple[Runner, Assessment]) -> tuple[float, float, int]:
            runner, said = entry
            assert said.parts is not None  # they were asked for
            return float(said.parts.values.mean()), said.fitness[1], -runner.individual.id

        kept = -(-len(scored) // 2)
        behind = sorted(scored, key=key, reverse=True)[kept:]
        return [(runner, f"not among the better {kept} of {len(scored)}") for runner, _ in behind]


def looks(block: int, n: int) -> list[int]:
    """Return how many of ``n`` items each look knows: ``block``, twice as many, and so on.

    None knows more than two thirds: a look passes prompts once more that are no longer in memory, so one that could
    save less than a third of the items would cost more than it saves.
    """
    counts = []
    while 3 * block <= 2 * n:
        counts.append(block)
        block *= 2
    return counts


def item_order(strata: np.ndarray, seed: int) -> np.ndarray:
    """Return ``(n,)`` places of items in random order, the strata mixed in their proportions at every point.

    Args:
        strata: ``(n,)`` whole numbers; with one of them for all items the order is a plain shuffle.
        seed: equal seeds give equal orders.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    times = np.empty(len(strata))
    for stratum in np.unique(strata):
        members = rng.permutation(np.flatnonzero(strata == stratum))
        times[members] = (np.arange(len(members)) + rng.random()) / len(members)
    return np.argsort(times, kind="stable")


def wealth_against(differences: np.ndarray, highest: float, n: int) -> float:
    """Return the most that betting against "the mean of all ``n`` differences is at least 0" has ever made of 1.

    Args:
        differences: ``(k,)`` those seen, drawn without replacement, in the order drawn; ``k < n``.
        highest: none of the ``n`` differences is greater.

    Returns:
        At least 1; infinite where what is left cannot bring the mean to 0 any more. At 0 or more, it reaches
        ``1 / level`` with a probability of at most ``level``.
    """
    sums = np.concatenate([[0.0], np.cumsum(differences)])  # (k + 1,) before each difference, and behind the last
    least = -sums / (n - np.arange(len(sums)))  # (k + 1,) mean of what is left, were the mean of all 0
    room = highest - least
    none = 1e-9 * (abs(highest) + np.abs(differences).max(initial=0.0))  # rounding
    if (room < -none).any():
        return float("inf")
    before, room = least[:-1], room[:-1]
    gains = np.where(room > none, (before - differences) / np.where(room > none, room, 1.0), 0.0)  # (k,) >= -1
    with np.errstate(over="ignore"):
        wealth = np.cumprod(1 + STAKES * gains, axis=1).mean(axis=0)  # (k,)
    return float(wealth.max(initial=1.0))
