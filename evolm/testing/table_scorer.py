"""A scorer that looks genomes up in a table, so that a search can be tested without any model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from evolm.genomes import Phenotype
from evolm.individual import Individual
from evolm.scorers import Dialogue, Evaluation, Scorer
from evolm.tasks import Item


class TableScorer(Scorer):
    """A scorer that asks the model for nothing and looks each genome up.

    Args:
        worth: digest -> value, or a function from genome to value. A genome that is not in the table has a value
            in [0, 1) that follows from its digest, so no two genomes tie. NaN: every second item fails.

    It stands in an ``Evaluator`` as any scorer does; ``fill`` gives individuals their fitness without one.
    """

    def __init__(self, worth: Mapping[str, float] | Callable[[Any], float] | None = None) -> None:
        self.worth = worth if worth is not None else {}

    def value(self, genome: Any) -> float:
        """Return the value of a genome."""
        if callable(self.worth):
            return float(self.worth(genome))
        return float(self.worth.get(genome.digest, int(genome.digest, 16) / 16**16))

    def describe(self) -> dict[str, Any]:
        return {"table": "function" if callable(self.worth) else len(self.worth)}

    def dialogue(self, shown: Phenotype, items: Sequence[Item]) -> Dialogue:
        yield []
        return self.score(shown.prompt, items)

    def score(self, genome: Any, items: Sequence[Item]) -> Evaluation:
        value, n = self.value(genome), len(items)
        scores = np.full(n, value) + np.linspace(-0.1, 0.1, n) * (int(genome.digest[:4], 16) % 7 - 3)
        failures = {}
        if np.isnan(value):
            failures = dict.fromkeys(range(0, n, 2), "the table says NaN")
        return Evaluation(
            scores=scores,
            outcomes=np.zeros(n, dtype=np.int64),
            label_logprobs=np.full((n, 2), np.log(0.5)),
            objective=value,
            score=value,
            failures=failures,
        )

    def fill(self, individuals: Sequence[Individual], n_items: int = 6) -> None:
        """Give every individual its fitness, or its failure if its value is NaN."""
        for individual in individuals:
            value = self.value(individual.genome)
            cases = self.score(individual.genome, [None] * n_items).scores  # type: ignore[list-item]
            individual.accept((value, 0.0), value, cases, {"worth": value} if np.isfinite(value) else {})
