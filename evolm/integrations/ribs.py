"""Behaviour measures for pyribs: what its archives keep apart, beside the objective, which pyribs maximises.

::

    behaviour = RibsMeasures(objective, {"prefix_tokens": (0, 240), "label_entropy": (0, math.log(2))})
    archive = GridArchive(
        solution_dim=objective.dimension, dims=[8, 8], ranges=behaviour.ranges,
        learning_rate=1.0, threshold_min=behaviour.threshold,
    )
    scheduler = Scheduler(archive, [GaussianEmitter(archive, sigma=0.5, x0=objective.x0, bounds=objective.bounds)])
    for _ in range(10):
        scheduler.tell(*behaviour(scheduler.ask()))

Every measure of :class:`~evolm.individual.Individual` will do: ``prefix_tokens`` is the prompt's length,
``label_entropy`` (nats) how evenly a prompt spreads its predictions, ``largest_share`` the most frequent label's
part, and every scorer has one of its own name.
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
    """Scores solutions as ``Scheduler.tell`` wants it.

    An individual without fitness has the finite worst objective and the lowest measures. An archive with
    ``threshold_min=behaviour.threshold`` never keeps it.

    Args:
        objective: with one objective.
        measures: name -> lowest and highest value that an archive tells apart.

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
        """What an objective must exceed to be kept: the finite worst that failures get."""
        return float(self.objective.worst)

    def __call__(self, solutions: np.ndarray | Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
        """Evaluate ``(n, dimension)`` solutions, or genomes, as one batch.

        Returns:
            ``(n,)`` objective values, higher is better, and ``(n, n_measures)`` measures.

        Raises:
            ConfigError: if a measure is unknown for this task.
        """
        individuals = self.objective.individuals(solutions)
        values = [i.fitness.values[0] if i.fitness.valid else self.threshold for i in individuals]
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
