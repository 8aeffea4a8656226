"""A language model that answers batched requests.

A request holds text: a prefix that many requests share, an item, perhaps continuations to be scored. The joined
string is tokenised at once, since parts encoded separately give other tokens; continuations are split off as
lm-evaluation-harness does (``_encode_pair``: trailing white space of the context moves to the continuation). The
shared prefix is the common token prefix of the joined string and the prefix alone, so that a request's cut,
and with it its arithmetic, depends on the request alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jinja2 import TemplateError

from evolm.errors import ContextExceeded, ModelError
from evolm.models.forward_plan import ForwardPlan, Segment
from evolm.models.inspection import read_structure
from evolm.models.loading import load_config, load_tokenizer, load_weights, read_tensors
from evolm.models.packed_forward import ATTENTION, PackedForward
from evolm.models.profile import NumericProfile
from evolm.models.requests import (
    Decoding,
    Generate,
    Generated,
    LogLikelihood,
    Request,
    Tokenized,
    TokenizedGeneration,
    TokenizedRequest,
)
from evolm.models.specs import PassSettings, PreparedModel
from evolm.models.structure import Structure

PLACEHOLDER = "\u2060evolm\u2060"  # stands for content while a chat template is rendered; occurs in no text

# transformers' names of a number of experts
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")


class LanguageModel:
    """A causal language model with its tokenizer; each loads when it is first needed.

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
        self._frames: dict[str, tuple[str, str]] = {}

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer; workers, which receive tokens, never load it."""
        return load_tokenizer(self.prepared)

    @cached_property
    def config(self) -> Any:
        """The model's configuration."""
        return load_config(self.prepared)

    @cached_property
    def structure(self) -> Structure:
        """Its layers and the modules in them that deltas can change."""
        return read_structure(self.config)

    def read_weights(self, modules: Sequence[str]) -> dict[str, np.ndarray]:
        """Return the weights of modules as they multiply: ``(out, in)`` float32 each."""
        sites = {site.name: site for site in self.structure.sites}
        stored = read_tensors(self.prepared, [f"{name}.weight" for name in modules])
        return {
            name: weight.T if sites[name].transposed else weight for name, weight in zip(modules, stored, strict=True)
        }

    @cached_property
    def chat(self) -> bool:
        """Whether prompts are wrapped in the model's chat template.

        Raises:
            ModelError: if a template is asked for and missing.
        """
        has_template = bool(self.tokenizer.chat_template)
        if self._chat_template == "on" and not has_template:
            raise ModelError(f"model {self.prepared.name!r}: chat_template is 'on', but its tokenizer has none")
        return has_template if self._chat_template == "auto" else self._chat_template == "on"

    @property
    def context_length(self) -> int:
        """Most tokens the model was made for."""
        return int(getattr(self.config, "max_position_embeddings", 0) or 2**31)

    @cached_property
    def _bos(self) -> list[int]:
        """Special tokens that open a text."""
        with_special = self.tokenizer("a").input_ids
        plain = self.tokenizer("a", add_special_tokens=False).input_ids
        return with_special[: with_special.index(plain[0])] if plain and plain[0] in with_special else []

    def uses_chat(self, request: Request) -> bool:
        """Return whether a request is wrapped in the chat template."""
        return self.chat if request.chat is None else request.chat and bool(self.tokenizer.chat_template)

    def framed(self, request: Request) -> tuple[str, str, tuple[str, ...]]:
        """Return prefix, item and continuations as they reach the tokenizer, chat template applied."""
        answers = request.continuations if isinstance(request, LogLikelihood) else ()
        if not self.uses_chat(request):
            head = f"{request.system}\n\n" if request.system else ""
            return head + request.prefix, request.item, answers
        before, after = self._frame(request.system)
        # The assistant's turn starts a new line of its own: the answer's leading space belongs to the template.
        return before + request.prefix, request.item + after, tuple(text.lstrip() for text in answers)

    def _frame(self, system: str) -> tuple[str, str]:
        """Return what the chat template puts before and after the user's message."""
        if system not in self._frames:
            user = {"role": "user", "content": PLACEHOLDER}
            if system:
                text = self._apply([{"role": "system", "content": system}, user], generate=True)
            else:
                text = self._without_default_system(user)
            before, found, after = text.partition(PLACEHOLDER)
            if not found:
                raise ModelError(f"model {self.prepared.name!r}: its chat template does not show the user's message")
            self._frames[system] = before, after
        return self._frames[system]

    def _apply(self, messages: list[dict[str, str]], generate: bool) -> str:
        return self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=generate)

    def rendered(self, messages: list[dict[str, str]]) -> str:
        """Return messages as the chat template renders them, up to where the answer begins."""
        return self._apply(messages, generate=True)

    def _without_default_system(self, user: dict[str, str]) -> str:
        """Render one user message without the system message that some templates add by themselves."""
        alone = self._apply([user], generate=True)
        system = {"role": "system", "content": PLACEHOLDER + "system"}
        try:
            both, only = self._apply([system, user], generate=True), self._apply([system], generate=False)
        except (ValueError, TypeError, RuntimeError, TemplateError):
            return alone  # the template knows no system messages, so it adds none
        if not both.startswith(only):
            return alone
        turn = both[len(only) :]
        bos = self.tokenizer.bos_token or ""
        if bos and alone.startswith(bos) and not turn.startswith(bos):
            turn = bos + turn
        return turn

    def encode(self, texts: Sequence[str], chat: bool) -> list[list[int]]:
        """Return the tokens of each text, with the tokens that open a text where there is no chat template."""
        if not texts:
            return []
        lead = [] if chat else self._bos
        encoded = self.tokenizer(list(texts), add_special_tokens=False, return_attention_mask=False)
        return [lead + ids for ids in encoded.input_ids]

    def count_tokens(self, text: str) -> int:
        """Return how many tokens a text has by itself."""
        return len(self.tokenizer(text, add_special_tokens=False).input_ids)

    def tokenize(self, requests: Sequence[Request]) -> list[Any]:
        """Return the tokens of every request, in order: a ``Tokenized...`` of its own kind each.

        Raises:
            ModelError: if a continuation has no tokens of its own.
            ContextExceeded: if a context and its longest continuation do not fit the model.
        """
        done: dict[int, Tokenized] = {}
        for chat in (False, True):
            mine = [index for index, request in enumerate(requests) if self.uses_chat(request) == chat]
            done.update(zip(mine, self._tokenize([requests[i] for i in mine], chat), strict=True))
        return [done[index] for index in range(len(requests))]

    def _tokenize(self, requests: Sequence[Request], chat: bool) -> list[Tokenized]:
        texts: dict[str, None] = {}
        parts = []
        for request in requests:
            prefix, item, continuations = self.framed(request)
            context = prefix + item
            # White space at the end of a context belongs to the continuation's first token (lm-eval,
            # _encode_pair); not so a chat template's own last line, which no answer begins with.
            bare = context if chat else context.rstrip()
            wholes = [bare + context[len(bare) :] + text for text in continuations]
            parts.append((prefix, bare, wholes))
            texts.update(dict.fromkeys((prefix, bare, *wholes)))
        tokens = dict(zip(texts, self.encode(list(texts), chat), strict=True))
        return [
            self._split(tokens[prefix], tokens[bare], [tokens[whole] for whole in wholes], request)
            for (prefix, bare, wholes), request in zip(parts, requests, strict=True)
        ]

    def _split(self, prefix: list[int], context: list[int], wholes: list[list[int]], request: Request) -> Tokenized:
        if not context:
            raise ModelError("a prompt needs at least one token before the answer, found none")
        shared = 0
        for ours, theirs in zip(prefix, context, strict=False):
            if ours != theirs:
                break
            shared += 1
        if isinstance(request, Generate):
            self._require_room(len(context) + request.decoding.max_new_tokens)
            return TokenizedGeneration(tuple(context), shared, request.decoding, request.delta)
        continuations = tuple(tuple(whole[len(context) :]) for whole in wholes)
        for text, ids in zip(request.continuations, continuations, strict=True):
            if not ids:
                raise ModelError(f"answer {text!r}: expected at least one token, found none")
        self._require_room(len(context) + max(map(len, continuations)))
        return TokenizedRequest(tuple(context), shared, continuations, request.delta)

    def _require_room(self, tokens: int) -> None:
        if tokens > self.context_length:
            raise ContextExceeded(
                f"a prompt of {tokens} tokens is {tokens - self.context_length} longer than the context "
                f"of {self.prepared.name!r} ({self.context_length} tokens)"
            )

    @cached_property
    def end_tokens(self) -> frozenset[int]:
        """Tokens that end a text: those of tokenizer, configuration and chat template."""
        ends = getattr(self.config, "eos_token_id", None)
        found = {self.tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])}
        return frozenset(token for token in found if token is not None)

    def written(self, tokens: Sequence[int], decoding: Decoding) -> Generated:
        """Return generated tokens as the answer they are."""
        raw = self.tokenizer.decode([t for t in tokens if t not in self.end_tokens], skip_special_tokens=True)
        cuts = [at for stop in decoding.stop_strings if (at := raw.find(stop)) >= 0]
        ended = bool(cuts) or any(token in self.end_tokens for token in tokens)
        text = raw[: min(cuts)] if cuts else raw
        return Generated(text.strip(), tuple(map(int, tokens)), ended)

    @cached_property
    def forward(self) -> PackedForward:
        """The model itself, loaded and checked against its own plain forward pass."""
        if reason := _dependence(self.config):
            raise ModelError(f"model {self.prepared.name!r}: {reason}")
        weights = load_weights(self.prepared, ATTENTION)
        if not weights._supports_attention_backend:
            raise ModelError(
                f"model {self.prepared.name!r}: {type(weights).__name__} does not accept an attention backend"
            )
        if getattr(weights.config.get_text_config(), "final_logit_softcapping", None):
            raise ModelError(f"model {self.prepared.name!r}: capped logits are not supported")
        profile = self.profile
        forward = PackedForward(
            weights,
            profile.slab_tokens,
            profile.head_rows,
            profile.delta_columns,
            self.passes.trunk_bytes,
            self.passes.prefix_bytes,
        )
        self._check(forward)
        return forward

    def _check(self, forward: PackedForward) -> None:
        """Refuse an architecture whose packed log-probabilities are not those of its plain forward pass."""
        generator = torch.Generator().manual_seed(0)
        size = forward.head.weight.shape[0]
        ids = torch.randint(size, (12,), generator=generator).tolist()
        plan = ForwardPlan(
            segments=[
                Segment(tuple(ids[:5]), 0, -1),
                Segment(tuple(ids[5:9]), 5, 0),
                Segment((*ids[5:9], ids[11], *ids[9:11]), 5, 0, follows=(-1, 0, 1, 2, 3, 3, 5)),
            ],
            slabs=[[0, 1, 2]],
            positions=[(2, 6)],
            targets=[(0, token) for token in range(min(size, 64))],
        )
        packed = forward.logprobs(plan)
        model = forward.model
        try:
            model.set_attn_implementation("eager")
            with torch.inference_mode():
                device = forward.head.weight.device
                logits = model(input_ids=torch.tensor([ids[:11]], device=device), use_cache=False).logits[0, -1]
        finally:
            model.set_attn_implementation(ATTENTION)
        plain = logits.float().log_softmax(-1)[: len(packed)].cpu().numpy()
        difference = float(np.abs(plain - packed).max())
        allowed = 1e-3 if self.prepared.dtype == "float32" else 0.5
        if not difference <= allowed:
            raise ModelError(
                f"model {self.prepared.name!r}: packed and plain forward passes differ by {difference:.3g} nats "
                f"(at most {allowed:g} expected), so this architecture cannot be scored in packs"
            )


def _dependence(config: Any) -> str:
    """Return why a text's bits would depend on its neighbours in a slab, or ``""``.

    Experts multiply as many rows as were sent to them, whose ever they are; transformers chooses the factors of long
    rotary embeddings (longrope) by the largest position of all rows (``longrope_frequency_update``).
    """
    text = config.get_text_config()
    experts = max((value for name in EXPERTS if isinstance(value := getattr(text, name, None), int)), default=0)
    if experts > 1:
        return f"expected one feed-forward block in a layer, found {experts} experts; these are not supported"
    rotary = getattr(text, "rope_parameters", None) or {}
    for rope in (rotary, *(value for value in rotary.values() if isinstance(value, dict))):
        if rope.get("rope_type") == "longrope":
            context = int(getattr(text, "max_position_embeddings", 0) or 0)
            original = int(rope.get("original_max_position_embeddings") or 0)
            if not 0 < context <= original:
                return (
                    f"expected max_position_embeddings of at most {original} where rotary embeddings are of type "
                    f"'longrope', found {context}"
                )
    return ""


def describe_tokens(model: LanguageModel, request: Request) -> list[tuple[str, bool]]:
    """Return the pieces of a rendered prompt with a mark on those that are scored, for people to read."""
    tokens: Any = model.tokenize([request])[0]
    pieces = [(model.tokenizer.decode([token]), False) for token in tokens.context]
    for index, continuation in enumerate(getattr(tokens, "continuations", ())):
        if index:
            pieces.append((" | ", False))
        pieces += [(model.tokenizer.decode([token]), True) for token in continuation]
    return pieces
