"""The individuals that no other individual so far dominates: DEAP's ``ParetoFront``, and a rule that picks one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
from deap import tools

from evolm.archives.hall_of_fame import BestFound
from evolm.individual import Individual, same_genome


class Front:
    """The Pareto front; failed individuals never enter.

    Args:
        finalists: highest number of members that are scored again before one is chosen.
        rule: ``"first"`` takes the highest in the first objective; ``"knee"`` the largest sum of objectives, each
            scaled to [0, 1] over the front (the point farthest from the line between the extremes, for two
            objectives: Das 1999, https://doi.org/10.1007/BF01195985).
    """

    def __init__(self, finalists: int, rule: Literal["first", "knee"]) -> None:
        self._size = finalists
        self.rule = rule
        self._front = tools.ParetoFront(similar=same_genome)

    def update(self, individuals: Iterable[Individual]) -> bool:
        """Consider evaluated individuals; return whether the front changed."""
        before = {individual.id for individual in self._front}
        self._front.update([individual for individual in individuals if individual.fitness.valid])
        return {individual.id for individual in self._front} != before

    @property
    def best(self) -> Individual | None:
        """The member that the rule picks; None if the front is empty."""
        return next(iter(self.finalists), None)

    @property
    def finalists(self) -> list[Individual]:
        """At most ``finalists`` members in the order in which the rule picks them."""
        members = sorted(self._front, key=lambda individual: individual.id)
        left = list(range(len(members)))
        order: list[Individual] = []
        fitness = [member.fitness.values for member in members]
        while left and len(order) < self._size:
            chosen = left[self.pick([fitness[i] for i in left])]
            order.append(members[chosen])
            left.remove(chosen)
        return order

    def pick(self, fitness: Sequence[Sequence[float]]) -> int:
        """Return the index that the rule picks; the first of equals."""
        if self.rule == "first":
            return BestFound.pick(fitness)
        return int(np.argmax(knee_heights(np.array(fitness, dtype=float))))

    def __iter__(self) -> Iterator[Individual]:
        return iter(self._front)

    def __len__(self) -> int:
        return len(self._front)

    def state_dict(self) -> dict[str, Any]:
        """Return JSON values and arrays."""
        return {"best_first": [individual.state_dict() for individual in self._front]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Read back :meth:`state_dict`."""
        self._front.clear()
        for record in reversed(state["best_first"]):
            self._front.insert(Individual.from_state(record))


def knee_heights(fitness: np.ndarray) -> np.ndarray:
    """Return ``(n,)`` sums of the ``(n, objectives)`` values scaled to [0, 1]; -inf for rows that are not finite."""
    scored = np.isfinite(fitness).all(axis=1)
    heights = np.full(len(fitness), -np.inf)
    if scored.any():
        known = fitness[scored]
        low, span = known.min(axis=0), np.ptp(known, axis=0)
        heights[scored] = ((known - low) / np.where(span > 0, span, 1.0)).sum(axis=1)
    return heights
