"""Differential evolution: steps are differences between members, and a trial only ever replaces its own target.

Storn & Price 1997, "Differential Evolution - A Simple and Efficient Heuristic for Global Optimization over Continuous
Spaces", https://doi.org/10.1023/A:1008202821328: DE/rand/1/bin. DE/current-to-best/1/bin is in Price, Storn &
Lampinen 2005, https://doi.org/10.1007/3-540-31306-0. The variants have the names of the reference implementation,
``scipy.optimize.differential_evolution``; as in the paper, all trials of a generation are made of one population.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from pydantic import Field

from evolm.config import Section
from evolm.individual import Individual
from evolm.strategies.vectors import VectorStrategy, best_first, wide


class DifferentialEvolutionParams(Section):
    population_size: int = Field(24, ge=4, description="members; each is the target of one trial per generation")
    variant: Literal["currenttobest1bin", "rand1bin"] = Field(
        "currenttobest1bin", description="what a mutant starts from: the target drawn to the best, or a random member"
    )
    # Drawn to the best with F = 0.5, small populations are all alike before they are good.
    differential_weight: float = Field(0.7, gt=0, le=2, description="F: how much of a difference is a step")
    crossover_prob: float = Field(0.9, ge=0, le=1, description="CR: a gene is the mutant's with this probability")


class DifferentialEvolution(VectorStrategy):
    """Lets every member face a trial; see the module's docstring."""

    Params = DifferentialEvolutionParams
    params: DifferentialEvolutionParams
    made_by = "differential_evolution"
    accepts_partial = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.population: list[Individual | None] = []  # None: nothing valid was found yet for this place
        self.targets: dict[int, int] = {}  # a trial's id -> place of its target

    def first(self) -> list[Individual]:
        """Founders, then random genomes; each founder has a place, be there more than ``population_size``."""
        members = self.founders(self.params.population_size)
        self.population = [None] * len(members)
        self.targets = {member.id: place for place, member in enumerate(members)}
        return members

    def next(self, told: list[Individual]) -> list[Individual]:
        """Let each trial replace its target unless it is worse, then make a trial for each place."""
        for trial in told:
            place = self.targets[trial.id]
            target = self.population[place]
            if trial.fitness.valid and (target is None or trial.fitness >= target.fitness):
                self.population[place] = trial
        self.targets = {}
        trials = []
        for place in range(len(self.population)):
            for trial in self._trial(place):
                self.targets[trial.id] = place
                trials.append(trial)
        return trials

    def incumbent(self, individual: Individual, best: Individual | None) -> Individual | None:
        """The trial's own target."""
        return self.population[self.targets[individual.id]]

    def _trial(self, place: int) -> list[Individual]:
        """Return one new trial; a random genome while there are too few members, or where all of them are alike."""
        target = self.population[place]
        members = [member for member in self.population if member is not None]
        others = [member for member in members if member is not target]
        if target is None or len(others) < 3:
            return self.randoms(1)
        best = best_first(members)[0]
        parents: list[Individual] = []

        def drawn() -> np.ndarray:
            chosen = self.randomness.numpy.choice(len(others), 3, replace=False)
            donors = [others[index] for index in chosen]
            if self.params.variant == "currenttobest1bin":
                donors[0] = best
            parents[:] = [target, *donors]
            return self._crossed(parents)[None]

        genomes = self.fresh(drawn, 1)
        return self.individuals(genomes, parents) if genomes else self.randoms(1)

    def _crossed(self, parents: Sequence[Individual]) -> np.ndarray:
        target, base, plus, minus = (wide(parent.genome) for parent in parents)
        factor = self.params.differential_weight
        if self.params.variant == "currenttobest1bin":
            base = target + factor * (base - target)
        return binomial(self.randomness.numpy, target, base + factor * (plus - minus), self.params.crossover_prob)

    def extra_state(self) -> dict[str, Any]:
        """The members, and which of them each trial faces."""
        members = [None if member is None else member.state_dict() for member in self.population]
        return {"population": members, "targets": [[*pair] for pair in self.targets.items()]}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Read back :meth:`extra_state`."""
        self.population = [None if s is None else Individual.from_state(s) for s in state["population"]]
        self.targets = dict(state["targets"])


def binomial(rng: np.random.Generator, target: np.ndarray, mutant: np.ndarray, rate: float) -> np.ndarray:
    """Take each of ``(n,)`` genes from the mutant with probability ``rate``, and one of them in any case."""
    theirs = rng.random(len(target)) < rate
    theirs[rng.integers(len(target))] = True
    return np.where(theirs, mutant, target)
