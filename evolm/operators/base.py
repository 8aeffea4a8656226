"""The contract of variation operators, and the record of how they fare.

An operator makes one child genome from each family of parents. It is handed all families at once, so operators that
ask the model do so in one batch. Parents are never changed. None as a child: the operator has nothing to offer for
that family (an instruction without a second sentence to swap, for example).

Most operators vary one chromosome. They compute with the chromosomes of that kind; :func:`vary_chromosome` puts the
results back into the first parents' genomes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, ClassVar, Literal, Protocol, TypeAlias

import numpy as np

from evolm.genomes import Genome, Space
from evolm.individual import Individual
from evolm.operators.model_access import ModelAccess
from evolm.wording import headline

Family = tuple[Individual, ...]
Role: TypeAlias = Literal["mutation", "crossover", "learning"]


@dataclass(frozen=True)
class LearningSettings:
    """How genes learn by gradient at first.

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
        space: the space of the campaign; children may lie outside, and are then refused.
        model_access: how operators ask the model; None if no operator does.
        population: individuals that the strategy holds at present, the best first.
        learning: how genes learn by gradient that have not learnt yet.
    """

    rng: np.random.Generator
    space: Space
    model_access: ModelAccess | None = None
    population: Sequence[Individual] = ()
    learning: LearningSettings = LearningSettings()


class Operator(Protocol):
    """Makes children; see the module's contract.

    Attributes:
        name: its row in ``OPERATORS``.
        role: ``"mutation"`` and ``"learning"`` read the first parent only, ``"crossover"`` reads two.
        chromosome: the kind of chromosome that it varies; ``""`` = it combines whole chromosomes, and needs two or
            more kinds that evolve.
        weight: how often it is chosen among those of its role, unless the campaign says otherwise.
        asks_model: whether it asks the model. If such an operator returns None, a model-free operator of the same
            role makes the child and is credited with it.
        needs_gold: whether it reads train items' gold labels.
        needs_unlabelled: whether it answers items without gold.
        summary: one sentence for users.
    """

    @property
    def name(self) -> str: ...

    @property
    def role(self) -> Role: ...

    @property
    def chromosome(self) -> str: ...

    @property
    def weight(self) -> float: ...

    @property
    def asks_model(self) -> bool: ...

    @property
    def needs_gold(self) -> bool: ...

    @property
    def needs_unlabelled(self) -> bool: ...

    @property
    def summary(self) -> str: ...

    def vary(self, families: Sequence[Family], context: VariationContext) -> list[Genome | None]:
        """Return a child per family, in order, or None if the operator has nothing to offer."""


def vary_chromosome(
    kind: str, role: Role, families: Sequence[Family], function: Callable[..., Any | None]
) -> list[Genome | None]:
    """Return the first parents' genomes with new chromosomes of one kind, made by a function.

    Args:
        kind: of the chromosomes.
        role: decides how many parents the function is given.
        families: of parents.
        function: ``function(*chromosomes) -> chromosome or None``.
    """
    arity = 2 if role == "crossover" else 1
    made = [function(*(parent.genome[kind] for parent in family[:arity])) for family in families]
    return with_chromosomes(kind, families, made)


def with_chromosomes(kind: str, families: Sequence[Family], made: Sequence[Any | None]) -> list[Genome | None]:
    """Return the first parents' genomes with new chromosomes of a kind; None for families without one."""
    return [
        None if chromosome is None else family[0].genome.with_chromosome(kind, chromosome)
        for family, chromosome in zip(families, made, strict=True)
    ]


class DocumentedOperator:
    """Base of operators that are classes of their own: the docstring's first line says what the operator does."""

    needs_unlabelled: ClassVar[bool] = False

    @property
    def summary(self) -> str:
        """First line of the class's docstring."""
        return headline(self.__doc__)


@dataclass(frozen=True)
class FunctionOperator:
    """An operator that is a pure function: ``function(rng, space, *chromosomes) -> chromosome or None``.

    The space is that of the chromosome.
    """

    name: str
    role: Role
    chromosome: str
    function: Callable[..., Any]
    weight: float = 1.0
    asks_model: bool = False
    needs_gold: bool = False
    needs_unlabelled: bool = False

    @property
    def summary(self) -> str:
        """First line of the function's docstring."""
        return headline(self.function.__doc__)

    def vary(self, families: Sequence[Family], context: VariationContext) -> list[Genome | None]:
        """Apply the function to each family's chromosomes."""
        applied = partial(self.function, context.rng, context.space[self.chromosome])
        return vary_chromosome(self.chromosome, self.role, families, applied)


@dataclass
class Rates:
    """How an operator fared.

    Attributes:
        tried: children asked of it.
        fallback: of these, how often another operator made the child instead.
        accepted: new children inside the space.
        evaluated: accepted children that were scored, including those that failed or were dropped.
        better: of these, those that beat the best of their parents; a failed or dropped child did not.
    """

    tried: int = 0
    fallback: int = 0
    accepted: int = 0
    evaluated: int = 0
    better: int = 0

    def to_record(self) -> dict[str, int]:
        """Return plain JSON values."""
        return asdict(self)
