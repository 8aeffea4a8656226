"""Functions of genes whose best is known, and how a strategy fares on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from evolm.genomes import Genome
from evolm.individual import Individual
from evolm.strategies import Strategy
from evolm.strategies.vectors import wide

N, SIGMA = 10, 0.1
Value = Callable[[Genome], float]
Made = Callable[..., Any]


def quadratic(weights: np.ndarray, basis: np.ndarray | None = None) -> Value:
    """Return ``-sum(w (B (x - best))^2)``, 0 at its top, which lies two step sizes from zero in every gene."""
    best = 2 * SIGMA * np.resize([1.0, -1.0, -1.0], len(weights))

    def value(genome: Genome) -> float:
        apart = wide(genome) - best
        return -float(np.sum(weights * (apart if basis is None else basis @ apart) ** 2))

    return value


def conditioned(n: int, condition: float) -> np.ndarray:
    """Return ``(n,)`` weights from 1 to ``condition``."""
    return condition ** (np.arange(n) / (n - 1))


SPHERE, ELLIPSOID = quadratic(np.ones(N)), quadratic(conditioned(N, 1e3))


def step(strategy: Strategy, table: Any, most: int | None = None) -> list[Individual]:
    asked = strategy.ask(most)
    table.fill(asked)
    strategy.tell(asked)
    return asked


def gap(strategy: Strategy, table: Any, evaluations: int) -> float:
    """How far below the top the best of so many evaluations lies."""
    values: list[float] = []
    while len(values) < evaluations:
        values += [individual.fitness.values[0] for individual in step(strategy, table, evaluations - len(values))]
    return -max(values)
