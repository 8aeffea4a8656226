"""Keys and values of prompts' blocks, kept from one batch to the next.

A prompt meets more items in the next block of a race, in the finals and on the test split; two prompts begin alike.
Blocks are found by the tokens up to their end and by the delta they were passed under, as vLLM finds them (Kwon 2023,
https://arxiv.org/abs/2309.06180) and SGLang keeps them (Zheng 2023, https://arxiv.org/abs/2312.07104); the least
recently used go first. A kept block has the bits it would have if it were passed again: what is shared decides no
answer.
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
    """Return what identifies each segment: its tokens and all before them, as they were cut.

    Args:
        plan: the segments; layers below ``plan.depth`` and above are told apart.
        scopes: per delta of the plan, what else the text was passed under; none where deltas make no difference.
    """
    keys: list[bytes] = []
    for segment in plan.segments:
        root = plan.depth.to_bytes(4, "big") + (scopes[segment.delta] if scopes and segment.delta >= 0 else b"")
        before = keys[segment.parent] if segment.parent >= 0 else root
        tokens = b"".join(token.to_bytes(4, "big") for token in segment.tokens)
        branches = b"".join(token.to_bytes(4, "big", signed=True) for token in segment.follows)
        keys.append(hashlib.sha256(before + tokens + branches).digest()[:KEY_BYTES])
    return keys


class PrefixCache:
    """Keys and values of blocks, within a limit.

    Args:
        limit: most bytes; 0 = keep nothing.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._kept: LRUCache[bytes, KeyValues] = LRUCache(limit, getsizeof=_nbytes)  # a block's own part

    @property
    def nbytes(self) -> int:
        """Bytes that are kept."""
        return int(self._kept.currsize)

    def known(self, plan: ForwardPlan, keys: Sequence[bytes], needed: set[int]) -> dict[int, KeyValues]:
        """Return the blocks of a plan that need not be passed again.

        Args:
            plan: its segments that are marked as ``lasting`` may be here.
            keys: from :func:`text_keys`.
            needed: segments whose states are wanted, and which are passed whatever is known.

        Returns:
            Segment -> keys and values up to its end; empty where nothing that is passed continues it.
        """
        own: dict[int, KeyValues] = {}
        for index, segment in enumerate(plan.segments):
            ready = segment.parent < 0 or segment.parent in own
            if segment.lasting and ready and index not in needed and keys[index] in self._kept:
                own[index] = self._kept[keys[index]]
        for index in reversed(own):  # what others continue is used last, so it is forgotten last
            self._kept.get(keys[index])
        awaited = {segment.parent for index, segment in enumerate(plan.segments) if index not in own}
        return {index: _joined(plan, own, index) if index in awaited else {} for index in own}

    def keep(self, key: bytes, tokens: int, upto: KeyValues) -> None:
        """Keep a block of ``tokens`` whose keys and values, everything before it included, are ``upto``."""
        own = {layer: (k[:, -tokens:], v[:, -tokens:]) for layer, (k, v) in upto.items()}
        if key not in self._kept and _nbytes(own) <= self.limit:
            self._kept[key] = {layer: (k.clone(), v.clone()) for layer, (k, v) in own.items()}

    def forget(self) -> None:
        """Drop everything."""
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
