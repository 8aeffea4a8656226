"""From individuals to fitness: every scorer's requests, asked once, charged once, combined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from evolm.errors import ContextExceeded, DataError, ScorerError
from evolm.evaluation.engine import Engine
from evolm.models import Answer, LogLikelihood, TokenizedRequest
from evolm.population import Individual
from evolm.scorers import Evaluation, Scorer
from evolm.tasks import Item


@dataclass(frozen=True)
class Charge:
    """What an evaluation costs, before caching and sharing."""

    items: int
    tokens: int


@dataclass
class _Inquiry:
    """A genome's requests, each asked once, and where each scorer finds its own."""

    requests: list[TokenizedRequest]
    places: list[list[int]]  # per scorer
    reason: str = ""


class Evaluator:
    """Scores genomes on items.

    Args:
        engine: answers requests.
        scorers: name -> (scorer, weight); objectives are added up by weight.
    """

    def __init__(self, engine: Engine, scorers: Mapping[str, tuple[Scorer, float]]) -> None:
        self.engine = engine
        self.scorers = scorers

    def assess(self, genomes: Sequence[Any], items: Sequence[Item]) -> list[tuple[Evaluation | str, Charge]]:
        """Evaluate genomes on the same items.

        Returns:
            Per genome, in order: its evaluation, or the reason why it cannot have one; and what it costs.

        Raises:
            Interrupted: if a stop was requested.
        """
        inquiries = [self._inquire(genome, items) for genome in genomes]
        answers = iter(self.engine.answer_tokenized([r for inquiry in inquiries for r in inquiry.requests]))
        results: list[tuple[Evaluation | str, Charge]] = []
        for genome, inquiry in zip(genomes, inquiries, strict=True):
            own = [next(answers) for _ in inquiry.requests]
            charge = Charge(len(items), sum(request.tokens for request in inquiry.requests))
            results.append((inquiry.reason or self._combine(genome, own, inquiry, items), charge))
        return results

    def evaluate(self, individuals: Sequence[Individual], items: Sequence[Item]) -> list[Charge]:
        """Give every individual its fitness or its failure; return what each costs.

        Raises:
            ScorerError: if all items of all individuals failed: then the scorer is wrong, not the prompts.
        """
        results = self.assess([individual.genome for individual in individuals], items)
        everything_failed = bool(individuals)
        for individual, (evaluation, _) in zip(individuals, results, strict=True):
            if isinstance(evaluation, str):
                individual.fail(evaluation)
                everything_failed = False
                continue
            if evaluation.failures:
                index, reason = next(iter(sorted(evaluation.failures.items())))
                count = len(evaluation.failures)
                individual.fail(f"{count} of {len(items)} items failed; item {items[index].digest}: {reason}")
            else:
                fitness = (evaluation.objective, evaluation.tie_break)
                individual.accept(fitness, evaluation.score, evaluation.scores, evaluation.measures)
            everything_failed &= len(evaluation.failures) == len(items)
        if everything_failed:
            raise ScorerError(f"every item of every individual failed; the first: {individuals[0].reason}")
        return [charge for _, charge in results]

    def _inquire(self, genome: Any, items: Sequence[Item]) -> _Inquiry:
        asked: dict[LogLikelihood, int] = {}
        places = []
        for scorer, _ in self.scorers.values():
            places.append([asked.setdefault(r, len(asked)) for r in scorer.requests(genome, items)])
        try:
            return _Inquiry(self.engine.tokenize(list(asked)), places)
        except (ContextExceeded, DataError) as error:
            return _Inquiry([], places, str(error))

    def _combine(
        self, genome: Any, answers: Sequence[Answer], inquiry: _Inquiry, items: Sequence[Item]
    ) -> Evaluation:
        evaluations = [
            (scorer.score(genome, [answers[i] for i in places], items), weight)
            for (scorer, weight), places in zip(self.scorers.values(), inquiry.places, strict=True)
        ]
        (first, weight), *others = evaluations
        tokens = inquiry.requests[0].prefix_length if inquiry.requests else 0
        combined = replace(
            first,
            scores=weight * first.scores,
            objective=weight * first.objective,
            measures={**first.measures, "prefix_tokens": tokens},
        )
        for other, weight in others:
            combined = replace(
                combined,
                scores=combined.scores + weight * other.scores,
                objective=combined.objective + weight * other.objective,
                measures={**other.measures, **combined.measures},
                failures={**other.failures, **combined.failures},
            )
        return combined
