"""Strategies: they decide which genomes are tried next. A strategy is one file and one row of ``STRATEGIES``."""

from __future__ import annotations

from evolm.strategies.adam import Adam
from evolm.strategies.base import SearchContext, Start, Strategy
from evolm.strategies.cmaes import CmaEs
from evolm.strategies.differential_evolution import DifferentialEvolution
from evolm.strategies.es import EvolutionStrategy
from evolm.strategies.genetic import Genetic
from evolm.strategies.hill_climb import HillClimb
from evolm.strategies.islands import Islands
from evolm.strategies.memetic import Memetic
from evolm.strategies.nsga2 import Nsga2
from evolm.strategies.random_search import RandomSearch
from evolm.strategies.reinforce import Reinforce
from evolm.strategies.self_training import SelfTrained

STRATEGIES: dict[str, type[Strategy]] = {
    "genetic": Genetic,
    "hill_climb": HillClimb,
    "random_search": RandomSearch,
    "nsga2": Nsga2,
    "islands": Islands,
    "cmaes": CmaEs,
    "es": EvolutionStrategy,
    "differential_evolution": DifferentialEvolution,
    "memetic": Memetic,
    "adam": Adam,
    "reinforce": Reinforce,
    "self_training": SelfTrained,
}

__all__ = [
    "STRATEGIES",
    "Adam",
    "CmaEs",
    "DifferentialEvolution",
    "EvolutionStrategy",
    "Genetic",
    "HillClimb",
    "Islands",
    "Memetic",
    "Nsga2",
    "RandomSearch",
    "Reinforce",
    "SearchContext",
    "SelfTrained",
    "Start",
    "Strategy",
]
