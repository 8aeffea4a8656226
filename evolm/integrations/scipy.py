"""A loss in SciPy's orientation.

``scipy.optimize.differential_evolution(vectorized=True)`` passes a generation as ``(dimension, n)``, one column per
point, while everybody else passes rows. A function that expects rows and is given a square generation scores points
that nobody proposed: SciPy then returns wrong minima without any error. Hence a function of its own::

    loss = scipy_loss(objective)
    differential_evolution(
        loss, objective.bounds, x0=objective.x0, vectorized=True, updating="deferred", polish=False
    )
    minimize(loss, objective.x0, method="Nelder-Mead", bounds=objective.bounds)

``vectorized=True`` brings a generation to the model as one batch, and needs ``updating="deferred"``.
``polish=False``, since the polish goes along a gradient that it measures by tiny steps: scores like accuracy do not
change by these.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from evolm.errors import ConfigError, GenomeError
from evolm.objective.objective import Objective


def scipy_loss(objective: Objective) -> Callable[[np.ndarray], float | np.ndarray]:
    """Return the function that SciPy minimises.

    It takes ``(dimension,)`` and returns a float, or ``(dimension, n)`` and returns ``(n,)``. Rows instead of columns
    are noticed unless there are as many as dimensions.

    Raises:
        ConfigError: if this is no objective, or one with several objectives. What is passed to ``minimize`` itself
            cannot be checked: ``minimize(objective, ...)`` would look for the worst.
    """
    if not isinstance(objective, Objective):
        raise ConfigError(
            f"scipy_loss: expected an evolm.Objective, which is maximised and turned round here, found {objective!r}"
        )
    if objective.objectives != 1:
        raise ConfigError(f"scipy_loss: SciPy minimises one objective, found {objective.objectives}")

    def loss(x: np.ndarray) -> float | np.ndarray:
        points = np.asarray(x)
        if points.ndim not in (1, 2) or points.shape[0] != objective.dimension:
            rows = points.ndim == 2 and points.shape[1] == objective.dimension
            hint = ", which are rows: these are for objective.loss_many" if rows else ""
            raise GenomeError(
                f"scipy_loss: expected ({objective.dimension},) or ({objective.dimension}, n), one column per point, "
                f"found {points.shape}{hint}"
            )
        return objective.loss(points) if points.ndim == 1 else objective.loss_many(points.T)

    return loss
