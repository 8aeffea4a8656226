"""pymoo: a problem over evolm's spaces that scores whole generations in one batch (pymoo minimises).

With several objectives pymoo returns a front. NSGA-II over score and length of prompts::

    objective = Objective(
        task, model, scorers={"label_likelihood": 1.0, "prompt_length": 1.0},
        options={"fitness": {"combine": "pareto"}},
    )
    equal = MixedVariableDuplicateElimination()
    algorithm = NSGA2(
        pop_size=12, sampling=MixedVariableSampling(), mating=MixedVariableMating(eliminate_duplicates=equal),
        eliminate_duplicates=equal,
    )
    result = minimize(PymooProblem(objective), algorithm, ("n_eval", 60), seed=1)

These are pymoo's operators for categorical variables, which prompts have. A space of deltas is a box of real numbers,
for which pymoo's default operators are right.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from evolm.extras import extra
from evolm.objective.codec import Real as Gene
from evolm.objective.objective import Objective

with extra("pymoo"):
    from pymoo.core.problem import Problem
    from pymoo.core.variable import Choice, Real


class PymooProblem(Problem):
    """A pymoo problem: pymoo minimises minus each of an objective's values.

    Args:
        objective: over a space of deltas, searched as a box of ``dimension`` numbers, or over any other space,
            searched as named variables (``vars``).
    """

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        variables = objective.codec.variables
        if all(isinstance(variable, Gene) for variable in variables):
            low, high = objective.bounds.T
            super().__init__(n_var=objective.dimension, n_obj=objective.objectives, xl=low, xu=high)
        else:
            super().__init__(vars={v.name: _native(v) for v in variables}, n_obj=objective.objectives)

    def genome(self, x: Any) -> Any:
        """Return the genome of one of pymoo's points, such as ``result.X[0]``."""
        if not isinstance(x, dict):
            return self.objective.decode(x)
        codec = self.objective.codec
        return codec.genome([x[variable.name] for variable in codec.variables])

    def _evaluate(self, x: np.ndarray, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        losses = self.objective.loss_many([self.genome(point) for point in x])
        out["F"] = losses.reshape(len(x), self.n_obj)

    def __deepcopy__(self, memo: dict[int, Any]) -> PymooProblem:
        """Return itself: pymoo's history copies the problem, but there is only one model and one budget."""
        return self


def _native(variable: Any) -> Choice | Real:
    if isinstance(variable, Gene):
        return Real(bounds=(variable.low, variable.high))
    return Choice(options=list(variable.choices))
