"""A genetic algorithm on DEAP: tournament or lexicase selection, crossover, mutation, elitism.

Survival is mu + lambda (Beyer & Schwefel 2002, https://doi.org/10.1023/A:1015059928466: the best of parents and
children) or generational with elites (the children and the best parents). Lexicase selection (Helmuth, Spector
& Matheson 2015, https://doi.org/10.1109/TEVC.2014.2362729) passes through the items in random order and keeps the
parents that are best on each; per-item scores are continuous, so its automatic epsilon form is used (La Cava 2016,
https://arxiv.org/abs/1905.13266).

An asynchronous algorithm breeds while others are scored (Alba & Tomassini 2002, https://doi.org/10.1109/TEVC.2002.800880),
usually from whatever is scored by then, so that the clock decides. Here generations overlap by a fixed number: with
``asynchronous = k``, the parents of generation g are survivors of generation g - 1 - k, or of the first one. What is
asked for follows from the answers alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from deap import tools
from pydantic import Field, model_validator

from evolm.config import Section
from evolm.fitness import Fitness, fitness_class
from evolm.individual import Individual
from evolm.operators import Family
from evolm.strategies.base import Strategy


class GeneticParams(Section):
    population_size: int = Field(24, ge=2, description="individuals that survive a generation")
    offspring: int = Field(0, ge=0, description="children per generation; 0 = population_size")
    crossover_prob: float = Field(0.6, ge=0, le=1, description="a child has two parents with this probability")
    mutation_prob: float = Field(0.9, ge=0, le=1, description="a child is mutated with this probability")
    selection: Literal["tournament", "lexicase"] = Field("tournament", description="how parents are chosen")
    tournament_size: int = Field(3, ge=1, description="competitors in a tournament")
    survival: Literal["plus", "generational"] = Field("plus", description="plus = mu + lambda")
    elites: int = Field(2, ge=0, description="parents that survive a generational step")
    asynchronous: int = Field(
        0, ge=0, le=64, description="generations beyond the next that are bred before one is told, so that none waits"
    )

    @model_validator(mode="after")
    def _overlap_keeps_the_population(self) -> GeneticParams:
        if self.asynchronous and self.survival == "generational":
            raise ValueError(
                "asynchronous: expected 0 with survival = 'generational', whose children replace the generation "
                f"before them, found {self.asynchronous}"
            )
        return self


class Genetic(Strategy):
    """Evolves a population; see the module's docstring."""

    Params = GeneticParams
    params: GeneticParams
    accepts_partial = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.population: list[Individual] = []

    def first(self) -> list[Individual]:
        """Return founders, then random genomes until the population is full."""
        return self.founders(self.params.population_size)

    def next(self, told: list[Individual]) -> list[Individual]:
        """Select the survivors, then return their children."""
        self.population = self._survivors([individual for individual in told if individual.fitness.valid])
        count = self.params.offspring or self.params.population_size
        if not self.population:
            return self.founders(count)
        self.variation.population = tools.selBest(self.population, len(self.population))
        return self._children(self._families(count))

    def incumbent(self, individual: Individual, best: Individual | None) -> Individual | None:
        """Return the worst member of a full population: a child that is worse does not survive."""
        return self.population[-1] if len(self.population) >= self.params.population_size else None

    @property
    def overlap(self) -> int:
        """The setting ``asynchronous``."""
        return self.params.asynchronous

    @classmethod
    def refuses_partial(cls, params: GeneticParams) -> str:
        """Return a reason for overlapping generations, and for survival of all children."""
        if params.asynchronous:
            return "asynchronous generations are scored side by side, on all items at once"
        return "" if params.survival == "plus" else "survival = 'generational' keeps all children"

    def _children(self, families: list[Family]) -> list[Individual]:
        return self.offspring(families, self.params.crossover_prob, self.params.mutation_prob)

    def _survivors(self, children: list[Individual]) -> list[Individual]:
        size = self.params.population_size
        if self.params.survival == "plus":
            return tools.selBest(self.population + children, size)
        return tools.selBest(tools.selBest(self.population, self.params.elites) + children, size)

    def _families(self, count: int) -> list[Family]:
        with self.randomness.lend():
            if self.params.selection == "lexicase":
                views = [CaseView(individual) for individual in feasible(self.population)]
                chosen = [view.individual for view in tools.selAutomaticEpsilonLexicase(views, 2 * count)]
            else:
                chosen = tools.selTournament(self.population, 2 * count, self.params.tournament_size)
        return list(zip(chosen[::2], chosen[1::2], strict=True))

    def extra_state(self) -> dict[str, Any]:
        """Return the surviving population."""
        return {"population": [individual.state_dict() for individual in self.population]}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Read back :meth:`extra_state`."""
        self.population = [Individual.from_state(s) for s in state["population"]]


def feasible(population: Sequence[Individual]) -> list[Individual]:
    """Return the individuals with the smallest violation of the constraint: without one, all."""
    least = min((individual.fitness.violation for individual in population), default=0.0)
    return [individual for individual in population if individual.fitness.violation == least]


@dataclass(eq=False)
class CaseView:
    """An individual whose fitness is its per-item scores, for DEAP's lexicase selection."""

    individual: Individual

    @property
    def fitness(self) -> Fitness:
        """A fitness with one objective per item; the individual's own fitness if it has no per-item scores."""
        if not hasattr(self, "_fitness"):
            cases = self.individual.cases
            values = self.individual.fitness.values if cases is None else tuple(map(float, cases))
            self._fitness = fitness_class(len(values))(values)
        return self._fitness
