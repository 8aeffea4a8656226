"""A language model with its tokenizer: turns requests into tokens, and generated tokens into text.

A request holds text: a prefix that many requests share, an item, and continuations if these are scored. The joined
string is tokenised at once, since parts that are encoded separately give other tokens. Continuations are split off
as in lm-evaluation-harness (``_encode_pair``: trailing white space of the context moves to the continuation), unless
a token spans the border (:mod:`evolm.models.splitting`), for which the harness has no rule. The shared prefix is the
common token prefix of the joined string and of the prefix alone, so that the cut of a request, and with it its
arithmetic, depends on the request alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch

from evolm.errors import ContextExceeded, ModelError, Unanswerable
from evolm.models.chat_frame import ChatTemplate
from evolm.models.control_tokens import ControlTokens
from evolm.models.inspection import read_structure
from evolm.models.loading import load_config, load_tokenizer, load_weights, read_tensors, readable
from evolm.models.packed_forward import ATTENTION, PackedForward
from evolm.models.profile import NumericProfile
from evolm.models.requests import (
    Answer,
    Decoding,
    Generate,
    Generated,
    LogLikelihood,
    Request,
    States,
    Tokenized,
    TokenizedGeneration,
    TokenizedRequest,
    TokenizedStates,
    TokenLikelihood,
)
from evolm.models.self_check import check_packed_forward, refuse_unsupported, refuse_unsupported_weights
from evolm.models.specs import PassSettings, PreparedModel
from evolm.models.splitting import border, common_length, require_answers
from evolm.models.states import StateReader
from evolm.models.structure import Structure


class LanguageModel:
    """A causal language model with its tokenizer; weights and tokenizer load when they are first needed.

    Args:
        prepared: from :func:`evolm.models.prepare`.
        chat_template: ``"auto"``, ``"on"`` or ``"off"``.
        passes: sizes of its forward passes.
    """

    def __init__(
        self,
        prepared: PreparedModel,
        chat_template: str = "auto",
        passes: PassSettings | None = None,
    ) -> None:
        self.prepared = prepared
        self.passes = passes or PassSettings()
        self.profile = NumericProfile(prepared.dtype, torch.device(prepared.device).type, self.passes.slab_tokens)
        self._chat_template = chat_template

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer; workers receive tokens and never load it."""
        return load_tokenizer(self.prepared)

    @cached_property
    def config(self) -> Any:
        """The model's configuration."""
        return load_config(self.prepared)

    @cached_property
    def control(self) -> ControlTokens:
        """The tokenizer's control tokens."""
        return ControlTokens(self.tokenizer, self.embeddings, self.prepared.name)

    @property
    def layers(self) -> int:
        """Number of layers."""
        return int(self.config.get_text_config().num_hidden_layers)

    @property
    def width(self) -> int:
        """Channels of a hidden state."""
        return int(self.config.get_text_config().hidden_size)

    @property
    def embeddings(self) -> int:
        """Number of tokens that the model has embeddings of."""
        return int(self.config.get_text_config().vocab_size)

    @cached_property
    def template(self) -> ChatTemplate:
        """The tokenizer's chat template."""
        return ChatTemplate(self.tokenizer, self.prepared.name)

    @cached_property
    def structure(self) -> Structure:
        """The model's layers, and the modules in them that deltas can change."""
        with readable(self.prepared.name, "its config.json describes no model"):
            return read_structure(self.config)

    def read_weights(self, modules: Sequence[str]) -> dict[str, np.ndarray]:
        """Return the weights of modules, ``(out, in)`` float32 each, however they are stored."""
        sites = {site.name: site for site in self.structure.sites}
        stored = read_tensors(self.prepared, [f"{name}.weight" for name in modules])
        return {
            name: weight.T if sites[name].transposed else weight for name, weight in zip(modules, stored, strict=True)
        }

    @cached_property
    def chat(self) -> bool:
        """Whether prompts are wrapped in the model's chat template.

        Raises:
            ModelError: if the setting is ``"on"`` and the tokenizer has no template.
        """
        has_template = bool(self.tokenizer.chat_template)
        if self._chat_template == "on" and not has_template:
            raise ModelError(
                f"model {self.prepared.name!r}: expected a chat template (model.chat_template = "
                "'on'), found none in its tokenizer"
            )
        return has_template if self._chat_template == "auto" else self._chat_template == "on"

    @property
    def context_length(self) -> int:
        """Most tokens of a text, as the model's configuration states them."""
        return int(getattr(self.config, "max_position_embeddings", 0) or 2**31)

    @cached_property
    def _bos(self) -> list[int]:
        """Special tokens at the start of a text."""
        with_special = self.tokenizer("a").input_ids
        plain = self.tokenizer("a", add_special_tokens=False).input_ids
        return with_special[: with_special.index(plain[0])] if plain and plain[0] in with_special else []

    def uses_chat(self, request: Request) -> bool:
        """Return whether a request is wrapped in the chat template."""
        return self.chat if request.chat is None else request.chat and bool(self.tokenizer.chat_template)

    def render(self, request: Request) -> tuple[str, str, tuple[str, ...]]:
        """Return prefix, item and continuations as the tokenizer receives them, the chat template applied."""
        answers = request.continuations if isinstance(request, LogLikelihood) else ()
        if not self.uses_chat(request):
            head = f"{request.system}\n\n" if request.system else ""
            return head + request.prefix, request.item, answers
        before, after = self.template.frame(request.system)
        # The answer starts at the beginning of the assistant's turn, without the leading space of the plain template.
        return before + request.prefix, request.item + after, tuple(text.lstrip() for text in answers)

    def render_messages(self, messages: list[dict[str, str]]) -> str:
        """Return messages as the chat template renders them, up to the start of the answer."""
        return self.template.render(messages)

    def encode(self, texts: Sequence[str], chat: bool) -> list[list[int]]:
        """Return the tokens of each text; unless ``chat``, special tokens at the start are added."""
        if not texts:
            return []
        lead = [] if chat else self._bos
        encoded = self.tokenizer(list(texts), add_special_tokens=False, return_attention_mask=False)
        return [lead + ids for ids in encoded.input_ids]

    def count_tokens(self, text: str) -> int:
        """Return the number of a text's tokens, special tokens excluded."""
        return len(self.tokenizer(text, add_special_tokens=False).input_ids)

    def tokenize(self, requests: Sequence[Request]) -> list[Any]:
        """Return the tokens of every request, in order: the ``Tokenized...`` class of its kind.

        Raises:
            Unanswerable: if a context is empty, or a continuation has no tokens of its own or those of another.
            ContextExceeded: if a context and its longest continuation exceed the model's context length.
        """
        done: dict[int, Tokenized] = {}
        for chat in (False, True):
            chosen = [index for index, request in enumerate(requests) if self.uses_chat(request) == chat]
            done.update(zip(chosen, self._tokenize([requests[i] for i in chosen], chat), strict=True))
        return [done[index] for index in range(len(requests))]

    def _tokenize(self, requests: Sequence[Request], chat: bool) -> list[Tokenized]:
        texts: dict[str, None] = {}
        parts = []
        for request in requests:
            prefix, item, continuations = self.render(request)
            context = prefix + item
            # White space at the end of a context belongs to the continuation's first token (lm-eval, _encode_pair),
            # except the last line break of a chat template, with which no answer begins.
            bare = context if chat else context.rstrip()
            wholes = [bare + context[len(bare) :] + text for text in continuations]
            parts.append((prefix, bare, wholes))
            texts.update(dict.fromkeys((prefix, bare, *wholes)))
        tokens = dict(zip(texts, self.encode(list(texts), chat), strict=True))
        split = []
        for (prefix, bare, wholes), request in zip(parts, requests, strict=True):
            own = self._apart(request, (prefix, bare, *wholes), chat) if self._holds_control(request) else tokens
            split.append(self._split(own[prefix], bare, own[bare], [own[whole] for whole in wholes], request))
        return split

    def _holds_control(self, request: Request) -> bool:
        """Return whether the text of a request, without the chat template's frame, holds a control token."""
        answers = request.continuations if isinstance(request, LogLikelihood) else ()
        return any(self.control.found(text) for text in (request.prefix + request.item, *answers))

    def _apart(self, request: Request, texts: Sequence[str], chat: bool) -> dict[str, list[int]]:
        """Return the tokens of a request's texts, with control tokens in the chat template's frame only."""
        frame: list[tuple[int, int]] = []
        if chat:
            before, after = self.template.frame(request.system)
            end = len(before) + len(request.prefix) + len(request.item)
            frame = [(0, len(before)), (end, end + len(after))]
        lead = [] if chat else self._bos
        return {
            text: lead + self.control.tokens(text, [(begin, end) for begin, end in frame if end <= len(text)])
            for text in texts
        }

    def _split(
        self, prefix: list[int], text: str, context: list[int], wholes: list[list[int]], request: Request
    ) -> Tokenized:
        if not context:
            raise Unanswerable("a prompt: expected at least one token before the answer, found none")
        if not isinstance(request, LogLikelihood):
            self._require_embeddings([context])
        if isinstance(request, Generate):
            self._require_room(len(context) + request.decoding.max_new_tokens)
            shared = common_length(prefix, context)
            return TokenizedGeneration(tuple(context), shared, request.decoding, request.delta)
        if isinstance(request, States):
            self._require_room(len(context))
            self._require_layers(request.layers)
            shared = common_length(prefix, context)
            return TokenizedStates(tuple(context), shared, request.layers, request.poolings, request.delta)
        if isinstance(request, TokenLikelihood):
            self._require_room(len(context) + max(map(len, request.continuations)))
            shared = common_length(prefix, context)
            return TokenizedRequest(tuple(context), shared, request.continuations, request.delta)
        self._require_embeddings([context, *wholes])
        cut = border(context, wholes)
        end = self._end if request.ended else ()
        answers = tuple((*whole[cut:], *end) for whole in wholes)
        require_answers(request.continuations, answers, cut)
        self._require_room(cut + max(map(len, answers)))
        joined = self._characters(text, len(context) - cut) if cut < len(context) else 0
        shared = common_length(prefix, context[:cut])
        return TokenizedRequest(tuple(context[:cut]), shared, answers, request.delta, joined)

    def _characters(self, text: str, last: int) -> int:
        """Return the number of a text's characters that its last tokens hold a part of."""
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return len(text) - int(encoded.offset_mapping[-last][0])

    def _require_embeddings(self, texts: Sequence[Sequence[int]]) -> None:
        highest = max(max(tokens, default=0) for tokens in texts)
        if highest >= self.embeddings:
            raise Unanswerable(
                f"the token {self.tokenizer.convert_ids_to_tokens(highest)!r}: expected one of the {self.embeddings} "
                f"that {self.prepared.name!r} has embeddings of, found number {highest}"
            )

    def _require_room(self, tokens: int) -> None:
        if tokens > self.context_length:
            raise ContextExceeded(
                f"a prompt of {tokens} tokens is {tokens - self.context_length} longer than the context "
                f"of {self.prepared.name!r} ({self.context_length} tokens)"
            )

    def _require_layers(self, layers: Sequence[int]) -> None:
        for layer in layers:
            if not 1 <= layer <= self.layers:
                raise ModelError(
                    f"states of layer {layer}: expected a layer of {self.prepared.name!r} (1 to {self.layers}), "
                    "found none"
                )

    @cached_property
    def end_tokens(self) -> frozenset[int]:
        """Tokens that end a text: those of tokenizer, configuration and chat template."""
        ends = getattr(self.config, "eos_token_id", None)
        found = {self.tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])}
        return frozenset(token for token in found if token is not None)

    @cached_property
    def _end(self) -> tuple[int, ...]:
        """The token that ends a text, the tokenizer's own if it has one; empty if the model knows none."""
        own = self.tokenizer.eos_token_id
        return tuple(sorted(self.end_tokens)[:1]) if own is None else (int(own),)

    def answer_lengths(self, request: LogLikelihood) -> list[int]:
        """Return the number of tokens of each continuation, in order."""
        return [len(tokens) for tokens in self.tokenize([request])[0].continuations]

    def read(self, request: Tokenized, stored: bytes) -> Answer:
        """Return an answer from the bytes of an executor's array."""
        return request.read(stored, self.decode)

    def decode(self, tokens: Sequence[int], decoding: Decoding) -> Generated:
        """Return the answer that generated tokens stand for, cut at the first stop string."""
        raw = self.tokenizer.decode([t for t in tokens if t not in self.end_tokens], skip_special_tokens=True)
        cuts = [at for stop in decoding.stop_strings if (at := raw.find(stop)) >= 0]
        ended = bool(cuts) or any(token in self.end_tokens for token in tokens)
        text = raw[: min(cuts)] if cuts else raw
        return Generated(text.strip(), tuple(map(int, tokens)), ended)

    @cached_property
    def forward(self) -> PackedForward:
        """The loaded model, whose packed passes were checked against its plain forward pass.

        Raises:
            ModelError: if the architecture is not supported.
        """
        refuse_unsupported(self.prepared.name, self.config)
        weights = load_weights(self.prepared, ATTENTION)
        refuse_unsupported_weights(self.prepared.name, weights)
        profile = self.profile
        forward = PackedForward(
            weights,
            profile.slab_tokens,
            profile.head_rows,
            profile.delta_columns,
            self.passes.trunk_bytes,
            self.passes.prefix_bytes,
        )
        check_packed_forward(forward, self.prepared)
        return forward

    @cached_property
    def states(self) -> StateReader:
        """Reads hidden states from the model's passes."""
        return StateReader(self.forward)


def describe_tokens(model: LanguageModel, request: Request, most: int = 8) -> list[tuple[str, bool]]:
    """Return the text of each token of a request, in order, and whether it is scored; for display.

    Of more than ``most`` continuations, the others are only counted.
    """
    tokens: Any = model.tokenize([request])[0]
    pieces = [(model.tokenizer.decode([token]), False) for token in tokens.context]
    continuations = getattr(tokens, "continuations", ())
    for index, continuation in enumerate(continuations[:most]):
        if index:
            pieces.append((" | ", False))
        pieces += [(model.tokenizer.decode([token]), True) for token in continuation]
    if len(continuations) > most:
        pieces.append((f" | and {len(continuations) - most} more", False))
    return pieces
