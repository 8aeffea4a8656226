"""Steepest-ascent hill climbing: mutate the best, move to the best neighbour if it is better.

The search of GrIPS (Prasad 2022, https://arxiv.org/abs/2203.07281) with a beam of one. After ``patience`` steps
without improvement it restarts from the best individual that it has not climbed from yet.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from evolm.config import Section
from evolm.individual import Individual
from evolm.strategies.base import Strategy


class HillClimbParams(Section):
    neighbours: int = Field(6, ge=1, description="mutants tried at a time")
    patience: int = Field(2, ge=1, description="steps without improvement before a restart")


class HillClimb(Strategy):
    """Climbs from the best founder."""

    Params = HillClimbParams
    params: HillClimbParams
    accepts_partial = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.current: Individual | None = None
        self.starts: list[Individual] = []  # not climbed from yet, best first
        self.idle = 0  # steps without improvement

    def first(self) -> list[Individual]:
        """Return the founders; a random genome if there are none."""
        return self.founders(1)

    def next(self, told: list[Individual]) -> list[Individual]:
        """Move to the best mutant if it is better, then return new mutants."""
        self._move([individual for individual in told if individual.fitness.valid])
        if self.current is None:
            return self.founders(self.params.neighbours)
        self.variation.population = [self.current, *self.starts]
        families = [(self.current,)] * self.params.neighbours
        return self.offspring(families, crossover_prob=0.0, mutation_prob=1.0)

    def incumbent(self, individual: Individual, best: Individual | None) -> Individual | None:
        """Return the current individual: the search never moves to a worse one."""
        return self.current

    def _move(self, told: list[Individual]) -> None:
        ranked = sorted(told, key=lambda individual: individual.fitness, reverse=True)
        if ranked and (self.current is None or ranked[0].fitness > self.current.fitness):
            self.current, self.idle = ranked[0], 0
            ranked = ranked[1:]
        else:
            self.idle += 1
        waiting = sorted(self.starts + ranked, key=lambda individual: individual.fitness, reverse=True)
        self.starts = waiting[: self.params.neighbours]
        if self.idle >= self.params.patience and self.starts:
            self.current, self.idle = self.starts.pop(0), 0

    def extra_state(self) -> dict[str, Any]:
        """Return the current individual, the starts of later climbs and the idle steps."""
        return {
            "current": self.current.state_dict() if self.current else None,
            "starts": [individual.state_dict() for individual in self.starts],
            "idle": self.idle,
        }

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Read back :meth:`extra_state`."""
        self.current = Individual.from_state(state["current"]) if state["current"] else None
        self.starts = [Individual.from_state(s) for s in state["starts"]]
        self.idle = state["idle"]
