"""What one forward pass computes: segments of text, the slabs they lie in, the places where answers are read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from evolm.models.deltas import Delta

LOOKAHEAD = 512  # segments considered when a slab is filled; bounds the keys and values alive


@dataclass(frozen=True)
class Segment:
    """A run of tokens that continues another one, or a tree of them: an item with several answers behind it.

    One pass over a tree is cheaper than one over each of its branches (tree attention, Miao 2023,
    https://arxiv.org/abs/2305.09781).

    Attributes:
        tokens: the tokens of this segment only.
        start: position of its first token in the whole text.
        parent: index of the segment it continues, -1 at the start of a text.
        delta: index of the delta it carries, the same as its parent's; -1 = none.
        lasting: whether later batches may continue it too: it is a block of a prompt.
        follows: of a tree, per token the earlier one of this segment that it follows, -1 = the parent's last; empty
            where each follows the one before it. A tree is nobody's parent.
    """

    tokens: tuple[int, ...]
    start: int
    parent: int
    delta: int = -1
    lasting: bool = False
    follows: tuple[int, ...] = ()


@lru_cache(maxsize=4096)
def ancestry(follows: tuple[int, ...]) -> np.ndarray:
    """Return ``(t, t)`` bool: which tokens of a tree stand before each one or are it."""
    seen = np.eye(len(follows), dtype=bool)
    for token, before in enumerate(follows):
        if before >= 0:
            seen[token] |= seen[before]
    return seen


@dataclass(frozen=True)
class ForwardPlan:
    """What one forward pass computes.

    Attributes:
        segments: in an order in which parents come first.
        slabs: indices of the segments in each slab; a parent lies in an earlier slab or earlier in its own.
        positions: ``(segment, offset)`` of each place whose next-token distribution is needed.
        targets: ``(position, token)`` of each wanted log-probability.
        deltas: what segments may carry.
        depth: layers whose states are the same for all deltas, and are shared between them; 0 = none.
    """

    segments: Sequence[Segment]
    slabs: Sequence[Sequence[int]]
    positions: Sequence[tuple[int, int]] = ()
    targets: Sequence[tuple[int, int]] = ()
    deltas: Sequence[Delta] = ()
    depth: int = 0

    @property
    def tokens(self) -> int:
        """Tokens that pass the linear layers, padding excluded."""
        return sum(len(segment.tokens) for segment in self.segments)


def fill_slabs(segments: Sequence[Segment], slab_tokens: int, known: Collection[int] = ()) -> list[list[int]]:
    """Fill slabs first-fit, parents before children (in one slab or an earlier one), all but those ``known``."""
    placed = [index in known for index in range(len(segments))]
    waiting = [index for index, done in enumerate(placed) if not done]
    slabs: list[list[int]] = []
    while waiting:
        slab: list[int] = []
        room = slab_tokens
        for index in waiting[:LOOKAHEAD]:
            segment = segments[index]
            if len(segment.tokens) <= room and (segment.parent < 0 or placed[segment.parent]):
                slab.append(index)
                placed[index] = True
                room -= len(segment.tokens)
        slabs.append(slab)
        waiting = [index for index in waiting if not placed[index]]
    return slabs
