"""pycma as the host, by its own ask and tell: it minimises, so it is told losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

cma = pytest.importorskip("cma")

from evolm.errors import BudgetSpent, ConfigError, GenomeError
from evolm.objective.objective import Objective

pytestmark = pytest.mark.extras


def strategy(objective: Objective, **options: Any) -> cma.CMAEvolutionStrategy:
    bounds = objective.bounds
    settings = {"bounds": bounds.T.tolist(), "CMA_stds": np.ptp(bounds, axis=1) / 8, "popsize": 6, "seed": 3}
    return cma.CMAEvolutionStrategy(objective.x0, 1.0, {**settings, "verbose": -9, **options})


def test_ask_and_tell_minimise_the_losses(objective: Objective) -> None:
    search = strategy(objective, maxiter=4, tolfun=0, tolfunhist=0, tolflatfitness=9)  # losses of few items tie
    while not search.stop():
        points = search.ask()
        search.tell(points, objective.loss_many(points))
    assert search.result.evaluations == 24
    assert objective.best is not None
    assert search.result.fbest == -objective.best.fitness.values[0]
    assert objective.decode(search.result.xbest).digest == objective.best.digest


def test_cma_optimizes_the_loss_of_single_points(delta: Objective) -> None:
    result = strategy(delta, maxiter=2).optimize(delta.loss).result
    assert result.evaluations == 12
    assert result.fbest == delta.loss(result.xbest)


def test_a_failure_is_a_finite_loss(moody: Objective) -> None:
    search = strategy(moody)
    points = search.ask()
    losses = moody.loss_many(points)
    search.tell(points, losses)
    assert np.isfinite(losses).all()
    assert (losses == -moody.worst).tolist() == [False, False, True] * 2


def test_points_that_are_no_numbers_are_refused_before_anything_is_scored(delta: Objective) -> None:
    left = delta.left
    points = strategy(delta).ask()
    points[3] = points[3] * np.nan
    with pytest.raises((GenomeError, ConfigError), match=r"finite|NaN"):
        delta.loss_many(points)
    with pytest.raises((GenomeError, ConfigError), match="6"):
        delta.loss_many(np.array(points).T[:5].T)
    assert delta.left == left


def test_a_spent_budget_ends_the_loop_with_the_best(hosted: Callable[..., Objective]) -> None:
    objective = hosted("delta", budget=10)
    search = strategy(objective)
    with pytest.raises(BudgetSpent) as spent:
        while not search.stop():
            points = search.ask()
            search.tell(points, objective.loss_many(points))
    assert objective.left == 0
    assert search.result.evaluations == 6
    assert spent.value.best is objective.best


def test_cma_ends_by_itself_where_a_spent_budget_is_the_worst(hosted: Callable[..., Objective]) -> None:
    objective = hosted("delta", budget=10, on_spent="worst")
    search = strategy(objective, maxiter=10).optimize(objective.loss)
    assert search.stop()
    assert objective.left == 0
    assert objective.best is not None
    assert search.result.fbest == -objective.best.fitness.values[0]
    assert objective.finish(search.result.xbest).test is not None
