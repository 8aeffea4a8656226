"""Text generation for many prompts side by side, each answer independent of the others.

Prompts pass the trunk in slabs, as scored ones do. What they share is passed once, also the layers below the first
changed one, if several deltas have the same prompt. Then each step adds one token to at most ``decode_rows`` texts,
of any prompts and deltas, in one pass; the slot of a finished text goes to the next waiting text (continuous
batching: Orca, Yu 2022, https://www.usenix.org/conference/osdi22/presentation/yu). The numeric profile and the text's
own length fix the shapes, and each request has its own random generator, so an answer depends on its request alone,
to the bit, sampled or greedy.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import torch

from evolm.models.decode_cache import DecodeCache
from evolm.models.forward_plan import ForwardPlan, Segment, fill_slabs
from evolm.models.packed_forward import PackedForward, PassRow
from evolm.models.prefix_cache import KeyValues, text_keys
from evolm.models.requests import Decoding, TokenizedGeneration


def choose_token(logits: np.ndarray, decoding: Decoding, rng: np.random.Generator) -> int:
    """Return the next token.

    Args:
        logits: ``(vocabulary,)`` float32.
        decoding: greedy at temperature 0; otherwise top-k, then nucleus sampling (Holtzman 2019,
            https://arxiv.org/abs/1904.09751), the filters in transformers' order.
        rng: draws one number unless decoding is greedy.
    """
    if decoding.temperature == 0:
        return int(logits.argmax())
    order = np.argsort(-logits, kind="stable")[: decoding.top_k or None]
    scaled = logits[order].astype(np.float64) / decoding.temperature
    probabilities = np.exp(scaled - scaled[0])
    probabilities /= probabilities.sum()
    # Keep every token whose more likely ones do not reach top_p together, and always the likeliest one.
    before = np.cumsum(probabilities) - probabilities
    kept = max(int(np.count_nonzero(before < decoding.top_p)), 1)
    cumulative = np.cumsum(probabilities[:kept])
    place = np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right")
    return int(order[min(int(place), kept - 1)])


def request_seed(request: TokenizedGeneration) -> int:
    """Return the sampling seed: 64 bits of a hash of the context and of all decoding settings."""
    content = json.dumps([request.context, asdict(request.decoding)])
    return int.from_bytes(hashlib.sha256(content.encode()).digest()[:8], "big")


@dataclass
class _Text:
    """A text that is being generated.

    Attributes:
        index: of its request.
        request: the request.
        state: ``(d,)`` hidden state from which the next token is predicted.
        rng: draws the tokens.
        delta: index of the delta it carries; -1 = none.
        past: keys and values of the context while the text waits for a slot.
        tokens: tokens so far.
    """

    index: int
    request: TokenizedGeneration
    state: torch.Tensor
    rng: np.random.Generator
    delta: int
    past: KeyValues
    tokens: list[int] = field(default_factory=list)

    @property
    def room(self) -> int:
        """Most tokens that the text may have."""
        return len(self.request.context) + self.request.decoding.max_new_tokens

    def row(self, slot: int) -> PassRow:
        """Return the last token as the row of a slot in a pass."""
        position = len(self.request.context) + len(self.tokens) - 1
        return PassRow(Segment((self.tokens[-1],), position, -1, self.delta), slot, None, None)


@dataclass(frozen=True)
class SharedBeginnings:
    """What contexts that differ only by their deltas share: the output, keys and values of the lower layers.

    Attributes:
        states: segment -> ``(tokens, d)`` output of the lower layers; None if the plan has no depth.
        pasts: key of a text -> keys and values of the lower layers up to its end.
        keys: of each segment's text, whatever its delta.
    """

    states: dict[int, torch.Tensor] | None = None
    pasts: Mapping[bytes, KeyValues] = field(default_factory=dict)
    keys: Sequence[bytes] = ()

    @classmethod
    def passed(cls, forward: PackedForward, plan: ForwardPlan, ends: Sequence[int]) -> SharedBeginnings:
        """Pass a plan's texts through the layers below its depth, each text once for all deltas."""
        if not plan.depth:
            return cls()
        keys = text_keys(plan)
        places = {key: place for place, key in enumerate(dict.fromkeys(keys))}
        firsts = dict(zip(reversed(keys), reversed(plan.segments), strict=True))
        texts = [
            replace(text, parent=places[keys[text.parent]] if text.parent >= 0 else -1, delta=-1, lasting=False)
            for text in (firsts[key] for key in places)
        ]
        lower = ForwardPlan(texts, fill_slabs(texts, forward.slab_tokens), top=plan.depth)
        wanted = sorted({places[keys[end]] for end in ends})
        names, states, pasts = list(places), {}, {}
        for begins, output, known in forward.passes(lower, wanted):
            for place, begin in begins.items():
                states[names[place]] = output[begin : begin + len(texts[place].tokens)].clone()
            for place in begins.keys() & wanted:
                pasts[names[place]] = dict(known.known[place])
                known.release(place)
        return cls({index: states[key] for index, key in enumerate(keys)}, pasts, keys)

    def past(self, segment: int) -> KeyValues:
        """Return the lower layers' keys and values up to a segment's end; empty if the plan has no depth."""
        return self.pasts[self.keys[segment]] if self.keys else {}


class TextGenerator:
    """Generates the answers to generation requests.

    Args:
        forward: the model.
        rows: most texts per step, and rows of its pass.
        ended: tokens so far, decoding -> whether the text has ended.

    Attributes:
        passed: tokens in decode passes so far.
        passes: decode passes so far.
    """

    def __init__(self, forward: PackedForward, rows: int, ended: Callable[[Sequence[int], Decoding], bool]) -> None:
        self.forward = forward
        self.rows = rows
        self.ended = ended
        self.passed = 0
        self.passes = 0

    @torch.inference_mode()
    def generate(
        self, plan: ForwardPlan, ends: Sequence[int], requests: Sequence[TokenizedGeneration]
    ) -> list[np.ndarray]:
        """Return the ``(n_tokens,)`` int32 tokens of each answer.

        Args:
            plan: passes all contexts.
            ends: per request, the last segment of its context.
            requests: in the order of ``ends``.
        """
        with self.forward.carrying(plan.deltas):
            return self._generated(plan, ends, requests)

    def _generated(
        self, plan: ForwardPlan, ends: Sequence[int], requests: Sequence[TokenizedGeneration]
    ) -> list[np.ndarray]:
        answers: list[np.ndarray] = [np.zeros(0, np.int32)] * len(requests)
        by_end: dict[int, list[int]] = {}
        for index, end in enumerate(ends):
            by_end.setdefault(end, []).append(index)
        shared = SharedBeginnings.passed(self.forward, plan, ends)
        cache = DecodeCache(self.rows, self.forward.head.weight.device)
        waiting: deque[_Text] = deque()
        growing: dict[int, _Text] = {}  # by slot
        for begins, states, known in self.forward.passes(plan, ends, shared.states):
            for segment, begin in begins.items():
                for index in by_end.get(segment, ()):
                    state = states[begin + len(plan.segments[segment].tokens) - 1].clone()
                    rng = np.random.default_rng(request_seed(requests[index]))
                    past, delta = {**shared.past(segment), **known.known[segment]}, plan.segments[segment].delta
                    waiting.append(_Text(index, requests[index], state, rng, delta, past))
                    known.release(segment)
            while len(waiting) + len(growing) >= self.rows:
                self._step(waiting, growing, cache, answers)
        while waiting or growing:
            self._step(waiting, growing, cache, answers)
        return answers

    def _step(
        self, waiting: deque[_Text], growing: dict[int, _Text], cache: DecodeCache, answers: list[np.ndarray]
    ) -> None:
        """Give waiting texts the free slots, then add one token to every text in a slot; those that end leave it."""
        while waiting and (slot := cache.free(waiting[0].past, waiting[0].room)) is not None:
            text = growing[slot] = waiting.popleft()
            cache.admit(slot, text.past, text.room)
            text.past = {}
        states = self.forward.empty_states(self.rows)
        for slot, text in growing.items():
            states[slot] = text.state
        logits = self.forward.logits(states).cpu().numpy()  # (rows, vocabulary)
        for slot, text in list(growing.items()):
            text.tokens.append(choose_token(logits[slot], text.request.decoding, text.rng))
            full = len(text.tokens) >= text.request.decoding.max_new_tokens
            if full or self.ended(text.tokens, text.request.decoding):
                answers[text.index] = np.array(text.tokens, dtype=np.int32)
                cache.release(slot)
                del growing[slot]
        if not growing:
            return
        slots = sorted(growing)
        new = self.forward.decode_pass([growing[slot].row(slot) for slot in slots], cache)
        self.passed += len(slots)
        self.passes += 1
        for slot in slots:
            growing[slot].state = new[slot].clone()
