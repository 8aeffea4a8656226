"""Gradients of answers' likelihoods with respect to a delta: one forward and one backward pass per request.

Each request has a pass of its own, with all of its segments side by side and a size that depends on the request
alone, so that its gradient does not depend on other requests. Only the layers from the first change on are passed
with an autograd graph; the states that enter them are shared between all deltas and requests
(:mod:`evolm.models.shared_layers`), and requests that come together pass the layers below together, if their states
can be kept: fewer slabs are padded. The prompt is part of the graph: its keys and values in those layers depend on
the delta, and cached ones without a graph would silently give another gradient.

A graph keeps the values of every layer for the way back. A request whose graph would exceed ``GRAPH_BYTES`` is passed
in parts, whose gradients are added; its prompt is passed with each part. Where it is cut follows from the request,
the model and the numeric profile alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import nn

from evolm.models.delta_batch import hooked
from evolm.models.deltas import Delta, Gain, LowRank, factors
from evolm.models.forward_plan import ForwardPlan
from evolm.models.losses import LOSSES
from evolm.models.packed_forward import PackedForward, PassRow, row_begins
from evolm.models.prefix_cache import KeyValues
from evolm.models.requests import GradientResult, TokenizedGradient, TokenizedRequest
from evolm.models.structure import LINEAR, Structure

Planner: TypeAlias = Callable[[Sequence[TokenizedRequest]], ForwardPlan]

PASS_MULTIPLE = 64  # the size of a pass is a multiple of this number of rows
GRAPH_BYTES = 2**30  # of a pass's graph, in each worker; one example alone may exceed it
LOGITS = 2 * 4  # bytes of a float32 logit and of its exponential


class GradientComputer:
    """Computes gradients with respect to a delta's arrays.

    Args:
        forward: the model.
        planned: returns the pass of some examples; its targets follow their order.
        structure: the model's modules.
    """

    def __init__(self, forward: PackedForward, planned: Planner, structure: Structure) -> None:
        self.forward = forward
        self.planned = planned
        self.structure = structure

    def gradients(self, requests: Sequence[TokenizedGradient]) -> list[np.ndarray]:
        """Return :meth:`gradient` of every request, in order."""
        plans = [self.planned(request.examples) for request in requests]
        states = sum(plan.tokens for plan in plans) * self.forward.empty_states(1).nbytes
        if len(plans) > 1 and plans[0].depth and states <= self.forward.shared.limit:
            self._below(self.planned([example for request in requests for example in request.examples]))
        return [self.gradient(request, plan) for request, plan in zip(requests, plans, strict=True)]

    def gradient(self, request: TokenizedGradient, plan: ForwardPlan) -> np.ndarray:
        """Return ``(1 + numbers of the delta,)`` float32: the request's value, then its gradient, array after array.

        Args:
            request: weighted examples and the delta.
            plan: passes the request's examples; its targets follow their order.
        """
        count = len(request.examples)
        if count > 1 and self._graph_size(request.delta, plan) > GRAPH_BYTES:
            halves = (_part(request, slice(count // 2)), _part(request, slice(count // 2, count)))
            first, second = (self.gradient(half, self.planned(half.examples)) for half in halves)
            return first + second
        return self._whole(request, plan)

    def _graph_size(self, delta: Delta, plan: ForwardPlan) -> int:
        """Return about how many bytes a pass keeps for the way back: what enters and leaves its linear modules."""
        sites = [site for site in self.structure.sites if site.kind == LINEAR and site.layer >= delta.depth]
        weight = self.forward.head.weight
        each = sum(site.inputs + site.outputs for site in sites) * weight.element_size()
        return plan.tokens * each + len(plan.positions) * len(weight) * LOGITS

    def _whole(self, request: TokenizedGradient, plan: ForwardPlan) -> np.ndarray:
        """Return the request's value and gradient by one pass."""
        delta = request.delta
        below = self._below(plan)
        with torch.enable_grad():
            leaves = {name: _leaves(change, self.forward) for name, change in delta.changes.items()}
            with hooked(self.forward.model, _hooks(delta, leaves)):
                states = self._pass(plan, below)
            value = _value(request, self._logprobs(plan, states))
            value.backward()
        self.forward.count_backward(plan.tokens, plan.depth)
        gradients = [_gradient(leaf) for arrays in leaves.values() for leaf in arrays]
        return np.concatenate([np.array([value.item()], np.float32), *(gradient.ravel() for gradient in gradients)])

    @torch.no_grad()
    def _below(self, plan: ForwardPlan) -> dict[int, torch.Tensor]:
        return self.forward.shared.states(plan, self.forward.lower_passes) if plan.depth else {}

    def _pass(self, plan: ForwardPlan, below: dict[int, torch.Tensor]) -> torch.Tensor:
        """Return the final states ``(rows, d)`` of all segments, in their order, with their graph."""
        known: list[KeyValues] = [{} for _ in plan.segments]
        begins = row_begins(plan.segments)
        rows = [
            PassRow(
                segment,
                begins[index],
                known[segment.parent] if segment.parent >= 0 else None,
                known[index],
                below.get(index),
            )
            for index, segment in enumerate(plan.segments)
        ]
        size = -(-plan.tokens // PASS_MULTIPLE) * PASS_MULTIPLE
        return self.forward.trunk_pass(rows, size, plan.depth)

    def _logprobs(self, plan: ForwardPlan, states: torch.Tensor) -> torch.Tensor:
        """Return ``(targets,)`` float32 log-probabilities (nats)."""
        begins = row_begins(plan.segments)
        rows = torch.tensor([begins[segment] + offset for segment, offset in plan.positions])
        logits = self.forward.logits(states[rows])  # (positions, vocabulary)
        wanted = torch.tensor([position for position, _ in plan.targets])
        tokens = torch.tensor([token for _, token in plan.targets])
        return logits[wanted, tokens] - torch.logsumexp(logits, -1)[wanted]


def read_gradient(request: TokenizedGradient, answer: np.ndarray) -> GradientResult:
    """Cut the array that :meth:`GradientComputer.gradient` returned into one gradient per array of the delta."""
    gradients: dict[str, tuple[np.ndarray, ...]] = {}
    at = 1
    for name, change in request.delta.changes.items():
        arrays = []
        for array in factors(change):
            arrays.append(answer[at : at + array.size].reshape(array.shape))
            at += array.size
        gradients[name] = tuple(arrays)
    return GradientResult(float(answer[0]), gradients)


def _part(request: TokenizedGradient, examples: slice) -> TokenizedGradient:
    """Return some of a request's examples, with their weights and scales."""
    return replace(
        request,
        examples=request.examples[examples],
        weights=request.weights[examples],
        scales=request.scales[examples],
    )


def _leaves(change: LowRank | Gain, forward: PackedForward) -> tuple[torch.Tensor, ...]:
    """Return a change's arrays as float32 leaves of an autograd graph."""
    device = forward.head.weight.device
    return tuple(
        torch.from_numpy(np.array(array, dtype=np.float32)).to(device).requires_grad_() for array in factors(change)
    )


def _gradient(leaf: torch.Tensor) -> np.ndarray:
    return np.zeros(leaf.shape, np.float32) if leaf.grad is None else leaf.grad.cpu().numpy()


def _hooks(delta: Delta, leaves: dict[str, tuple[torch.Tensor, ...]]) -> list[tuple[str, str, Any]]:
    """Return the hooks by which one delta, given as leaves of a graph, acts on the model's modules."""
    hooks = []
    for name, change in delta.changes.items():
        if isinstance(change, LowRank):
            hooks.append((name, "output", _adding(*leaves[name])))
        else:
            multiplying = _multiplying_input if change.side == "input" else _multiplying_output
            hooks.append((name, change.side, multiplying(*leaves[name])))
    return hooks


def _adding(down: torch.Tensor, up: torch.Tensor) -> Any:
    def add(module: nn.Module, args: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        inputs = args[0]
        return output + (inputs @ down.T.to(inputs.dtype)) @ up.T.to(inputs.dtype)

    return add


def _multiplying_output(gain: torch.Tensor) -> Any:
    def multiply(module: nn.Module, args: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        return (output * (1 + gain)).to(output.dtype)

    return multiply


def _multiplying_input(gain: torch.Tensor) -> Any:
    def multiply(module: nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return ((args[0] * (1 + gain)).to(args[0].dtype), *args[1:])

    return multiply


def _value(request: TokenizedGradient, logprobs: torch.Tensor) -> torch.Tensor:
    """Return the request's value, a scalar, from ``(targets,)`` log-probabilities."""
    loss, terms = LOSSES[request.loss], []
    at = 0
    for example, weights, scales in zip(request.examples, request.weights, request.scales, strict=True):
        sums = []
        for continuation in example.continuations:
            sums.append(logprobs[at : at + len(continuation)].sum())
            at += len(continuation)
        scores = torch.stack(sums) * torch.tensor(scales, device=logprobs.device)  # (continuations,)
        if request.contrast:
            scores = scores - torch.logsumexp(scores, 0)
        terms.append(loss(scores, torch.tensor(weights, device=logprobs.device), request.margin))
    return -torch.stack(terms).sum()
