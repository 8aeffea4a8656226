"""Fine-tuning with Adam: one individual, every step accepted; the baseline for all strategies that evolve deltas.

Kingma & Ba 2014, https://arxiv.org/abs/1412.6980, with the decoupled weight decay of Loshchilov & Hutter 2017,
https://arxiv.org/abs/1711.05101. The learning rate is chosen on dev from a grid, charged to the strategy's own
budget: each rate takes the same number of steps from the founder, and the best of these individuals goes on. The
campaign keeps the individual that is best on dev (early stopping).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from pydantic import Field, PositiveFloat

from evolm.config import Section
from evolm.genomes import DELTA
from evolm.individual import Individual
from evolm.operators import Family, LearningSettings
from evolm.operators.learning import GRADIENT_STEP, begun
from evolm.strategies.base import Strategy


class AdamParams(Section):
    learning_rates: list[PositiveFloat] | None = Field(
        None,
        min_length=1,
        description="rates of the grid; absent = the delta space's rate, a quarter and 2.5 times of it",
    )
    weight_decay: float = Field(0.01, ge=0, description="decoupled; genes decay towards zero, which changes nothing")
    gradient_steps: int = Field(4, ge=1, description="steps between two evaluations")
    grid_steps: int = Field(8, ge=1, description="steps with each rate of the grid")
    batch_size: int = Field(32, ge=1, description="train items in a step")


class Adam(Strategy):
    """Fine-tunes one individual; see the module's docstring."""

    Params = AdamParams
    params: AdamParams
    needs = (DELTA,)
    learns = True
    learns_by = GRADIENT_STEP
    multiples: ClassVar[tuple[float, ...]] = (0.25, 1.0, 2.5)  # of the space's rate: the grid if none is given
    replaces: ClassVar[bool] = True  # whether a random genome takes the place of one that learnt nothing

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.current: Individual | None = None
        self.tuned = False  # whether the individuals of the grid were returned

    def learning_settings(self) -> LearningSettings:
        """Return settings that do not mutate."""
        params = self.params
        return LearningSettings(
            self._rates[0], params.weight_decay, params.gradient_steps, params.batch_size, adapt=False
        )

    @property
    def _rates(self) -> list[float]:
        """The learning rates of the grid."""
        usual = self.context.space[DELTA].learning_rate
        return self.params.learning_rates or [each * usual for each in self.multiples]

    def first(self) -> list[Individual]:
        """Return the founders."""
        return self.founders(1)

    def next(self, told: list[Individual]) -> list[Individual]:
        """Return one child per rate of the grid, then a child of the best of them, then of each child."""
        valid = [individual for individual in told if individual.fitness.valid]
        if valid:
            self.current = max(valid, key=lambda individual: (individual.fitness, -individual.id))
        if self.current is None:
            return self.founders(1)
        if self.tuned:
            return self._learn([self._with(self.current, steps=self.params.gradient_steps)])
        self.tuned = True
        return self._learn(
            [self._with(self.current, rate=rate, steps=self.params.grid_steps) for rate in self._rates]
        )

    def _learn(self, parents: list[Individual]) -> list[Individual]:
        families: list[Family] = [(parent,) for parent in parents]
        return self.offspring(families, 0.0, 0.0, learning_prob=1.0, replacing=self.replaces)

    def _with(self, individual: Individual, **changes: Any) -> Individual:
        """Return a copy of an individual whose children learn with changed settings."""
        delta = individual.genome.delta
        learning = delta.learning or begun(delta.genes.size, self.learning_settings())
        changed = replace(delta, learning=replace(learning, **changes))
        return replace(individual, genome=individual.genome.with_chromosome(DELTA, changed))

    def extra_state(self) -> dict[str, Any]:
        """Return the current individual, and whether the grid was tried."""
        return {"current": self.current.state_dict() if self.current else None, "tuned": self.tuned}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Read back :meth:`extra_state`."""
        self.current = Individual.from_state(state["current"]) if state["current"] else None
        self.tuned = state["tuned"]
