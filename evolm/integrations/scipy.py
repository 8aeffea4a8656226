"""SciPy: a loss function in SciPy's orientation (SciPy minimises).

``scipy.optimize.differential_evolution(vectorized=True)`` passes a generation as ``(dimension, n)``, one column per
point, while all other libraries pass rows. A function that expects rows and receives a square generation scores
points that were never proposed: SciPy then returns wrong minima without any error. Hence a function for SciPy alone::

    loss = scipy_loss(objective)
    differential_evolution(
        loss, objective.bounds, x0=objective.x0, vectorized=True, updating="deferred", polish=False
    )
    minimize(loss, objective.x0, method="Nelder-Mead", bounds=objective.bounds)

``vectorized=True`` scores a generation in one batch, and needs ``updating="deferred"``. ``polish=False``, because the
polish follows a gradient that is estimated from tiny steps, by which scores such as accuracy do not change.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from evolm.errors import ConfigError, GenomeError
from evolm.objective.objective import Objective


def scipy_loss(objective: Objective) -> Callable[[np.ndarray], float | np.ndarray]:
    """Return the function that SciPy minimises.

    It takes ``(dimension,)`` and returns a float, or takes ``(dimension, n)`` and returns ``(n,)``. Rows instead of
    columns are refused, unless there are as many rows as dimensions, which cannot be detected.

    Raises:
        ConfigError: if ``objective`` is no :class:`evolm.Objective` or has several objectives. (An objective that is
            passed to ``minimize`` directly cannot be detected; SciPy would search for the worst value.)
    """
    if not isinstance(objective, Objective):
        raise ConfigError(f"scipy_loss: expected an evolm.Objective, found {objective!r}")
    if objective.objectives != 1:
        raise ConfigError(
            f"scipy_loss: expected one objective, which is what SciPy minimises, found {objective.objectives}"
        )

    def loss(x: np.ndarray) -> float | np.ndarray:
        points = np.asarray(x)
        if points.ndim not in (1, 2) or points.shape[0] != objective.dimension:
            rows = points.ndim == 2 and points.shape[1] == objective.dimension
            hint = "; for one row per point use objective.loss_many" if rows else ""
            raise GenomeError(
                f"scipy_loss: expected ({objective.dimension},) or ({objective.dimension}, n), one column per point, "
                f"found {points.shape}{hint}"
            )
        return objective.loss(points) if points.ndim == 1 else objective.loss_many(points.T)

    return loss
