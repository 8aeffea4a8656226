"""pyribs: objective values and behaviour measures of solutions, for its archives (pyribs maximises).

::

    behaviour = RibsMeasures(objective, {"prefix_tokens": (0, 240), "label_entropy": (0, math.log(2))})
    archive = GridArchive(
        solution_dim=objective.dimension, dims=[8, 8], ranges=behaviour.ranges,
        learning_rate=1.0, threshold_min=behaviour.threshold,
    )
    scheduler = Scheduler(archive, [GaussianEmitter(archive, sigma=0.5, x0=objective.x0, bounds=objective.bounds)])
    for _ in range(10):
        scheduler.tell(*behaviour(scheduler.ask()))

All measures of :class:`~evolm.individual.Individual` can be used: ``prefix_tokens`` is the prompt's length,
``label_entropy`` (nats) the entropy of the predicted labels, ``largest_share`` the share of the most frequent
predicted label, and every scorer adds a measure of its own name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from evolm.errors import ConfigError
from evolm.individual import Individual
from evolm.objective.objective import Objective
from evolm.wording import listed


class RibsMeasures:
    """Scores solutions in the form that ``Scheduler.tell`` takes.

    An individual without fitness has the finite worst objective value and the lowest measures. An archive with
    ``threshold_min=behaviour.threshold`` never keeps it.

    Args:
        objective: a single-objective :class:`evolm.Objective`.
        measures: name -> lowest and highest value of the archive's range.

    Attributes:
        ranges: ``(lowest, highest)`` of each measure, in order, for an archive.

    Raises:
        ConfigError: if there are several objectives.
    """

    def __init__(self, objective: Objective, measures: Mapping[str, tuple[float, float]]) -> None:
        if objective.objectives != 1:
            raise ConfigError(f"RibsMeasures: expected one objective, found {objective.objectives}")
        self.objective = objective
        self.names = tuple(measures)
        self.ranges = list(measures.values())

    @property
    def threshold(self) -> float:
        """The value that an objective must exceed to be kept: the finite worst, which failures have."""
        return float(self.objective.worst)

    def __call__(self, solutions: np.ndarray | Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
        """Evaluate ``(n, dimension)`` solutions, or genomes, as one batch.

        Returns:
            ``(n,)`` objective values, higher is better, and ``(n, n_measures)`` measures.

        Raises:
            ConfigError: if a measure is unknown for this task.
        """
        individuals = self.objective.individuals(solutions)
        values = [self.objective.values_of(i)[0] if i.fitness.valid else self.threshold for i in individuals]
        return np.array(values, dtype=np.float64), np.array([self._measures(i) for i in individuals], np.float64)

    def _measures(self, individual: Individual) -> list[float]:
        if not individual.fitness.valid:
            return [low for low, _ in self.ranges]
        for name in self.names:
            if name not in individual.measures:
                raise ConfigError(
                    f"RibsMeasures: expected measures among {listed(individual.measures)}, found {name!r}"
                )
        return [individual.measures[name] for name in self.names]
