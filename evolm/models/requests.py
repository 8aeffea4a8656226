"""Requests to a language model, as text and as tokens, and its answers.

Requests are plain values: they compare by content, cross process borders, and hold everything that their answer
depends on besides the model itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol, Self, TypeAlias, TypeVar

import numpy as np

from evolm.models.deltas import Delta
from evolm.storage.answers import answer_key


@dataclass(frozen=True)
class LogLikelihood:
    """A request: the log-probabilities of some continuations of one context.

    Attributes:
        prefix: instruction and demonstrations, shared by many requests.
        item: text after the prefix.
        continuations: texts after the item, each scored by itself.
        system: system message; empty = none.
        chat: whether the chat template is used; None = as the campaign file says.
        delta: change of the model's weights for this request; None = no change.
        ended: whether the token that ends a text follows each continuation and is scored with it.
    """

    prefix: str
    item: str
    continuations: tuple[str, ...]
    system: str = ""
    chat: bool | None = None
    delta: Delta | None = None
    ended: bool = False


def characters(text: str, joined: int) -> int:
    """Return the number of characters by which a continuation's log-likelihood is divided, at least 1.

    Args:
        text: the continuation; white space around it does not count.
        joined: characters before it that are scored with it.
    """
    return max(len(text.strip()), 1) + joined


@dataclass(frozen=True)
class Decoding:
    """How tokens are chosen and when an answer ends; names and meanings are those of transformers.

    Attributes:
        max_new_tokens: most tokens of an answer.
        stop_strings: an answer ends before the first of these.
        temperature: of the softmax; 0 = greedy.
        top_p: sample from the smallest set of most likely tokens that reaches this probability (Holtzman 2019).
        top_k: sample from this many most likely tokens; 0 = all.
        sample: number of the sample. The seed is derived from the context and from all fields of this class, so
            equal requests with different numbers are independent samples.
    """

    max_new_tokens: int = 64
    stop_strings: tuple[str, ...] = ()
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    sample: int = 0


@dataclass(frozen=True)
class Generate:
    """A request: text that the model generates after a context.

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


LAST, MEAN = "last", "mean"
POOLINGS = (LAST, MEAN)


@dataclass(frozen=True)
class States:
    """A request: the hidden states of some layers behind a context.

    Attributes:
        prefix, item, system, chat, delta: as in :class:`LogLikelihood`.
        layers: numbers of layers as in transformers' ``hidden_states``: the first layer is 1, its state is what it
            hands to the next one; the state of the last one is taken after the final norm.
        poolings: which positions: ``"last"`` = that of the context's last token, ``"mean"`` = the mean over all
            tokens behind the prefix.
    """

    prefix: str
    item: str
    layers: tuple[int, ...]
    poolings: tuple[str, ...] = POOLINGS
    system: str = ""
    chat: bool | None = None
    delta: Delta | None = None


@dataclass(frozen=True)
class TokenLikelihood:
    """A request: the log-probabilities of tokens that were generated behind a context.

    The tokens are those that were drawn, the end of the text or of the stop string included; a text alone does not
    say which they were. Their probability is that with which :class:`Generate` draws them at temperature 1.

    Attributes:
        prefix, item, system, chat, delta: as in :class:`LogLikelihood`.
        continuations: tokens of each answer, at least one each.
    """

    prefix: str
    item: str
    continuations: tuple[tuple[int, ...], ...]
    system: str = ""
    chat: bool | None = None
    delta: Delta | None = None


@dataclass(frozen=True)
class TokenizedRequest:
    """A :class:`LogLikelihood` or :class:`TokenLikelihood` as tokens; workers receive it; part of the cache key.

    Attributes:
        context: tokens of prefix and item.
        prefix_length: number of tokens in the prefix.
        continuations: tokens of each continuation, at least one each.
        delta: as in the request.
        joined: characters at the end of the item that are scored with every continuation, since a token holds some of
            them and the beginning of a continuation; 0 = none.
    """

    context: tuple[int, ...]
    prefix_length: int
    continuations: tuple[tuple[int, ...], ...]
    delta: Delta | None = None
    joined: int = 0

    @property
    def own_tokens(self) -> int:
        """Tokens that pass the model for this request, its prefix excluded."""
        return len(self.context) - self.prefix_length + sum(len(c) - 1 for c in self.continuations)

    @property
    def tokens(self) -> int:
        """Tokens charged for this request: context and continuations, each once, before any sharing."""
        return len(self.context) + sum(map(len, self.continuations))

    def under(self, delta: Delta | None) -> TokenizedRequest:
        """Return the same request with another delta."""
        return TokenizedRequest(self.context, self.prefix_length, self.continuations, delta, self.joined)

    def key(self, scope: bytes) -> bytes:
        """See :class:`ReadyRequest`."""
        return answer_key(scope, self.context, self.prefix_length, self.continuations)

    def read(self, stored: bytes, decode: Decode) -> LogProbs:
        """Return the answer from the bytes of an executor's array."""
        ends = np.cumsum([len(tokens) for tokens in self.continuations])
        return LogProbs(np.split(np.frombuffer(stored, dtype="<f4"), ends[:-1]), self.joined)

    def cost(self, answer: Any) -> Cost:
        """See :class:`ReadyRequest`."""
        return Cost(self.tokens)


@dataclass(frozen=True)
class TokenizedGeneration:
    """A :class:`Generate` as tokens.

    Attributes:
        context: tokens of prefix and item.
        prefix_length: number of tokens in the prefix.
        decoding, delta: as in the request.
    """

    context: tuple[int, ...]
    prefix_length: int
    decoding: Decoding
    delta: Delta | None = None

    @property
    def own_tokens(self) -> int:
        """Most tokens that pass the model for this request, its prefix excluded."""
        return len(self.context) - self.prefix_length + self.decoding.max_new_tokens

    @property
    def tokens(self) -> int:
        """Tokens charged for the context; :meth:`cost` adds those of the answer."""
        return len(self.context)

    def under(self, delta: Delta | None) -> TokenizedGeneration:
        """Return the same request with another delta."""
        return TokenizedGeneration(self.context, self.prefix_length, self.decoding, delta)

    def key(self, scope: bytes) -> bytes:
        """See :class:`ReadyRequest`."""
        decoding = json.dumps(asdict(self.decoding), sort_keys=True)
        return answer_key(scope, self.context, self.prefix_length, (), decoding)

    def read(self, stored: bytes, decode: Decode) -> Generated:
        """Return the answer from the bytes of an executor's array."""
        return decode(np.frombuffer(stored, dtype="<i4").tolist(), self.decoding)

    def cost(self, answer: Any) -> Cost:
        """See :class:`ReadyRequest`."""
        return Cost(self.tokens + len(answer.tokens), len(answer.tokens))


@dataclass(frozen=True)
class TokenizedStates:
    """A :class:`States` as tokens.

    Attributes:
        context: tokens of prefix and item.
        prefix_length: number of tokens in the prefix.
        layers, poolings, delta: as in the request.
    """

    context: tuple[int, ...]
    prefix_length: int
    layers: tuple[int, ...]
    poolings: tuple[str, ...]
    delta: Delta | None = None

    @property
    def own_tokens(self) -> int:
        """Tokens that pass the model for this request, its prefix excluded."""
        return len(self.context) - self.prefix_length

    @property
    def tokens(self) -> int:
        """Tokens charged for this request, before any sharing."""
        return len(self.context)

    def under(self, delta: Delta | None) -> TokenizedStates:
        """Return the same request with another delta."""
        return replace(self, delta=delta)

    def key(self, scope: bytes) -> bytes:
        """See :class:`ReadyRequest`."""
        read = json.dumps(["states", self.layers, self.poolings])
        return answer_key(scope, self.context, self.prefix_length, (), read)

    def read(self, stored: bytes, decode: Decode) -> Hidden:
        """Return the answer from the bytes of an executor's array."""
        return np.frombuffer(stored, dtype="<f4").reshape(len(self.layers), len(self.poolings), -1)

    def cost(self, answer: Any) -> Cost:
        """See :class:`ReadyRequest`."""
        return Cost(self.tokens)


@dataclass(frozen=True)
class GradientRequest:
    """A request: a weighted log-likelihood of some answers, and its gradient with respect to a delta's arrays.

    The *value*, which is maximised, is the sum over all examples of minus a loss of the example's weights and of
    ``s``, the log-likelihoods of its continuations: sums over tokens (nats), normalised for length and, with
    ``contrast``, over the continuations of the example. With the loss ``"cross_entropy"`` it is the sum of
    ``weight * s``. Supervised learning gives weights to gold answers, self-training to the model's own best answers,
    a policy gradient weights samples by advantage.

    Attributes:
        examples: requests, all with the delta whose gradient is computed.
        weights: one per continuation of each example.
        normalization: ``"sum"`` = none, or division by the number of ``"tokens"`` or, of texts, ``"characters"``.
        contrast: whether log-likelihoods are normalised over each example's continuations.
        loss: name in :data:`evolm.models.losses.LOSSES`.
        margin: of the loss ``"margin"``, in the unit of ``s``.
    """

    examples: tuple[LogLikelihood | TokenLikelihood, ...]
    weights: tuple[tuple[float, ...], ...]
    normalization: str
    contrast: bool
    loss: str = "cross_entropy"
    margin: float = 1.0

    def scales(self, examples: tuple[TokenizedRequest, ...]) -> tuple[tuple[float, ...], ...]:
        """Return per continuation of each example the factor that normalises its log-likelihood for its length."""
        if self.normalization == "tokens":
            return tuple(tuple(1 / len(tokens) for tokens in example.continuations) for example in examples)
        if self.normalization == "sum":
            return tuple((1.0,) * len(example.continuations) for example in examples)
        return tuple(
            tuple(1 / characters(str(text), example.joined) for text in request.continuations)
            for request, example in zip(self.examples, examples, strict=True)
        )


@dataclass(frozen=True)
class TokenizedGradient:
    """A :class:`GradientRequest` as tokens; ``scales`` normalise for length, one for each weight."""

    examples: tuple[TokenizedRequest, ...]
    weights: tuple[tuple[float, ...], ...]
    scales: tuple[tuple[float, ...], ...]
    contrast: bool
    loss: str = "cross_entropy"
    margin: float = 1.0

    @property
    def delta(self) -> Delta:
        """The delta whose gradient is computed, the same for all examples."""
        (delta,) = {example.delta for example in self.examples}
        if delta is None:
            raise ValueError("a gradient request needs a delta in its examples, found none")
        return delta

    @property
    def tokens(self) -> int:
        """Tokens charged, before any sharing: a token that passes forward and backward counts three."""
        return 3 * sum(example.tokens for example in self.examples)


@dataclass(frozen=True)
class GradientResult:
    """The answer to a :class:`GradientRequest`.

    Attributes:
        value: the request's value.
        gradients: module -> gradients of the change's arrays, in the order of ``evolm.models.deltas.factors``.
    """

    value: float
    gradients: dict[str, tuple[np.ndarray, ...]]


class LogProbs(tuple[np.ndarray, ...]):
    """The answer to a likelihood request: one float32 array per continuation, the nats of each of its tokens.

    Attributes:
        joined: as in :class:`TokenizedRequest`.
    """

    joined: int

    def __new__(cls, continuations: Iterable[np.ndarray], joined: int = 0) -> Self:
        self = super().__new__(cls, continuations)
        self.joined = joined
        return self


@dataclass(frozen=True)
class Generated:
    """The answer to a :class:`Generate`.

    Attributes:
        text: generated text up to the first stop string, without surrounding white space and special tokens.
        tokens: all generated tokens, those of the end of the text or of the stop string included.
        finished: whether the answer ended before ``max_new_tokens`` was reached.
    """

    text: str
    tokens: tuple[int, ...]
    finished: bool


Request: TypeAlias = LogLikelihood | TokenLikelihood | Generate | States
Tokenized: TypeAlias = TokenizedRequest | TokenizedGeneration | TokenizedStates
Hidden: TypeAlias = np.ndarray  # (layers, poolings, d) float32: the answer to States
Answer: TypeAlias = LogProbs | Generated | Hidden

Result = TypeVar("Result")
# Yields requests, is sent their answers in the same order, may ask again, returns a result; see
# :mod:`evolm.evaluation.dialogue`, which holds dialogues.
Dialogue: TypeAlias = Generator[Sequence[Request], Any, Result]


@dataclass(frozen=True)
class Cost:
    """What requests cost, before any caching or sharing.

    Attributes:
        tokens: of contexts, continuations and generated texts.
        generated: of these, tokens that the model wrote.
        requests: HTTP requests; 0 for a local model.
    """

    tokens: int = 0
    generated: int = 0
    requests: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.tokens + other.tokens, self.generated + other.generated, self.requests + other.requests)

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.tokens - other.tokens, self.generated - other.generated, self.requests - other.requests)


class ReadyRequest(Protocol):
    """A request in the form in which a model answers it: as tokens, or as text if a server has the tokenizer.

    It is a plain value that holds everything its answer depends on besides the model.
    """

    @property
    def delta(self) -> Delta | None:
        """Change of the model's weights."""

    def under(self, delta: Delta | None) -> Self:
        """Return the same request with another delta."""

    def key(self, scope: bytes) -> bytes:
        """Return 20 bytes that identify the answer of one model.

        Args:
            scope: digests of model and numeric profile, and of the delta if there is one.
        """

    def cost(self, answer: Any) -> Cost:
        """Return what this request and its answer cost, before any caching or sharing."""


Decode: TypeAlias = Callable[[Sequence[int], Decoding], Generated]
