"""What the speed benchmarks ask: random words that every tokenizer call cuts alike, so that lengths are exact.

Each word is one token of the model's vocabulary with its leading space, and comes back as that token wherever it
stands. Texts are thus as long as they are said to be, for evolm, which cuts prefixes off, and for others, which
encode context and continuation by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from evolm.models import LanguageModel, LogLikelihood, TokenizedRequest

PREFIX, ITEM = 200, 25  # tokens
KINDS: dict[str, tuple[int, ...]] = {  # tokens of each label
    "one-token": (1, 1),
    "two-labels": (2, 3),
    "five-labels": (2, 3, 2, 3, 2),
}


@dataclass(frozen=True)
class Shape:
    """How much is asked.

    Attributes:
        items: of each prompt.
        labels: tokens of each label; labels begin differently.
        population: prompts, which begin differently.
        prefix: tokens of a prompt.
        item: tokens of an item.
    """

    items: int
    labels: tuple[int, ...] = KINDS["two-labels"]
    population: int = 1
    prefix: int = PREFIX
    item: int = ITEM


@lru_cache
def words(model: LanguageModel) -> tuple[str, ...]:
    """Return all words of the vocabulary that are one token with the space before them."""
    tokenizer = model.tokenizer
    texts = [tokenizer.decode([token]) for token in range(len(tokenizer))]
    plain = [text for text in texts if len(text) > 3 and text[0] == " " and text[1:].isascii() and text[1:].isalpha()]
    encoded = tokenizer(plain, add_special_tokens=False).input_ids
    return tuple(text for text, tokens in zip(plain, encoded, strict=True) if len(tokens) == 1)


def requests_of(model: LanguageModel, shape: Shape, seed: int = 0) -> list[LogLikelihood]:
    """Return requests, prompt by prompt, about the same items and labels."""
    rng = np.random.default_rng(seed)
    known = rng.permutation(words(model))

    def text(tokens: int) -> str:
        return "".join(rng.choice(known, tokens))

    starts = iter(known)  # what must differ begins with a word of its own
    labels = tuple(str(next(starts)) + text(tokens - 1) for tokens in shape.labels)
    items = [text(shape.item) for _ in range(shape.items)]
    prefixes = [str(next(starts)) + text(shape.prefix - 1) for _ in range(shape.population)]
    return [LogLikelihood(prefix, item, labels) for prefix in prefixes for item in items]


def tokens_of(model: LanguageModel, requests: list[LogLikelihood], shape: Shape) -> list[TokenizedRequest]:
    """Return requests as tokens.

    Raises:
        ValueError: if one is not as long as its shape says.
    """
    tokenized: list[TokenizedRequest] = model.tokenize(requests)
    for request in tokenized:
        found = (request.prefix_length, len(request.context), tuple(map(len, request.continuations)))
        expected = (shape.prefix, shape.prefix + shape.item, shape.labels)
        if found != expected:
            raise ValueError(f"tokens of prefix, context and labels: expected {expected}, found {found}")
    return tokenized
