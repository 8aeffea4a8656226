"""Chromosomes as other optimizers handle them: a list of variables, each a choice or a real number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from evolm.errors import GenomeError


@dataclass(frozen=True)
class Variable:
    """One of several values.

    Attributes:
        name: unique among a space's variables.
        choices: at least two, all different.
    """

    name: str
    choices: tuple[Any, ...]

    @property
    def low(self) -> float:
        """Lowest coordinate."""
        return 0.0

    @property
    def high(self) -> float:
        """Highest coordinate; it stands for the last choice, too."""
        return float(len(self.choices))

    def value(self, coordinate: float) -> Any:
        """Return the choice that a coordinate stands for."""
        return self.choices[min(int(coordinate), len(self.choices) - 1)]

    def coordinate(self, value: Any) -> float:
        """Return the middle of a choice's coordinates.

        Raises:
            GenomeError: if it is none of the choices.
        """
        if value not in self.choices:
            shown = self.choices if len(self.choices) <= 6 else f"{len(self.choices)} choices"
            raise GenomeError(f"{self.name}: expected one of {shown}, found {value!r}")
        return self.choices.index(value) + 0.5


@dataclass(frozen=True)
class Real:
    """A real number; its coordinate is the number itself.

    Attributes:
        name: unique among a space's variables.
        low, high: between which an optimizer may search.
    """

    name: str
    low: float
    high: float


class Coding(Protocol):
    """Between the chromosomes of one space and their coordinates.

    Attributes:
        variables: in the order of coordinates; empty if the space leaves no choice.
    """

    @property
    def variables(self) -> Sequence[Variable | Real]: ...

    def decode(self, coordinates: np.ndarray) -> Any:
        """Return the chromosome of ``(len(variables),)`` float64 coordinates within their bounds.

        It may lie outside the space (too long a prompt, for example).
        """

    def encode(self, chromosome: Any) -> np.ndarray:
        """Return the ``(len(variables),)`` float64 coordinates of a chromosome.

        Raises:
            GenomeError: if no coordinates stand for it.
        """


class ChoiceCoding:
    """Base of codings of which every variable is a choice: subclasses translate the list of values.

    Args:
        variables: the choices.
    """

    def __init__(self, variables: Sequence[Variable]) -> None:
        self.variables = variables

    def chromosome(self, values: Sequence[Any]) -> Any:
        """Return the chromosome of the variables' values."""
        raise NotImplementedError

    def values(self, chromosome: Any) -> Sequence[Any]:
        """Return the variables' values of a chromosome."""
        raise NotImplementedError

    def decode(self, coordinates: np.ndarray) -> Any:
        """See :class:`Coding`."""
        return self.chromosome([v.value(x) for v, x in zip(self.variables, coordinates, strict=True)])

    def encode(self, chromosome: Any) -> np.ndarray:
        """See :class:`Coding`."""
        pairs = zip(self.variables, self.values(chromosome), strict=True)
        return np.array([variable.coordinate(value) for variable, value in pairs], dtype=np.float64)
