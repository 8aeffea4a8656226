"""One search: a strategy, its ledger and its archive, run generation by generation."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Sequence
from itertools import islice
from typing import Any, Literal

import numpy as np

from evolm.archives import BestFound, Front
from evolm.campaign.budget import Ledger, allowed, cautious, served_record, spent
from evolm.campaign.item_scores import ITEM_SCORES, scores_record
from evolm.config import BudgetSection
from evolm.errors import ScorerError
from evolm.evaluation.evaluator import Charge, Evaluator
from evolm.evaluation.racing import Race, Rules
from evolm.individual import Individual
from evolm.randomness import derive_seed
from evolm.storage import GeneStore, Journal
from evolm.strategies import Strategy
from evolm.tasks import Item

FINALISTS = 5
CANDIDATES = 10  # the best individuals, from which a committee is selected, beside the finalists of the last stage


class Search:
    """Asks a strategy for individuals, evaluates them on dev, tells the strategy and writes the journal.

    Args:
        name: ``"main"``, or the name of the baseline.
        strategy: proposes individuals.
        evaluator: gives them their fitness.
        items: dev items.
        journal: gets individuals and generations, in the order of asking.
        rule: how the best is picked from a Pareto front; None with a single objective.
        genes: keeps vectors of genes, which are too long for the journal.
        rules: how individuals race; None to score all of them on all items.

    Attributes:
        of_stage: the best individuals of the current stage.
        asking: whether the strategy is at work on the next generation, so that requests come from operators.
        ahead: generations that were asked for and are not evaluated yet, the oldest first; between two steps, none
            unless the strategy lets generations overlap.
        asked: the last generation that was evaluated, in the order of asking.
        rules: how individuals race, or raced in an earlier stage; None if they never did.
        last: the last generation's entry in the journal.
    """

    def __init__(
        self,
        name: str,
        strategy: Strategy,
        evaluator: Evaluator,
        items: Sequence[Item],
        journal: Journal,
        rule: Literal["first", "knee"] | None = None,
        genes: GeneStore | None = None,
        rules: Rules | None = None,
    ) -> None:
        self.name = name
        self.strategy = strategy
        self.evaluator = evaluator
        self.items = items
        self.journal = journal
        self.genes = genes
        self.race = Race(evaluator, items, rules) if rules else None
        self.rules = rules
        self._earlier_rates: list[dict[str, Any]] = []
        self.ledger = Ledger()
        self.of_stage = BestFound(FINALISTS)
        self.archive: BestFound | Front = BestFound(CANDIDATES, FINALISTS) if rule is None else Front(FINALISTS, rule)
        self.founder: Individual | None = None
        self.exhausted = False
        self.asking = False
        self.ahead: deque[Sequence[Individual]] = deque()
        self._expected = 0  # of the generations ahead, how many the evaluator knows of
        self.last: dict[str, Any] = {}
        self.asked: Sequence[Individual] = ()

    def enter(self, strategy: Strategy, rules: Rules | None) -> None:
        """Continue with another strategy, which begins where the present one ends; ledger and archive stay.

        Args:
            strategy: of the next stage.
            rules: how individuals race in it.
        """
        self._earlier_rates.append(self.strategy.variation.state_dict())
        self.strategy = strategy
        self.race = Race(self.evaluator, self.items, rules) if rules else None
        self.rules = self.rules or rules
        self.of_stage = BestFound(FINALISTS)
        self.exhausted, self.ledger.idle_generations = False, 0
        self.ahead, self._expected = deque(), 0  # not a part of the next stage

    @property
    def rates(self) -> dict[str, dict[str, int]]:
        """Counts of every operator, over all stages."""
        total: dict[str, Counter[str]] = {}
        for rates in (*self._earlier_rates, self.strategy.variation.state_dict()):
            for name, counts in rates.items():
                total.setdefault(name, Counter()).update(counts)
        return {name: dict(counts) for name, counts in total.items()}

    def over(self, budget: BudgetSection, seconds: float) -> str:
        """Return why the search has ended, or ``""``."""
        if self.exhausted:
            return "nothing new is left to try in this space"
        return spent(budget, self.ledger, len(self.items), seconds)

    def step(self, budget: BudgetSection, seconds: float) -> bool:
        """Run one generation; return whether the best is a new one.

        Args:
            budget: limits, to which the last generation is cut.
            seconds: since the run began.

        Raises:
            Interrupted: if a stop was requested; of the generation, only the answers are kept.
        """
        self._ask_ahead(budget, seconds)
        if not self.ahead:
            self.exhausted, self.asked = True, ()
            return False
        asked = self.ahead.popleft()
        self._expected -= 1
        self.evaluate(asked, free_readouts=True)
        self._refuse_constant_objective(asked)
        improved = self.learn(asked)
        self.record(asked)
        return improved

    def _ask_ahead(self, budget: BudgetSection, seconds: float) -> None:
        """Ask for generations until the next one must wait for the oldest of them, or the budget is spoken for."""
        overlap = self.strategy.overlap
        while (
            len(self.ahead) <= overlap and (left := self._left(budget, seconds)) != 0 and (asked := self._ask(left))
        ):
            self.ahead.append(asked)
        if overlap:
            for asked in islice(self.ahead, self._expected, None):
                genomes = [individual.genome for individual in asked if individual.status == "new"]
                self.evaluator.expect(genomes, self.items, 1 / (overlap + 1))
        self._expected = len(self.ahead)

    def _left(self, budget: BudgetSection, seconds: float) -> int | None:
        """Return how many more individuals may be asked for; None = no limit."""
        limits = (allowed(budget, self.ledger, len(self.items)), cautious(budget, self.ledger, seconds))
        left = min((limit for limit in limits if limit is not None), default=None)
        return None if left is None else max(left - sum(map(len, self.ahead)), 0)

    def _ask(self, count: int | None) -> Sequence[Individual]:
        self.asking = True
        try:
            asked = self.strategy.ask(count)
        finally:
            self.asking = False
        if self.strategy.context.model_access is not None:
            self.ledger.charge_operators(self.strategy.context.model_access.spent())
        return asked

    def evaluate(self, asked: Sequence[Individual], others_scored: bool = False, free_readouts: bool = False) -> None:
        """Give individuals their fitness and charge for them.

        Args:
            asked: individuals; one that has failed already is charged in full and is not scored.
            others_scored: see :meth:`Evaluator.score_individuals`.
            free_readouts: whether further readouts of a scored genome are free; see :meth:`Ledger.charged`.
        """
        self.asked = asked
        if self.evaluator.guard is not None and not self.ledger.evaluations:
            self.ledger.tokens += self.evaluator.guard.measure_base(self.evaluator.engine).tokens
        new = [individual for individual in asked if individual.status == "new"]
        charges = self._scored(new, others_scored)
        self.ledger.charge(self.ledger.charged(new, charges) if free_readouts else charges)
        self.ledger.charge([Charge(len(self.items), 0)] * (len(asked) - len(new)))
        self.ledger.dropped += sum(individual.status == "dropped" for individual in asked)

    def learn(self, asked: Sequence[Individual]) -> bool:
        """Tell the strategy and the archive about an evaluated generation; return whether the best is a new one."""
        self.strategy.tell(asked)
        improved = self.archive.update(asked)
        self.of_stage.update(asked)
        self.keep_founder(asked)
        self.ledger.idle_generations = 0 if improved else self.ledger.idle_generations + 1
        self.ledger.follow_audit(asked)
        return improved

    def _scored(self, asked: Sequence[Individual], others_scored: bool) -> list[Charge]:
        if self.race is None:
            others_scored = others_scored or self.archive.best is not None
            terms_of = self.items if self.evaluator.decomposable else ()
            return self.evaluator.score_individuals(
                asked, self.items, all_items=terms_of, others_scored=others_scored
            )
        # Another order in every generation: the incumbent was selected over earlier orders.
        seed = derive_seed("race", self.strategy.context.seed, self.ledger.evaluations)
        return self.race.evaluate(asked, self.strategy.incumbent, self.archive.best, seed)

    @property
    def candidates(self) -> list[Individual]:
        """The best individuals, then the best of the current stage that are not among them.

        What learnt in a stage may answer otherwise than the best of earlier ones, and so complement them, without
        being as good. Empty if there are several objectives.
        """
        if not isinstance(self.archive, BestFound):
            return []
        best = self.archive.ranked
        known = {each.digest for each in best}
        return [*best, *(each for each in self.of_stage.ranked if each.digest not in known)]

    @property
    def items_saved(self) -> int:
        """Dev items on which racing did not score individuals that it dropped."""
        return self.ledger.evaluations * len(self.items) - self.ledger.items

    def _refuse_constant_objective(self, asked: Sequence[Individual]) -> None:
        """Raise if one of several objectives is constant over the first generation."""
        fitness = [individual.fitness.values for individual in asked if individual.fitness.valid]
        if isinstance(self.archive, BestFound) or asked[0].generation or len(fitness) < 2:
            return
        for name, values in zip(self.evaluator.scorers, zip(*fitness, strict=True), strict=True):
            if len(set(values)) == 1:
                raise ScorerError(
                    f"objective {name!r}: expected values that differ, found {values[0]:.6g} for all {len(values)} "
                    "individuals of the first generation; leave it out of [scorers]"
                )

    def keep_founder(self, asked: Sequence[Individual]) -> None:
        """Remember the best founder, with which the winner is compared."""
        founders = [individual for individual in asked if individual.is_founder and individual.fitness.valid]
        known = [self.founder] if self.founder else []
        self.founder = max(known + founders, key=lambda i: (i.fitness, -i.id), default=None)

    def record(self, asked: Sequence[Individual]) -> None:
        """Write a generation into the journal."""
        if self.genes is not None:
            self.genes.write(self.name, asked[0].generation, asked)
        for individual in asked:
            scores = {ITEM_SCORES: scores_record(individual.item_terms)}
            self.journal.append({"type": "individual", "search": self.name, **individual.to_record(), **scores})
        means = [individual.score for individual in asked if individual.score is not None]
        best = self.archive.best
        self.last = {
            "type": "generation",
            "search": self.name,
            "generation": asked[0].generation,
            "evaluations": self.ledger.evaluations,
            "items": self.ledger.items,
            "tokens": self.ledger.tokens,
            "writer_tokens": self.ledger.writer_tokens,
            **served_record(self.ledger),
            "dropped": self.ledger.dropped,
            "free": self.ledger.free,
            "best": best.score if best else None,
            "best_id": best.id if best else None,
            "mean": float(np.mean(means)) if means else None,
            "std": float(np.std(means)) if means else None,
            "front": [i.id for i in self.archive] if isinstance(self.archive, Front) else None,
            "diversity": self.strategy.context.space.diversity([individual.genome for individual in asked]),
        }
        self.journal.append(self.last)

    @property
    def generation(self) -> int:
        """Number of the last generation that was evaluated; 0 before the first."""
        return int(self.last.get("generation", 0))

    @property
    def mean(self) -> float:
        """Mean score of the last generation; NaN before the first."""
        value = self.last.get("mean")
        return math.nan if value is None else float(value)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that decides how the search continues: JSON values and arrays."""
        return {
            "strategy": self.strategy.state_dict(),
            "ledger": self.ledger.to_record(),
            "archive": self.archive.state_dict(),
            "of_stage": self.of_stage.state_dict(),
            "founder": self.founder.state_dict() if self.founder else None,
            "exhausted": self.exhausted,
            "ahead": [[individual.id for individual in asked] for asked in self.ahead],
            "last": self.last,
            "earlier_rates": self._earlier_rates,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from the state that :meth:`state_dict` returned."""
        self.strategy.load_state_dict(state["strategy"])
        self.ledger = Ledger(**state["ledger"])
        self.archive.load_state_dict(state["archive"])
        self.of_stage.load_state_dict(state["of_stage"])
        self.founder = Individual.from_state(state["founder"]) if state["founder"] else None
        self.exhausted = state["exhausted"]
        pending = self.strategy.pending
        self.ahead = deque([pending[id] for id in ids] for ids in state["ahead"])
        self.last = state["last"]
        self._earlier_rates = state["earlier_rates"]
