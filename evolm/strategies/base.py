"""The contract of strategies: ``ask`` for individuals, ``tell`` what became of them, in any order.

A strategy decides what is tried next. It never scores anything, knows no clock and draws every random number
from its :class:`~evolm.randomness.Randomness`. Its state is plain (JSON values and arrays) and holds
everything that decides what comes next: after ``load_state_dict`` it asks for exactly what it would have
asked for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import BaseModel

from evolm.individual import Individual
from evolm.operators import Family, LearningSettings, ModelAccess, Operator
from evolm.randomness import Randomness
from evolm.strategies.variation import Variation


@dataclass
class SearchContext:
    """What a strategy searches, and with what.

    Attributes:
        space: where genomes lie; draws random ones.
        founders: the first genomes.
        operators: operators with their weights, none of them 0.
        seed: of this search.
        labels: digest of a founder -> where it comes from.
        model_access: how operators ask the model; None where no operator does.
    """

    space: Any
    founders: Sequence[Any]
    operators: Sequence[tuple[Operator, float]]
    seed: int
    labels: dict[str, str] = field(default_factory=dict)
    model_access: ModelAccess | None = None


class Strategy(ABC):
    """Base of all strategies: numbering, pending individuals, duplicates, operators' rates.

    Args:
        params: the strategy's own ``Params``.
        search: what to search.
    """

    Params: ClassVar[type[BaseModel]]
    accepts_partial: ClassVar[bool] = False  # whether individuals may be dropped before all items are scored
    many_objectives: ClassVar[bool] = False
    learns: ClassVar[bool] = False  # by gradient, from the gold labels of train items
    spaces: ClassVar[tuple[str, ...]] = ("prompt", "delta", "hybrid")  # kinds of genomes it can search

    def __init__(self, params: Any, search: SearchContext) -> None:
        self.params = params
        self.search = search
        self.randomness = Randomness(search.seed)
        self.variation = Variation(
            search.space, search.operators, self.randomness, search.model_access, self.learning_settings()
        )
        self.generation = 0
        self.seen: dict[str, None] = {}
        self._next_id = 0
        self._queue: list[Individual] = []  # to be asked in this generation
        self._pending: dict[int, Individual] = {}  # asked, not told
        self._told: list[Individual] = []  # of this generation

    # -- what a strategy adds ------------------------------------------------------------------------------

    @abstractmethod
    def first(self) -> list[Individual]:
        """Return the first generation."""

    @abstractmethod
    def next(self, told: list[Individual]) -> list[Individual]:
        """Take a whole generation, sorted by id, and return the next; empty = nothing new is left to try."""

    @abstractmethod
    def extra_state(self) -> dict[str, Any]:
        """Return what the subclass remembers."""

    @abstractmethod
    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Read back :meth:`extra_state`."""

    def incumbent(self, individual: Individual, best: Individual | None) -> Individual | None:
        """Return whom an individual that was asked for must not be worse than, to make any difference here.

        Args:
            individual: one that is pending.
            best: the best of all that were evaluated, founders of this generation included.

        Returns:
            An evaluated individual; None where everybody makes a difference.
        """
        return None

    @classmethod
    def refuses_partial(cls, params: Any) -> str:
        """Return why individuals must not be dropped under these parameters; ``""`` where they may."""
        return "" if cls.accepts_partial else "it learns from everybody's fitness"

    def learning_settings(self) -> LearningSettings:
        """Return how genomes learn by gradient, where they do."""
        return LearningSettings()

    # -- ask and tell --------------------------------------------------------------------------------------

    def ask(self, n: int | None = None) -> list[Individual]:
        """Return up to ``n`` individuals without fitness, or all of the generation that are left.

        An empty list means: tell what is pending first, or, if nothing is pending, nothing new is left.
        """
        if not self._queue and not self._pending:
            begun = self._next_id > 0
            told, self._told = sorted(self._told, key=lambda individual: individual.id), []
            self.generation += begun
            self._queue = self.next(told) if begun else self.first()
        count = len(self._queue) if n is None else n
        asked, self._queue = self._queue[:count], self._queue[count:]
        self._pending.update((individual.id, individual) for individual in asked)
        return asked

    def tell(self, individuals: Sequence[Individual]) -> None:
        """Take individuals that were asked for, in any order, evaluated, failed or dropped.

        Raises:
            ValueError: if one was not asked for, was told before, or has not been evaluated.
        """
        for individual in individuals:
            if individual.id not in self._pending:
                raise ValueError(f"individual {individual.id} is not pending: it was never asked for, or told before")
            if individual.status == "new":
                raise ValueError(f"individual {individual.id} has neither a fitness nor a failure")
            del self._pending[individual.id]
            self._told.append(individual)
        self.variation.credit(individuals)

    def waits_for(self, individual: Individual) -> bool:
        """Return whether it asked for this very individual and was not told yet what became of it."""
        return self._pending.get(individual.id) is individual

    def make(self, genome: Any, parents: Sequence[Individual] = (), operators: Sequence[str] = ()) -> Individual:
        """Number a genome as an individual of the coming generation and remember that it was seen."""
        fitnesses = [parent.fitness.values for parent in parents if parent.fitness.valid]
        individual = Individual(
            id=self._next_id,
            genome=genome,
            generation=self.generation,
            parents=tuple(dict.fromkeys(parent.id for parent in parents)),
            operators=tuple(operators),
            parent_fitness=max(fitnesses) if fitnesses else None,
        )
        self._next_id += 1
        self.seen[genome.digest] = None
        return individual

    def founders(self, size: int) -> list[Individual]:
        """Return the distinct founders, then variations of them until there are ``size``."""
        made = []
        for genome in self.search.founders:
            if genome.digest not in self.seen:
                made.append(self.make(genome, operators=(self.search.labels.get(genome.digest, "founder"),)))
        return made + self.randoms(size - len(made))

    def randoms(self, count: int) -> list[Individual]:
        """Return ``count`` random genomes that were not seen before; fewer where chance finds no more."""
        made: list[Individual] = []
        while len(made) < count and (genome := self.variation.random(self.seen)) is not None:
            made.append(self.make(genome, operators=("random",)))
        return made

    def offspring(
        self, families: Sequence[Family], crossover_prob: float, mutation_prob: float, learning_prob: float = 0.0
    ) -> list[Individual]:
        """Return a new child per family, as individuals of the coming generation; fewer where nothing new is left."""
        children = self.variation.children(families, self.seen, crossover_prob, mutation_prob, learning_prob)
        return [
            self.make(child[0], () if child[1] == ("random",) else family, child[1])
            for family, child in zip(families, children, strict=True)
            if child is not None
        ]

    # -- state ---------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return everything that decides what comes next: JSON values and arrays."""
        return {
            "generation": self.generation,
            "next_id": self._next_id,
            "seen": list(self.seen),
            "queue": [individual.state_dict() for individual in self._queue],
            "pending": [individual.state_dict() for individual in self._pending.values()],
            "told": [individual.state_dict() for individual in self._told],
            "randomness": self.randomness.state_dict(),
            "rates": self.variation.state_dict(),
            "extra": self.extra_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what :meth:`state_dict` returned."""
        self.generation = state["generation"]
        self._next_id = state["next_id"]
        self.seen = dict.fromkeys(state["seen"])
        self._queue = [Individual.from_state(s) for s in state["queue"]]
        self._pending = {s["id"]: Individual.from_state(s) for s in state["pending"]}
        self._told = [Individual.from_state(s) for s in state["told"]]
        self.randomness.load_state_dict(state["randomness"])
        self.variation.load_state_dict(state["rates"])
        self.load_extra_state(state["extra"])
