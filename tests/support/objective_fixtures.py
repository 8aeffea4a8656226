"""An objective so small that a test can ask it often."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from evolm import Objective
from tests.support.toy_campaign import toy_rows

PROMPTS = {"demonstrations": [0, 2], "max_tokens": 240, "verbalizers": {"ham": ["fine"]}}
DELTAS = {"layers": "last:1", "dimension": 6}
SPACES = {
    "prompt": {"prompt": PROMPTS},
    "delta": {"delta": DELTAS},
    "hybrid": {"prompt": PROMPTS, "delta": DELTAS},
    "readout": {"prompt": PROMPTS, "readout": {}},
}
DEV = 10
FOUNDERS = ["Is it spam, or ham?", "Read the text. Say spam if it sells, else ham."]
PLAIN = {"baselines": {"random_search": False, "few_shot": False, "probe": False, "bag_of_words": False}}


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
        options = changes.get("options") or {}
        single = (
            {"finals": {"committee": 0, "soup": 0, "relearn": False}, **options}
            if isinstance(options, dict)
            else options
        )
        return {**settings, **changes, "options": single}

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
