"""Fitness that is compared by Deb's rules: DEAP's ``Fitness`` with the violation of a constraint.

Deb 2000, "An efficient constraint handling method for genetic algorithms",
https://doi.org/10.1016/S0045-7825(99)00389-8, section 3: a feasible individual beats an infeasible one, of two
feasible ones that with the better objective wins, of two infeasible ones that with the smaller violation. Domination
is the constrained one of NSGA-II (Deb 2002, https://doi.org/10.1109/4235.996017, section VI). DEAP's own
``ConstrainedFitness`` takes all infeasible individuals as equals, which gives a search among them no direction.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from deap import base


class Fitness(base.Fitness):
    """Values, all maximised, and how far a constraint is violated.

    Args:
        values: the objectives; empty = not evaluated.
        violation: 0 = feasible; greater is worse.
    """

    weights: tuple[float, ...] = (1.0,)

    def __init__(self, values: Sequence[float] = (), violation: float = 0.0) -> None:
        super().__init__(values)
        self.violation = violation

    @property
    def standing(self) -> tuple[float, ...]:
        """Minus the violation, then the values; greater is better. Empty if there are no values: worse than any."""
        return (0.0 - self.violation, *self.wvalues) if self.valid else ()

    def dominates(self, other: Any, obj: slice = slice(None)) -> bool:
        """Whether it has the smaller violation or, if these are equal, dominates by its values."""
        if self.violation != other.violation:
            return bool(self.violation < other.violation)
        return bool(super().dominates(other, obj))

    def __lt__(self, other: Any) -> bool:
        return self.standing < other.standing

    def __le__(self, other: Any) -> bool:
        return self.standing <= other.standing

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Fitness) and self.standing == other.standing

    def __hash__(self) -> int:
        return hash(self.standing)

    def __deepcopy__(self, memo: dict[int, Any]) -> Fitness:
        copied = type(self)()
        copied.wvalues, copied.violation = self.wvalues, self.violation
        return copied

    def __reduce__(self) -> tuple[Any, ...]:
        return _empty_fitness, (len(self.weights),), vars(self)  # its class is made at run time


def _empty_fitness(objectives: int) -> Fitness:
    return fitness_class(objectives)()


@lru_cache
def fitness_class(objectives: int) -> type[Fitness]:
    """Return the fitness of so many objectives, all maximised."""
    return type(f"Fitness{objectives}", (Fitness,), {"weights": (1.0,) * objectives})
