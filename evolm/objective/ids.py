"""Ids of individuals: a strategy numbers its own individuals, and the run numbers all that it evaluates.

Several strategies, and programs without one, may propose to the same objective. So each has an id map from its ids to
the run's ids, by which the parents of a proposal are found in the run.
"""

from __future__ import annotations

from collections.abc import Mapping

from evolm.individual import Individual
from evolm.strategies import Strategy

IdMap = dict[int, int]  # caller's id -> run's id


class CallerIds:
    """The id maps of an objective's callers."""

    def __init__(self) -> None:
        self._by_strategy: list[tuple[Strategy, IdMap]] = []
        self._without_strategy: IdMap = {}

    @property
    def strategies(self) -> list[Strategy]:
        """The strategies that ask the objective, in the order in which they were made."""
        return [strategy for strategy, _ in self._by_strategy]

    def add(self, strategy: Strategy) -> None:
        """Give a strategy an id map of its own."""
        self._by_strategy.append((strategy, {}))

    def of(self, individual: Individual) -> IdMap:
        """Return the id map of the strategy that asked for ``individual``; without one, that of all other callers."""
        asked = (ids for strategy, ids in self._by_strategy if strategy.waits_for(individual))
        return next(asked, self._without_strategy)


def proposal_of(individual: Individual, ids: Mapping[int, int]) -> Individual:
    """Return a caller's individual as a proposal to the run: its parents have the run's ids."""
    return Individual(
        individual.id,
        individual.genome,
        parents=tuple(ids[id] for id in individual.parents if id in ids),
        operators=individual.operators,
        parent_standing=individual.parent_standing,
    )
