"""Requests in the form in which a server answers them, as text, and the answers as they are stored, as JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np

from evolm.models.deltas import Delta
from evolm.models.requests import Cost, Decoding, Generated, LogProbs


class ServedLogProbs(LogProbs):
    """A server's answer to a likelihood request, and what it cost."""

    cost: Cost

    def __new__(cls, continuations: Iterable[np.ndarray], joined: int = 0, cost: Cost = Cost()) -> Self:
        self = super().__new__(cls, continuations, joined)
        self.cost = cost
        return self


@dataclass(frozen=True)
class ServedText(Generated):
    """A text that a server wrote; its tokens are not known, only what they cost."""

    cost: Cost = field(default_factory=Cost)


@dataclass(frozen=True)
class _AsText:
    """What requests to a server share.

    Attributes:
        context: text before the answer.
        system: system message of a chat; empty = none.
        chat: whether the text is sent as messages, so that the server applies the chat template.
        delta: always None: a server's weights cannot be changed.
    """

    context: str
    system: str
    chat: bool
    delta: Delta | None = None

    @property
    def messages(self) -> list[dict[str, str]]:
        """The messages of a chat."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, {"role": "user", "content": self.context}]

    def under(self, delta: Delta | None) -> Self:
        """Return the request itself.

        Raises:
            ValueError: for a delta.
        """
        if delta is not None:
            raise ValueError("a served model has no deltas")
        return self

    def key(self, scope: bytes) -> bytes:
        """See :class:`evolm.models.ReadyRequest`."""
        content = json.dumps([type(self).__name__, asdict(self)], sort_keys=True)
        return hashlib.sha256(scope + content.encode()).digest()[:20]

    def cost(self, answer: Any) -> Cost:
        """See :class:`evolm.models.ReadyRequest`."""
        cost: Cost = answer.cost
        return cost


@dataclass(frozen=True)
class ServedLikelihood(_AsText):
    """A likelihood request; ``continuations`` are texts."""

    continuations: tuple[str, ...] = ()


@dataclass(frozen=True)
class ServedGeneration(_AsText):
    """A request for generated text."""

    decoding: Decoding = field(default_factory=Decoding)

    @property
    def seed(self) -> int:
        """The sampling seed, from the request alone."""
        return int.from_bytes(self.key(b"seed")[:4], "big") >> 1


def stored_likelihood(logprobs: Sequence[Sequence[float]], joined: int, cost: Cost) -> bytes:
    """Return the answer to a :class:`ServedLikelihood` as it is stored.

    Args:
        logprobs: nats of each token of each continuation.
        joined: see :class:`evolm.models.TokenizedRequest`.
        cost: of the requests.
    """
    return json.dumps({"logprobs": logprobs, "joined": joined, "cost": asdict(cost)}).encode()


def stored_text(text: str, finished: bool, cost: Cost) -> bytes:
    """Return the answer to a :class:`ServedGeneration` as it is stored."""
    return json.dumps({"text": text, "finished": finished, "cost": asdict(cost)}).encode()


def read_stored(stored: bytes) -> ServedLogProbs | ServedText:
    """Return an answer from its stored form."""
    record = json.loads(stored)
    cost = Cost(**record["cost"])
    if "text" in record:
        return ServedText(record["text"], (), record["finished"], cost)
    return ServedLogProbs([np.array(each, dtype="<f4") for each in record["logprobs"]], record["joined"], cost)
