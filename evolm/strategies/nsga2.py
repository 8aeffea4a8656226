"""NSGA-II: a genetic algorithm for several objectives that spreads its population along the Pareto front.

Deb 2002, "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II", https://doi.org/10.1109/4235.996017.
Survival (sections III-A to III-C: nondominated sorting, crowding distance, main loop) is DEAP's ``selNSGA2``, the
tournament by rank and crowding distance (III-B) is DEAP's ``selTournamentDCD``; variation is by evolm's operators.
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
    """Evolves a population along a front; see the module's docstring."""

    Params = Nsga2Params
    params: Nsga2Params
    many_objectives = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.population: list[Individual] = []

    def first(self) -> list[Individual]:
        """Return founders, then random genomes until the population is full."""
        return self.founders(self.params.population_size)

    def next(self, told: list[Individual]) -> list[Individual]:
        """Keep the best fronts, the last one without its most crowded members, then return children."""
        valid = [individual for individual in told if individual.fitness.valid]
        # Of R_t, parents and children, keep P_{t+1} (III-C); selNSGA2 also sets the crowding distances (III-B).
        self.population = tools.selNSGA2(self.population + valid, self.params.population_size)
        if not self.population:
            return self.founders(self.params.population_size)
        self.variation.population = self.population
        return self.offspring(self._families(), self.params.crossover_prob, self.params.mutation_prob)

    def _families(self) -> list[Family]:
        """Return ``population_size`` pairs of tournament winners."""
        fours = len(self.population) // 4 * 4  # selTournamentDCD takes multiples of four
        chosen: list[Individual] = []
        with self.randomness.lend():
            while len(chosen) < 2 * self.params.population_size:
                chosen += (
                    tools.selTournamentDCD(self.population, fours) if fours else tools.selRandom(self.population, 2)
                )
        pairs: list[Family] = list(zip(chosen[::2], chosen[1::2], strict=True))
        return pairs[: self.params.population_size]

    def extra_state(self) -> dict[str, Any]:
        """Return the surviving population; crowding distances are computed from it again."""
        return {"population": [individual.state_dict() for individual in self.population]}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Read back :meth:`extra_state`."""
        self.population = [Individual.from_state(s) for s in state["population"]]
