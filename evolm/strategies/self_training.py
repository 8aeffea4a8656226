"""Self-training: one individual learns from its own confident answers to rows without gold, every step accepted.

The loop of :class:`~evolm.strategies.adam.Adam`, with the operator
:class:`~evolm.operators.self_training.SelfTraining` in the place of steps on gold alone: learning rates from a grid,
then answers, steps, answers, steps. What is kept is the individual with the best fitness, which need not know gold
either. The search ends if its own answers teach nothing any more.
"""

from __future__ import annotations

from typing import Any

from evolm.individual import Individual
from evolm.operators.self_training import MEMBERS, SELF_TRAINING
from evolm.strategies.adam import Adam


class SelfTrained(Adam):
    """Trains one individual on its own answers; see the module's docstring.

    Its committee, if ``self_training.confidence`` asks one, are its last ancestors (temporal ensembling, Laine 2017,
    https://arxiv.org/abs/1610.02242).
    """

    learns_by = SELF_TRAINING

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.line: list[Individual] = []

    def next(self, told: list[Individual]) -> list[Individual]:
        """Return one child per rate of the grid, then a child of the best of them, then of each child."""
        self.line = [*self.line, *(individual for individual in told if individual.fitness.valid)][-MEMBERS:]
        self.variation.population = self.line[::-1]
        made = super().next(told)
        return [child for child in made if child.parents or self.current is None]

    def extra_state(self) -> dict[str, Any]:
        """Return Adam's state, and the last individuals."""
        return {**super().extra_state(), "line": [individual.state_dict() for individual in self.line]}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Read back :meth:`extra_state`."""
        super().load_extra_state(state)
        self.line = [Individual.from_state(each) for each in state["line"]]
