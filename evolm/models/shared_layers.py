"""States that all deltas share: the output of the layers below the first changed layer.

If deltas change only the last ``k`` of ``L`` layers, the same states enter layer ``L - k`` for all of them. They are
computed once for each segment and the segments before it, and kept within a memory limit (the least recently used
are dropped, and computed again when needed). The layers above are passed for every delta, the prompt's tokens
included, since their keys and values there depend on the delta.

Splitting a pass changes no bit: the same rows pass the same layers in the same shapes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from typing import Any, TypeAlias

import torch
from cachetools import LRUCache
from torch import nn

from evolm.errors import ModelError
from evolm.models.forward_plan import ForwardPlan, fill_slabs
from evolm.models.inspection import layer_list
from evolm.models.prefix_cache import text_keys

# Passes a plan's slabs through its lower layers: per slab, segment -> first row, and states (slab_tokens, d).
LowerPasses: TypeAlias = Callable[[ForwardPlan], Iterator[tuple[dict[int, int], torch.Tensor]]]


class SharedLayers:
    """The lower and upper layers of one model, and a cache of the lower layers' output.

    Args:
        model: a causal LM.
        limit: most bytes of kept states.
        slab_tokens: tokens in each pass of the linear layers.
    """

    def __init__(self, model: Any, limit: int, slab_tokens: int) -> None:
        self._model = model
        self.limit = limit
        self.slab_tokens = slab_tokens
        self._kept: LRUCache[bytes, torch.Tensor] = LRUCache(limit, getsizeof=lambda states: states.nbytes)
        self._parts: dict[tuple[int, int], nn.Module] = {}
        self.passed = 0  # tokens that passed the lower layers

    @property
    def nbytes(self) -> int:
        """Bytes of kept states."""
        return int(self._kept.currsize)

    def states(self, plan: ForwardPlan, passes: LowerPasses, known: Collection[int] = ()) -> dict[int, torch.Tensor]:
        """Return segment -> ``(tokens, d)``, the states that enter layer ``plan.depth``.

        Args:
            plan: segments with any deltas.
            passes: computes the states that are not kept.
            known: segments that are not needed.
        """
        keys = text_keys(plan)
        needed = {index: key for index, key in enumerate(keys) if index not in known}
        found = {key: states for key in dict.fromkeys(needed.values()) if (states := self._kept.get(key)) is not None}
        wanted = self._with_ancestors(plan, (index for index, key in needed.items() if key not in found))
        for key, states in self._computed(plan, keys, wanted, passes):
            if key not in found:
                found[key] = states
                if states.nbytes <= self.limit:
                    self._kept[key] = states
        return {index: found[key] for index, key in needed.items()}

    @staticmethod
    def _with_ancestors(plan: ForwardPlan, indices: Iterable[int]) -> list[int]:
        wanted: set[int] = set()
        for index in indices:
            while index >= 0 and index not in wanted:
                wanted.add(index)
                index = plan.segments[index].parent
        return sorted(wanted)

    def _computed(
        self, plan: ForwardPlan, keys: list[bytes], wanted: list[int], passes: LowerPasses
    ) -> Iterable[tuple[bytes, torch.Tensor]]:
        """Yield key and states of each distinct segment; segments that differ only by their delta are equal."""
        places = {key: place for place, key in enumerate(dict.fromkeys(keys[index] for index in wanted))}
        firsts = {keys[index]: plan.segments[index] for index in reversed(wanted)}
        parents = {keys[index]: plan.segments[index].parent for index in wanted}
        segments = [
            replace(
                firsts[key], parent=places[keys[parents[key]]] if parents[key] >= 0 else -1, delta=-1, lasting=False
            )
            for key in places
        ]
        lower = ForwardPlan(segments, fill_slabs(segments, self.slab_tokens), depth=plan.depth)
        names = list(places)
        for begins, states in passes(lower):
            for index, begin in begins.items():
                tokens = len(segments[index].tokens)
                self.passed += tokens
                yield names[index], states[begin : begin + tokens].clone()

    def forget(self) -> None:
        """Drop all kept states."""
        self._kept.clear()

    # -- parts of the model --------------------------------------------------------------------------------

    def lower(self, depth: int) -> nn.Module:
        """Return the model's trunk up to layer ``depth``, without its final norm."""
        return self._part(0, depth)

    def upper(self, depth: int, top: int = 0) -> nn.Module:
        """Return the model's trunk from layer ``depth`` on; its input is states in the place of embeddings.

        Args:
            depth: number of layers that are left out.
            top: the last layer, without the final norm; 0 = all layers and the norm.
        """
        return self._part(depth, top)

    def _part(self, begin: int, end: int) -> nn.Module:
        if (begin, end) not in self._parts:
            self._parts[begin, end] = self._cut(begin, end)
        return self._parts[begin, end]

    def _cut(self, begin: int, end: int) -> nn.Module:
        """Return a shallow copy of the trunk with some of its layers; all modules are the model's own."""
        part = copied = _shallow(self._model.base_model)
        *path, name = layer_list(part)[0].split(".")
        for step in path:  # OPT's layers are in a decoder inside of the trunk
            copied._modules[step] = copied = _shallow(copied.get_submodule(step))
        layers = list(copied.get_submodule(name).children())
        copied._modules[name] = nn.ModuleList(layers[begin : end or None])
        if end:
            copied._modules[_final_norm(copied)] = nn.Identity()
        return part


def _shallow(module: nn.Module) -> nn.Module:
    """Return a copy that holds the same submodules in its own dict."""
    copied = copy.copy(module)
    copied._modules = dict(module._modules)
    return copied


def _final_norm(trunk: Any) -> str:
    """Return the name of the norm after a trunk's last layer."""
    weights = {name: getattr(child, "weight", None) for name, child in trunk.named_children()}
    norms = [name for name, weight in weights.items() if weight is not None and weight.ndim == 1]
    if len(norms) != 1:
        raise ModelError(f"{type(trunk).__name__}: expected one norm after the last layer, found {len(norms)}")
    return norms[0]
