"""A corpus of sentences by a small grammar, and the shape of a tiny model."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from evolm.pretraining.settings import PretrainSettings

WHO = ("the cat", "a dog", "my sister", "the old man", "our teacher", "a bird", "the boy", "her aunt")
DOES = ("sees", "likes", "finds", "wants", "hears", "paints", "follows", "forgets")
WHAT = ("the house", "a red ball", "some bread", "the river", "an apple", "the song", "his hat", "two birds")
WHEN = ("today", "every day", "in the morning", "at night", "in spring", "again", "on Monday", "before noon")
SHAPE = {"layers": 1, "width": 16, "heads": 2, "vocabulary": 320, "context": 16, "batch": 4, "tokens": 64 * 24}


def sentences(count: int = 900) -> list[str]:
    rng = random.Random(0)
    drawn = (" ".join(map(rng.choice, (WHO, DOES, WHAT, WHEN))) + "." for _ in range(10 * count))
    return list(dict.fromkeys(drawn))[:count]


@pytest.fixture(scope="session")
def corpus_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text file with a sentence a line."""
    path = tmp_path_factory.mktemp("corpus") / "sentences.txt"
    path.write_text("\n".join(sentences()) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def shape() -> Callable[..., PretrainSettings]:
    """Return ``shape(**changes)``: settings of a tiny model."""
    return lambda **changes: PretrainSettings(**{**SHAPE, **changes})
