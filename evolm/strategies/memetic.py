"""A memetic algorithm: a genetic algorithm whose children take gradient steps before they are evaluated.

Moscato 1989, "On Evolution, Search, Optimization, Genetic Algorithms and Martial Arts: Towards Memetic Algorithms".
It is Lamarckian: a child's learnt genes are inherited (Whitley 1994, https://doi.org/10.1007/3-540-58484-6_245). The
gradient is that of the gold answers' log-likelihood on train items; selection uses dev items and the campaign's own
fitness, so learning rates, stopping and combinations of modules are chosen by data that no gradient has seen.
Population-based training (Jaderberg 2017, https://arxiv.org/abs/1711.09846) copies and perturbs in the same way,
without crossover.
"""

from __future__ import annotations

from pydantic import Field

from evolm.genomes import DELTA
from evolm.individual import Individual
from evolm.operators import Family, LearningSettings
from evolm.strategies.genetic import Genetic, GeneticParams


class MemeticParams(GeneticParams):
    population_size: int = Field(6, ge=2, description="individuals that survive a generation")
    crossover_prob: float = Field(0.4, ge=0, le=1, description="a child has two parents with this probability")
    mutation_prob: float = Field(0.1, ge=0, le=1, description="a child is mutated with this probability")
    tournament_size: int = Field(2, ge=1, description="competitors in a tournament")
    learning_prob: float = Field(1.0, gt=0, le=1, description="a child learns with this probability")
    learning_rate: float = Field(
        0.0,
        ge=0,
        description="of Adam, for genomes that have not learnt yet; 0 = the delta space's, at most 0.02",
    )
    weight_decay: float = Field(0.01, ge=0, description="of Adam, towards no change")
    gradient_steps: int = Field(4, ge=1, description="steps between two evaluations")
    batch_size: int = Field(32, ge=1, description="train items in a step")


class Memetic(Genetic):
    """Evolves a population whose children learn; see the module's docstring."""

    Params = MemeticParams
    params: MemeticParams
    needs = (DELTA,)
    learns = True

    def learning_settings(self) -> LearningSettings:
        """Return the initial rate, decay and steps, which are then inherited and mutated as strategy genes."""
        params = self.params
        rate = params.learning_rate or self.context.space[DELTA].learning_rate
        return LearningSettings(rate, params.weight_decay, params.gradient_steps, params.batch_size, adapt=True)

    def first(self) -> list[Individual]:
        """Return the founders, then founders after gradient steps until the population is full."""
        founders = self.founders(0)
        missing = self.params.population_size - len(founders)
        families: list[Family] = [(founders[index % len(founders)],) for index in range(missing)]
        return founders + self.offspring(families, crossover_prob=0.0, mutation_prob=0.0, learning_prob=1.0)

    def _children(self, families: list[Family]) -> list[Individual]:
        params = self.params
        return self.offspring(families, params.crossover_prob, params.mutation_prob, params.learning_prob)
