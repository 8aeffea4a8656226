"""Between genomes and what other optimizers handle: vectors, and lists of native values.

Every space is a list of variables. A gene is a real number; everything that a prompt is made of is a choice: its
instruction, how many demonstrations and which, the word of each label, whether it is calibrated. In a vector a choice
is a coordinate in [0, number of choices], cut down to the index before it, so that all are equally large.

Bounds of choices are hard. Those of genes are for optimizers that need some; values up to ``FAR`` times as far out
are genes like others, since evolution strategies walk there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from evolm.errors import ConfigError, GenomeError
from evolm.genomes import GENOMES, DeltaGenome, Demonstration, HybridGenome, PromptGenome, PromptSpace, deltas_of

FAR = 10.0  # times the bounds of a gene
SLACK = 1e-9  # of a coordinate's range: so far out is taken for rounding


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
    """A number.

    Attributes:
        name: unique among a space's variables.
        low, high: between which an optimizer may search.
    """

    name: str
    low: float
    high: float


Space: TypeAlias = Any  # PromptSpace | DeltaSpace | HybridSpace


class Codec:
    """Vectors, native values and genomes of one space.

    Args:
        space: of prompts, deltas or both.
        founders: genomes of that space; their demonstrations can be chosen also where they are no train items.

    Attributes:
        variables: in the order of coordinates, prompts before genes. What leaves no choice is no variable.

    Raises:
        ConfigError: if there is nothing to choose.
    """

    def __init__(self, space: Space, founders: Sequence[Any] = ()) -> None:
        self.space = space
        self._deltas = deltas_of(space)
        self._prompts = None if space.genome == DeltaGenome.kind else _Prompts(space.prompts, founders)
        self._chosen = list(self._prompts.variables) if self._prompts else []
        bounds = self._deltas.bounds if self._deltas else np.empty((0, 2))
        genes = [Real(f"gene_{index}", float(low), float(high)) for index, (low, high) in enumerate(bounds)]
        self.variables: list[Variable | Real] = [*self._chosen, *genes]
        if not self.variables:
            raise ConfigError(
                "space.prompt: expected something to choose (several founders, demonstrations, verbalizers or "
                "calibration), found one prompt"
            )
        self.bounds = np.array([[variable.low, variable.high] for variable in self.variables])

    @property
    def dimension(self) -> int:
        """Number of coordinates."""
        return len(self.variables)

    # -- native values -------------------------------------------------------------------------------------

    def genome(self, values: Sequence[Any]) -> Any:
        """Return the genome of values in the order of ``variables``; it may lie outside the space, such as too long.

        Raises:
            GenomeError: if there are too many or too few, one is no choice, or a gene is not finite or too far out.
        """
        if len(values) != self.dimension:
            raise GenomeError(f"values: expected {self.dimension}, one a variable, found {len(values)}")
        coordinates = [variable.coordinate(value) for variable, value in zip(self._chosen, values, strict=False)]
        return self.decode(np.array([*coordinates, *map(float, values[len(coordinates) :])]))

    def values(self, genome: Any) -> list[Any]:
        """Return a genome's values in the order of ``variables``.

        Raises:
            GenomeError: as :meth:`encode`.
        """
        return self._values(self.encode(genome))

    def _values(self, vector: np.ndarray) -> list[Any]:
        chosen = [variable.value(x) for variable, x in zip(self._chosen, vector, strict=False)]
        return [*chosen, *vector[len(chosen) :].tolist()]

    # -- vectors -------------------------------------------------------------------------------------------

    def decode(self, vector: Any) -> Any:
        """Return the genome of a ``(dimension,)`` vector.

        Raises:
            GenomeError: as :meth:`checked`.
        """
        return self.decode_many(self.row(vector))[0]

    def row(self, vector: Any) -> np.ndarray:
        """Return a ``(dimension,)`` vector as ``(1, dimension)``; its length and entries are not looked at.

        Raises:
            GenomeError: if it is anything but one vector.
        """
        try:
            shape = np.shape(vector)
        except ValueError:
            raise GenomeError(
                f"a vector: expected shape ({self.dimension},), found rows of different lengths"
            ) from None
        if len(shape) != 1:
            raise GenomeError(f"a vector: expected shape ({self.dimension},), found {shape}; several are for many")
        return np.asarray(vector)[None]

    def decode_many(self, vectors: Any) -> list[Any]:
        """Return the genomes of ``(n, dimension)`` vectors.

        Raises:
            GenomeError: as :meth:`checked`.
        """
        return [self._genome(vector) for vector in self.checked(vectors)]

    def _genome(self, vector: np.ndarray) -> Any:
        count = len(self._chosen)
        delta = DeltaGenome(vector[count:]) if self._deltas else None
        if self._prompts is None:
            return delta
        prompt = self._prompts.genome([v.value(x) for v, x in zip(self._chosen, vector[:count], strict=True)])
        return HybridGenome(prompt, delta) if delta is not None else prompt

    def encode(self, genome: Any) -> np.ndarray:
        """Return the ``(dimension,)`` float64 vector of a genome, choices in the middle of their ranges.

        Raises:
            GenomeError: if it is one of another space, or holds what cannot be chosen, such as an instruction that
                an operator has written.
        """
        self.require_kind(genome)
        prompt, delta = (getattr(genome, part, genome) for part in ("prompt", "delta"))
        chosen = self._prompts.values(prompt) if self._prompts else []
        coordinates = [variable.coordinate(value) for variable, value in zip(self._chosen, chosen, strict=True)]
        genes = delta.genes.astype(np.float64) if self._deltas else np.empty(0)
        return np.concatenate([np.array(coordinates, dtype=np.float64), genes])

    def require_kind(self, genome: Any) -> None:
        """Raise GenomeError where a genome is one of another space."""
        kind = getattr(genome, "kind", type(genome).__name__)
        if kind != self.space.genome:
            raise GenomeError(f"a genome: expected one of kind {self.space.genome!r}, found {kind!r}")
        if self._deltas and (reason := self._deltas.foreign(getattr(genome, "delta", genome))):
            raise GenomeError(f"a genome: {reason}")

    def checked(self, vectors: Any) -> np.ndarray:
        """Return vectors as ``(n, dimension)`` float64, rounding errors at hard bounds clipped.

        Raises:
            GenomeError: if the shape is another, an entry is NaN or infinite, a choice lies out of bounds, or a gene
                further out than ``FAR`` times its bounds.
        """
        try:
            rows = np.array(vectors, dtype=np.float64)
        except (TypeError, ValueError):
            raise GenomeError("vectors: expected numbers in rows of one length, found something else") from None
        if rows.ndim != 2 or rows.shape[1] != self.dimension:
            turned = rows.ndim == 2 and rows.shape[0] == self.dimension
            hint = "; transpose it, as for SciPy's vectorized functions" if turned else ""
            raise GenomeError(f"vectors: expected shape (n, {self.dimension}), found {rows.shape}{hint}")
        if not np.isfinite(rows).all():
            row, column = np.argwhere(~np.isfinite(rows))[0]
            name = self.variables[column].name
            raise GenomeError(f"vectors: expected finite numbers, found {rows[row, column]} for {name} in row {row}")
        count = len(self._chosen)
        low, high = self.bounds.T
        reach = np.where(np.arange(self.dimension) < count, SLACK, (FAR - 1) / 2) * (high - low)
        outside = np.argwhere((rows < low - reach) | (rows > high + reach))
        if len(outside):
            row, column = outside[0]
            least, most = (low - reach)[column], (high + reach)[column]
            if column < count:
                least, most = low[column], high[column]
            raise GenomeError(
                f"vectors: expected {self.variables[column].name} in [{least:g}, {most:g}], "
                f"found {rows[row, column]:g} in row {row}"
            )
        rows[:, :count] = np.clip(rows[:, :count], low[:count], high[:count])
        return rows


class _Prompts:
    """The variables of a space of prompts.

    Args:
        space: its instructions are the founders'.
        founders: prompts, or hybrids.
    """

    def __init__(self, space: PromptSpace, founders: Sequence[Any]) -> None:
        prompts: list[PromptGenome] = [getattr(founder, "prompt", founder) for founder in founders]
        items = [Demonstration.from_item(item) for item in space.train if item.gold is not None]
        shown = [demonstration for prompt in prompts for demonstration in prompt.demonstrations]
        slots = max([space.most_demonstrations, *(len(prompt.demonstrations) for prompt in prompts)])
        self.demonstrations = {each.item: each for each in [*shown, *items]}
        self.labels = sorted(space.verbalizers)
        # Their number is a variable, or a point drawn at random would nearly always show as many as there can be.
        counts = tuple(range(min(space.demonstrations[0], slots), slots + 1))
        self.slots = [(f"demonstration_{number}", tuple(self.demonstrations)) for number in range(1, slots + 1)]
        self._all: list[tuple[str, tuple[Any, ...]]] = [
            ("instruction", space.instructions),
            ("demonstrations", counts),
            *self.slots,
            *((f"verbalizer_{label}", space.verbalizers[label]) for label in self.labels),
            ("calibrated", (False, True) if space.calibration else (False,)),
        ]
        self.variables = [Variable(name, choices) for name, choices in self._all if len(choices) > 1]

    def genome(self, values: Sequence[Any]) -> PromptGenome:
        """Return the prompt of the variables' values.

        As many slots as there are demonstrations count, the others mean nothing; an item is shown once, where it
        comes first.
        """
        given = iter(values)
        instruction, count, *others = [next(given) if len(choices) > 1 else choices[0] for _, choices in self._all]
        items = dict.fromkeys(others[: len(self.slots)][:count])
        words = zip(self.labels, others[len(self.slots) : -1], strict=True)
        return PromptGenome(
            instruction,
            tuple(self.demonstrations[item] for item in items),
            tuple((label, word) for label, word in words if word != label),
            calibrated=others[-1],
        )

    def values(self, prompt: PromptGenome) -> list[Any]:
        """Return the variables' values of a prompt, in slots that mean nothing the first item.

        Raises:
            GenomeError: if it shows more than there are slots, or says what leaves no choice differently.
        """
        items = [demonstration.item for demonstration in prompt.demonstrations]
        if len(items) > len(self.slots):
            raise GenomeError(f"a prompt: expected at most {len(self.slots)} demonstrations, found {len(items)}")
        unused = [next(iter(self.demonstrations))] * (len(self.slots) - len(items)) if self.slots else []
        words = [prompt.word(label) for label in self.labels]
        values = [prompt.instruction, len(items), *items, *unused, *words, prompt.calibrated]
        for (name, choices), value in zip(self._all, values, strict=True):
            if len(choices) == 1 and value != choices[0]:
                raise GenomeError(f"{name}: expected {choices[0]!r}, the only choice, found {value!r}")
        return [value for (_, choices), value in zip(self._all, values, strict=True) if len(choices) > 1]


def is_genome(thing: Any) -> bool:
    """Return whether something is a genome of any kind, rather than a vector."""
    return isinstance(thing, tuple(GENOMES.values()))
