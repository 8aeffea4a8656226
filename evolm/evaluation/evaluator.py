"""From genomes to fitness: the dialogues of all scorers about all genomes, held side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from itertools import islice
from operator import add
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from evolm.collapse import collapse_violation, text_measures
from evolm.errors import ScorerError
from evolm.evaluation.dialogue import Outcome, first_requests, hold, joined
from evolm.evaluation.guard import ABILITY, PERPLEXITY, Guard
from evolm.genomes import Committee, Genome, Phenotype, Winner, members_of
from evolm.individual import Individual
from evolm.models import Answer, Cost, Dialogue, Request
from evolm.models.deltas import Delta
from evolm.scorers import Evaluation, ItemTerms, Scorer
from evolm.scorers.likelihood import joint_evaluation
from evolm.tasks import Item, Task

if TYPE_CHECKING:
    from evolm.evaluation.engine import Engine

TASK_SCORER = ""  # name of the task scorer if it is none of the campaign's scorers


@dataclass(frozen=True)
class Charge:
    """The cost of an evaluation, before caching and sharing; see :class:`evolm.models.Cost`."""

    items: int
    tokens: int
    generated: int = 0
    requests: int = 0

    @classmethod
    def of(cls, items: int, cost: Cost) -> Charge:
        """Return the charge for some items."""
        return cls(items, cost.tokens, cost.generated, cost.requests)


@dataclass(frozen=True)
class Assessment:
    """The evaluations of one genome by all scorers, combined.

    Attributes:
        fitness: weighted sum and tie-break, or an objective per scorer; NaN if any item failed.
        score: the number shown to people: the task's metric if the search sees gold, otherwise the first of
            ``fitness``.
        cases: ``(n,)`` weighted sum of per-item scores.
        measures: every scorer's objective by its name, ``gold`` if gold is for the audit only, and more.
        failures: item index -> reason.
        task_evaluation: the task scorer's evaluation; None without gold labels.
        violation: of the guard's limit and, if the search sees no gold, by a collapse (:mod:`evolm.collapse`); 0 =
            none.
        item_terms: of the first of ``fitness``; None unless asked for.
    """

    fitness: tuple[float, ...]
    score: float
    cases: np.ndarray
    measures: Mapping[str, float]
    failures: Mapping[int, str]
    task_evaluation: Evaluation | None = None
    item_terms: ItemTerms | None = None
    violation: float = 0.0


@dataclass
class Memory:
    """The answers about one genome so far, so that an evaluation on more items asks and charges only the new ones.

    Attributes:
        known: request -> answer.
        cost: of them.
    """

    known: dict[Request, Answer] = field(default_factory=dict)
    cost: Cost = field(default_factory=Cost)


class Evaluator:
    """Scores genomes on items.

    Args:
        engine: answers requests.
        task: whose items are scored.
        scorers: name -> (scorer, weight), at least one.
        task_scorer: the scorer whose score is the task's metric; reads gold labels; may be one of ``scorers``.
        express: genome -> what the model sees of it.
        prompt_tokens: genome -> tokens of the prompt that the model sees.
        combine: ``"sum"`` = one objective, the weighted sum; ``"pareto"`` = one per scorer.
        guard: of general ability; may be one of ``scorers``; None = none.
    """

    def __init__(
        self,
        engine: Engine,
        task: Task,
        scorers: Mapping[str, tuple[Scorer, float]],
        task_scorer: Scorer,
        express: Callable[[Genome], Phenotype],
        prompt_tokens: Callable[[Genome], int],
        combine: Literal["sum", "pareto"] = "sum",
        guard: Guard | None = None,
    ) -> None:
        self.engine = engine
        self.task = task
        self.scorers = scorers
        self.task_scorer = task_scorer
        self._task_scorer_name = next(
            (name for name, (scorer, _) in scorers.items() if scorer is task_scorer), TASK_SCORER
        )
        self.express = express
        self.prompt_tokens = prompt_tokens
        self.combine = combine
        self.guard = guard

    @property
    def decomposable(self) -> bool:
        """Whether there is one objective, which is the mean of one bounded number per item."""
        return self.combine == "sum" and all(scorer.decomposable for scorer, _ in self.scorers.values())

    @property
    def maximises_metric(self) -> bool:
        """Whether the objective is the task's metric itself."""
        return self.combine == "sum" and list(self.scorers.values()) == [(self.task_scorer, 1.0)]

    def assess(
        self,
        genomes: Sequence[Any],
        items: Sequence[Item],
        memories: Sequence[Memory] | None = None,
        all_items: Sequence[Item] = (),
    ) -> list[tuple[Assessment | str, Charge]]:
        """Evaluate genomes on the same items.

        Args:
            genomes: what is evaluated.
            items: on what.
            memories: each genome's answers to earlier items, in the order of ``genomes``; new answers are added.
            all_items: asks for the item terms of the objective over these items; every scorer must be decomposable.

        Returns:
            Per genome, in order: its assessment, or the reason why it has none; and its cost, with that of the
            remembered answers.

        Raises:
            Interrupted: if a stop was requested.
        """
        if self.guard is not None:
            self.guard.measure_base(self.engine)
        memories = memories or [Memory() for _ in genomes]
        outcomes = self._outcomes(self._asking, genomes, items, memories)
        results: list[tuple[Assessment | str, Charge]] = []
        for genome, outcome, memory in zip(genomes, outcomes, memories, strict=True):
            memory.cost += outcome.cost
            charge = Charge.of(len(items), memory.cost)
            if outcome.result is None:
                results.append((str(outcome.error), charge))
                continue
            assessment = self._combined(genome, outcome.result)
            if all_items:
                assessment = replace(assessment, item_terms=self._item_terms(outcome.result, items, all_items))
            results.append((assessment, charge))
        return results

    @property
    def _asking(self) -> dict[str, Scorer]:
        """All that ask about a genome: name -> scorer."""
        scorers = {name: scorer for name, (scorer, _) in self.scorers.items()}
        if self.task.knows_gold:
            scorers[self._task_scorer_name] = self.task_scorer
        if self.guard is not None:
            scorers[ABILITY] = self.guard
        return scorers

    def expect(self, genomes: Sequence[Any], items: Sequence[Item], share: float) -> None:
        """Let a cluster's workers begin with what an assessment will ask first; without a cluster, do nothing.

        Args:
            genomes, items: that will be assessed; see :meth:`assess`.
            share: of all that is expected at a time.
        """
        if not self.engine.looks_ahead:
            return
        dialogues, deltas = self._dialogues(self._asking, genomes, items, [Memory() for _ in genomes])
        self.engine.expect(first_requests(dialogues, self.engine, deltas), share)

    def general_perplexity(self, winner: Winner) -> float:
        """Return the guard's perplexity under a genome, or the highest under a committee's members."""
        assert self.guard is not None
        self.guard.measure_base(self.engine)
        shown = [self.express(genome) for genome in members_of(winner)]
        dialogues = [self.guard.dialogue(each, ()) for each in shown]
        outcomes = hold(dialogues, self.engine, [each.delta for each in shown])
        return max(outcome.result.measures[PERPLEXITY] if outcome.result else math.inf for outcome in outcomes)

    def task_evaluations(self, winners: Sequence[Winner], items: Sequence[Item]) -> list[Evaluation | str]:
        """Return the task scorer's evaluation of each genome or committee, or the reason why it has none."""
        genomes = [genome for winner in winners for genome in members_of(winner)]
        outcomes = self._outcomes({TASK_SCORER: self.task_scorer}, genomes, items, [Memory() for _ in genomes])
        each = iter(outcome.result[TASK_SCORER] if outcome.result else str(outcome.error) for outcome in outcomes)
        return [self._answered(winner, list(islice(each, len(members_of(winner)))), items) for winner in winners]

    def _answered(
        self, winner: Winner, evaluations: Sequence[Evaluation | str], items: Sequence[Item]
    ) -> Evaluation | str:
        """Return the evaluation of a genome, or of a committee whose members' evaluations are given."""
        if not isinstance(winner, Committee):
            return evaluations[0]
        known = [evaluation for evaluation in evaluations if isinstance(evaluation, Evaluation)]
        if len(known) < len(evaluations):
            return next(reason for reason in evaluations if isinstance(reason, str))
        return joint_evaluation(self.task, known, winner.weights, items)

    def score_individuals(
        self,
        individuals: Sequence[Individual],
        items: Sequence[Item],
        memories: Sequence[Memory] | None = None,
        all_items: Sequence[Item] = (),
        others_scored: bool = False,
    ) -> list[Charge]:
        """Give every individual its fitness or its failure; return the cost of each.

        Args:
            individuals: what is evaluated.
            items, memories, all_items: see :meth:`assess`.
            others_scored: whether the scorers have scored other individuals, so that they are known to work.

        Raises:
            ScorerError: if all items of all individuals failed: then a scorer is wrong, not the prompts.
        """
        results = self.assess([individual.genome for individual in individuals], items, memories, all_items)
        all_failed = bool(individuals) and not others_scored
        for individual, (assessment, _) in zip(individuals, results, strict=True):
            individual.items = len(items)
            if isinstance(assessment, str):
                individual.fail(assessment)
                all_failed = False
                continue
            if assessment.failures:
                index, reason = next(iter(sorted(assessment.failures.items())))
                count = len(assessment.failures)
                individual.fail(f"{count} of {len(items)} items failed; item {items[index].digest}: {reason}")
            else:
                terms = assessment.item_terms.values if assessment.item_terms else None
                individual.accept(
                    assessment.fitness,
                    assessment.score,
                    assessment.cases,
                    assessment.measures,
                    terms,
                    assessment.violation,
                )
            all_failed &= len(assessment.failures) == len(items)
        if all_failed:
            raise ScorerError(
                "expected an item that can be scored, found that every one failed; the first: "
                f"{individuals[0].reason}"
            )
        return [charge for _, charge in results]

    def _outcomes(
        self,
        scorers: Mapping[str, Scorer],
        genomes: Sequence[Any],
        items: Sequence[Item],
        memories: Sequence[Memory],
    ) -> list[Outcome[dict[str, Evaluation]]]:
        """Hold the dialogues of all scorers about each genome; return scorer -> evaluation per genome, in order."""
        dialogues, deltas = self._dialogues(scorers, genomes, items, memories)
        return hold(dialogues, self.engine, deltas)

    def _dialogues(
        self,
        scorers: Mapping[str, Scorer],
        genomes: Sequence[Any],
        items: Sequence[Item],
        memories: Sequence[Memory],
    ) -> tuple[list[Dialogue[dict[str, Evaluation]]], list[Delta | None]]:
        """Return a dialogue of all scorers about each genome, and the change of the model in it."""
        expressed = [self.express(genome) for genome in genomes]
        dialogues = [
            joined({name: scorer.dialogue(shown, items) for name, scorer in scorers.items()}, memory.known)
            for shown, memory in zip(expressed, memories, strict=True)
        ]
        return dialogues, [shown.delta for shown in expressed]

    def _item_terms(
        self, evaluations: Mapping[str, Evaluation], items: Sequence[Item], all_items: Sequence[Item]
    ) -> ItemTerms:
        """Return the item terms of the weighted sum of objectives."""
        terms = [
            scorer.item_terms(evaluations[name], items, all_items).weighted(weight)
            for name, (scorer, weight) in self.scorers.items()
        ]
        return reduce(add, terms)

    def _combined(self, genome: Any, evaluations: Mapping[str, Evaluation]) -> Assessment:
        task_evaluation = evaluations.get(self._task_scorer_name) if self.task.knows_gold else None
        own = [(name, evaluations[name], weight) for name, (_, weight) in self.scorers.items()]
        weighted = [weight * evaluation.objective for _, evaluation, weight in own]
        fitness = tuple(weighted) if self.combine == "pareto" else (sum(weighted), own[0][1].tie_break)
        measures: dict[str, float] = {"prefix_tokens": self.prompt_tokens(genome)}
        failures: dict[int, str] = {}
        for name, evaluation, _ in reversed(own):  # the first scorer's measures and reasons win
            measures.update(text_measures(evaluation.texts))
            measures.update(evaluation.measures)
            measures[name] = evaluation.objective
            failures.update(evaluation.failures)
        violation = 0.0 if self.task.has_gold else collapse_violation(measures, len(own[0][1].scores))
        if self.guard is not None:
            general = evaluations[ABILITY]
            measures.update(general.measures)
            failures.update(general.failures)
            violation += self.guard.violation_at(general.measures[PERPLEXITY])
        if task_evaluation is not None and self.task.audited:
            measures["gold"] = task_evaluation.score
        return Assessment(
            fitness=fitness,
            score=task_evaluation.score if task_evaluation is not None and self.task.has_gold else fitness[0],
            cases=np.sum([weight * evaluation.scores for _, evaluation, weight in own], axis=0),
            measures=measures,
            failures=failures,
            task_evaluation=task_evaluation,
            violation=violation,
        )
