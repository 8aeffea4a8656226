"""The self-test: what a server can do, found out by asking it, and whether its log-probabilities can be believed.

Some servers accept a parameter and ignore it: with llama.cpp's, ``echo`` gave nothing for the prompt, so that every
answer had the same score (https://github.com/ggml-org/llama.cpp/issues/27174). A way of asking is used only if

- the server's tokens are those of the text, with a beginning of a token at, or a whole token over, the border;
- continuations differ in log-probability, and none is a positive number;
- the continuation that the model itself writes is as likely as any other;
- log-probabilities depend on the text before.

The same request is then sent again, alone and among others, to measure whether answers repeat.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from evolm.errors import ModelError, ServerError, Unanswerable
from evolm.models.served.asked import ServedLikelihood
from evolm.models.served.client import PROBES, Client
from evolm.models.served.ways import WAYS, Way

CONTEXT, OTHER = "The capital of France is", "Two and two are"
CONTINUATIONS = (" Paris", " xylophone", " the", " 4")
DIFFERS = 1e-3  # nats
TOLERANCE = 0.1  # nats by which the same token may differ between two requests
OTHERS = 7  # requests among which one is repeated
SHORT = 8  # tokens of a text that is repeated
PASSING = ("created", "permission")  # keys of a server's description that change with every request
LENGTHS = ("max_model_len", "context_length", "n_ctx")  # keys in which servers state the context's length


@dataclass(frozen=True)
class Abilities:
    """What a server was found to do.

    Attributes:
        served: its name of the model.
        says: its description of the model; empty = none.
        way: name in ``WAYS`` of how it gives log-probabilities; empty = in no way that can be believed.
        chat: whether it answers messages.
        completions: whether it continues texts.
        difference: most nats by which an answer changed when it was asked again; infinite if a text changed.
        rejected: name of a way -> why it is not used.
    """

    served: str
    says: Mapping[str, Any]
    way: str
    chat: bool
    completions: bool
    difference: float
    rejected: Mapping[str, str] = field(default_factory=dict)

    @property
    def context_length(self) -> int:
        """Most tokens of a text, as the server states them; a very large number if it does not."""
        meta = self.says.get("meta")
        stated = {**(meta if isinstance(meta, Mapping) else {}), **self.says}
        return next((stated[key] for key in LENGTHS if isinstance(stated.get(key), int)), 2**31)


def examine(client: Client, served: str, ways: Sequence[str] = tuple(WAYS)) -> Abilities:
    """Find out what a server can do with a model.

    Args:
        client: asks it.
        served: its name of the model; empty = the only one.
        ways: names in ``WAYS`` that may be used, the first one that works is.

    Raises:
        ModelError: if the server has no such model, or cannot even write text.
    """
    served, says = _described(client, served)
    written = _completion(client, served)
    chat = _chats(client, served)
    if written is None and not chat:
        raise ModelError(
            f"model {client.name!r}: expected a server that answers /completions or /chat/completions, found neither"
        )
    rejected: dict[str, str] = {}
    for name in ways:
        way = WAYS[name]
        if not (chat if way.chat else written is not None):
            rejected[name] = f"the server does not answer {'/chat/completions' if way.chat else '/completions'}"
            continue
        rejected[name] = _doubt(client, served, way, written or "")
        if not rejected[name]:
            del rejected[name]
            difference = _difference(client, served, way)
            return Abilities(served, says, name, chat, written is not None, difference, rejected)
    difference = 0.0 if _repeats_texts(client, served, chat) else math.inf
    return Abilities(served, says, "", chat, written is not None, difference, rejected)


def _described(client: Client, served: str) -> tuple[str, dict[str, Any]]:
    """Return the server's name of the model, and what it says of it."""
    try:
        models = client.get("/models", lambda reply: {str(each["id"]): dict(each) for each in reply["data"]}, PROBES)
    except ServerError as error:
        if error.status in (None, 401, 403):
            raise
        models = {}
    if not served and len(models) == 1:
        served = next(iter(models))
    if not served or (models and served not in models):
        listed = ", ".join(map(repr, models)) or "none that it lists"
        raise ModelError(f"model.served: expected one of the server's models ({listed}), found {served!r}")
    says = models.get(served, {})
    return served, {key: value for key, value in says.items() if key not in PASSING}


def _completion(client: Client, served: str) -> str | None:
    """Return the token that the model writes behind ``CONTEXT``; None if the server continues no texts."""
    body = {"model": served, "prompt": CONTEXT, "max_tokens": 1, "temperature": 0}
    try:
        return client.post("/completions", body, lambda reply: str(reply["choices"][0]["text"]), PROBES)
    except ServerError as error:
        _raise_if_unreachable(error)
        return None


def _chats(client: Client, served: str) -> bool:
    body = {"model": served, "messages": [{"role": "user", "content": CONTEXT}], "max_tokens": 1, "temperature": 0}
    try:
        return client.post("/chat/completions", body, lambda reply: bool(reply["choices"][0]["message"]), PROBES)
    except ServerError as error:
        _raise_if_unreachable(error)
        return False


def _raise_if_unreachable(error: ServerError) -> None:
    if error.status in (None, 401, 403):
        raise error


def _refusal(error: ServerError) -> str:
    """Return why a request was not answered as it must be."""
    _raise_if_unreachable(error)
    return "the server answers without log-probabilities" if error.status == 200 else error.problem


def _asked(way: Way, context: str, continuations: Sequence[str] = CONTINUATIONS) -> ServedLikelihood:
    return ServedLikelihood(context, "", way.chat, continuations=tuple(continuations))


def _doubt(client: Client, served: str, way: Way, written: str) -> str:
    """Return why a way of asking is not to be believed; empty if nothing speaks against it."""
    if way.chat:
        return _doubt_first_tokens(client, served, way)
    own = (written,) if written.strip() and written.isascii() and written.isprintable() else ()
    texts = (*own, *(text for text in CONTINUATIONS if text not in own))
    try:
        scored, others = (
            way.score(client, served, _asked(way, context, texts), PROBES).logprobs for context in (CONTEXT, OTHER)
        )
    except ServerError as error:
        return _refusal(error)
    except Unanswerable as error:
        return str(error)
    here, there, tokens = list(map(sum, scored)), list(map(sum, others)), [one for each in scored for one in each]
    if max(here) > DIFFERS or not all(map(math.isfinite, here)):
        return f"expected log-probabilities of at most 0, found {max(here):.3g}"
    if min(max(here) - min(here), max(tokens) - min(tokens)) < DIFFERS:
        return f"every token has the log-probability {tokens[0]:.3g}: the server gives nothing for the prompt"
    if own and here[0] < max(here) - TOLERANCE:
        likelier = texts[here.index(max(here))]
        return (
            f"the continuation {written!r}, which the model itself writes, has the log-probability {here[0]:.3g}, "
            f"less than {likelier!r} ({max(here):.3g})"
        )
    if max(abs(a - b) for a, b in zip(here, there, strict=True)) < DIFFERS:
        return "the log-probabilities do not depend on the text before"
    return ""


def _doubt_first_tokens(client: Client, served: str, way: Way) -> str:
    """Return why the lists of first tokens are not to be believed; the continuations play no part in them."""
    try:
        here, there = (way.measured(client, served, _asked(way, text), PROBES) for text in (CONTEXT, OTHER))
    except ServerError as error:
        return _refusal(error)
    if len(here) < 2 or max(here) > DIFFERS or max(here) - min(here) < DIFFERS:
        return f"expected several first tokens that differ in log-probability, found {len(here)}, all alike"
    if here == there:
        return "the log-probabilities do not depend on the messages"
    return ""


def _repeats_texts(client: Client, served: str, chat: bool) -> bool:
    """Return whether a text is the same if it is asked for again, alone and among others."""

    def write(context: str) -> str:
        body: dict[str, Any] = {"model": served, "max_tokens": SHORT, "temperature": 0}
        if chat:
            body["messages"] = [{"role": "user", "content": context}]
            return client.post(
                "/chat/completions", body, lambda reply: str(reply["choices"][0]["message"]["content"])
            )
        return client.post("/completions", body | {"prompt": context}, lambda reply: str(reply["choices"][0]["text"]))

    first, second = write(CONTEXT), write(CONTEXT)
    crowd = [f"{OTHER}{' and' * number}" for number in range(OTHERS)]
    with ThreadPoolExecutor(1 + OTHERS) as pool:
        third = list(pool.map(write, [*crowd[:3], CONTEXT, *crowd[3:]]))[3]
    return first == second == third


def _difference(client: Client, served: str, way: Way) -> float:
    """Return by how many nats an answer changes at most if it is asked for again, alone and among others."""
    asked = _asked(way, CONTEXT, CONTINUATIONS[:1])
    others = [_asked(way, f"{OTHER}{' and' * number}", CONTINUATIONS[:1]) for number in range(OTHERS)]
    first, second = (way.measured(client, served, asked) for _ in range(2))
    with ThreadPoolExecutor(1 + OTHERS) as pool:
        crowd = list(pool.map(lambda each: way.measured(client, served, each), [*others[:3], asked, *others[3:]]))
    found = [math.inf]
    if len(first) == len(second) == len(crowd[3]):
        found = [abs(a - b) for again in (second, crowd[3]) for a, b in zip(first, again, strict=True)]
    return max(found)
