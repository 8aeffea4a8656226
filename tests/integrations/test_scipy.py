"""SciPy as the host: generations in columns, single points, and what it must not be given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.optimize import OptimizeResult, differential_evolution, minimize

from evolm.errors import BudgetSpent, ConfigError, GenomeError
from evolm.integrations.scipy import scipy_loss
from evolm.objective.objective import Objective


def evolved(objective: Objective, **settings: Any) -> OptimizeResult:
    return differential_evolution(
        scipy_loss(objective),
        objective.bounds,
        x0=objective.x0,
        vectorized=True,
        updating="deferred",
        polish=False,
        **{"popsize": 2, "maxiter": 3, "seed": 1, **settings},
    )


def test_differential_evolution_minimises_the_loss(objective: Objective) -> None:
    result = evolved(objective)
    assert objective.best is not None
    assert result.fun == -objective.best.fitness.values[0]
    assert objective.loss(result.x) == result.fun
    assert result.fun < objective.loss(objective.x0)


def test_every_column_of_a_generation_is_a_point(delta: Objective) -> None:
    square = np.random.default_rng(2).uniform(*delta.bounds.T, (delta.dimension, delta.dimension))
    losses = scipy_loss(delta)(square)
    assert losses.tolist() == [delta.loss(point) for point in square.T]
    assert losses.tolist() != delta.loss_many(square).tolist()


def test_a_single_point_has_a_single_loss(delta: Objective) -> None:
    result = minimize(scipy_loss(delta), delta.x0, method="Nelder-Mead", bounds=delta.bounds, options={"maxfev": 12})
    assert result.nfev == 12
    assert result.fun == delta.loss(result.x)


@pytest.mark.parametrize("shape", [(12, 6), (5,), (2, 6, 6), ()])
def test_points_in_another_orientation_are_refused(delta: Objective, shape: tuple[int, ...]) -> None:
    left = delta.left
    with pytest.raises(GenomeError, match=r"expected \(6,\) or \(6, n\), one column per point, found"):
        scipy_loss(delta)(np.zeros(shape))
    assert delta.left == left


def test_the_objective_itself_is_refused_as_a_vectorized_function(delta: Objective) -> None:
    with pytest.raises((GenomeError, ConfigError), match=r"\(6, 12\)"):
        differential_evolution(delta, delta.bounds, popsize=2, vectorized=True, updating="deferred")


def test_only_an_objective_with_one_value_is_turned_round(delta: Objective, front: Objective) -> None:
    with pytest.raises(ConfigError, match=r"expected an evolm\.Objective"):
        scipy_loss(delta.loss)
    with pytest.raises(ConfigError, match="expected one objective, .*, found 2"):
        scipy_loss(front)


def test_a_failure_is_a_finite_loss(moody: Objective) -> None:
    result = evolved(moody, maxiter=1)
    assert np.isfinite(result.population_energies).all()
    assert result.fun < -moody.worst


def test_a_spent_budget_leaves_scipy_as_it_is_raised(hosted: Callable[..., Objective]) -> None:
    objective = hosted("delta", budget=20)
    with pytest.raises(BudgetSpent, match="20") as spent:
        evolved(objective)
    assert objective.left == 0
    assert spent.value.best is not None
    assert spent.value.best is objective.best


def test_scipy_ends_by_itself_where_a_spent_budget_is_the_worst(hosted: Callable[..., Objective]) -> None:
    objective = hosted("delta", budget=20, on_spent="worst")
    result = evolved(objective)
    assert result.nfev == 4  # SciPy counts generations here: 48 points
    assert objective.left == 0
    assert objective.best is not None
    assert result.fun == -objective.best.fitness.values[0]


def test_what_scipy_found_is_judged_on_the_test_split(hosted: Callable[..., Objective]) -> None:
    objective = hosted("hybrid", budget=60)
    found = evolved(objective, maxiter=1)
    result = objective.finish(found.x)
    assert result.test is not None
    assert result.test["openings"] == 1
    assert result.record["best"]["digest"] == objective.decode(found.x).digest
