"""The toy task, and the spaces of prompts and deltas over it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from evolm.genomes import DeltaSettings, DeltaSpace, PromptSpace
from evolm.models import LanguageModel
from evolm.tasks import Task
from tests.support.tasks import write_toy_task


@pytest.fixture(scope="session")
def toy_task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    """36 train, 36 dev and 48 test items."""
    return write_toy_task(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="session")
def toy_space(toy_task: Task) -> Callable[..., PromptSpace]:
    """Return ``space(**changes)``: a ``PromptSpace`` over the toy task, tokens counted as words.

    ``changes`` replace its attributes.
    """

    def space(**changes: Any) -> PromptSpace:
        settings: dict[str, Any] = {
            "template": toy_task.template,
            "labels": toy_task.labels,
            "train": toy_task.train,
            "instruction": True,
            "demonstrations": (0, 4),
            "verbalizers": {"ham": ("ham", "normal", "fine"), "spam": ("spam", "junk")},
            "max_tokens": 120,
            "count_tokens": lambda text: len(text.split()),
            "instructions": ("Is it spam or ham?", "Read the text, then answer. Say spam if it sells, else ham."),
        }
        return PromptSpace(**{**settings, **changes})

    return space


@pytest.fixture(scope="session")
def toy_deltas(tiny_model: Callable[..., LanguageModel]) -> Callable[..., DeltaSpace]:
    """Return ``deltas(**settings)``: a ``DeltaSpace`` over ``tiny_model("float32")``.

    ``settings`` are those of ``DeltaSettings``; by default six genes (``subspace``) change ``q_proj`` and ``v_proj``
    of the last layer.
    """

    def deltas(**settings: Any) -> DeltaSpace:
        small: dict[str, Any] = {"layers": "last:1", "target_modules": ("q_proj", "v_proj"), "dimension": 6}
        return DeltaSpace.of(tiny_model("float32"), DeltaSettings(**{**small, **settings}))

    return deltas
