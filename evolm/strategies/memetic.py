"""A memetic algorithm: a genetic one whose children learn by gradient before they are judged.

Moscato 1989, "On evolution, search, optimization, genetic algorithms and martial arts"; Lamarckian: what is learnt is
inherited (Whitley 1994, https://doi.org/10.1007/3-540-58484-6_245). The gradient sees train items and the
log-likelihood of gold answers; selection sees dev items and whatever the campaign maximises, so learning rates,
stopping and the use of modules learnt elsewhere are decided by what the gradient does not know. Population-based
training (Jaderberg 2017, https://arxiv.org/abs/1711.09846) copies and perturbs in the same way, without crossover.
"""

from __future__ import annotations

from pydantic import Field

from evolm.individual import Individual
from evolm.operators import Family, LearningSettings
from evolm.strategies.genetic import Genetic, GeneticParams


class MemeticParams(GeneticParams):
    population_size: int = Field(6, ge=2, description="individuals that survive a generation")
    crossover_prob: float = Field(0.4, ge=0, le=1, description="a child has two parents with this probability")
    mutation_prob: float = Field(0.1, ge=0, le=1, description="a child is mutated with this probability")
    tournament_size: int = Field(2, ge=1, description="competitors in a tournament")
    learning_prob: float = Field(1.0, gt=0, le=1, description="a child learns with this probability")
    learning_rate: float = Field(0.02, gt=0, description="of Adam, for genomes that have not learnt yet")
    weight_decay: float = Field(0.01, ge=0, description="of Adam, towards no change")
    gradient_steps: int = Field(4, ge=1, description="steps between two evaluations")
    batch_size: int = Field(32, ge=1, description="train items in a step")


class Memetic(Genetic):
    """Evolves a population that learns; see the module's docstring."""

    Params = MemeticParams
    params: MemeticParams
    spaces = ("delta", "hybrid")
    learns = True

    def learning_settings(self) -> LearningSettings:
        """Rate, decay and steps are where strategy genes start from."""
        params = self.params
        return LearningSettings(
            params.learning_rate, params.weight_decay, params.gradient_steps, params.batch_size, adapt=True
        )

    def first(self) -> list[Individual]:
        """The founders, and what they become by learning, until the population is full."""
        made = self.founders(0)
        pupils = [(made[index % len(made)],) for index in range(self.params.population_size - len(made))]
        return made + self.offspring(pupils, crossover_prob=0.0, mutation_prob=0.0, learning_prob=1.0)

    def _children(self, families: list[Family]) -> list[Individual]:
        params = self.params
        return self.offspring(families, params.crossover_prob, params.mutation_prob, params.learning_prob)
