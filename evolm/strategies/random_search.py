"""Random search: the founders, then genomes drawn from the space without looking at any score.

The baseline that every other strategy must beat at the same budget (Bergstra & Bengio 2012,
https://jmlr.org/papers/v13/bergstra12a.html). Of a prompt it draws an instruction from the founders, any number of
random demonstrations and any allowed words: it searches the whole space and remembers no earlier result.
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
    """Draws random genomes; see the module's docstring."""

    Params = RandomSearchParams
    params: RandomSearchParams
    accepts_partial = True
    any_objectives = True

    def first(self) -> list[Individual]:
        """Return founders, then random genomes."""
        return self.founders(self.params.population_size)

    def next(self, told: list[Individual]) -> list[Individual]:
        """Return random genomes that were not drawn before."""
        return self.randoms(self.params.population_size)

    def incumbent(self, individual: Individual, best: Individual | None) -> Individual | None:
        """Return the best individual so far, the only one that the campaign keeps."""
        return best

    def extra_state(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Read nothing."""
