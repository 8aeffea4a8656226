"""One forward pass over a stream of token segments that share each other's past.

A prompt is cut into *segments*: blocks of its prefix, the item that follows, the continuations that follow
the item. Segments form a tree; each attends to its ancestors' keys and values and to itself. Segments of
any lengths, prompts and depths lie side by side in *slabs* of a fixed number of tokens: the linear layers
see ``(1, slab_tokens, d)`` always, attention is computed segment by segment.

So arithmetic depends on the segment alone. The linear layers' shape never changes, and a row of a matrix
product does not depend on its neighbours or its place; a segment's attention has the shape ``(tokens of
the segment, tokens up to its end)``, whatever else is in the slab. This is how the same request gives the
same bits in any company (PagedAttention, Kwon 2023, https://arxiv.org/abs/2309.06180, shares prefixes in
blocks too; RadixAttention, Zheng 2023, https://arxiv.org/abs/2312.07104, keeps them in a tree; neither
fixes the shapes).

The model is any transformers causal LM that accepts an attention backend; ours is registered as
``"evolm_segments"``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from transformers import AttentionInterface, PreTrainedModel

from evolm.errors import ModelError

ATTENTION = "evolm_segments"


@dataclass(frozen=True)
class Segment:
    """A run of tokens that continues another one.

    Attributes:
        tokens: the tokens of this segment only.
        start: position of its first token in the whole text.
        parent: index of the segment it continues, -1 at the start of a text.
    """

    tokens: tuple[int, ...]
    start: int
    parent: int


@dataclass(frozen=True)
class ForwardPlan:
    """What one forward pass computes.

    Attributes:
        segments: in an order in which parents come first.
        slabs: indices of the segments in each slab; a parent lies in an earlier slab or earlier in its own.
        positions: ``(segment, offset)`` of each place whose next-token distribution is needed.
        targets: ``(position, token)`` of each wanted log-probability.
    """

    segments: Sequence[Segment]
    slabs: Sequence[Sequence[int]]
    positions: Sequence[tuple[int, int]]
    targets: Sequence[tuple[int, int]]

    @property
    def tokens(self) -> int:
        """Tokens that pass the linear layers, padding excluded."""
        return sum(len(segment.tokens) for segment in self.segments)


KeyValues = dict[int, tuple[torch.Tensor, torch.Tensor]]  # layer -> (Hkv, S, d) keys and values up to the end


@dataclass
class _Row:
    """A segment's place in the slab at hand."""

    begin: int
    end: int
    past: KeyValues | None
    kept: KeyValues | None  # filled where another segment continues this one
    masks: dict[int | None, torch.Tensor] = field(default_factory=dict)  # sliding window -> mask


@dataclass
class _Slab:
    rows: list[_Row]


def attend_segments(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    slab: _Slab,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_unused: object,
) -> tuple[torch.Tensor, None]:
    """Attention of every segment of a slab to its ancestors and itself.

    Args:
        query: ``(1, H, N, d)``.
        key, value: ``(1, Hkv, N, d)``.
        slab: which rows hold which segment.

    Returns:
        ``(1, N, H, d)``; rows without a segment are zero.

    Raises:
        ModelError: if the model caps its attention scores.
    """
    if softcap is not None:
        raise ModelError("attention with capped scores is not supported")
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    heads, tokens, width = query.shape[1:]
    kv_heads = key.shape[1]
    group = heads // kv_heads
    queries = query[0].unflatten(0, (kv_heads, group))  # (Hkv, G, N, d)
    out = query.new_zeros(tokens, kv_heads, group, width)
    for row in slab.rows:
        keys, values = key[0, :, row.begin : row.end], value[0, :, row.begin : row.end]  # (Hkv, t, d)
        if row.past is not None:
            past_keys, past_values = row.past[layer]
            keys, values = torch.cat((past_keys, keys), 1), torch.cat((past_values, values), 1)  # (Hkv, S, d)
        if row.kept is not None:
            # Without a past these are views of the whole slab, which must not stay alive with them.
            row.kept[layer] = (keys, values) if row.past is not None else (keys.clone(), values.clone())
        # Queries that share keys become more rows of one product: (Hkv, G * t, d).
        folded = queries[:, :, row.begin : row.end].reshape(1, kv_heads, -1, width)
        mask = _mask(row, keys.shape[1], group, sliding_window, query)
        mixed = F.scaled_dot_product_attention(folded, keys[None], values[None], attn_mask=mask, scale=scaling)
        out[row.begin : row.end] = mixed[0].unflatten(1, (group, -1)).permute(2, 0, 1, 3)
    return out.view(1, tokens, heads, width), None


def _mask(row: _Row, seen: int, group: int, window: int | None, like: torch.Tensor) -> torch.Tensor:
    """Additive causal mask ``(G * t, S)``, aligned at the last token; built once per segment, not per layer."""
    mask = row.masks.get(window)
    if mask is None:
        tokens = row.end - row.begin
        ages = torch.arange(seen - tokens, seen)[:, None] - torch.arange(seen)[None]  # (t, S)
        hidden = (ages < 0) if window is None else (ages < 0) | (ages >= window)
        mask = torch.zeros(hidden.shape, dtype=like.dtype).masked_fill_(hidden, float("-inf"))
        mask = row.masks[window] = mask.repeat(group, 1).to(like.device)
    return mask


AttentionInterface.register(ATTENTION, attend_segments)


class PackedForward:
    """Log-probabilities by packed forward passes of one model.

    Args:
        model: a causal LM whose attention implementation is :data:`ATTENTION`.
        slab_tokens: tokens in every pass of the linear layers.
        head_rows: positions in every pass of the output head.
    """

    def __init__(self, model: PreTrainedModel, slab_tokens: int, head_rows: int) -> None:
        self.model = model
        self.trunk = model.base_model
        self.head = model.get_output_embeddings()
        self.slab_tokens = slab_tokens
        self.head_rows = head_rows

    @torch.inference_mode()
    def logprobs(self, plan: ForwardPlan) -> np.ndarray:
        """Return ``(len(plan.targets),)`` float32, the log-probability (nats) of each target."""
        hidden = self._hidden(plan)
        by_position: dict[int, list[int]] = {}
        for index, (position, _) in enumerate(plan.targets):
            by_position.setdefault(position, []).append(index)
        result = np.empty(len(plan.targets), dtype=np.float32)
        for begin in range(0, len(plan.positions), self.head_rows):
            rows = hidden[begin : begin + self.head_rows]
            logits = self.head(rows).float()  # (head_rows, vocabulary)
            normalizer = torch.logsumexp(logits, dim=-1)
            for row in range(min(self.head_rows, len(plan.positions) - begin)):
                wanted = by_position.get(begin + row, [])
                tokens = torch.tensor([plan.targets[i][1] for i in wanted], device=logits.device)
                result[wanted] = (logits[row, tokens] - normalizer[row]).cpu().numpy()
        return result

    def _hidden(self, plan: ForwardPlan) -> torch.Tensor:
        """Return the final hidden states ``(positions, d)``, rounded up to whole blocks of the head."""
        blocks = -(-len(plan.positions) // self.head_rows)
        weight = next(self.trunk.parameters())
        hidden = torch.zeros(
            blocks * self.head_rows, self.head.weight.shape[1], dtype=weight.dtype, device=weight.device
        )
        wanted: dict[int, list[tuple[int, int]]] = {}  # segment -> [(offset, position)]
        for position, (segment, offset) in enumerate(plan.positions):
            wanted.setdefault(segment, []).append((offset, position))
        waiting = np.bincount(
            [segment.parent for segment in plan.segments if segment.parent >= 0], minlength=len(plan.segments)
        )
        cache: dict[int, KeyValues] = {}
        for slab in plan.slabs:
            states, begins = self._pass(plan, slab, cache, waiting)
            for index in slab:
                for offset, position in wanted.get(index, ()):
                    hidden[position] = states[begins[index] + offset]
        return hidden

    def _pass(
        self, plan: ForwardPlan, slab: Sequence[int], cache: dict[int, KeyValues], waiting: np.ndarray
    ) -> tuple[torch.Tensor, dict[int, int]]:
        """Pass one slab through the trunk: states ``(slab_tokens, d)`` and where each segment begins."""
        tokens = np.zeros(self.slab_tokens, dtype=np.int64)
        places = np.zeros(self.slab_tokens, dtype=np.int64)
        rows: list[_Row] = []
        begins: dict[int, int] = {}
        begin = 0
        for index in slab:
            segment = plan.segments[index]
            end = begin + len(segment.tokens)
            tokens[begin:end] = segment.tokens
            places[begin:end] = np.arange(segment.start, segment.start + len(segment.tokens))
            kept: KeyValues | None = {} if waiting[index] else None
            if kept is not None:
                cache[index] = kept
            rows.append(_Row(begin, end, cache.get(segment.parent), kept))
            begins[index] = begin
            begin = end
        device = self.head.weight.device
        states = self.trunk(
            input_ids=torch.from_numpy(tokens).to(device)[None],
            position_ids=torch.from_numpy(places).to(device)[None],
            use_cache=False,
            slab=_Slab(rows),
        ).last_hidden_state[0]
        self._release(plan, slab, cache, waiting)
        return states, begins

    @staticmethod
    def _release(plan: ForwardPlan, slab: Sequence[int], cache: dict[int, KeyValues], waiting: np.ndarray) -> None:
        """Forget keys and values that no later segment continues."""
        for index in slab:
            parent = plan.segments[index].parent
            if parent >= 0:
                waiting[parent] -= 1
                if not waiting[parent]:
                    cache.pop(parent, None)
