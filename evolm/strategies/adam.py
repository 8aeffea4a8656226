"""Fine-tuning with Adam: a population of one, every step accepted. The classic baseline of all that evolves deltas.

Kingma & Ba 2014, https://arxiv.org/abs/1412.6980. The learning rate is chosen on dev from a grid, at the strategy's
own expense: each rate learns for the same number of steps from the founder, the best goes on. The best checkpoint on
dev is what the campaign keeps (early stopping).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import Field, PositiveFloat

from evolm.config import Section
from evolm.genomes import deltas_of
from evolm.individual import Individual
from evolm.operators import LearningSettings
from evolm.operators.learning import begun, delta_of, with_delta
from evolm.strategies.base import Strategy


class AdamParams(Section):
    learning_rates: list[PositiveFloat] = Field([0.005, 0.02, 0.05], min_length=1, description="the grid")
    weight_decay: float = Field(0.01, ge=0, description="decoupled, towards no change")
    gradient_steps: int = Field(4, ge=1, description="steps between two evaluations")
    grid_steps: int = Field(8, ge=1, description="steps that each rate of the grid learns for")
    batch_size: int = Field(32, ge=1, description="train items in a step")


class Adam(Strategy):
    """Fine-tunes one individual; see the module's docstring."""

    Params = AdamParams
    params: AdamParams
    spaces = ("delta", "hybrid")
    learns = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.current: Individual | None = None
        self.tuned = False  # whether the grid has been asked

    def learning_settings(self) -> LearningSettings:
        """Settings never change on their own."""
        params = self.params
        return LearningSettings(
            params.learning_rates[0], params.weight_decay, params.gradient_steps, params.batch_size, adapt=False
        )

    def first(self) -> list[Individual]:
        """The founders."""
        return self.founders(1)

    def next(self, told: list[Individual]) -> list[Individual]:
        """Ask the grid, then go on from its best; afterwards from wherever the last step led."""
        valid = [individual for individual in told if individual.fitness.valid]
        if valid:
            self.current = max(valid, key=lambda individual: (individual.fitness.values, -individual.id))
        if self.current is None:
            return self.founders(1)
        if self.tuned:
            return self._learn([self._with(self.current, steps=self.params.gradient_steps)])
        self.tuned = True
        return self._learn(
            [self._with(self.current, rate=rate, steps=self.params.grid_steps) for rate in self.params.learning_rates]
        )

    def _learn(self, pupils: list[Individual]) -> list[Individual]:
        return self.offspring(
            [(pupil,) for pupil in pupils], crossover_prob=0.0, mutation_prob=0.0, learning_prob=1.0
        )

    def _with(self, individual: Individual, **changes: Any) -> Individual:
        """Return an individual that learns with other settings."""
        deltas = deltas_of(self.search.space)
        assert deltas is not None  # spaces says so
        delta = delta_of(individual.genome)
        learning = delta.learning or begun(deltas.dimension, self.learning_settings())
        changed = replace(delta, learning=replace(learning, **changes))
        return replace(individual, genome=with_delta(individual.genome, changed))

    def extra_state(self) -> dict[str, Any]:
        """Where it stands."""
        return {"current": self.current.state_dict() if self.current else None, "tuned": self.tuned}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Read back :meth:`extra_state`."""
        self.current = Individual.from_state(state["current"]) if state["current"] else None
        self.tuned = state["tuned"]
