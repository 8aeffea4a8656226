"""pymoo as the host: it minimises whole generations, of a box or of variables to choose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pymoo")
from pymoo.algorithms.moo.nsga2 import NSGA2, RankAndCrowding
from pymoo.algorithms.soo.nonconvex.de import DE
from pymoo.core.mixed import (
    MixedVariableDuplicateElimination,
    MixedVariableGA,
    MixedVariableMating,
    MixedVariableSampling,
)
from pymoo.optimize import minimize

from evolm.errors import BudgetSpent
from evolm.integrations.pymoo import PymooProblem
from evolm.objective.objective import Objective

pytestmark = pytest.mark.extras


def nsga2() -> NSGA2:
    """Return NSGA-II with pymoo's operators for named variables."""
    equal = MixedVariableDuplicateElimination()
    return NSGA2(
        pop_size=6,
        sampling=MixedVariableSampling(),
        mating=MixedVariableMating(eliminate_duplicates=equal),
        eliminate_duplicates=equal,
    )


def minimized(objective: Objective, algorithm: Any, evaluations: int, **settings: Any) -> Any:
    return minimize(PymooProblem(objective), algorithm, ("n_eval", evaluations), seed=1, **settings)


def test_nsga2_finds_a_front_of_score_and_length(front: Objective) -> None:
    result = minimized(front, nsga2(), 24)
    assert result.F.shape == (len(result.X), 2)
    for point, losses in zip(result.X, result.F, strict=True):
        genome = result.problem.genome(point)
        assert (-losses).tolist() == front(genome).tolist()
        assert losses[1] == front.space.tokens(genome)
    assert front.best is not None


def test_a_mixed_algorithm_of_pymoo_searches_a_front(front: Objective) -> None:
    result = minimized(front, MixedVariableGA(pop_size=6, survival=RankAndCrowding()), 12, save_history=True)
    assert len(result.history) == 2
    assert result.history[0].problem.objective is front


@pytest.mark.parametrize("kind", ["prompt", "hybrid"])
def test_named_variables_of_one_objective(hosted: Callable[..., Objective], kind: str) -> None:
    objective = hosted(kind)
    result = minimized(objective, MixedVariableGA(pop_size=6), 18)
    assert objective.best is not None
    assert result.F.tolist() == [-objective.best.fitness.values[0]]
    assert result.problem.genome(result.X).digest == objective.best.digest
    assert objective.left == 1000 - 18


def test_a_space_of_deltas_is_a_box(hosted: Callable[..., Objective]) -> None:
    objective = hosted("delta")
    result = minimized(objective, DE(pop_size=6), 18)
    assert np.array_equal([result.problem.xl, result.problem.xu], objective.bounds.T)
    assert result.F.tolist() == [objective.loss(result.X)]
    assert objective.best is not None
    assert result.F[0] == -objective.best.fitness.values[0]


def test_a_failure_is_a_finite_loss(moody: Objective) -> None:
    losses = PymooProblem(moody).evaluate(np.random.default_rng(1).normal(size=(6, 6)))
    assert losses.shape == (6, 1)
    assert (losses[:, 0] == -moody.worst).tolist() == [False, False, True] * 2


def test_a_spent_budget_leaves_pymoo_as_it_is_raised(hosted: Callable[..., Objective]) -> None:
    objective = hosted("prompt", budget=10)
    with pytest.raises(BudgetSpent) as spent:
        minimized(objective, MixedVariableGA(pop_size=6), 18)
    assert objective.left == 0
    assert spent.value.best is objective.best


def test_pymoo_ends_by_itself_where_a_spent_budget_is_the_worst(hosted: Callable[..., Objective]) -> None:
    objective = hosted("hybrid", budget=10, on_spent="worst")
    result = minimized(objective, MixedVariableGA(pop_size=6), 18)
    assert objective.left == 0
    assert objective.best is not None
    assert result.F[0] == -objective.best.fitness.values[0]
    assert objective.finish(result.problem.genome(result.X)).test is not None
