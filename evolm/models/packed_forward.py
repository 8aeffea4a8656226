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

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import torch
import torch.nn.functional as F
from transformers import AttentionInterface, PreTrainedModel

from evolm.errors import ModelError
from evolm.models.delta_batch import DeltaBatch
from evolm.models.deltas import Delta
from evolm.models.forward_plan import ForwardPlan, Segment, ancestry, fill_slabs
from evolm.models.prefix_cache import KeyValues, PrefixCache, text_keys
from evolm.models.shared_layers import SharedLayers

ATTENTION = "evolm_segments"
TRIED, TRIED_SLABS = 64, 2  # tokens of a segment, and most slabs, of the text on which sharing layers is tried


@dataclass(frozen=True)
class Work:
    """What passed the trunk, in tokens that passed all of its layers; half the layers make half a token.

    Attributes:
        tokens: without padding.
        slab_tokens: with it.
    """

    tokens: float = 0.0
    slab_tokens: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(self.tokens + other.tokens, self.slab_tokens + other.slab_tokens)

    def __sub__(self, other: Work) -> Work:
        return Work(self.tokens - other.tokens, self.slab_tokens - other.slab_tokens)


@dataclass
class PassRow:
    """Some tokens' place in a pass.

    Attributes:
        tokens: the tokens.
        start: position of the first one in its text.
        past: keys and values of everything before them; None at the start of a text.
        kept: filled with keys and values up to their end, where something will continue them. May be ``past``.
        delta: index of the delta they carry; -1 = none.
        states: ``(tokens, d)`` what the lower layers made of them, where those are shared; else None.
        follows: of a tree, what each token follows; see :class:`~evolm.models.forward_plan.Segment`.
        begin: their first row in the pass.
    """

    tokens: Sequence[int]
    start: int
    past: KeyValues | None
    kept: KeyValues | None
    delta: int = -1
    states: torch.Tensor | None = None
    follows: tuple[int, ...] = ()
    begin: int = 0
    masks: dict[int | None, torch.Tensor] = field(default_factory=dict)  # sliding window -> mask

    @property
    def end(self) -> int:
        """The row behind the last one."""
        return self.begin + len(self.tokens)

    @property
    def places(self) -> np.ndarray:
        """``(tokens,)`` positions in the text."""
        if self.follows:
            return self.start - 1 + ancestry(self.follows).sum(1)
        return np.arange(self.start, self.start + len(self.tokens))


class _Cache:
    """Keys and values of segments, kept as long as something waits for them.

    Args:
        plan: its segments wait for their parents.
        ends: segments that something else waits for, one entry a wait; see :meth:`release`.
        known: segments that are not passed, and their keys and values.

    Attributes:
        ready: the segments that are not passed.
        known: keys and values that something still waits for.
    """

    def __init__(self, plan: ForwardPlan, ends: Sequence[int], known: dict[int, KeyValues]) -> None:
        self.ready = frozenset(known)
        passed = (segment for index, segment in enumerate(plan.segments) if index not in self.ready)
        awaited = [segment.parent for segment in passed if segment.parent >= 0]
        self.waiting = np.bincount([*awaited, *ends], minlength=len(plan.segments))
        self.known: dict[int, KeyValues] = {index: kept for index, kept in known.items() if self.waiting[index]}

    def room(self, index: int) -> KeyValues | None:
        """Return an empty place for a segment's keys and values; None where nobody waits for them."""
        if not self.waiting[index]:
            return None
        self.known[index] = {}
        return self.known[index]

    def release(self, index: int) -> None:
        """One wait for a segment is over; with the last one, forget it."""
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
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_unused: object,
) -> tuple[torch.Tensor, None]:
    """Attention of every row to its past and itself.

    Args:
        query: ``(1, H, N, d)``.
        key, value: ``(1, Hkv, N, d)``.
        rows: which rows of the pass belong together.

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
    pieces = []
    for row in rows:
        keys, values = key[0, :, row.begin : row.end], value[0, :, row.begin : row.end]  # (Hkv, t, d)
        if row.past is not None:
            past_keys, past_values = row.past[layer]
            keys, values = torch.cat((past_keys, keys), 1), torch.cat((past_values, values), 1)  # (Hkv, S, d)
        if row.kept is not None:
            # Without a past these are views of the whole slab, which must not stay alive with them.
            row.kept[layer] = (keys, values) if row.past is not None else (keys.clone(), values.clone())
        # Queries that share keys become more rows of one product: (Hkv, G * t, d).
        folded = queries[:, :, row.begin : row.end].reshape(1, kv_heads, -1, width)
        mask = _mask(row, group, sliding_window, query)
        mixed = F.scaled_dot_product_attention(folded, keys[None], values[None], attn_mask=mask, scale=scaling)
        pieces.append(mixed[0].unflatten(1, (group, -1)).permute(2, 0, 1, 3))  # (t, Hkv, G, d)
    pieces.append(query.new_zeros(tokens - rows[-1].end, kv_heads, group, width))
    return torch.cat(pieces).view(1, tokens, heads, width), None


def _mask(row: PassRow, group: int, window: int | None, like: torch.Tensor) -> torch.Tensor:
    """Additive mask ``(G * t, S)``: a token sees the past and what it follows; built once, not per layer."""
    mask = row.masks.get(window)
    if mask is None:
        places = row.places
        ages = places[:, None] - np.concatenate((np.arange(row.start), places))[None]  # (t, S)
        hidden = (ages < 0) if window is None else (ages < 0) | (ages >= window)
        if row.follows:
            hidden[:, row.start :] |= ~ancestry(row.follows)
        mask = torch.zeros(hidden.shape, dtype=like.dtype).masked_fill_(torch.from_numpy(hidden), float("-inf"))
        mask = row.masks[window] = mask.repeat(group, 1).to(like.device)
    return mask


AttentionInterface.register(ATTENTION, attend_segments)


class PackedForward:
    """Log-probabilities by packed forward passes of one model.

    Args:
        model: a causal LM whose attention implementation is :data:`ATTENTION`.
        slab_tokens: tokens in every pass of the linear layers.
        head_rows: positions in every pass of the output head.
        delta_columns: columns of a block of low-rank factors, see :mod:`evolm.models.delta_batch`.
        trunk_bytes: most memory for states that deltas share, see :mod:`evolm.models.shared_layers`.
        prefix_bytes: most memory for prompts' keys and values, see :mod:`evolm.models.prefix_cache`.
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
        self.shared = SharedLayers(model, trunk_bytes)
        self.prefixes = PrefixCache(prefix_bytes)
        self.work = Work()
        self._population: DeltaBatch | None = None
        self._sharing: dict[int, bool] = {}  # depth -> whether a text in two parts has the bits of the whole

    def shares_layers_at(self, depth: int) -> bool:
        """Whether deltas share the layers below ``depth``: there is room, and two parts give the bits of the whole.

        Some architectures count the layers of the part that is passed, so each depth is tried once by itself.
        """
        if not depth or not self.shared.limit:
            return False
        if depth not in self._sharing:
            self._sharing[depth] = self._same_in_two_parts(depth)
        return self._sharing[depth]

    def _same_in_two_parts(self, depth: int) -> bool:
        segments = self._text_to_try()
        plan = ForwardPlan(segments, fill_slabs(segments, self.slab_tokens))
        before = self.work
        with torch.inference_mode():
            whole = self._states(plan)
            try:
                parts = self._states(replace(plan, depth=depth))
            except Exception:  # half of a trunk is nobody's documented use: an architecture may fail in any way
                return False
            finally:
                self.work = before
                self.shared.forget()
        return torch.equal(whole, parts)

    def _text_to_try(self) -> list[Segment]:
        """Return a text that fills a slab, or more where a sliding window is wider, as far as the context reaches."""
        config = self.model.config.get_text_config()
        window = getattr(config, "sliding_window", None) or 0
        tokens = max(self.slab_tokens, min(window + TRIED, TRIED_SLABS * self.slab_tokens))
        tokens = min(tokens, getattr(config, "max_position_embeddings", 0) or tokens)
        text = (np.arange(tokens) * 7919 % self.head.weight.shape[0]).tolist()  # a prime: neighbours differ widely
        length = min(TRIED, self.slab_tokens)
        begins = range(0, tokens, length)
        return [Segment(tuple(text[at : at + length]), at, place - 1) for place, at in enumerate(begins)]

    def _states(self, plan: ForwardPlan) -> torch.Tensor:
        """Return ``(tokens, d)``: the final states of all segments, one behind the other."""
        found = {}
        for placed, states, _ in self.passes(plan):
            for index, begin in placed.items():
                found[index] = states[begin : begin + len(plan.segments[index].tokens)].clone()
        return torch.cat([found[index] for index in range(len(plan.segments))])

    @contextmanager
    def carrying(self, deltas: Sequence[Delta]) -> Iterator[None]:
        """Let rows carry ``deltas`` in the passes inside of this block."""
        if not deltas:
            yield
            return
        self._population = DeltaBatch(self.model, deltas, self.delta_columns)
        try:
            with self._population.attached():
                yield
        finally:
            self._population = None

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
        for placed, states, _ in self.passes(plan):
            for index, begin in placed.items():
                for offset, position in wanted.get(index, ()):
                    hidden[position] = states[begin + offset]
        return hidden

    def empty_states(self, rows: int) -> torch.Tensor:
        """Return ``(rows, d)`` zeros of the trunk's type."""
        return torch.zeros(rows, self.head.weight.shape[1], dtype=self._like.dtype, device=self._like.device)

    def passes(
        self, plan: ForwardPlan, ends: Sequence[int] = (), lower: bool = False
    ) -> Iterator[tuple[dict[int, int], torch.Tensor, _Cache]]:
        """Pass a plan's slabs through the trunk, one after the other.

        Args:
            plan: what to pass; its deltas act inside of :meth:`carrying`.
            ends: segments whose keys and values are wanted; whoever wants them calls the cache's ``release``.
            lower: pass the lowest ``plan.depth`` layers only. Otherwise, where a plan has a depth, what these make
                of a segment is computed once for all deltas, and the other layers are passed for each.

        Yields:
            Per slab: the first row of each of its segments; the states ``(slab_tokens, d)``; the cache.
        """
        keys = [] if lower else text_keys(plan, [delta.digest.encode() for delta in plan.deltas])
        needed = {*ends, *(segment for segment, _ in plan.positions)}
        # Nobody but the cache holds on to what is known, so that it goes when the last who waits for it was passed.
        cache = _Cache(plan, ends, {} if lower else self.prefixes.known(plan, keys, needed))
        slabs = fill_slabs(plan.segments, self.slab_tokens, cache.ready) if cache.ready else plan.slabs
        below = {} if lower or not plan.depth else self.shared.states(plan, self, cache.ready)
        for slab in slabs:
            segments = {index: plan.segments[index] for index in slab}
            # A parent may lie in the same slab: in each layer its keys and values are there before the child's turn.
            room = {index: cache.room(index) for index in slab}
            rows = [
                PassRow(
                    segment.tokens,
                    segment.start,
                    cache.known.get(segment.parent),
                    room[index],
                    segment.delta,
                    below.get(index),
                    segment.follows,
                )
                for index, segment in segments.items()
            ]
            states = self.trunk_pass(rows, self.slab_tokens, plan.depth, lower)
            for index, segment in segments.items():
                if segment.lasting and self.prefixes.limit and room[index]:
                    self.prefixes.keep(keys[index], len(segment.tokens), cache.known[index])
            for segment in segments.values():
                if segment.parent >= 0:
                    cache.release(segment.parent)
            yield {index: row.begin for index, row in zip(slab, rows, strict=True)}, states, cache

    def trunk_pass(self, rows: Sequence[PassRow], size: int, depth: int = 0, lower: bool = False) -> torch.Tensor:
        """Pass rows side by side through the trunk: states ``(size, d)``, behind the last row meaningless.

        Args:
            rows: the rows.
            size: of the pass.
            depth: pass only the layers from this one on, from the rows' ``states``; with ``lower`` those before.
            lower: see ``depth``.
        """
        tokens, places = np.zeros((2, size), dtype=np.int64)
        begin = 0
        for row in rows:
            row.begin = begin
            begin = row.end
            tokens[row.begin : row.end] = row.tokens
            places[row.begin : row.end] = row.places
        self.count(begin, size, depth, lower)
        device = self.head.weight.device
        inputs: dict[str, torch.Tensor] = {"input_ids": torch.from_numpy(tokens).to(device)[None]}
        layers = self.trunk
        if depth and lower:
            layers = self.shared.lower(depth)
        elif depth:
            layers = self.shared.upper(depth)
            inputs = {"inputs_embeds": self._side_by_side(rows, size)[None]}
        if self._population is not None and not lower:
            self._population.place(rows, size)
        return layers(
            **inputs,
            position_ids=torch.from_numpy(places).to(device)[None],
            use_cache=False,
            rows=rows,
        ).last_hidden_state[0]

    def count(self, tokens: int, size: int, depth: int = 0, lower: bool = False, times: int = 1) -> None:
        """Add to the work done: ``times`` passes of ``tokens`` in ``size`` rows through some of the layers."""
        layers = self.model.config.get_text_config().num_hidden_layers
        share = times * (depth if lower else layers - depth) / layers
        self.work += Work(tokens * share, size * share)

    def _side_by_side(self, rows: Sequence[PassRow], size: int) -> torch.Tensor:
        """Return ``(size, d)``: the rows' states from the lower layers."""
        states = self.empty_states(size)
        for row in rows:
            if row.states is not None:
                states[row.begin : row.end] = row.states
        return states
