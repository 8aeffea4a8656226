"""Keys and values of texts that grow side by side, and their attention in one call for neighbours of like length.

A text has a *slot*: a row of every decode pass and a place in one tensor of keys and one of values per layer, so a
step appends to them without a copy (the static cache of GPT-Fast, https://github.com/meta-pytorch/gpt-fast, with a
row per text). Attention reads a text's keys up to a *span*, the next of a few fixed lengths, and hides those behind
its last token. One call covers neighbouring slots of the same span; it computes each text by itself, in a shape that
the text's own length gives, so the answer's bits do not depend on the other slots.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from evolm.models.prefix_cache import KeyValues

SHORTEST, STEPS = 64, 4  # the spans are 64, 128, 192, 256, then four to each doubling
CACHE_BYTES = 512 * 2**20  # for all slots, of which there may be fewer than rows


def _spans(limit: int) -> list[int]:
    spans = [SHORTEST * step for step in range(1, STEPS + 1)]
    while spans[-1] < limit:
        spans += [spans[-1] * (STEPS + step) // STEPS for step in range(1, STEPS + 1)]
    return spans


SPANS = _spans(2**22)


def span_of(length: int) -> int:
    """Return the number of keys that attention reads for a text of so many tokens."""
    return SPANS[bisect_left(SPANS, length)]


@dataclass(frozen=True)
class _Run:
    """Neighbouring slots, ``begin`` up to ``end``, whose texts have one span."""

    begin: int
    end: int
    span: int


class DecodeCache:
    """Slots for growing texts.

    Args:
        rows: of a decode pass; row ``i`` is that of slot ``i``.
        device: of the model.

    Attributes:
        lengths: ``(rows,)`` tokens of each slot's text whose keys and values are known, that of the present pass
            included; 0 = the slot is free.
    """

    def __init__(self, rows: int, device: torch.device) -> None:
        self.rows = rows
        self.device = device
        self.lengths = [0] * rows
        self._capacity = 0
        self._layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}  # (slots, Hkv, capacity, d) each
        self._runs: list[_Run] = []
        self._masks: dict[tuple[int, int | None], torch.Tensor] = {}
        self._written: tuple[torch.Tensor, torch.Tensor] | None = None

    # -- slots -------------------------------------------------------------------------------------------------

    def free(self, past: KeyValues, room: int) -> int | None:
        """Return a free slot for a text, or None if it has to wait.

        Args:
            past: of the text, which tells the size of a token's keys and values.
            room: most tokens that the text may have.
        """
        token = sum(k.nbytes // k.shape[1] + v.nbytes // v.shape[1] for k, v in past.values())
        capacity = max(self._capacity, span_of(room))
        slots = min(max(CACHE_BYTES // (token * capacity), 1), self.rows)
        if any(self.lengths[slots:]):
            return None  # a longer text leaves room for fewer slots
        return next((slot for slot in range(slots) if not self.lengths[slot]), None)

    def admit(self, slot: int, past: Mapping[int, tuple[torch.Tensor, torch.Tensor]], room: int) -> None:
        """Copy a text's keys and values into a free slot.

        Args:
            slot: from :meth:`free`.
            past: layer -> ``(Hkv, S, d)`` keys and values of its context.
            room: most tokens that it may have.
        """
        self._make_room(slot, past, span_of(room))
        for layer, own in past.items():
            for kept, new in zip(self._layers[layer], own, strict=True):
                kept[slot, :, : new.shape[1]] = new
                kept[slot, :, new.shape[1] :] = 0  # hidden keys must be finite, whatever was here before
        self.lengths[slot] = next(iter(past.values()))[0].shape[1]

    def release(self, slot: int) -> None:
        """Give a slot back."""
        self.lengths[slot] = 0

    def _make_room(self, slot: int, past: Mapping[int, tuple[torch.Tensor, torch.Tensor]], span: int) -> None:
        capacity = max(self._capacity, span)
        slots = len(next(iter(self._layers.values()))[0]) if self._layers else 0
        if slot < slots and capacity == self._capacity:
            return
        slots = min(max(2 * slots, slot + 1), self.rows) if slot >= slots else slots
        for layer, own in past.items():
            before = self._layers.get(layer)
            grown = [new.new_zeros(slots, len(new), capacity, new.shape[2]) for new in own]
            for wide, narrow in zip(grown, before or (), strict=False):
                wide[: len(narrow), :, : self._capacity] = narrow
            self._layers[layer] = grown[0], grown[1]
        self._capacity = capacity

    # -- a pass ------------------------------------------------------------------------------------------------

    def begin_pass(self, slots: Sequence[int]) -> None:
        """Prepare a pass that adds one token to each of some slots' texts; other texts must not be in a slot."""
        positions = [self.lengths[slot] for slot in slots]
        self._written = (
            torch.tensor(slots, device=self.device),
            torch.tensor(positions, device=self.device),
        )
        self._runs, self._masks = [], {}
        for slot, position in zip(slots, positions, strict=True):
            self.lengths[slot] = position + 1
            span, last = span_of(position + 1), self._runs[-1] if self._runs else None
            if last and last.end == slot and last.span == span:
                self._runs[-1] = _Run(last.begin, slot + 1, span)
            else:
                self._runs.append(_Run(slot, slot + 1, span))

    def attend(
        self,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        scaling: float | None,
        window: int | None,
    ) -> torch.Tensor:
        """Keep the new tokens' keys and values, and return the attention of every slot's text.

        Args:
            layer: of the model.
            query: ``(1, H, rows, d)``.
            key, value: ``(1, Hkv, rows, d)``.
            scaling: of the scores; None = 1 / sqrt(d).
            window: of a sliding window; None = all tokens are seen.

        Returns:
            ``(1, rows, H, d)``; zero in rows without a text.
        """
        assert self._written is not None
        slots, positions = self._written
        keys, values = self._layers[layer]
        keys[slots, :, positions] = key[0, :, slots].transpose(0, 1)
        values[slots, :, positions] = value[0, :, slots].transpose(0, 1)
        heads, rows = query.shape[1:3]
        grouped = query[0].unflatten(0, (key.shape[1], -1)).permute(2, 0, 1, 3)  # (rows, Hkv, G, d)
        mixed = value.new_zeros(rows, *grouped.shape[1:3], value.shape[-1])
        for place, run in enumerate(self._runs):
            own = slice(run.begin, run.end)
            mixed[own] = F.scaled_dot_product_attention(
                grouped[own].contiguous(),
                keys[own, :, : run.span],
                values[own, :, : run.span],
                attn_mask=self._mask(place, window, query),
                scale=scaling,
            )
        return mixed.view(1, rows, heads, -1)

    def _mask(self, place: int, window: int | None, like: torch.Tensor) -> torch.Tensor:
        """Return the additive mask ``(slots, 1, 1, span)`` of a run, the same in all layers."""
        if (place, window) not in self._masks:
            run = self._runs[place]
            lengths = torch.tensor(self.lengths[run.begin : run.end])[:, None]  # (slots, 1)
            ages = lengths - 1 - torch.arange(run.span)  # (slots, span)
            hidden = (ages < 0) if window is None else (ages < 0) | (ages >= window)
            mask = torch.zeros(hidden.shape, dtype=like.dtype).masked_fill_(hidden, float("-inf"))
            self._masks[place, window] = mask[:, None, None].to(like.device)
        return self._masks[place, window]
