"""Differential evolution: steps are differences between members, and a trial only ever replaces its own target.

Storn & Price 1997, "Differential Evolution - A Simple and Efficient Heuristic for Global Optimization over Continuous
Spaces", https://doi.org/10.1023/A:1008202821328: DE/rand/1/bin. DE/current-to-best/1/bin is in Price, Storn &
Lampinen 2005, https://doi.org/10.1007/3-540-31306-0. The variants have the names of the reference implementation,
``scipy.optimize.differential_evolution``. As in the paper, all trials of a generation are made from one population.

Symbols are the paper's: member ``x_i`` is the target of trial ``u_i``, which crosses it with the mutant ``v_i``; F is
``differential_weight``, CR is ``crossover_prob``, NP is ``population_size``.
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
    # With F = 0.5 and current-to-best, the members of small populations become equal before they are good.
    differential_weight: float = Field(0.7, gt=0, le=2, description="F: the factor of a difference in a step")
    crossover_prob: float = Field(0.9, ge=0, le=1, description="CR: a gene is the mutant's with this probability")


class DifferentialEvolution(VectorStrategy):
    """Makes one trial for every member; see the module's docstring."""

    Params = DifferentialEvolutionParams
    params: DifferentialEvolutionParams
    operator_name = "differential_evolution"
    accepts_partial = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.population: list[Individual | None] = []  # None: no valid individual was found for this place yet
        self.targets: dict[int, int] = {}  # id of a trial -> place of its target in the population

    def first(self) -> list[Individual]:
        """Return founders, then random genomes; every founder has a place, even beyond ``population_size``."""
        members = self.founders(self.params.population_size)
        self.population = [None] * len(members)
        self.targets = {member.id: place for place, member in enumerate(members)}
        return members

    def next(self, told: list[Individual]) -> list[Individual]:
        """Replace the targets by trials that are not worse, then make one trial for each place."""
        for trial in told:
            place = self.targets[trial.id]
            target = self.population[place]
            # The paper's section "Selection"; a trial that equals its target replaces it.
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
        """Return the trial's own target."""
        return self.population[self.targets[individual.id]]

    def _trial(self, place: int) -> list[Individual]:
        """Return one new trial, or a random genome if there are too few members or all of them are equal."""
        target = self.population[place]
        members = [member for member in self.population if member is not None]
        others = [member for member in members if member is not target]
        if target is None or len(others) < 3:
            return self.randoms(1)
        best = best_first(members)[0]
        parents: list[Individual] = []

        def draw() -> np.ndarray:
            r = self.randomness.numpy.choice(len(others), 3, replace=False)  # r_1, r_2, r_3, none of them the target
            donors = [others[index] for index in r]
            if self.params.variant == "currenttobest1bin":
                donors[0] = best
            parents[:] = [target, *donors]
            return self._crossed(parents)[None]  # (1, n)

        genomes = self.fresh(draw, 1)
        return self.individuals(genomes, parents) if genomes else self.randoms(1)

    def _crossed(self, parents: Sequence[Individual]) -> np.ndarray:
        """Return ``(n,)`` genes of the trial of target, base and two members whose difference is the step."""
        x, base, x_r2, x_r3 = (wide(parent.genome) for parent in parents)  # (n,) each
        F = self.params.differential_weight
        if self.params.variant == "currenttobest1bin":
            base = x + F * (base - x)
        v = base + F * (x_r2 - x_r3)  # the paper's section "Mutation"
        return binomial(self.randomness.numpy, x, v, self.params.crossover_prob)

    def extra_state(self) -> dict[str, Any]:
        """Return the members and the places of the trials' targets."""
        members = [None if member is None else member.state_dict() for member in self.population]
        return {"population": members, "targets": [[*pair] for pair in self.targets.items()]}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Read back :meth:`extra_state`."""
        self.population = [None if s is None else Individual.from_state(s) for s in state["population"]]
        self.targets = dict(state["targets"])


def binomial(rng: np.random.Generator, x: np.ndarray, v: np.ndarray, CR: float) -> np.ndarray:
    """Return the trial: each of ``(n,)`` genes from the mutant ``v`` with probability CR, and one in any case.

    The paper's section "Crossover".
    """
    from_mutant = rng.random(len(x)) < CR
    from_mutant[rng.integers(len(x))] = True
    return np.where(from_mutant, v, x)
