"""A search among vectors of genes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from evolm.genomes import DELTA, DeltaSpace, Genome, Space
from evolm.operators import operators_for
from evolm.strategies import STRATEGIES, SearchContext, Strategy
from tests.support.gene_functions import SIGMA, Made, N


@pytest.fixture
def vector_search(toy_deltas: Callable[..., DeltaSpace]) -> Made:
    """Return ``vector_search(name, seed=0, n=N, founders=None, **settings)``; the founder is the genome of zeros."""

    def made(name: str, seed: int = 0, n: int = N, founders: list[Genome] | None = None, **settings: Any) -> Strategy:
        space, kind = Space({DELTA: toy_deltas(dimension=n, sigma=SIGMA)}), STRATEGIES[name]
        operators = [(operator, operator.weight) for operator in operators_for({DELTA: DeltaSpace})]
        return kind(kind.Params(**settings), SearchContext(space, founders or [space.completed({})], operators, seed))

    return made
