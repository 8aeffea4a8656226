"""Strategies: what is tried next. A strategy is one file and one row here."""

from __future__ import annotations

from evolm.strategies.base import SearchSpace, Strategy
from evolm.strategies.genetic import Genetic
from evolm.strategies.hill_climb import HillClimb
from evolm.strategies.nsga2 import Nsga2
from evolm.strategies.random_search import RandomSearch

STRATEGIES: dict[str, type[Strategy]] = {
    "genetic": Genetic,
    "hill_climb": HillClimb,
    "random_search": RandomSearch,
    "nsga2": Nsga2,
}

__all__ = ["STRATEGIES", "Genetic", "HillClimb", "Nsga2", "RandomSearch", "SearchSpace", "Strategy"]
