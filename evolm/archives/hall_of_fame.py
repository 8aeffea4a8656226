"""The best individuals ever seen, without duplicates: DEAP's ``HallOfFame`` behind a plain state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from deap import tools

from evolm.individual import Individual, same_genome


class BestFound:
    """The best ``size`` individuals; failed ones never enter.

    DEAP's ``HallOfFame`` copies its members and puts the newer of two equals first. Here ``best`` is the older one,
    so that the best is replaced only by a better one.

    Args:
        size: highest number of members.
        finalists: highest number of members that are scored again before one is chosen; None = all.
    """

    def __init__(self, size: int, finalists: int | None = None) -> None:
        self._hall = tools.HallOfFame(size, similar=same_genome)
        self._finalists = finalists

    def update(self, individuals: Iterable[Individual]) -> bool:
        """Consider evaluated individuals; return whether one beats the best so far."""
        before = self.best
        self._hall.update([individual for individual in individuals if individual.fitness.valid])
        return self.best is not None and (before is None or self.best.fitness > before.fitness)

    @property
    def best(self) -> Individual | None:
        """The best so far, or None."""
        return next(iter(self.finalists), None)

    @property
    def finalists(self) -> list[Individual]:
        """The first of :attr:`ranked`."""
        return self.ranked[: self._finalists]

    @property
    def ranked(self) -> list[Individual]:
        """All members, best first, the older of equals first."""
        return sorted(self._hall, key=lambda found: (found.fitness, -found.id), reverse=True)

    @staticmethod
    def pick(fitness: Sequence[Sequence[float]]) -> int:
        """Return the index of the highest fitness, compared objective by objective; the first of equals."""
        return max(range(len(fitness)), key=lambda index: (tuple(fitness[index]), -index))

    def __iter__(self) -> Iterator[Individual]:
        return iter(self._hall)

    def __len__(self) -> int:
        return len(self._hall)

    def state_dict(self) -> dict[str, Any]:
        """Return JSON values and arrays."""
        return {"best_first": [individual.state_dict() for individual in self._hall]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Read back :meth:`state_dict`."""
        self._hall.clear()
        for record in reversed(state["best_first"]):  # worst first, so that equals keep their order
            self._hall.insert(Individual.from_state(record))
