"""Keys and values of prompts' blocks, kept from one batch to the next.

The same prompt is followed by more items in the next block of a race, in the finals and on the test split, and
several prompts have the same beginning. A block's key is made of all tokens up to its end and of the delta, as in
vLLM (Kwon 2023, https://arxiv.org/abs/2309.06180); the least recently used blocks are dropped first, as in SGLang
(Zheng 2023, https://arxiv.org/abs/2312.07104). A kept block has the bits that another pass would give, so the cache
changes no answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import torch
from cachetools import LRUCache

from evolm.models.forward_plan import ForwardPlan

KEY_BYTES = 20

KeyValues = dict[int, tuple[torch.Tensor, torch.Tensor]]  # layer -> (Hkv, S, d) keys and values up to the end


def text_keys(plan: ForwardPlan, scopes: Sequence[bytes] = ()) -> list[bytes]:
    """Return a key for each segment: a hash of its tokens and of all segments before it.

    Args:
        plan: the segments; plans that pass other layers have other keys.
        scopes: per delta of the plan, bytes that identify it; empty if the delta makes no difference.
    """
    keys: list[bytes] = []
    passed = plan.depth.to_bytes(4, "big") + plan.top.to_bytes(4, "big")
    for segment in plan.segments:
        root = passed + (scopes[segment.delta] if scopes and segment.delta >= 0 else b"")
        before = keys[segment.parent] if segment.parent >= 0 else root
        tokens = b"".join(token.to_bytes(4, "big") for token in segment.tokens)
        branches = b"".join(token.to_bytes(4, "big", signed=True) for token in segment.follows)
        keys.append(hashlib.sha256(before + tokens + branches).digest()[:KEY_BYTES])
    return keys


class PrefixCache:
    """Keys and values of blocks, within a memory limit.

    Args:
        limit: most bytes; 0 = keep none.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._kept: LRUCache[bytes, KeyValues] = LRUCache(limit, getsizeof=_nbytes)  # of the block's own tokens

    @property
    def nbytes(self) -> int:
        """Bytes of all kept blocks."""
        return int(self._kept.currsize)

    def known(self, plan: ForwardPlan, keys: Sequence[bytes], needed: set[int]) -> dict[int, KeyValues]:
        """Return the blocks of a plan that need not be passed again.

        Args:
            plan: only its ``lasting`` segments can be kept.
            keys: from :func:`text_keys`.
            needed: segments whose states are needed, which are passed in any case.

        Returns:
            Segment -> keys and values up to its end; empty if no segment that is passed continues it.
        """
        own: dict[int, KeyValues] = {}
        for index, segment in enumerate(plan.segments):
            ready = segment.parent < 0 or segment.parent in own
            if segment.lasting and ready and index not in needed and keys[index] in self._kept:
                own[index] = self._kept[keys[index]]
        for index in reversed(own):  # parents are touched last, so they are dropped after their children
            self._kept.get(keys[index])
        awaited = {segment.parent for index, segment in enumerate(plan.segments) if index not in own}
        return {index: _joined(plan, own, index) if index in awaited else {} for index in own}

    def keep(self, key: bytes, tokens: int, upto: KeyValues) -> None:
        """Keep a block.

        Args:
            key: from :func:`text_keys`.
            tokens: number of the block's own tokens, the last ones of ``upto``.
            upto: keys and values of the block and of all tokens before it.
        """
        own = {layer: (k[:, -tokens:], v[:, -tokens:]) for layer, (k, v) in upto.items()}
        if key not in self._kept and _nbytes(own) <= self.limit:
            self._kept[key] = {layer: (k.clone(), v.clone()) for layer, (k, v) in own.items()}

    def forget(self) -> None:
        """Drop all kept blocks."""
        self._kept.clear()


def _joined(plan: ForwardPlan, own: Mapping[int, KeyValues], index: int) -> KeyValues:
    """Return keys and values up to the end of a block from its own part and those of the blocks before it."""
    parts = [own[index]]
    while (index := plan.segments[index].parent) >= 0:
        parts.insert(0, own[index])
    if len(parts) == 1:
        return parts[0]
    return {
        layer: (torch.cat([part[layer][0] for part in parts], 1), torch.cat([part[layer][1] for part in parts], 1))
        for layer in parts[0]
    }


def _nbytes(own: KeyValues) -> int:
    return sum(k.nbytes + v.nbytes for k, v in own.values())
