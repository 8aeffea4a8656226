"""States that all deltas share: what the layers below the first change make of a text.

Deltas confined to the last ``k`` of ``L`` layers see the same states enter layer ``L - k``. These are computed once
for each text, or rather each segment behind the segments before it, and kept as long as there is room (least
recently used first out); what was forgotten is computed again. The other layers are passed for every delta, the
prompt's tokens included, since their keys and values there depend on the delta.

Splitting a pass changes no bit: the same rows meet the same layers in the same shapes.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

import torch
from cachetools import LRUCache
from torch import nn

from evolm.errors import ModelError
from evolm.models.forward_plan import ForwardPlan, fill_slabs
from evolm.models.inspection import layer_list
from evolm.models.prefix_cache import text_keys


class LowerPasses(Protocol):
    """The part of :class:`evolm.models.packed_forward.PackedForward` that shared states need."""

    slab_tokens: int

    def passes(
        self, plan: ForwardPlan, ends: Sequence[int] = (), lower: bool = False
    ) -> Iterator[tuple[dict[int, int], torch.Tensor, Any]]: ...


class SharedLayers:
    """The lower layers of one model, and what they made of texts.

    Args:
        model: a causal LM.
        limit: most bytes of kept states.
    """

    def __init__(self, model: Any, limit: int) -> None:
        self._model = model
        self.limit = limit
        self._kept: LRUCache[bytes, torch.Tensor] = LRUCache(limit, getsizeof=lambda states: states.nbytes)
        self._parts: dict[tuple[int, bool], nn.Module] = {}
        self.passed = 0  # tokens that went through lower layers

    @property
    def nbytes(self) -> int:
        """Bytes that are kept."""
        return int(self._kept.currsize)

    def states(self, plan: ForwardPlan, forward: LowerPasses, known: Collection[int] = ()) -> dict[int, torch.Tensor]:
        """Return segment -> ``(tokens, d)``: what enters layer ``plan.depth``; nothing of those ``known``."""
        keys = text_keys(plan)
        mine = {index: key for index, key in enumerate(keys) if index not in known}
        found = {key: states for key in dict.fromkeys(mine.values()) if (states := self._kept.get(key)) is not None}
        wanted = self._with_ancestors(plan, (index for index, key in mine.items() if key not in found))
        for key, states in self._computed(plan, keys, wanted, forward):
            if key not in found:
                found[key] = states
                if states.nbytes <= self.limit:
                    self._kept[key] = states
        return {index: found[key] for index, key in mine.items()}

    @staticmethod
    def _with_ancestors(plan: ForwardPlan, indices: Iterable[int]) -> list[int]:
        wanted: set[int] = set()
        for index in indices:
            while index >= 0 and index not in wanted:
                wanted.add(index)
                index = plan.segments[index].parent
        return sorted(wanted)

    def _computed(
        self, plan: ForwardPlan, keys: list[bytes], wanted: list[int], forward: LowerPasses
    ) -> Iterable[tuple[bytes, torch.Tensor]]:
        """Pass segments through the lower layers, equal ones once, whatever delta they carry."""
        places = {key: place for place, key in enumerate(dict.fromkeys(keys[index] for index in wanted))}
        firsts = {keys[index]: plan.segments[index] for index in reversed(wanted)}
        parents = {keys[index]: plan.segments[index].parent for index in wanted}
        segments = [
            replace(
                firsts[key], parent=places[keys[parents[key]]] if parents[key] >= 0 else -1, delta=-1, lasting=False
            )
            for key in places
        ]
        lower = ForwardPlan(segments, fill_slabs(segments, forward.slab_tokens), depth=plan.depth)
        names = list(places)
        for placed, states, _ in forward.passes(lower, lower=True):
            for index, begin in placed.items():
                tokens = len(segments[index].tokens)
                self.passed += tokens
                yield names[index], states[begin : begin + tokens].clone()

    def forget(self) -> None:
        """Drop all kept states."""
        self._kept.clear()

    # -- the two parts of the model ------------------------------------------------------------------------

    def lower(self, depth: int) -> nn.Module:
        """Return the model's trunk up to layer ``depth``, without its final norm."""
        return self._part(depth, lower=True)

    def upper(self, depth: int) -> nn.Module:
        """Return the model's trunk from layer ``depth`` on; it takes states in the place of embeddings."""
        return self._part(depth, lower=False)

    def _part(self, depth: int, lower: bool) -> nn.Module:
        if (depth, lower) not in self._parts:
            self._parts[depth, lower] = self._cut(depth, lower)
        return self._parts[depth, lower]

    def _cut(self, depth: int, lower: bool) -> nn.Module:
        """Return a shallow copy of the trunk that has some of its layers; all modules are the model's own."""
        part = copied = _shallow(self._model.base_model)
        *path, name = layer_list(part)[0].split(".")
        for step in path:  # OPT keeps its layers in a decoder inside of the trunk
            copied._modules[step] = copied = _shallow(copied.get_submodule(step))
        layers = list(copied.get_submodule(name).children())
        copied._modules[name] = nn.ModuleList(layers[:depth] if lower else layers[depth:])
        if lower:
            copied._modules[_final_norm(copied)] = nn.Identity()
        return part


def _shallow(module: nn.Module) -> nn.Module:
    """Return a copy that holds the same modules in a table of its own."""
    copied = copy.copy(module)
    copied._modules = dict(module._modules)
    return copied


def _final_norm(trunk: Any) -> str:
    """Return the name of the norm behind a trunk's last layer."""
    weights = {name: getattr(child, "weight", None) for name, child in trunk.named_children()}
    norms = [name for name, weight in weights.items() if weight is not None and weight.ndim == 1]
    if len(norms) != 1:
        raise ModelError(f"{type(trunk).__name__}: expected one norm behind the last layer, found {len(norms)}")
    return norms[0]
