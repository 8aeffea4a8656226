"""An objective so small that a test can ask it often; figures are drawn by no test."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from campaign.toy_campaign import quick, toy_rows

from evolm import Objective

PROMPTS = {"demonstrations": [0, 2], "max_tokens": 240, "verbalizers": {"ham": ["fine"]}}
DELTAS = {"layers": "last:1", "dimension": 6}
SPACES = {"prompt": {"prompt": PROMPTS}, "delta": {"delta": DELTAS}, "hybrid": {"prompt": PROMPTS, "delta": DELTAS}}
DEV = 10
FOUNDERS = ["Is it spam, or ham?", "Read the text. Say spam if it sells, else ham."]
PLAIN = {"baselines": {"random_search": False, "few_shot": False}}


@pytest.fixture(autouse=True)
def no_figures() -> Iterator[None]:
    with quick():
        yield


@pytest.fixture(scope="session")
def arguments(tiny_model_folder: Path) -> Callable[..., dict[str, Any]]:
    """Return ``arguments(space="delta", **changes)`` of an objective, or of ``evolve``, over the toy rows."""

    def made(space: str = "delta", **changes: Any) -> dict[str, Any]:
        columns = {"text": "text", "label": "label"}
        split = {"train": 10, "dev": DEV, "test": 14, "validation": 8}
        settings: dict[str, Any] = {
            "task": {"data": pd.DataFrame(toy_rows(), columns=list(columns)), "columns": columns, "split": split},
            "model": {"name": str(tiny_model_folder), "dtype": "float32", "chat_template": "off"},
            "space": SPACES[space],
            "founders": FOUNDERS[:1] if space == "delta" else FOUNDERS,
            "budget": 12,
            "n_jobs": 1,
        }
        return {**settings, **changes}

    return made


@pytest.fixture
def opened(arguments: Callable[..., dict[str, Any]]) -> Iterator[Callable[..., Objective]]:
    """Return ``opened(space="delta", tables=None, **changes)``: an objective that is closed after the test.

    ``tables`` replaces the ``[space]`` table of that name.
    """
    made: list[Objective] = []

    def open_one(space: str = "delta", tables: dict[str, Any] | None = None, **changes: Any) -> Objective:
        settings = arguments(space, **changes)
        made.append(Objective(**{**settings, "space": tables or settings["space"]}))
        return made[-1]

    yield open_one
    for objective in made:
        objective.close()


# -- for hosts -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hosted(arguments: Callable[..., dict[str, Any]]) -> Iterator[Callable[..., Objective]]:
    """Return ``hosted(space, **changes)``: an objective that is closed when the module is through.

    It scores by the margin, a smooth number that ties for nobody, and has no baselines.
    """
    usual = {"scorers": {"margin": 1.0}, "budget": 1000, "options": PLAIN}
    with quick(), ExitStack() as stack:
        yield lambda space, **changes: stack.enter_context(Objective(**arguments(space, **{**usual, **changes})))


@pytest.fixture(scope="module", params=SPACES)
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
