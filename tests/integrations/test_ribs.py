"""pyribs as the host: it maximises, and keeps prompts and deltas that behave differently."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("ribs")
from ribs.archives import GridArchive
from ribs.emitters import GaussianEmitter
from ribs.schedulers import Scheduler

from evolm.errors import BudgetSpent, ConfigError
from evolm.integrations.ribs import RibsMeasures
from evolm.objective.objective import Objective

pytestmark = pytest.mark.extras

RANGES = {"prefix_tokens": (0.0, 240.0), "label_entropy": (0.0, math.log(2))}


def archive_of(behaviour: RibsMeasures) -> GridArchive:
    return GridArchive(
        solution_dim=behaviour.objective.dimension,
        dims=[8, 8],
        ranges=behaviour.ranges,
        learning_rate=1.0,
        threshold_min=behaviour.threshold,
    )


def illuminated(behaviour: RibsMeasures, rounds: int = 3) -> GridArchive:
    objective, archive = behaviour.objective, archive_of(behaviour)
    sigma = np.ptp(objective.bounds, axis=1) / 4
    emitter = GaussianEmitter(archive, sigma=sigma, x0=objective.x0, bounds=objective.bounds, batch_size=6, seed=1)
    scheduler = Scheduler(archive, [emitter])
    for _ in range(rounds):
        scheduler.tell(*behaviour(scheduler.ask()))
    return archive


def test_an_archive_keeps_the_best_of_every_behaviour(objective: Objective) -> None:
    behaviour = RibsMeasures(objective, RANGES)
    archive = illuminated(behaviour)
    best = archive.best_elite
    assert objective.best is not None
    assert best["objective"] == objective.best.fitness.values[0]
    assert objective.decode(best["solution"]).digest == objective.best.digest
    for elite in archive:
        values, measures = behaviour([objective.decode(elite["solution"])])
        assert values.tolist() == [elite["objective"]]
        assert measures.tolist() == [elite["measures"].tolist()]


def test_prompts_of_different_lengths_are_kept_apart(hosted: Callable[..., Objective]) -> None:
    objective = hosted("prompt")
    archive = illuminated(RibsMeasures(objective, RANGES), rounds=8)
    assert archive.stats.num_elites > 2
    lengths = archive.data("measures")[:, 0]
    assert len(set(lengths)) > 2
    assert set(lengths) <= {objective.space.tokens(objective.decode(x)) for x in archive.data("solution")}


def test_failures_are_never_kept(moody: Objective) -> None:
    behaviour = RibsMeasures(moody, {"label_entropy": (0.0, 1.0), "largest_share": (0.0, 1.0)})
    values, measures = behaviour(np.random.default_rng(1).normal(size=(6, 6)))
    assert (values == moody.worst).tolist() == [False, False, True] * 2
    assert np.isfinite(measures).all()
    archive = archive_of(behaviour)
    archive.add(np.zeros((1, 6)), values[2:3], measures[2:3])
    assert archive.empty


def test_a_measure_that_nobody_makes_is_refused(delta: Objective) -> None:
    with pytest.raises(ConfigError, match="'label_entropy'.*found 'entropy'"):
        RibsMeasures(delta, {"entropy": (0.0, 1.0)})([delta.x0])


def test_two_objectives_are_refused(front: Objective) -> None:
    with pytest.raises(ConfigError, match="expected one objective, found 2"):
        RibsMeasures(front, RANGES)


def test_a_spent_budget_ends_the_loop_with_the_best(hosted: Callable[..., Objective]) -> None:
    objective = hosted("delta", budget=10)
    with pytest.raises(BudgetSpent) as spent:
        illuminated(RibsMeasures(objective, RANGES))
    assert objective.left == 0
    assert spent.value.best is objective.best


def test_the_loop_ends_by_itself_where_a_spent_budget_is_the_worst(hosted: Callable[..., Objective]) -> None:
    objective = hosted("delta", budget=10, on_spent="worst")
    archive = illuminated(RibsMeasures(objective, RANGES))
    assert objective.left == 0
    assert objective.best is not None
    assert archive.best_elite["objective"] == objective.best.fitness.values[0]
    assert archive.stats.num_elites <= 10
    assert objective.finish(archive.best_elite["solution"]).test is not None
