"""The optimizers of ``benchmarks.optimizers`` on the tiny model: each spends its budget and has a best."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest

from evolm import BudgetSpent, Objective

HOSTS = pytest.importorskip("benchmarks.hosts").HOSTS  # which imports all of their packages
EVALUATIONS = 12
pytestmark = pytest.mark.extras


@pytest.mark.parametrize(("space", "name"), [(space, name) for space, hosts in HOSTS.items() for name in hosts])
def test_an_optimizer_of_the_benchmark_spends_its_budget(
    space: str, name: str, opened: Callable[..., Objective]
) -> None:
    objective = opened(space, budget=EVALUATIONS)
    with suppress(BudgetSpent):
        HOSTS[space][name](objective, 3, EVALUATIONS)
    assert objective.left == 0
    assert objective.best is not None
