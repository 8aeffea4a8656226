"""nevergrad: a parametrization of evolm's spaces, and losses in batches (nevergrad minimises).

::

    native = NevergradSpace(objective)
    optimizer = ng.optimizers.TwoPointsDE(native.parametrization, budget=60, num_workers=6)
    while optimizer.num_tell < optimizer.budget:
        candidates = [optimizer.ask() for _ in range(optimizer.num_workers)]
        for candidate, loss in zip(candidates, native.losses(candidates)):
            optimizer.tell(candidate, loss)
    objective.finish(native.genome(optimizer.provide_recommendation().value))

``optimizer.minimize(native.loss)`` scores one candidate at a time, ``optimizer.suggest(native.value(genome))`` makes
a genome the next candidate, and ``native.parametrization.random_state.seed(7)`` makes a search repeatable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from evolm.errors import ConfigError
from evolm.extras import extra
from evolm.genomes import DELTA
from evolm.objective.codec import Real
from evolm.objective.objective import Objective

with extra("nevergrad"):
    import nevergrad as ng

GENES = "genes"


class NevergradSpace:
    """An objective's space as a nevergrad parametrization.

    Args:
        objective: a single-objective :class:`evolm.Objective`.

    Attributes:
        parametrization: ``ng.p.Dict`` with one choice per variable of the prompt, by its name, and one array of all
            ``genes``, which starts at the first founder and mutates by the space's step size.

    Raises:
        ConfigError: if there are several objectives.
    """

    def __init__(self, objective: Objective) -> None:
        if objective.objectives != 1:
            raise ConfigError(f"NevergradSpace: expected one objective, found {objective.objectives}")
        self.objective = objective
        self.codec = objective.codec
        self._reals = np.array([isinstance(variable, Real) for variable in self.codec.variables])
        choices = {v.name: ng.p.Choice(v.choices) for v in self.codec.variables if not isinstance(v, Real)}
        self.parametrization = ng.p.Dict(**choices, **self._genes())

    def genome(self, value: Mapping[str, Any]) -> Any:
        """Return the genome of a candidate's ``value``."""
        genes = iter(np.asarray(value.get(GENES, ()), dtype=np.float64).tolist())
        named = zip(self.codec.variables, self._reals, strict=True)
        return self.codec.genome([next(genes) if real else value[variable.name] for variable, real in named])

    def value(self, genome: Any) -> dict[str, Any]:
        """Return a genome as the ``value`` of a candidate."""
        found = list(zip(self.codec.variables, self.codec.values(genome), self._reals, strict=True))
        genes = np.array([value for _, value, real in found if real])
        return {variable.name: value for variable, value, real in found if not real} | (
            {GENES: genes} if genes.size else {}
        )

    def loss(self, value: Mapping[str, Any]) -> float:
        """Return the loss of a candidate's ``value``; lower is better."""
        return self.objective.loss(self.genome(value))

    def losses(self, candidates: Sequence[ng.p.Parameter]) -> list[float]:
        """Return the losses of candidates, in their order, scored in one batch; lower is better."""
        return self.objective.loss_many([self.genome(candidate.value) for candidate in candidates]).tolist()

    def _genes(self) -> dict[str, ng.p.Array]:
        if not any(self._reals):
            return {}
        low, high = self.objective.bounds[self._reals].T
        array = ng.p.Array(init=self.objective.x0[self._reals])
        bounded, deltas = array.set_bounds(low, high), self.objective.space.get(DELTA)
        return {GENES: bounded.set_mutation(sigma=deltas.settings.sigma) if deltas else bounded}
