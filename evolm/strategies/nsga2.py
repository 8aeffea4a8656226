"""NSGA-II: several objectives, a population spread along their front.

Deb 2002, "A fast and elitist multiobjective genetic algorithm: NSGA-II", https://doi.org/10.1109/4235.996017.
Selection and survival are DEAP's (``selTournamentDCD``, ``selNSGA2``); variation is the house's.
"""

from __future__ import annotations

from typing import Any

from deap import tools
from pydantic import Field

from evolm.config import Section
from evolm.individual import Individual
from evolm.operators import Family
from evolm.strategies.base import Strategy


class Nsga2Params(Section):
    population_size: int = Field(24, ge=4, description="individuals that survive a generation")
    crossover_prob: float = Field(0.6, ge=0, le=1, description="a child has two parents with this probability")
    mutation_prob: float = Field(0.9, ge=0, le=1, description="a child is mutated with this probability")


class Nsga2(Strategy):
    """Evolves a front; see the module's docstring."""

    Params = Nsga2Params
    params: Nsga2Params
    many_objectives = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.population: list[Individual] = []

    def first(self) -> list[Individual]:
        """Founders, then random genomes until the population is full."""
        return self.founders(self.params.population_size)

    def next(self, told: list[Individual]) -> list[Individual]:
        """Keep the best fronts, the most crowded of the last one left out, then vary."""
        valid = [individual for individual in told if individual.fitness.valid]
        # selNSGA2 gives every individual the crowding distance that selTournamentDCD compares.
        self.population = tools.selNSGA2(self.population + valid, self.params.population_size)
        if not self.population:
            return self.founders(self.params.population_size)
        self.variation.population = self.population
        return self.offspring(self._families(), self.params.crossover_prob, self.params.mutation_prob)

    def _families(self) -> list[Family]:
        """Pairs of tournament winners, as many as the population has room for."""
        fours = len(self.population) // 4 * 4  # the tournament's arithmetic
        chosen: list[Individual] = []
        with self.randomness.lend():
            while len(chosen) < 2 * self.params.population_size:
                chosen += (
                    tools.selTournamentDCD(self.population, fours) if fours else tools.selRandom(self.population, 2)
                )
        pairs: list[Family] = list(zip(chosen[::2], chosen[1::2], strict=True))
        return pairs[: self.params.population_size]

    def extra_state(self) -> dict[str, Any]:
        """The population that survived; crowding distances follow from it."""
        return {"population": [individual.state_dict() for individual in self.population]}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Read back :meth:`extra_state`."""
        self.population = [Individual.from_state(s) for s in state["population"]]
