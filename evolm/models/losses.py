"""What a gradient minimises: losses of one example, one function and one row of ``LOSSES`` each.

A loss is a function of ``(continuations,)`` log-likelihoods ``s``, as :class:`~evolm.models.GradientRequest` defines
them, of ``(continuations,)`` weights, and of a margin, which most losses ignore. It returns a scalar with its graph.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch

Loss: TypeAlias = Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]


def cross_entropy(scores: torch.Tensor, weights: torch.Tensor, margin: float) -> torch.Tensor:
    """Return ``-sum w s``: the cross-entropy with the distribution ``w``; with advantages, REINFORCE's surrogate."""
    return -(weights * scores).sum()


def hinge(scores: torch.Tensor, weights: torch.Tensor, margin: float) -> torch.Tensor:
    """Return ``sum w max(0, margin + s- - s+)`` over the answers ``s+`` of positive weight.

    ``s-`` is the best of the others. The multi-class hinge loss of Crammer & Singer 2001, https://www.jmlr.org/papers/v2/crammer01a.html.
    """
    right = weights > 0
    rival = scores.masked_fill(right, -torch.inf).max()
    return (weights * torch.relu(margin + rival - scores))[right].sum()


def negative_expectation(scores: torch.Tensor, weights: torch.Tensor, margin: float) -> torch.Tensor:
    """Return ``-sum w exp(s)``: with rewards as weights, minus the expected reward, exact over all answers."""
    return -(weights * scores.exp()).sum()


LOSSES: dict[str, Loss] = {
    "cross_entropy": cross_entropy,
    "margin": hinge,
    "expectation": negative_expectation,
}
