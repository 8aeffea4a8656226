"""A model behind an OpenAI-compatible server, with the face of a local one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from evolm.config import ModelSection
from evolm.errors import ModelError, Unanswerable
from evolm.models.requests import Answer, Cost, Decoding, Generate, LogLikelihood, Request
from evolm.models.served.asked import (
    ServedGeneration,
    ServedLikelihood,
    read_stored,
    stored_likelihood,
    stored_text,
)
from evolm.models.served.client import Client
from evolm.models.served.self_test import Abilities, examine
from evolm.models.served.ways import WAYS, cost_of
from evolm.models.specs import PassSettings, PreparedModel

BYTES_PER_TOKEN = 4  # of English text, for lengths of prompts that no server has counted yet
MOST_STOPS = 4  # stop strings that OpenAI's API takes
WAYS_OF_TEXT = tuple(name for name, way in WAYS.items() if not way.chat)
WAYS_OF_CHAT = tuple(name for name, way in WAYS.items() if way.chat)


@dataclass(frozen=True)
class ServedProfile:
    """What decides an answer besides server, model and request.

    Attributes:
        address: of the server.
        way: how log-probabilities are asked for; empty = they are not to be had.
        chat: whether prompts are sent as messages.
        dtype, device, threads: unknown; of a server.
    """

    address: str
    way: str
    chat: bool
    dtype: str = "auto"
    device: str = "server"
    threads: int = 1

    def to_record(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    @property
    def digest(self) -> str:
        """16 hexadecimal digits."""
        return hashlib.sha256(json.dumps(self.to_record(), sort_keys=True).encode()).hexdigest()[:16]


class NoControlTokens:
    """Control tokens of a tokenizer that is not known: none is found in any text."""

    def found(self, text: str) -> list[str]:
        """Return no names."""
        return []

    def keep(self, text: str) -> None:
        """Keep nothing apart: the server reads a control token in a text as it likes."""


class UndatedTemplate:
    """A chat template that is not known."""

    dated = False


class ServedModel:
    """A model behind a server.

    Prompts are sent as text or, with ``chat``, as messages; the server tokenises them. The model is known by its name
    there and by what the server says of it; its answers by these, the server's address and the way of asking.

    Args:
        section: ``[model]``.
        client: asks the server.
        abilities: what the server was found to do.
        chat: whether prompts are sent as messages.
    """

    passes = PassSettings()
    layers = 0
    width = 0

    def __init__(self, section: ModelSection, client: Client, abilities: Abilities, chat: bool) -> None:
        self.section = section
        self.client = client
        self.abilities = abilities
        self.chat = chat
        self.control = NoControlTokens()
        self.template = UndatedTemplate()
        self.profile = ServedProfile(section.name, abilities.way, chat)
        known_by = json.dumps([abilities.served, abilities.says], sort_keys=True)
        fingerprint = hashlib.sha256(known_by.encode()).hexdigest()
        self.prepared = PreparedModel(section.name, "", fingerprint, "auto", "server")

    @cached_property
    def context_length(self) -> int:
        """Most tokens of a text, as the server states them; a very large number if it does not."""
        return self.abilities.context_length

    def count_tokens(self, text: str) -> int:
        """Return an estimate of a text's tokens."""
        return -(-len(text.encode()) // BYTES_PER_TOKEN)

    def tokenize(self, requests: Sequence[Request]) -> list[ServedLikelihood | ServedGeneration]:
        """See :class:`evolm.models.Model`."""
        return [self._asked(request) for request in requests]

    def _asked(self, request: Request) -> ServedLikelihood | ServedGeneration:
        if request.delta is not None or not isinstance(request, LogLikelihood | Generate):
            raise ModelError(
                f"model {self.section.name!r}: expected a request for likelihoods of texts or for a text, found one "
                f"that needs the weights of a local model ({type(request).__name__})"
            )
        chat = self._sends_messages(request)
        prefix, item, continuations = self._parts(request, chat)
        context = prefix + item
        if not context.strip():
            raise Unanswerable("a prompt: expected at least one token before the answer, found none")
        system = request.system if chat else ""
        if isinstance(request, Generate):
            return ServedGeneration(context, system, chat, decoding=request.decoding)
        if not self.abilities.way or WAYS[self.abilities.way].chat != chat:
            kind = "the first tokens of a chat" if chat else "a whole text"
            what = f"log-probabilities of {kind}" if self.abilities.way else "log-probabilities"
            raise ModelError(f"model {self.section.name!r}: expected a server that gives {what}; {self.told}")
        if chat:
            _require_own_beginnings(continuations)
        return ServedLikelihood(context, system, chat, continuations=continuations)

    def _sends_messages(self, request: Request) -> bool:
        wanted = self.chat if request.chat is None else request.chat
        if isinstance(request, Generate):  # a text can be had in either way
            return (wanted and self.abilities.chat) or not self.abilities.completions
        return wanted

    def _parts(self, request: Request, chat: bool) -> tuple[str, str, tuple[str, ...]]:
        answers = request.continuations if isinstance(request, LogLikelihood) else ()
        if chat:
            return request.prefix, request.item, tuple(text.lstrip() for text in answers)
        head = f"{request.system}\n\n" if request.system else ""
        return head + request.prefix, request.item, answers

    def render(self, request: Request) -> tuple[str, str, tuple[str, ...]]:
        """Return prefix, item and continuations as they are sent; a system message stands before the prefix."""
        prefix, item, answers = self._parts(request, self.chat)
        head = f"{request.system}\n\n" if request.system and self.chat else ""
        return head + prefix, item, answers

    def render_messages(self, messages: list[dict[str, str]]) -> str:
        """Return the messages' texts, with empty lines between them."""
        return "\n\n".join(message["content"] for message in messages)

    def answer_lengths(self, request: LogLikelihood) -> list[int]:
        """Return the number of tokens of each continuation, as the server counts them."""
        asked = self._asked(request)
        if not isinstance(asked, ServedLikelihood):
            raise TypeError(f"expected a likelihood request, found {type(request).__name__}")
        if asked.chat:
            return [1] * len(asked.continuations)  # only first tokens are compared
        scored = WAYS[self.abilities.way].score(self.client, self.abilities.served, asked)
        return [len(each) for each in scored.logprobs]

    def ask(self, asked: ServedLikelihood | ServedGeneration) -> tuple[bytes, Cost]:
        """Send a request; return the answer as it is stored, and what it cost.

        Raises:
            Unanswerable: if the server's tokens do not fit the text.
            ServerError: if the server refuses, or does not answer.
        """
        if isinstance(asked, ServedGeneration):
            return self._written(asked)
        scored = WAYS[self.abilities.way].score(self.client, self.abilities.served, asked)
        return stored_likelihood(scored.logprobs, scored.joined, scored.cost), scored.cost

    def _written(self, asked: ServedGeneration) -> tuple[bytes, Cost]:
        decoding = asked.decoding
        body: dict[str, Any] = {
            "model": self.abilities.served,
            "max_tokens": decoding.max_new_tokens,
            "temperature": decoding.temperature,
            "seed": asked.seed,
        }
        if decoding.stop_strings:
            body["stop"] = list(decoding.stop_strings[:MOST_STOPS])
        if decoding.temperature and decoding.top_p < 1:
            body["top_p"] = decoding.top_p
        if decoding.temperature and decoding.top_k:
            body["top_k"] = decoding.top_k  # not OpenAI's, but vLLM's and llama.cpp's

        def read(reply: Any) -> tuple[str, bool, Cost]:
            choice = reply["choices"][0]
            text = choice["message"]["content"] if asked.chat else choice["text"]
            return str(text or ""), choice.get("finish_reason") != "length", cost_of(reply)

        if asked.chat:
            path, body["messages"] = "/chat/completions", asked.messages
        else:
            path, body["prompt"] = "/completions", asked.context
        raw, ended, cost = self.client.post(path, body, read)
        return stored_text(*cut_at_stop(raw, ended, decoding), cost), cost

    def read(self, request: ServedLikelihood | ServedGeneration, stored: bytes) -> Answer:
        """Return an answer from its stored form."""
        return read_stored(stored)

    @property
    def told(self) -> str:
        """A sentence about how the server is asked, and why not in a better way."""
        found = self.abilities
        how = f"log-probabilities by {found.way}" if found.way else "no log-probabilities, only texts"
        why = "".join(f"; {name}: {reason}" for name, reason in found.rejected.items())
        return f"the self-test found {how}{why}"

    @property
    def told_of_repetition(self) -> str:
        """A sentence about what the measured determinism means for an exact resume."""
        if not self.abilities.difference:
            return "An answer that was asked for again, alone and among others, was the same."
        how = (
            f"by up to {self.abilities.difference:.2g} nats"
            if self.abilities.difference < float("inf")
            else "in its text"
        )
        return (
            f"An answer that was asked for again changed {how}: a run that is resumed is exact as far as its answers "
            "are stored, but an answer that was under way is asked for anew, and another run will differ."
        )


def _require_own_beginnings(texts: Sequence[str]) -> None:
    """Raise Unanswerable if no first token can stand for one of the texts alone."""
    for text in texts:
        longer = [other for other in texts if other != text and other.startswith(text)]
        if longer:
            raise Unanswerable(
                f"answers {text!r} and {longer[0]!r}: expected answers that differ in their first tokens, which are "
                "all that the server gives log-probabilities of, found one that begins with the other"
            )


def cut_at_stop(raw: str, ended: bool, decoding: Decoding) -> tuple[str, bool]:
    """Return a text up to its first stop string, without white space around it, and whether it came to an end."""
    cuts = [at for stop in decoding.stop_strings if (at := raw.find(stop)) >= 0]
    return (raw[: min(cuts)] if cuts else raw).strip(), ended or bool(cuts)


def open_served(section: ModelSection, generates: bool = False) -> ServedModel:
    """Return the model behind a server, after the self-test.

    Args:
        section: ``[model]``. With ``chat_template = "auto"``, prompts are sent as messages if the server answers them
            and either ``generates`` or no log-probabilities of whole texts are to be had.
        generates: whether the task's answers are generated.

    Raises:
        ConfigError: if the name holds no address.
        ModelError: if the server lacks the model, or what the settings ask for.
    """
    client = Client(section)
    wanted = section.chat_template
    ways = {"on": WAYS_OF_CHAT, "off": WAYS_OF_TEXT}.get(wanted, tuple(WAYS))
    found = examine(client, section.served, ways)
    if (wanted == "on" and not found.chat) or (wanted == "off" and not found.completions):
        path = "/chat/completions" if wanted == "on" else "/completions"
        raise ModelError(
            f"model {section.name!r}: expected a server that answers {path} (model.chat_template = {wanted!r}), "
            "found one that does not"
        )
    by_text = bool(found.way) and not WAYS[found.way].chat
    chat = wanted == "on" or (wanted == "auto" and found.chat and (generates or not by_text))
    return ServedModel(section, client, found, chat)
