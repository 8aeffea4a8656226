"""Measuring the speed of each dtype and of each size of forward passes on this machine, for ``evolm tune``.

A larger slab has faster matrix products and more padding behind the last segment of a batch; the best size depends on
the processor, its caches and the model, and so does the faster dtype. Both are part of the numeric profile: the user
writes them into the campaign file once, and no run chooses them by its own clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evolm.evaluation.plan import BATCH_TOKENS, plan
from evolm.evaluation.timing import compare
from evolm.evaluation.worker import canonical_threads
from evolm.models import LanguageModel, TokenizedRequest

SIZES = (256, 512, 1024, 2048)


@dataclass(frozen=True)
class Workload:
    """Requests to time: random tokens of these lengths, two continuations of one token.

    Attributes:
        prompts: prompts in a batch.
        prompt_tokens: length of each.
        item_tokens: mean length of an item; lengths vary by half of it.
    """

    prompts: int = 8
    prompt_tokens: int = 200
    item_tokens: int = 25

    @property
    def _longest_item(self) -> int:
        return self.item_tokens * 3 // 2

    @property
    def longest(self) -> int:
        """Largest number of tokens of a prompt and an item together."""
        return self.prompt_tokens + self._longest_item

    def requests(self, vocabulary: int) -> list[TokenizedRequest]:
        """Return the requests of one batch of the usual size."""
        rng = np.random.default_rng(0)
        items = max((BATCH_TOKENS // self.prompts - self.prompt_tokens) // self.item_tokens, 1)
        lengths = rng.integers(max(self.item_tokens // 2, 1), self._longest_item + 1, items)
        texts = [_tokens(rng, int(length), vocabulary) for length in lengths]
        prompts = [_tokens(rng, self.prompt_tokens, vocabulary) for _ in range(self.prompts)]
        return [TokenizedRequest(prompt + text, len(prompt), ((0,), (1,))) for prompt in prompts for text in texts]


@dataclass(frozen=True)
class Measured:
    """The speed of one size of slabs.

    Attributes:
        slab_tokens: tokens in a pass.
        tokens_per_second: tokens without padding, median over the rounds.
        speed: relative to the first size, median of the rounds' ratios.
        padding: share of the slabs that is padding.
    """

    slab_tokens: int
    tokens_per_second: float
    speed: float
    padding: float


def speed_of(models: Sequence[LanguageModel], workload: Workload, rounds: int = 5) -> list[float]:
    """Return the tokens without padding that each model passes in a second, medians of rounds in alternating order.

    Args:
        models: the same model in several dtypes, on the same device.
        workload: the requests.
        rounds: timed passes of each model, after one warm-up pass.
    """
    requests = workload.requests(models[0].forward.head.weight.shape[0])
    plans = [plan(requests, each.forward.slab_tokens, each.profile.block_tokens) for each in models]

    def passing(index: int) -> None:
        models[index].forward.prefixes.forget()
        models[index].forward.logprobs(plans[index])

    with canonical_threads(models[0].profile.threads):
        ways = {str(index): lambda index=index: passing(index) for index in range(len(models))}
        found, _ = compare(ways, rounds)  # type: ignore[arg-type]
    return [plans[index].tokens / found[str(index)]["seconds"] for index in range(len(models))]


def measure(
    model: LanguageModel, workload: Workload, sizes: Sequence[int] = SIZES, rounds: int = 5
) -> list[Measured]:
    """Time one process with every size of slabs, in alternating order.

    Args:
        model: the model; it computes with the threads of its profile.
        workload: the requests.
        sizes: sizes of slabs, in tokens.
        rounds: timed passes of each size, after one warm-up pass.
    """
    forward, block = model.forward, model.profile.block_tokens
    requests = workload.requests(forward.head.weight.shape[0])
    plans = {size: plan(requests, size, block) for size in sizes}

    def passing(size: int) -> None:
        forward.slab_tokens = size
        forward.prefixes.forget()
        forward.logprobs(plans[size])

    before = forward.slab_tokens
    try:
        with canonical_threads(model.profile.threads):
            found, _ = compare({str(size): lambda size=size: passing(size) for size in sizes}, rounds)  # type: ignore[misc]
    finally:
        forward.slab_tokens = before
        forward.prefixes.forget()
    return [
        Measured(
            size,
            plans[size].tokens / found[str(size)]["seconds"],
            1 / found[str(size)]["ratio"],
            1 - plans[size].tokens / (len(plans[size].slabs) * size),
        )
        for size in sizes
    ]


def _tokens(rng: np.random.Generator, count: int, vocabulary: int) -> tuple[int, ...]:
    return tuple(rng.integers(0, vocabulary, count).tolist())
