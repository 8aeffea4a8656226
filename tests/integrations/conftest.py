"""Objectives on the tiny model, as other optimizers are given them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from campaign.toy_campaign import quick, toy_rows

from evolm.integrations.objective import Objective

DEV = 6
PROMPT = {
    "demonstrations": [0, 2],
    "max_tokens": 240,
    "verbalizers": {"ham": ["fine", "note"], "spam": ["junk", "note"]},
}
DELTA = {"layers": "last:1", "target_modules": ["q_proj", "v_proj"], "dimension": 6, "sigma": 2.0}
SPACES = {"prompt": {"prompt": PROMPT}, "delta": {"delta": DELTA}, "hybrid": {"prompt": PROMPT, "delta": DELTA}}
FOUNDERS = ["Is it spam, or ham?", "Read the text. Say spam if it sells, else ham."]
FRONT = {
    "scorers": {"margin": 1.0, "prompt_length": 1.0},
    "options": {"fitness": {"combine": "pareto"}, "baselines": {"random_search": False, "few_shot": False}},
}


@pytest.fixture(scope="module")
def opened(tiny_model_folder: Path) -> Iterator[Callable[..., Objective]]:
    """Return ``open(kind, **arguments)``: an objective, closed when the module is through.

    It scores by the margin, a smooth number that ties for nobody, of six dev items.
    """
    frame = pd.DataFrame(toy_rows(), columns=["text", "label"])
    split = {"train": 10, "dev": DEV, "test": 14, "validation": 0}
    task = {"data": frame, "columns": {"text": "text", "label": "label"}, "split": split}
    model = {"name": str(tiny_model_folder), "dtype": "float32", "chat_template": "off"}
    usual = {
        "scorers": {"margin": 1.0},
        "options": {"baselines": {"random_search": False, "few_shot": False}},
        "budget": 1000,
        "n_jobs": 1,
    }
    with quick(), ExitStack() as stack:

        def objective(kind: str, **arguments: Any) -> Objective:
            founders = FOUNDERS[:1] if kind == "delta" else FOUNDERS
            settings = {"space": SPACES[kind], "founders": founders, **usual}
            return stack.enter_context(Objective(task, model, **{**settings, **arguments}))

        yield objective


@pytest.fixture(scope="module", params=SPACES)
def objective(request: pytest.FixtureRequest, opened: Callable[..., Objective]) -> Objective:
    """One over every kind of space, whose budget no test spends."""
    return opened(request.param)


@pytest.fixture(scope="module")
def delta(opened: Callable[..., Objective]) -> Objective:
    """One over a space of deltas, whose budget no test spends."""
    return opened("delta")


@pytest.fixture(scope="module")
def front(opened: Callable[..., Objective]) -> Objective:
    """One over prompts with two objectives, score and length."""
    return opened("prompt", **FRONT)


class Moody:
    """A scorer that fails, with NaN, on every third genome."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, item: Any, label: str, probabilities: dict[str, float]) -> float:
        genome, self.calls = self.calls // DEV, self.calls + 1
        return math.nan if genome % 3 == 2 else probabilities["spam"]


@pytest.fixture
def moody(opened: Callable[..., Objective]) -> Objective:
    """An objective over deltas that fails on every third genome."""
    return opened("delta", scorers={"moody": Moody()})
