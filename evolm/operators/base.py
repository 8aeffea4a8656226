"""The contract of variation operators, and the record of how they fare.

An operator makes one child genome from each family of parents. It is handed all families at once, so that
operators which ask the model can do so in one batch. Parents are never changed; None says that the operator
has nothing to offer for that family (no second sentence to swap, say).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np

from evolm.individual import Individual
from evolm.operators.model_access import ModelAccess
from evolm.wording import headline

Family = tuple[Individual, ...]
Role: TypeAlias = Literal["mutation", "crossover", "learning"]


@dataclass(frozen=True)
class LearningSettings:
    """How a genome learns by gradient.

    Attributes:
        rate: Adam's learning rate.
        decay: weight decay.
        steps: gradient steps at a time.
        batch: train items in each step.
        adapt: whether rate, decay and steps mutate each time, as strategy genes.
    """

    rate: float = 0.01
    decay: float = 0.0
    steps: int = 4
    batch: int = 32
    adapt: bool = True


@dataclass(frozen=True)
class VariationContext:
    """What operators may use.

    Attributes:
        rng: the search's generator.
        space: where children must lie.
        model_access: how operators ask the model; None where no operator does.
        population: individuals that the strategy holds at present, the best first.
        learning: how genomes learn by gradient that have not learnt yet.
    """

    rng: np.random.Generator
    space: Any
    model_access: ModelAccess | None = None
    population: Sequence[Individual] = ()
    learning: LearningSettings = LearningSettings()


class Operator(Protocol):
    """Makes children; see the module's contract.

    Attributes:
        name: its row in ``OPERATORS``.
        role: ``"mutation"`` and ``"learning"`` read the first parent only, ``"crossover"`` reads two.
        genome: the kind of genome it varies.
        weight: how often it is chosen among those of its role, unless the campaign says otherwise.
        asks_model: whether it asks the model. If such an operator returns None, a model-free operator of the same
            role makes the child and is credited with it.
        needs_gold: whether it reads train items' gold labels.
        summary: what it does, for people.
    """

    @property
    def name(self) -> str: ...

    @property
    def role(self) -> Role: ...

    @property
    def genome(self) -> str: ...

    @property
    def weight(self) -> float: ...

    @property
    def asks_model(self) -> bool: ...

    @property
    def needs_gold(self) -> bool: ...

    @property
    def summary(self) -> str: ...

    def vary(self, families: Sequence[Family], context: VariationContext) -> list[Any | None]: ...


@dataclass(frozen=True)
class FunctionOperator:
    """An operator that is a pure function: ``function(rng, space, *genomes) -> genome or None``."""

    name: str
    role: Role
    genome: str
    function: Callable[..., Any]
    weight: float = 1.0
    asks_model: bool = False
    needs_gold: bool = False

    @property
    def summary(self) -> str:
        """First line of the function's docstring."""
        return headline(self.function.__doc__)

    def vary(self, families: Sequence[Family], context: VariationContext) -> list[Any | None]:
        """Apply the function to each family's genomes."""
        arity = 2 if self.role == "crossover" else 1
        return [
            self.function(context.rng, context.space, *(parent.genome for parent in family[:arity]))
            for family in families
        ]


@dataclass
class Rates:
    """How an operator fared.

    Attributes:
        tried: children asked of it.
        fallback: of these, how often another operator had to stand in.
        accepted: new children inside the space.
        evaluated: accepted children that were scored, those included that failed or were dropped.
        better: of these, those that beat the best of their parents; who failed or was dropped did not.
    """

    tried: int = 0
    fallback: int = 0
    accepted: int = 0
    evaluated: int = 0
    better: int = 0

    def to_record(self) -> dict[str, int]:
        """Return plain JSON values."""
        return asdict(self)
