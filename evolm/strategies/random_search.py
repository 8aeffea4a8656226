"""Random search: the founders, then genomes drawn from the space without looking at any score.

The baseline that every other strategy must beat at the same budget (Bergstra & Bengio 2012,
https://jmlr.org/papers/v13/bergstra12a.html). It draws an instruction from the founders, any number of random
demonstrations, and any allowed words, so it has all of the space's parts and none of evolution's memory.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from evolm.config import Section
from evolm.individual import Individual
from evolm.strategies.base import Strategy


class RandomSearchParams(Section):
    population_size: int = Field(24, ge=1, description="genomes drawn at a time")


class RandomSearch(Strategy):
    """Draws and forgets."""

    Params = RandomSearchParams
    params: RandomSearchParams
    accepts_partial = True

    def first(self) -> list[Individual]:
        """Founders, then random genomes."""
        return self.founders(self.params.population_size)

    def next(self, told: list[Individual]) -> list[Individual]:
        """Random genomes that were not drawn before."""
        return self.randoms(self.params.population_size)

    def incumbent(self, individual: Individual, best: Individual | None) -> Individual | None:
        """The best so far: nobody else is remembered."""
        return best

    def extra_state(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Nothing."""
