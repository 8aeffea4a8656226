"""nevergrad as the host: its own parametrization of evolm's spaces, and losses, since it minimises."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

ng = pytest.importorskip("nevergrad")

from evolm.errors import BudgetSpent, EvolmError
from evolm.integrations.nevergrad import NevergradSpace
from evolm.objective.objective import Objective

pytestmark = pytest.mark.extras

WORKERS = 6


def optimizer_of(
    native: NevergradSpace, budget: int, name: str = "TwoPointsDE", workers: int = 1
) -> ng.optimizers.base.Optimizer:
    native.parametrization.random_state.seed(7)
    return ng.optimizers.registry[name](native.parametrization, budget=budget, num_workers=workers)


def driven(native: NevergradSpace, budget: int) -> ng.p.Parameter:
    """Return what nevergrad recommends after asking and telling in batches."""
    optimizer = optimizer_of(native, budget, workers=WORKERS)
    while optimizer.num_tell < optimizer.budget:
        candidates = [optimizer.ask() for _ in range(WORKERS)]
        for candidate, loss in zip(candidates, native.losses(candidates), strict=True):
            optimizer.tell(candidate, loss)
    return optimizer.provide_recommendation()


def test_batches_of_candidates_are_asked_and_told(objective: Objective) -> None:
    native, left = NevergradSpace(objective), objective.left
    found = driven(native, 18)
    assert left is not None
    assert objective.left == left - 18
    assert objective.best is not None
    assert native.loss(found.value) == -objective.best.fitness.values[0]


def test_a_space_has_a_native_parametrization(objective: Objective) -> None:
    native = NevergradSpace(objective)
    genome = objective.decode(objective.x0)
    assert native.genome(native.value(genome)).digest == genome.digest
    sampled = native.parametrization.sample().value
    assert native.value(native.genome(sampled)).keys() == sampled.keys()
    genes = native.parametrization.value.get("genes", np.zeros(0))
    assert len(native.parametrization.value) - bool(genes.size) + genes.size == objective.dimension


def test_nevergrad_minimises_the_loss_of_single_candidates(objective: Objective) -> None:
    native = NevergradSpace(objective)
    optimizer = optimizer_of(native, 4, "OnePlusOne")
    founder = objective.decode(objective.x0)
    optimizer.suggest(native.value(founder))
    assert native.genome(optimizer.ask().value).digest == founder.digest
    found = optimizer_of(native, 4, "OnePlusOne").minimize(native.loss)
    assert found.loss == native.loss(found.value)


def test_the_objective_itself_is_refused_as_a_loss(delta: Objective) -> None:
    native, left = NevergradSpace(delta), delta.left
    with pytest.raises(EvolmError):
        optimizer_of(native, 2, "OnePlusOne").minimize(delta)
    assert delta.left == left


def test_two_objectives_are_refused(front: Objective) -> None:
    with pytest.raises(EvolmError, match="expected one objective, found 2"):
        NevergradSpace(front)


def test_a_failure_is_a_finite_loss(moody: Objective) -> None:
    native = NevergradSpace(moody)
    losses = native.losses([native.parametrization.sample() for _ in range(6)])
    assert np.isfinite(losses).all()
    assert [loss == -moody.worst for loss in losses] == [False, False, True] * 2


def test_a_spent_budget_ends_the_loop_with_the_best(hosted: Callable[..., Objective]) -> None:
    objective = hosted("delta", budget=10)
    with pytest.raises(BudgetSpent) as spent:
        driven(NevergradSpace(objective), 18)
    assert objective.left == 0
    assert spent.value.best is objective.best


def test_nevergrad_ends_by_itself_where_a_spent_budget_is_the_worst(hosted: Callable[..., Objective]) -> None:
    objective = hosted("hybrid", budget=10, on_spent="worst")
    native = NevergradSpace(objective)
    found = driven(native, 18)
    assert objective.left == 0
    assert objective.best is not None
    assert native.genome(found.value).digest == objective.best.digest
    assert objective.finish(native.genome(found.value)).test is not None
