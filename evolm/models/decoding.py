"""Writing text with many prompts side by side, each answer independent of its company.

Prompts pass the trunk in slabs like all others; then every text grows by a token a step, all texts of a step in
one pass of ``decode_rows`` rows, a finished text's row going to the next in line (continuous batching: Orca, Yu
2022, https://www.usenix.org/conference/osdi22/presentation/yu). The shapes are fixed by the numeric profile and a
token is drawn with a generator of the request's own, so an answer follows from its request to the bit, drawn or
greedy.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import torch

from evolm.models.forward_plan import ForwardPlan
from evolm.models.packed_forward import KeyValues, PackedForward, PassRow
from evolm.models.requests import Decoding, TokenizedGeneration


def choose_token(logits: np.ndarray, decoding: Decoding, rng: np.random.Generator) -> int:
    """Return the next token.

    Args:
        logits: ``(vocabulary,)`` float32.
        decoding: greedy at temperature 0; otherwise top-k, then nucleus sampling (Holtzman 2019,
            https://arxiv.org/abs/1904.09751), the filters in transformers' order.
        rng: draws one number, if any is drawn.
    """
    if decoding.temperature == 0:
        return int(logits.argmax())
    order = np.argsort(-logits, kind="stable")[: decoding.top_k or None]
    scaled = logits[order].astype(np.float64) / decoding.temperature
    probabilities = np.exp(scaled - scaled[0])
    probabilities /= probabilities.sum()
    # Every token whose predecessors do not reach top_p yet, the likeliest one always.
    before = np.cumsum(probabilities) - probabilities
    kept = max(int(np.count_nonzero(before < decoding.top_p)), 1)
    cumulative = np.cumsum(probabilities[:kept])
    place = np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right")
    return int(order[min(int(place), kept - 1)])


def request_seed(request: TokenizedGeneration) -> int:
    """Return the sampling seed: 64 bits of the context and of everything that decides how tokens are drawn."""
    content = json.dumps([request.context, asdict(request.decoding)])
    return int.from_bytes(hashlib.sha256(content.encode()).digest()[:8], "big")


@dataclass
class _Text:
    """A text that is being written; ``state`` is the hidden state ``(d,)`` that the next token is read from."""

    index: int
    request: TokenizedGeneration
    past: KeyValues
    state: torch.Tensor
    rng: np.random.Generator
    delta: int
    tokens: list[int] = field(default_factory=list)

    def next_row(self) -> PassRow:
        """The last token, whose keys and values become part of the past."""
        place = len(self.request.context) + len(self.tokens) - 1
        return PassRow(self.tokens[-1:], place, self.past, self.past, self.delta)


class TextGenerator:
    """Writes the answers to generation requests.

    Args:
        forward: the model.
        rows: texts that grow at a time, and rows of their passes.
        ended: tokens so far, decoding -> whether the text has ended.
    """

    def __init__(self, forward: PackedForward, rows: int, ended: Callable[[Sequence[int], Decoding], bool]) -> None:
        self.forward = forward
        self.rows = rows
        self.ended = ended
        self.passed = 0  # tokens that went through decode passes
        self.passes = 0

    @torch.inference_mode()
    def write(
        self, plan: ForwardPlan, ends: Sequence[int], requests: Sequence[TokenizedGeneration]
    ) -> list[np.ndarray]:
        """Return the ``(n_tokens,)`` int32 tokens of each answer.

        Args:
            plan: passes all contexts.
            ends: per request, the segment that its context ends with.
            requests: in the order of ``ends``.
        """
        with self.forward.carrying(plan.deltas):
            return self._written(plan, ends, requests)

    def _written(
        self, plan: ForwardPlan, ends: Sequence[int], requests: Sequence[TokenizedGeneration]
    ) -> list[np.ndarray]:
        answers: list[np.ndarray] = [np.zeros(0, np.int32)] * len(requests)
        by_end: dict[int, list[int]] = {}
        for index, end in enumerate(ends):
            by_end.setdefault(end, []).append(index)
        texts: deque[_Text] = deque()
        for placed, states, cache in self.forward.passes(plan, ends):
            for segment, begin in placed.items():
                for index in by_end.get(segment, ()):
                    state = states[begin + len(plan.segments[segment].tokens) - 1].clone()
                    rng = np.random.default_rng(request_seed(requests[index]))
                    past, delta = dict(cache.known[segment]), plan.segments[segment].delta
                    texts.append(_Text(index, requests[index], past, state, rng, delta))
                    cache.release(segment)
            while len(texts) >= self.rows:
                self._step(texts, answers)
        while texts:
            self._step(texts, answers)
        return answers

    def _step(self, texts: deque[_Text], answers: list[np.ndarray]) -> None:
        """Give the first texts in line a token each; those that end leave the line."""
        growing = [texts.popleft() for _ in range(min(self.rows, len(texts)))]
        states = self.forward.empty_states(self.rows)
        for place, text in enumerate(growing):
            states[place] = text.state
        logits = self.forward.logits(states)[: len(growing)].cpu().numpy()  # (texts, vocabulary)
        going = []
        for text, values in zip(growing, logits, strict=True):
            text.tokens.append(choose_token(values, text.request.decoding, text.rng))
            full = len(text.tokens) >= text.request.decoding.max_new_tokens
            if full or self.ended(text.tokens, text.request.decoding):
                answers[text.index] = np.array(text.tokens, dtype=np.int32)
            else:
                going.append(text)
        if going:
            rows = [text.next_row() for text in going]
            new = self.forward.trunk_pass(rows, self.rows)
            self.passed += len(rows)
            self.passes += 1
            for text, row in zip(going, rows, strict=True):
                text.state = new[row.begin].clone()
        texts.extendleft(reversed(going))
