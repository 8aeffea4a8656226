"""What a language model can be asked, as text and as tokens, and what it answers.

Requests are plain values: they compare by content, cross process borders, and hold everything that their
answer depends on besides the model itself.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import numpy as np

from evolm.models.deltas import Delta


@dataclass(frozen=True)
class LogLikelihood:
    """A request: the log-probabilities of some continuations of one context.

    Attributes:
        prefix: instruction and demonstrations, shared by many requests.
        item: what follows the prefix.
        continuations: texts that may follow, scored one by one.
        system: system message where the model's chat template is used; empty = none.
        chat: whether the chat template is used; None = as the campaign says.
        delta: what is changed in the model for this request; None = nothing.
    """

    prefix: str
    item: str
    continuations: tuple[str, ...]
    system: str = ""
    chat: bool | None = None
    delta: Delta | None = None


@dataclass(frozen=True)
class Decoding:
    """How tokens are chosen and when to stop; names and meanings are those of transformers.

    Attributes:
        max_new_tokens: most tokens of an answer.
        stop_strings: an answer ends before the first of these.
        temperature: of the distribution that tokens are drawn from; 0 = greedy.
        top_p: draw from the smallest set of likeliest tokens that reaches this probability (Holtzman 2019).
        top_k: draw from so many likeliest tokens; 0 = all.
        sample: number of the draw. The seed derives from the context and from all of this, so draws differ by
            their number alone.
    """

    max_new_tokens: int = 64
    stop_strings: tuple[str, ...] = ()
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    sample: int = 0


@dataclass(frozen=True)
class Generate:
    """A request: text that the model writes after a context.

    Attributes:
        prefix, item, system, chat, delta: as in :class:`LogLikelihood`.
        decoding: how tokens are chosen.
    """

    prefix: str
    item: str
    decoding: Decoding = Decoding()
    system: str = ""
    chat: bool | None = None
    delta: Delta | None = None


@dataclass(frozen=True)
class TokenizedRequest:
    """A :class:`LogLikelihood` as tokens; what workers receive and what the cache is keyed by.

    Attributes:
        context: tokens of prefix and item.
        prefix_length: how many of them belong to the prefix.
        continuations: tokens of each continuation, at least one each.
        delta: as in the request.
    """

    context: tuple[int, ...]
    prefix_length: int
    continuations: tuple[tuple[int, ...], ...]
    delta: Delta | None = None

    @property
    def own_tokens(self) -> int:
        """Tokens that pass the model for this request alone, once its prefix has."""
        return len(self.context) - self.prefix_length + sum(len(c) - 1 for c in self.continuations)

    @property
    def tokens(self) -> int:
        """Tokens charged for this request: context and continuations, each once, before any sharing."""
        return len(self.context) + sum(map(len, self.continuations))

    def under(self, delta: Delta | None) -> TokenizedRequest:
        """Return the same request to a changed model."""
        return TokenizedRequest(self.context, self.prefix_length, self.continuations, delta)


@dataclass(frozen=True)
class TokenizedGeneration:
    """A :class:`Generate` as tokens.

    Attributes:
        context: tokens of prefix and item.
        prefix_length: how many of them belong to the prefix.
        decoding, delta: as in the request.
    """

    context: tuple[int, ...]
    prefix_length: int
    decoding: Decoding
    delta: Delta | None = None

    @property
    def own_tokens(self) -> int:
        """Most tokens that pass the model for this request alone, once its prefix has."""
        return len(self.context) - self.prefix_length + self.decoding.max_new_tokens

    @property
    def tokens(self) -> int:
        """Tokens charged for the context; those of the answer are added when it is there, see :func:`charge`."""
        return len(self.context)

    def under(self, delta: Delta | None) -> TokenizedGeneration:
        """Return the same request to a changed model."""
        return TokenizedGeneration(self.context, self.prefix_length, self.decoding, delta)


@dataclass(frozen=True)
class GradientRequest:
    """A request: how likely some answers are, and the gradient of that with respect to a delta's arrays.

    The *value* is the sum of ``weight * s`` over all continuations of all examples, where ``s`` is the log-likelihood
    of a continuation (nats, its tokens' sum, normalised for its length), with ``contrast`` normalised over the
    continuations of its example. Supervised learning gives a weight to gold answers, self-training to a model's
    own best ones, a policy gradient weighs by advantage.

    Attributes:
        examples: requests with the delta that learns.
        weights: one per continuation of each example.
        normalization: ``"sum"``, or divided by ``"tokens"`` or ``"characters"``.
        contrast: whether likelihoods are normalised over each example's continuations.
    """

    examples: tuple[LogLikelihood, ...]
    weights: tuple[tuple[float, ...], ...]
    normalization: str
    contrast: bool

    def scales(self, examples: tuple[TokenizedRequest, ...]) -> tuple[tuple[float, ...], ...]:
        """Return the factor of each continuation's sum that normalises it for its length."""
        if self.normalization == "tokens":
            return tuple(tuple(1 / len(tokens) for tokens in example.continuations) for example in examples)
        per_text = self.normalization == "characters"
        return tuple(
            tuple(1 / max(len(text.strip()), 1) if per_text else 1.0 for text in example.continuations)
            for example in self.examples
        )


@dataclass(frozen=True)
class TokenizedGradient:
    """A :class:`GradientRequest` as tokens; ``scales`` are the factors that normalise for length."""

    examples: tuple[TokenizedRequest, ...]
    weights: tuple[tuple[float, ...], ...]
    scales: tuple[tuple[float, ...], ...]
    contrast: bool

    @property
    def delta(self) -> Delta:
        """The delta that learns, the same for all examples."""
        (delta,) = {example.delta for example in self.examples}
        if delta is None:
            raise ValueError("a lesson needs a delta that learns, found none")
        return delta

    @property
    def tokens(self) -> int:
        """Tokens charged: a token that passes forward and backward counts three, before any sharing."""
        return 3 * sum(example.tokens for example in self.examples)


@dataclass(frozen=True)
class GradientResult:
    """The answer to a :class:`GradientRequest`.

    Attributes:
        value: see there.
        gradients: module -> gradients of the change's arrays, in the order of ``evolm.models.deltas.factors``.
    """

    value: float
    gradients: dict[str, tuple[np.ndarray, ...]]


@dataclass(frozen=True)
class Generated:
    """The answer to a :class:`Generate`.

    Attributes:
        text: what was written before the first stop string, without surrounding white space or special tokens.
        tokens: everything that was written, the end-of-text token or the stop string's tokens included.
        finished: whether it ended by itself; False where ``max_new_tokens`` cut it off.
    """

    text: str
    tokens: tuple[int, ...]
    finished: bool


Request: TypeAlias = LogLikelihood | Generate
Tokenized: TypeAlias = TokenizedRequest | TokenizedGeneration
LogProbs: TypeAlias = tuple[np.ndarray, ...]  # one float32 array per continuation: nats of each of its tokens
Answer: TypeAlias = LogProbs | Generated

Result = TypeVar("Result")
# Yields requests, is sent their answers in the same order, may ask again, returns a result; see
# :mod:`evolm.evaluation.dialogue`, which holds dialogues.
Dialogue: TypeAlias = Generator[Sequence[Request], Any, Result]


def charge(request: Tokenized, answer: Answer) -> int:
    """Return the tokens that a request costs with its answer, before any caching or sharing."""
    return request.tokens + (len(answer.tokens) if isinstance(answer, Generated) else 0)
