"""Island model: several genetic algorithms, whose best individuals migrate around a ring at intervals.

Whitley, Rana & Heckendorn 1999, "The Island Model Genetic Algorithm: On Separability, Population Size and
Convergence", Journal of Computing and Information Technology 7(1). Selection and survival on an island are those of
``genetic``; migration is DEAP's (``tools.migRing``, as in its example ``onemax_island``): copies of an island's best
individuals replace the worst of the next island. Every individual is evaluated once, whatever islands it is on.
"""

from __future__ import annotations

from typing import Any

from deap import tools
from pydantic import Field

from evolm.individual import Individual
from evolm.strategies.genetic import Genetic, GeneticParams


class IslandsParams(GeneticParams):
    population_size: int = Field(8, ge=2, description="individuals of an island that survive a generation")
    n_islands: int = Field(3, ge=2, description="number of islands; the genetic strategy's settings apply to each")
    migration_every: int = Field(3, ge=1, description="generations from one migration to the next")
    migrants: int = Field(1, ge=1, description="individuals that each island sends to the next one")


class Islands(Genetic):
    """Evolves several populations; see the module's docstring."""

    Params = IslandsParams
    params: IslandsParams

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.islands: list[list[Individual]] = [[] for _ in range(self.params.n_islands)]
        self.homes: dict[int, int] = {}  # id of an individual that is not told yet -> its island

    def first(self) -> list[Individual]:
        """Return founders, then random genomes, dealt out to the islands one by one."""
        individuals = self.founders(self.params.n_islands * self.params.population_size)
        self.homes = {individual.id: place % len(self.islands) for place, individual in enumerate(individuals)}
        return individuals

    def next(self, told: list[Individual]) -> list[Individual]:
        """Select survivors on each island, migrate if it is time, then return the children of each island."""
        for place in range(len(self.islands)):
            self.population = self.islands[place]
            born = [i for i in told if i.fitness.valid and self.homes[i.id] == place]
            self.islands[place] = self._survivors(born)
        if self.generation % self.params.migration_every == 0:
            self._migrate()
        done = {individual.id for individual in told}
        self.homes = {id: place for id, place in self.homes.items() if id not in done}
        generation = []
        for place, island in enumerate(self.islands):
            children = self._bred(island)
            self.homes.update((child.id, place) for child in children)
            generation += children
        return generation

    def incumbent(self, individual: Individual, best: Individual | None) -> Individual | None:
        """Return the worst individual on the island of ``individual`` if that island is full."""
        island = self.islands[self.homes[individual.id]]
        if len(island) < self.params.population_size:
            return None
        return min(island, key=lambda one: (one.fitness, -one.id))

    def _migrate(self) -> None:
        count = min(self.params.migrants, *map(len, self.islands))
        with self.randomness.lend():
            tools.migRing(self.islands, count, tools.selBest, replacement=tools.selWorst)
        # A migrant may be on the island already, from an earlier migration.
        self.islands = [list({i.digest: i for i in island}.values()) for island in self.islands]

    def _bred(self, island: list[Individual]) -> list[Individual]:
        count = self.params.offspring or self.params.population_size
        if not island:
            return self.founders(count)
        self.population = island
        self.variation.population = tools.selBest(island, len(island))
        return self._children(self._families(count))

    def extra_state(self) -> dict[str, Any]:
        """Return the islands' populations and the islands of the individuals that are not told yet."""
        return {
            "islands": [[individual.state_dict() for individual in island] for island in self.islands],
            "homes": [[*pair] for pair in self.homes.items()],
        }

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Read back :meth:`extra_state`."""
        self.islands = [[Individual.from_state(s) for s in island] for island in state["islands"]]
        self.homes = dict(state["homes"])
