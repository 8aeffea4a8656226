"""The plan of a forward pass: segments of text, their slabs, and the positions at which answers are read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from evolm.models.deltas import Delta

LOOKAHEAD = 512  # segments considered for a slab; bounds the number of keys and values in memory


@dataclass(frozen=True)
class Segment:
    """Tokens that continue another segment: a run, or a tree (an item's last tokens and several answers).

    One pass over a tree is cheaper than one over each of its branches (tree attention, Miao 2023,
    https://arxiv.org/abs/2305.09781).

    Attributes:
        tokens: the tokens of this segment only.
        start: position of its first token in the whole text.
        parent: index of the segment it continues; -1 at the start of a text.
        delta: index of the delta it carries, the same as its parent's; -1 = none.
        lasting: whether it is a block of a prompt, which later batches may continue too.
        follows: for a tree: per token the index of the token in this segment that it follows, -1 = the parent's last
            token. Empty for a run, in which each token follows the one before it. No segment continues a tree.
    """

    tokens: tuple[int, ...]
    start: int
    parent: int
    delta: int = -1
    lasting: bool = False
    follows: tuple[int, ...] = ()


@lru_cache(maxsize=4096)
def ancestry(follows: tuple[int, ...]) -> np.ndarray:
    """Return ``(t, t)`` bool: for each token of a tree, itself and the tokens on its path from the root."""
    seen = np.eye(len(follows), dtype=bool)
    for token, before in enumerate(follows):
        if before >= 0:
            seen[token] |= seen[before]
    return seen


@dataclass(frozen=True)
class ForwardPlan:
    """The computations of one forward pass.

    Attributes:
        segments: parents before their children.
        slabs: indices of the segments in each slab; a parent lies in an earlier slab, or earlier in the same one.
        positions: ``(segment, offset)`` of each token after which the next-token distribution is needed.
        targets: ``(position, token)`` of each requested log-probability.
        deltas: the deltas that segments may carry.
        depth: number of lower layers whose output all deltas share; 0 = none.
        top: number of layers that are passed, from the first one on; 0 = all of them.
    """

    segments: Sequence[Segment]
    slabs: Sequence[Sequence[int]]
    positions: Sequence[tuple[int, int]] = ()
    targets: Sequence[tuple[int, int]] = ()
    deltas: Sequence[Delta] = ()
    depth: int = 0
    top: int = 0

    @property
    def tokens(self) -> int:
        """Tokens that pass the linear layers, padding excluded."""
        return sum(len(segment.tokens) for segment in self.segments)


def fill_slabs(segments: Sequence[Segment], slab_tokens: int, known: Collection[int] = ()) -> list[list[int]]:
    """Return slabs of segment indices, filled first-fit, parents before children.

    Args:
        segments: parents before their children, none longer than a slab.
        slab_tokens: most tokens of a slab.
        known: segments that are left out.
    """
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
