"""Objectives for the hosts' tests."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from evolm import Objective
from tests.support.objective_fixtures import DEV, PLAIN, SPACES
from tests.support.tiers import slow
from tests.support.toy_campaign import quick


@pytest.fixture(scope="module")
def hosted(arguments: Callable[..., dict[str, Any]]) -> Iterator[Callable[..., Objective]]:
    """Return ``hosted(space, **changes)``: an objective that is closed when the module is through.

    It scores by the margin, a smooth number that ties for nobody, and has no baselines.
    """
    usual = {"scorers": {"margin": 1.0}, "budget": 1000, "options": PLAIN}
    with quick(), ExitStack() as stack:
        yield lambda space, **changes: stack.enter_context(Objective(**arguments(space, **{**usual, **changes})))


@pytest.fixture(scope="module", params=[name if name != "readout" else slow(name) for name in SPACES])
def objective(request: pytest.FixtureRequest, hosted: Callable[..., Objective]) -> Objective:
    """One over every kind of space, whose budget no test spends."""
    return hosted(request.param)


@pytest.fixture(scope="module")
def delta(hosted: Callable[..., Objective]) -> Objective:
    """One over a space of deltas, whose budget no test spends."""
    return hosted("delta")


@pytest.fixture(scope="module")
def front(hosted: Callable[..., Objective]) -> Objective:
    """One over prompts with two objectives, score and length."""
    combined = {**PLAIN, "fitness": {"combine": "pareto"}}
    return hosted("prompt", scorers={"margin": 1.0, "prompt_length": 1.0}, options=combined)


class Moody:
    """A scorer that fails, with NaN, on every third genome."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, item: Any, label: str, probabilities: dict[str, float]) -> float:
        genome, self.calls = self.calls // DEV, self.calls + 1
        return math.nan if genome % 3 == 2 else probabilities["spam"]


@pytest.fixture
def moody(hosted: Callable[..., Objective]) -> Objective:
    """An objective over deltas that fails on every third genome."""
    return hosted("delta", scorers={"moody": Moody()})
