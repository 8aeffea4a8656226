"""Hidden states of chosen layers, read from the same packed passes as log-probabilities.

A state's arithmetic is that of its segment, so it has the same bits in any company. A mean over several segments adds
their sums in the order of the text, in float32. Layers above the highest one that is read are not passed, where the
architecture gives the same bits without them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

import numpy as np
import torch

from evolm.models.delta_batch import hooked
from evolm.models.forward_plan import ForwardPlan
from evolm.models.inspection import layer_list
from evolm.models.packed_forward import PackedForward
from evolm.models.requests import LAST, TokenizedStates

WORTH_A_TRIAL: Final = 4  # slabs after which the trial of an architecture pays, which takes two or more

Pooled = dict[int, np.ndarray]  # segment -> (layers, d)


class StateReader:
    """Reads states from the passes of one model.

    Args:
        forward: the model.
    """

    def __init__(self, forward: PackedForward) -> None:
        self.forward = forward
        self._layers, layers = layer_list(forward.model)
        self._top = len(layers)
        self._passed = 0  # slabs
        self._ends: dict[int, bool] = {}  # layer -> whether a pass that ends there gives the bits of a whole one

    def read(
        self, plan: ForwardPlan, chains: Sequence[tuple[int, ...]], requests: Sequence[TokenizedStates]
    ) -> list[np.ndarray]:
        """Return ``(layers, poolings, d)`` float32 for each request, in order.

        Args:
            plan: passes the requests' contexts; its positions name the segments that are read.
            chains: per request, the segments that hold its tokens behind the prefix.
            requests: what is read.
        """
        layers = sorted({layer for request in requests for layer in request.layers})
        self._passed += len(plan.slabs)
        if self.ends_at(layers[-1]):
            plan = replace(plan, top=layers[-1])
        lasts, sums = self._read(plan, layers)
        return [
            _pooled(plan, chain, request, lasts, sums, [layers.index(layer) for layer in request.layers])
            for chain, request in zip(chains, requests, strict=True)
        ]

    def ends_at(self, layer: int) -> bool:
        """Return whether passes end at a layer, which is tried once for each, when it may pay."""
        if layer == self._top:
            return False
        if layer not in self._ends:
            if self._passed < WORTH_A_TRIAL:
                return False
            self._ends[layer] = self.forward.gives_same_bits(partial(self._all, layer), top=layer)
        return self._ends[layer]

    def _all(self, layer: int, plan: ForwardPlan) -> torch.Tensor:
        """Return ``(2, segments, d)``: the last state and the sum of states of each of a plan's segments."""
        both = self._read(plan, [layer])
        return torch.from_numpy(np.stack([[each[index][0] for index, _ in plan.positions] for each in both]))

    def _read(self, plan: ForwardPlan, layers: Sequence[int]) -> tuple[Pooled, Pooled]:
        """Return the states of the last token, and the sum of all states, of each segment in the plan's positions."""
        wanted = {segment for segment, _ in plan.positions}
        outputs: dict[int, torch.Tensor] = {}
        last = plan.top or self._top
        hooks = [
            (f"{self._layers}.{layer - 1}", "output", _keeping(outputs, layer)) for layer in layers if layer < last
        ]
        lasts: Pooled = {}
        sums: Pooled = {}
        with torch.inference_mode(), self.forward.carrying(plan.deltas), hooked(self.forward.model, hooks):
            for begins, final, _ in self.forward.passes(plan):
                outputs[last] = final
                for index in wanted & begins.keys():
                    begin, length = begins[index], len(plan.segments[index].tokens)
                    own = [outputs[layer][begin : begin + length].float() for layer in layers]  # (t, d) each
                    lasts[index] = torch.stack([states[-1] for states in own]).cpu().numpy()
                    sums[index] = torch.stack([states.sum(0) for states in own]).cpu().numpy()
        return lasts, sums


def _keeping(outputs: dict[int, torch.Tensor], layer: int) -> Callable[..., None]:
    """Return a hook that keeps a layer's output ``(size, d)`` of the last pass."""

    def hook(module: Any, inputs: Any, output: Any) -> None:
        outputs[layer] = (output[0] if isinstance(output, tuple) else output)[0]

    return hook


def _pooled(
    plan: ForwardPlan,
    chain: tuple[int, ...],
    request: TokenizedStates,
    lasts: Pooled,
    sums: Pooled,
    rows: list[int],
) -> np.ndarray:
    """Return a request's ``(layers, poolings, d)`` states from those of its segments."""
    last = lasts[chain[-1]][rows]
    if request.own_tokens:
        total = sums[chain[0]][rows]
        for index in chain[1:]:
            total = total + sums[index][rows]
        mean = total / np.float32(request.own_tokens)
    else:
        mean = last
    return np.stack([last if pooling == LAST else mean for pooling in request.poolings], axis=1)
