"""evolm from DEAP: a ``Toolbox`` with which DEAP's algorithms, and loops of one's own, run as they are.

::

    toolbox = toolbox(frame, "models/tiny", budget=200)
    random.seed(7)
    with toolbox.objective as objective:
        best = tools.HallOfFame(5)
        algorithms.eaMuPlusLambda(toolbox.population(12), toolbox, 12, 12, 0.4, 0.6, ngen=10, halloffame=best)
        result = objective.finish(best[0].genome)

Every random number follows from the global ``random``, as DEAP's users expect (of ``deap.cma``: ``numpy.random``).
Fitness is maximised. Operators change what they are given and return it, as DEAP's do (https://deap.readthedocs.io).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import cycle, islice
from typing import Any

import numpy as np
from deap import base, tools

from evolm.errors import ConfigError, GenomeError
from evolm.genomes import DELTA, Genome
from evolm.individual import Individual
from evolm.integrations.deap_individuals import DeapIndividual, DeltaIndividual, with_genes
from evolm.objective.codec import is_genome
from evolm.objective.objective import Objective
from evolm.randomness import Randomness
from evolm.searches import RANDOM_SEARCH
from evolm.strategies.variation import Variation

TOURNAMENT = 3  # competitors


def toolbox(task: Any, *arguments: Any, **named: Any) -> base.Toolbox:
    """Return a toolbox with ``individual, population, mate, mutate, select, evaluate, map``, and its ``objective``.

    ``select`` is a tournament of three, or NSGA-II if there are several objectives; any of these may be registered
    anew. Close the toolbox by its objective, which is a context manager.

    Args:
        task: the task, or an :class:`~evolm.objective.objective.Objective` made before.
        arguments, named: what else an Objective takes, such as model and space; nothing beside an Objective.

    Raises:
        EvolmError: for anything that the caller can correct, in one sentence.
    """
    if isinstance(task, Objective) and (arguments or named):
        raise ConfigError("toolbox: expected an Objective alone, found other arguments beside it")
    objective = task if isinstance(task, Objective) else Objective(task, *arguments, **named)
    work = ToolboxFunctions(objective)
    made = base.Toolbox()
    for tool in (work.individual, work.population, work.mate, work.mutate, work.evaluate, work.map):
        made.register(tool.__name__, tool)
    if objective.objectives == 1:
        made.register("select", tools.selTournament, tournsize=TOURNAMENT)
    else:
        made.register("select", tools.selNSGA2)
    made.objective = objective
    return made


class ToolboxFunctions:
    """The functions of a toolbox over one objective.

    Args:
        objective: evaluates individuals.
    """

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.context = objective.strategy(RANDOM_SEARCH).context

    def individual(self, given: Any = None) -> DeapIndividual:
        """Return an individual without fitness: a random one, or one of a genome or of a delta's genes.

        Args:
            given: a genome of this space; or ``(n,)`` genes of a delta, under the first founder's prompt.

        Raises:
            GenomeError: if it does not fit the space.
        """
        if given is None:
            return self.population(1, founders=False)[0]
        space, genome = self.context.space, given
        if not is_genome(given):
            deltas = space.get(DELTA)
            if deltas is None:
                raise GenomeError(f"toolbox.individual: expected a genome, found {type(given).__name__}")
            genome = self.context.founders[0].with_chromosome(DELTA, with_genes(deltas.neutral(), given))
        if reason := space.outside(genome):
            raise GenomeError(f"toolbox.individual: {reason}")
        return self._holding(genome)

    def population(self, n: int, founders: bool = True) -> list[DeapIndividual]:
        """Return ``n`` individuals without fitness: the founders, then random ones.

        They differ, unless the space has fewer: then they repeat.

        Args:
            founders: whether the founders are among them.
        """
        first = self.context.founders[:n] if founders else []
        genomes: dict[str, Any] = {genome.digest: genome for genome in first}
        variation = self._variation()
        while len(genomes) < n and (genome := variation.random(genomes)) is not None:
            genomes[genome.digest] = genome
        known = list(genomes.values()) or list(self.context.founders)
        return [self._holding(genome) for genome in islice(cycle(known), n)]

    def mate(self, first: DeapIndividual, second: DeapIndividual) -> tuple[DeapIndividual, DeapIndividual]:
        """Cross two individuals by one of evolm's operators each; without a new child, it is not changed."""
        ours, theirs = self._parent(first), self._parent(second)
        self._vary((first, second), [(ours, theirs), (theirs, ours)], crossover_prob=1.0)
        return first, second

    def mutate(self, individual: DeapIndividual) -> tuple[DeapIndividual]:
        """Mutate an individual by one of evolm's operators; without a new child, it is not changed."""
        self._vary((individual,), [(self._parent(individual),)], mutation_prob=1.0)
        return (individual,)

    def evaluate(self, individual: DeapIndividual) -> tuple[float, ...]:
        """Return an individual's fitness values, to be maximised; the objective's finite worst if it failed.

        Raises:
            BudgetSpent: with the best so far, if the objective raises it.
        """
        return self._evaluated([individual])[0]

    def map(self, function: Callable[..., Any], *sequences: Iterable[Any]) -> Iterable[Any]:
        """Apply a function to each individual; ``toolbox.evaluate`` to all of them in one batch.

        Raises:
            BudgetSpent: if the budget does not allow the whole batch; as many as it allows were evaluated.
        """
        if isinstance(function, partial) and function.func == self.evaluate:
            return self._evaluated(list(sequences[0]))
        return map(function, *sequences)

    # -- inside --------------------------------------------------------------------------------------------

    def _holding(self, genome: Genome) -> DeapIndividual:
        kind = DeltaIndividual if DELTA in self.context.space.evolving else DeapIndividual
        return kind(genome, self.objective.objectives)

    def _variation(self) -> Variation:
        """Return evolm's operators under a seed that is drawn from the global ``random``.

        No state survives from one call to the next; otherwise ``random.seed`` would not repeat a loop.
        """
        context = self.context
        return Variation(context.space, context.operators, Randomness(random.getrandbits(63)), context.model_access)

    def _vary(
        self,
        individuals: Sequence[DeapIndividual],
        families: Sequence[tuple[Individual, ...]],
        crossover_prob: float = 0.0,
        mutation_prob: float = 0.0,
    ) -> None:
        """Give each individual its family's child."""
        seen = {parent.digest: None for parent in families[0]}
        children = self._variation().children(families, seen, crossover_prob, mutation_prob)
        for individual, child in zip(individuals, children, strict=True):
            if child is not None and child[1] != ("random",):
                individual.genome = child[0]

    @staticmethod
    def _parent(individual: DeapIndividual) -> Individual:
        return Individual(id=0, genome=individual.genome)

    def _evaluated(self, individuals: Sequence[DeapIndividual]) -> list[tuple[float, ...]]:
        for individual in individuals:
            if not isinstance(individual, DeapIndividual):
                raise GenomeError(
                    "toolbox.evaluate: expected individuals of toolbox.individual or toolbox.population, found "
                    f"{type(individual).__name__}"
                )
        if not individuals:
            return []
        values = np.reshape(self.objective.many([each.genome for each in individuals]), (len(individuals), -1))
        return [tuple(row) for row in values.tolist()]
