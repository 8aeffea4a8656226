"""The ways in which servers give log-probabilities of an answer, the best first.

- ``echo``: a completion that repeats the prompt, with the log-probability of each of its tokens (OpenAI's first
  completions API, vLLM, llama-cpp-python);
- ``prompt_logprobs``: vLLM's own parameter for the same;
- ``top_logprobs``: the most likely first tokens of a chat's answer; enough for labels that differ in them.

A way asks for what a :class:`ServedLikelihood` names. What it gives is believed only after the self-test
(:mod:`evolm.models.served.self_test`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Protocol

from evolm.models.requests import Cost
from evolm.models.served.alignment import PlacedToken, placed, scored_behind
from evolm.models.served.asked import ServedLikelihood
from evolm.models.served.client import Client

TOP = 20  # most first tokens that OpenAI's API lists


@dataclass(frozen=True)
class Scored:
    """Log-probabilities of continuations; see :func:`evolm.models.served.asked.stored_likelihood`."""

    logprobs: list[list[float]]
    joined: int
    cost: Cost


class Way(Protocol):
    """A way of asking for log-probabilities.

    Attributes:
        chat: whether it sends messages.
    """

    chat: ClassVar[bool]

    def score(self, client: Client, model: str, request: ServedLikelihood, retries: int | None = None) -> Scored:
        """Return the log-probabilities of a request's continuations.

        Raises:
            Unanswerable: if the server's tokens do not tell the continuations apart from what is before them.
            ServerError: if the server refuses, or does not answer.
        """

    def measured(
        self, client: Client, model: str, request: ServedLikelihood, retries: int | None = None
    ) -> list[float]:
        """Return the numbers (nats) that the server gives for a request, in its order, for comparisons."""


def cost_of(reply: Mapping[str, Any]) -> Cost:
    """Return what a reply says that it cost; a server that says nothing is not charged for."""
    usage = reply.get("usage") or {}
    written = int(usage.get("completion_tokens") or 0)
    return Cost(int(usage.get("prompt_tokens") or 0) + written, written, 1)


class _OfPrompt:
    """The log-probabilities of the tokens of a whole text, one request for each continuation."""

    chat: ClassVar[bool] = False
    asked: ClassVar[dict[str, Any]]

    def score(self, client: Client, model: str, request: ServedLikelihood, retries: int | None = None) -> Scored:
        """See :class:`Way`."""
        wholes, cost = [], Cost()
        for continuation in request.continuations:
            text = request.context + continuation
            # Servers without this limit of one token write nothing, or without end, if they are asked for none.
            body = {"model": model, "prompt": text, "max_tokens": 1, "temperature": 0, **self.asked}
            tokens, own = client.post("/completions", body, partial(self._read, text), retries)
            wholes.append(tokens)
            cost += own
        border = len(request.context.rstrip())
        logprobs, joined = scored_behind(border, request.continuations, wholes)
        return Scored(logprobs, joined, cost)

    def measured(
        self, client: Client, model: str, request: ServedLikelihood, retries: int | None = None
    ) -> list[float]:
        """See :class:`Way`."""
        return [value for each in self.score(client, model, request, retries).logprobs for value in each]

    def _read(self, text: str, reply: Any) -> tuple[list[PlacedToken], Cost]:
        return self.tokens(reply["choices"][0], text), cost_of(reply)

    def tokens(self, choice: Mapping[str, Any], text: str) -> list[PlacedToken]:
        """Return the tokens of the text; ValueError, TypeError or LookupError if the reply does not give them."""
        raise NotImplementedError


class Echo(_OfPrompt):
    """A completion that repeats the prompt."""

    asked: ClassVar[dict[str, Any]] = {"echo": True, "logprobs": 1}

    def tokens(self, choice: Mapping[str, Any], text: str) -> list[PlacedToken]:
        """See :class:`_OfPrompt`."""
        found = choice["logprobs"]
        tokens, logprobs = list(found["tokens"]), list(found["token_logprobs"])
        offsets = list(found.get("text_offset") or ())
        for written in (1, 0):  # a server may write the one token, or none
            end = len(tokens) - written
            try:
                return placed(tokens[:end], logprobs[:end], offsets[:end], text)
            except ValueError:
                continue
        raise ValueError("the tokens are not those of the text")


class PromptLogprobs(_OfPrompt):
    """vLLM's parameter ``prompt_logprobs``."""

    asked: ClassVar[dict[str, Any]] = {"prompt_logprobs": 0}

    def tokens(self, choice: Mapping[str, Any], text: str) -> list[PlacedToken]:
        """See :class:`_OfPrompt`."""
        entries = [next(iter(entry.values())) if entry else None for entry in choice["prompt_logprobs"]]
        tokens = [entry["decoded_token"] if entry else None for entry in entries]
        return placed(tokens, [float(entry["logprob"]) if entry else None for entry in entries], (), text)


class TopLogprobs:
    """The most likely first tokens of a chat's answer.

    A label has the probability of all listed tokens that only it begins with. A label without one is given that of
    the least likely token that is listed, which its own cannot exceed. If no label has one, all are NaN, which makes
    the prompt invalid.
    """

    chat: ClassVar[bool] = True

    def score(self, client: Client, model: str, request: ServedLikelihood, retries: int | None = None) -> Scored:
        """See :class:`Way`."""
        listed, cost = self._listed(client, model, request, retries)
        return Scored([[value] for value in first_tokens(request.continuations, listed)], 0, cost)

    def measured(
        self, client: Client, model: str, request: ServedLikelihood, retries: int | None = None
    ) -> list[float]:
        """See :class:`Way`."""
        return [logprob for _, logprob in self._listed(client, model, request, retries)[0]]

    def _listed(
        self, client: Client, model: str, request: ServedLikelihood, retries: int | None
    ) -> tuple[list[tuple[str, float]], Cost]:
        body = {
            "model": model,
            "messages": request.messages,
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": True,
            "top_logprobs": TOP,
        }
        return client.post("/chat/completions", body, self._read, retries)

    def _read(self, reply: Any) -> tuple[list[tuple[str, float]], Cost]:
        first = reply["choices"][0]["logprobs"]["content"][0]
        return [(str(each["token"]), float(each["logprob"])) for each in first["top_logprobs"]], cost_of(reply)


def first_tokens(texts: Sequence[str], listed: Sequence[tuple[str, float]]) -> list[float]:
    """Return the log-probability of each text by its first token.

    Args:
        texts: of the answers, at least one.
        listed: the most likely first tokens and their nats, at least one.

    Returns:
        One for each text; NaN for all if no listed token stands for one of them alone.
    """
    own: list[list[float]] = [[] for _ in texts]
    for token, logprob in listed:
        begun = [
            index for index, text in enumerate(texts) if token.strip() and text.strip().startswith(token.strip())
        ]
        if len(begun) == 1:
            own[begun[0]].append(logprob)
    if not any(own):
        return [math.nan] * len(texts)
    lowest = min(logprob for _, logprob in listed)
    return [_log_sum(values) if values else lowest for values in own]


def _log_sum(values: Sequence[float]) -> float:
    highest = max(values)
    return highest + math.log(sum(math.exp(value - highest) for value in values))


WAYS: dict[str, Way] = {
    "echo": Echo(),
    "prompt_logprobs": PromptLogprobs(),
    "top_logprobs": TopLogprobs(),
}
