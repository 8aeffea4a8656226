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

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import accumulate

import numpy as np
import torch
import torch.nn.functional as F
from transformers import AttentionInterface, PreTrainedModel

from evolm.errors import ModelError
from evolm.models.decode_cache import DecodeCache
from evolm.models.delta_batch import DeltaBatch
from evolm.models.deltas import Delta
from evolm.models.forward_plan import ForwardPlan, Segment, ancestry, fill_slabs
from evolm.models.prefix_cache import KeyValues, PrefixCache, text_keys
from evolm.models.shared_layers import SharedLayers

ATTENTION = "evolm_segments"
# The text on which shared layers are tried: tokens of a segment, and most slabs.
TRIAL_TOKENS, TRIAL_SLABS = 64, 2


@dataclass(frozen=True)
class Work:
    """Tokens that passed the trunk; a token that passed half of the layers counts as half a token.

    Attributes:
        tokens: padding excluded.
        slab_tokens: padding included.
    """

    tokens: float = 0.0
    slab_tokens: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(self.tokens + other.tokens, self.slab_tokens + other.slab_tokens)

    def __sub__(self, other: Work) -> Work:
        return Work(self.tokens - other.tokens, self.slab_tokens - other.slab_tokens)


@dataclass
class PassRow:
    """A segment's place in a pass: its tokens are neighbouring rows of the pass, from ``begin`` to ``end``.

    Attributes:
        segment: the tokens, their positions in the text, and the delta they carry.
        begin: first row in the pass.
        past: keys and values of all tokens before the segment; None at the start of a text.
        kept: filled with keys and values up to the segment's end if other segments continue it. May be ``past``.
        states: ``(tokens, d)`` output of the lower layers, if these are shared between deltas; else None.
        masks: sliding window -> attention mask, built by the first layer that needs it.
    """

    segment: Segment
    begin: int
    past: KeyValues | None
    kept: KeyValues | None
    states: torch.Tensor | None = None
    masks: dict[int | None, torch.Tensor] = field(default_factory=dict)

    @property
    def end(self) -> int:
        """The row after the last one."""
        return self.begin + len(self.segment.tokens)

    @property
    def delta(self) -> int:
        """Index of the delta that the tokens carry; -1 = none."""
        return self.segment.delta

    @property
    def positions(self) -> np.ndarray:
        """``(tokens,)`` positions in the text."""
        start, follows = self.segment.start, self.segment.follows
        if follows:
            return start - 1 + ancestry(follows).sum(1)
        return np.arange(start, start + len(self.segment.tokens))


def row_begins(segments: Iterable[Segment]) -> list[int]:
    """Return the first row of each segment if they lie side by side in this order."""
    return list(accumulate((len(segment.tokens) for segment in segments), initial=0))[:-1]


class SegmentCache:
    """Keys and values of a plan's segments, each kept until the last segment that continues it was passed.

    Args:
        plan: its segments wait for their parents.
        ends: segments that the caller waits for too, once per entry; it calls :meth:`release` for each.
        known: segments that are not passed -> their keys and values.

    Attributes:
        ready: the segments that are not passed.
        known: segment -> keys and values up to its end, for all segments that are waited for.
    """

    def __init__(self, plan: ForwardPlan, ends: Sequence[int], known: dict[int, KeyValues]) -> None:
        self.plan = plan
        self.ready = frozenset(known)
        passed = (segment for index, segment in enumerate(plan.segments) if index not in self.ready)
        awaited = [segment.parent for segment in passed if segment.parent >= 0]
        self.waiting = np.bincount([*awaited, *ends], minlength=len(plan.segments))
        self.known: dict[int, KeyValues] = {index: kept for index, kept in known.items() if self.waiting[index]}

    def rows(self, slab: Sequence[int], states: Mapping[int, torch.Tensor] = {}) -> list[PassRow]:
        """Return the rows of a slab's segments, with an empty dict for keys and values that are waited for.

        A parent may lie in the same slab: each layer has computed its keys and values when the child's turn comes.

        Args:
            slab: indices of segments.
            states: segment -> ``(tokens, d)`` output of the lower layers.
        """
        segments = [self.plan.segments[index] for index in slab]
        self.known.update((index, {}) for index in slab if self.waiting[index])
        return [
            PassRow(segment, begin, self.known.get(segment.parent), self.known.get(index), states.get(index))
            for index, segment, begin in zip(slab, segments, row_begins(segments), strict=True)
        ]

    def release_parents(self, slab: Sequence[int]) -> None:
        """End the wait of a slab's segments for their parents."""
        for index in slab:
            if self.plan.segments[index].parent >= 0:
                self.release(self.plan.segments[index].parent)

    def release(self, index: int) -> None:
        """End one wait for a segment; the last one frees its keys and values."""
        self.waiting[index] -= 1
        if not self.waiting[index]:
            self.known.pop(index, None)


def attend_segments(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    rows: Sequence[PassRow],
    growing: DecodeCache | None = None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_unused: object,
) -> tuple[torch.Tensor, None]:
    """Compute the attention of every segment to its past and itself.

    Args:
        query: ``(1, H, N, d)``.
        key, value: ``(1, Hkv, N, d)``.
        rows: the segments of the pass.
        growing: of a decode pass, the keys and values of its texts.

    Returns:
        ``(1, N, H, d)``; padding is zero.

    Raises:
        ModelError: if the model caps its attention scores.
    """
    if softcap is not None:
        raise ModelError("expected attention without a cap on its scores, found one")
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    if growing is not None:
        return growing.attend(layer, query, key, value, scaling, sliding_window), None
    heads, tokens, width = query.shape[1:]
    kv_heads = key.shape[1]
    group = heads // kv_heads
    queries = query[0].unflatten(0, (kv_heads, group))  # (Hkv, G, N, d)
    pieces = []
    for row in rows:
        keys, values = key[0, :, row.begin : row.end], value[0, :, row.begin : row.end]  # (Hkv, t, d)
        if row.past is not None:
            past_keys, past_values = row.past[layer]
            keys, values = torch.cat((past_keys, keys), 1), torch.cat((past_values, values), 1)  # (Hkv, S, d)
        if row.kept is not None:
            # Without a past these are views of the whole slab, whose memory would stay alive with them.
            row.kept[layer] = (keys, values) if row.past is not None else (keys.clone(), values.clone())
        # Queries that share keys become more rows of one product: (Hkv, G * t, d).
        folded = queries[:, :, row.begin : row.end].reshape(1, kv_heads, -1, width)
        mask = _mask(row, group, sliding_window, query)
        mixed = F.scaled_dot_product_attention(folded, keys[None], values[None], attn_mask=mask, scale=scaling)
        pieces.append(mixed[0].unflatten(1, (group, -1)).permute(2, 0, 1, 3))  # (t, Hkv, G, d)
    pieces.append(query.new_zeros(tokens - rows[-1].end, kv_heads, group, width))
    return torch.cat(pieces).view(1, tokens, heads, width), None


def _mask(row: PassRow, group: int, window: int | None, like: torch.Tensor) -> torch.Tensor:
    """Return the additive mask ``(G * t, S)``: a token sees the past and the tokens it follows."""
    mask = row.masks.get(window)
    if mask is None:
        start, follows, positions = row.segment.start, row.segment.follows, row.positions
        ages = positions[:, None] - np.concatenate((np.arange(start), positions))[None]  # (t, S)
        hidden = (ages < 0) if window is None else (ages < 0) | (ages >= window)
        if follows:
            hidden[:, start:] |= ~ancestry(follows)
        mask = torch.zeros(hidden.shape, dtype=like.dtype).masked_fill_(torch.from_numpy(hidden), float("-inf"))
        mask = row.masks[window] = mask.repeat(group, 1).to(like.device)
    return mask


AttentionInterface.register(ATTENTION, attend_segments)


class PackedForward:
    """Packed forward passes of one model: its trunk, its output head, and the log-probabilities from both.

    Args:
        model: a causal LM whose attention implementation is :data:`ATTENTION`.
        slab_tokens: tokens in every pass of the linear layers.
        head_rows: positions in every pass of the output head.
        delta_columns: columns of a block of low-rank factors, see :mod:`evolm.models.delta_batch`.
        trunk_bytes: most bytes of states that deltas share, see :mod:`evolm.models.shared_layers`.
        prefix_bytes: most bytes of prompts' keys and values, see :mod:`evolm.models.prefix_cache`.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        slab_tokens: int,
        head_rows: int,
        delta_columns: int = 32,
        trunk_bytes: int = 0,
        prefix_bytes: int = 0,
    ) -> None:
        self.model = model
        self.trunk = model.base_model
        self.head = model.get_output_embeddings()
        self._like = next(self.trunk.parameters())
        self.slab_tokens = slab_tokens
        self.head_rows = head_rows
        self.delta_columns = delta_columns
        self.shared = SharedLayers(model, trunk_bytes, slab_tokens)
        self.prefixes = PrefixCache(prefix_bytes)
        self.work = Work()
        self._layers: int = model.config.get_text_config().num_hidden_layers
        self._deltas: DeltaBatch | None = None  # that rows carry, inside of `carrying`
        self._shares: dict[int, bool] = {}  # depth -> whether two passes give the bits of one

    def shares_layers_at(self, depth: int) -> bool:
        """Return whether deltas share the layers below ``depth``.

        They do if there is memory for shared states, and if passing the lower and the upper layers one after the
        other gives the same bits as one pass. Some architectures depend on the number of layers in a part, so each
        depth is tried once.
        """
        if not depth or not self.shared.limit:
            return False
        if depth not in self._shares:
            self._shares[depth] = self.gives_same_bits(self._states, depth=depth)
            self.shared.forget()
        return self._shares[depth]

    def gives_same_bits(self, states: Callable[[ForwardPlan], torch.Tensor], depth: int = 0, top: int = 0) -> bool:
        """Return whether an architecture gives the bits of a whole pass if its layers are passed in part.

        Args:
            states: passes a plan and returns what is compared.
            depth, top: of the plan: which layers are passed.
        """
        segments = self._trial_text()
        every = [(index, 0) for index in range(len(segments))]
        plan = ForwardPlan(segments, fill_slabs(segments, self.slab_tokens), every)
        before = self.work
        with torch.inference_mode():
            whole = states(plan)
            try:
                found = states(replace(plan, depth=depth, top=top))
            except Exception:  # no architecture documents a part of its trunk, so any exception may come
                return False
            finally:
                self.work = before
        return torch.equal(whole, found)

    def _trial_text(self) -> list[Segment]:
        """Return a text that fills a slab, and exceeds the model's sliding window if context and limits allow."""
        config = self.model.config.get_text_config()
        window = getattr(config, "sliding_window", None) or 0
        tokens = max(self.slab_tokens, min(window + TRIAL_TOKENS, TRIAL_SLABS * self.slab_tokens))
        tokens = min(tokens, getattr(config, "max_position_embeddings", 0) or tokens)
        text = (np.arange(tokens) * 7919 % self.head.weight.shape[0]).tolist()  # a prime: neighbours differ widely
        length = min(TRIAL_TOKENS, self.slab_tokens)
        begins = range(0, tokens, length)
        return [Segment(tuple(text[at : at + length]), at, place - 1) for place, at in enumerate(begins)]

    def _states(self, plan: ForwardPlan) -> torch.Tensor:
        """Return ``(tokens, d)``: the final states of all segments, in their order."""
        found = {}
        for begins, states, _ in self.passes(plan):
            for index, begin in begins.items():
                found[index] = states[begin : begin + len(plan.segments[index].tokens)].clone()
        return torch.cat([found[index] for index in range(len(plan.segments))])

    @contextmanager
    def carrying(self, deltas: Sequence[Delta]) -> Iterator[None]:
        """Let ``deltas`` act in the passes inside of this block, each on the rows that carry it."""
        if not deltas:
            yield
            return
        self._deltas = DeltaBatch(self.model, deltas, self.delta_columns)
        try:
            with self._deltas.attached():
                yield
        finally:
            self._deltas = None

    @torch.inference_mode()
    def logprobs(self, plan: ForwardPlan) -> np.ndarray:
        """Return ``(len(plan.targets),)`` float32, the log-probability (nats) of each target."""
        with self.carrying(plan.deltas):
            hidden = self._hidden(plan)
        by_position: dict[int, list[int]] = {}
        for index, (position, _) in enumerate(plan.targets):
            by_position.setdefault(position, []).append(index)
        result = np.empty(len(plan.targets), dtype=np.float32)
        for begin in range(0, len(plan.positions), self.head_rows):
            rows = hidden[begin : begin + self.head_rows]
            logits = self.logits(rows)
            normalizer = torch.logsumexp(logits, dim=-1)
            for row in range(min(self.head_rows, len(plan.positions) - begin)):
                wanted = by_position.get(begin + row, [])
                tokens = torch.tensor([plan.targets[i][1] for i in wanted], device=logits.device)
                result[wanted] = (logits[row, tokens] - normalizer[row]).cpu().numpy()
        return result

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """Return ``(head_rows, vocabulary)`` float32 of ``(head_rows, d)`` final states."""
        return self.head(states).float()

    def _hidden(self, plan: ForwardPlan) -> torch.Tensor:
        """Return the final hidden states ``(positions, d)``, rounded up to whole blocks of the head."""
        hidden = self.empty_states(-(-len(plan.positions) // self.head_rows) * self.head_rows)
        wanted: dict[int, list[tuple[int, int]]] = {}  # segment -> [(offset, position)]
        for position, (segment, offset) in enumerate(plan.positions):
            wanted.setdefault(segment, []).append((offset, position))
        for begins, states, _ in self.passes(plan):
            for index, begin in begins.items():
                for offset, position in wanted.get(index, ()):
                    hidden[position] = states[begin + offset]
        return hidden

    def empty_states(self, rows: int) -> torch.Tensor:
        """Return ``(rows, d)`` zeros of the trunk's dtype."""
        return torch.zeros(rows, self.head.weight.shape[1], dtype=self._like.dtype, device=self._like.device)

    def passes(
        self, plan: ForwardPlan, ends: Sequence[int] = (), below: Mapping[int, torch.Tensor] | None = None
    ) -> Iterator[tuple[dict[int, int], torch.Tensor, SegmentCache]]:
        """Pass a plan's slabs through the trunk, one after the other.

        If the plan has a depth, the output of the lower layers is computed once for all deltas, and only the layers
        above are passed for each delta.

        Args:
            plan: what is passed; its deltas act inside of :meth:`carrying`.
            ends: segments whose keys and values the caller needs; it calls the cache's ``release`` for each.
            below: segment -> ``(tokens, d)`` output of the lower layers, if the plan has a depth and the caller has
                them; None = they are computed, or known from before.

        Yields:
            Per slab: index of each segment -> its first row; the states ``(slab_tokens, d)`` that leave the plan's
            last layer, after the model's final norm if it is the model's last; the cache.
        """
        keys = text_keys(plan, [delta.digest.encode() for delta in plan.deltas])
        needed = {*ends, *(segment for segment, _ in plan.positions)}
        # The cache must hold the only reference, so that memory is freed after the last dependent segment.
        cache = SegmentCache(plan, ends, self.prefixes.known(plan, keys, needed))
        slabs = fill_slabs(plan.segments, self.slab_tokens, cache.ready) if cache.ready else plan.slabs
        if below is None:
            below = self.shared.states(plan, self.lower_passes, cache.ready) if plan.depth else {}
        for slab in slabs:
            rows = cache.rows(slab, below)
            states = self.trunk_pass(rows, self.slab_tokens, plan.depth, plan.top)
            for index, row in zip(slab, rows, strict=True):
                if row.segment.lasting and self.prefixes.limit and row.kept:
                    self.prefixes.keep(keys[index], len(row.segment.tokens), row.kept)
            cache.release_parents(slab)
            yield {index: row.begin for index, row in zip(slab, rows, strict=True)}, states, cache

    def lower_passes(self, plan: ForwardPlan) -> Iterator[tuple[dict[int, int], torch.Tensor]]:
        """Pass a plan's slabs through the lowest ``plan.depth`` layers, without deltas.

        Yields:
            Per slab: index of each segment -> its first row; the states ``(slab_tokens, d)`` that enter the next
            layer.
        """
        cache = SegmentCache(plan, (), {})
        for slab in plan.slabs:
            rows = cache.rows(slab)
            self.count(rows[-1].end, self.slab_tokens, plan.depth / self._layers)
            tokens = self._tokens(rows, self.slab_tokens)
            states = self._run(self.shared.lower(plan.depth), rows, self.slab_tokens, input_ids=tokens)
            cache.release_parents(slab)
            yield {index: row.begin for index, row in zip(slab, rows, strict=True)}, states

    def decode_pass(self, rows: Sequence[PassRow], cache: DecodeCache) -> torch.Tensor:
        """Pass one token of each of some texts through the trunk.

        Args:
            rows: segments of one token, each in the row of its slot.
            cache: the texts' keys and values; the tokens' own are added.

        Returns:
            ``(cache.rows, d)`` states; those of other rows are meaningless.
        """
        cache.begin_pass([row.begin for row in rows])
        self.count(len(rows), cache.rows, 1)
        if self._deltas is not None:
            self._deltas.place(rows, cache.rows)
        tokens = self._tokens(rows, cache.rows)
        return self._run(self.trunk, rows, cache.rows, cache, input_ids=tokens)

    def trunk_pass(self, rows: Sequence[PassRow], size: int, depth: int = 0, top: int = 0) -> torch.Tensor:
        """Pass rows side by side through the trunk.

        Args:
            rows: segments, in the order of their rows.
            size: rows of the pass, padding included.
            depth: 0 = pass the lowest layers; else those from this one on, and ``states`` of the rows enter it.
            top: 0 = up to the final norm; else up to this layer.

        Returns:
            ``(size, d)`` states; those after the last row are meaningless.
        """
        self.count(rows[-1].end, size, ((top or self._layers) - depth) / self._layers)
        if self._deltas is not None:
            self._deltas.place(rows, size)
        if depth:
            upper = self.shared.upper(depth, top)
            return self._run(upper, rows, size, inputs_embeds=self._joined_states(rows, size))
        return self._run(
            self.shared.lower(top) if top else self.trunk, rows, size, input_ids=self._tokens(rows, size)
        )

    def _run(
        self,
        layers: torch.nn.Module,
        rows: Sequence[PassRow],
        size: int,
        growing: DecodeCache | None = None,
        **inputs: torch.Tensor,
    ) -> torch.Tensor:
        """Return ``(size, d)``, the output of some layers.

        Args:
            layers: the trunk or a part of it.
            rows: segments, in the order of their rows.
            size: rows of the pass.
            growing: see :func:`attend_segments`.
            inputs: ``input_ids`` ``(1, size)``, or ``inputs_embeds`` ``(1, size, d)``.
        """
        positions = np.zeros(size, dtype=np.int64)
        for row in rows:
            positions[row.begin : row.end] = row.positions
        return layers(
            **inputs,
            position_ids=torch.from_numpy(positions).to(self.head.weight.device)[None],
            use_cache=False,
            rows=rows,
            growing=growing,
        ).last_hidden_state[0]

    def _tokens(self, rows: Sequence[PassRow], size: int) -> torch.Tensor:
        """Return ``(1, size)`` int64: the rows' tokens, padded with 0."""
        tokens = np.zeros(size, dtype=np.int64)
        for row in rows:
            tokens[row.begin : row.end] = row.segment.tokens
        return torch.from_numpy(tokens).to(self.head.weight.device)[None]

    def _joined_states(self, rows: Sequence[PassRow], size: int) -> torch.Tensor:
        """Return ``(1, size, d)``: the rows' states from the lower layers, padded with 0."""
        states = self.empty_states(size)
        for row in rows:
            if row.states is not None:
                states[row.begin : row.end] = row.states
        return states[None]

    def count(self, tokens: int, size: int, share: float) -> None:
        """Add to the work done: ``tokens`` in a pass of ``size`` rows, through a ``share`` of the layers."""
        self.work += Work(tokens * share, size * share)

    def count_backward(self, tokens: int, depth: int) -> None:
        """Add a backward pass from layer ``depth`` on to the work done; it costs two forward passes."""
        self.count(tokens, tokens, 2 * (self._layers - depth) / self._layers)
