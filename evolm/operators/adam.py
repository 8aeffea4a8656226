"""Adam's moments and the direction of its steps, for computed and for estimated gradients.

Kingma & Ba 2014, algorithm 1, https://arxiv.org/abs/1412.6980.
"""

from __future__ import annotations

import numpy as np

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


def adam_direction(
    gradient: np.ndarray, first: np.ndarray, second: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ``(n,)`` the direction of a step uphill, and both moments with this gradient in them.

    Args:
        gradient: ``(n,)``, of the objective that is maximised.
        first, second: ``(n,)`` moments so far.
        count: steps, this one included.
    """
    first = BETA1 * first + (1 - BETA1) * gradient
    second = BETA2 * second + (1 - BETA2) * gradient**2
    direction = (first / (1 - BETA1**count)) / (np.sqrt(second / (1 - BETA2**count)) + EPSILON)
    return direction, first, second
