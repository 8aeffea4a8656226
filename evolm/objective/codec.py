"""Between genomes and the forms that other optimizers handle: vectors, and lists of native values.

Every space is a list of variables: those of its evolving chromosomes, in order. A gene of a delta is a real number.
Everything that a prompt and a readout consist of is a choice: the instruction, how many demonstrations and which, the
word of each label, the kind of readout. In a vector, a choice is a coordinate in [0, number of choices], rounded down
to an index, so that all choices are equally large.

Bounds of choices are hard. Those of real numbers are for optimizers that need some; values up to ``FAR`` times as far
out are accepted, since evolution strategies leave the bounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from evolm.errors import ConfigError, GenomeError
from evolm.genomes import Genome, Real, Space, Variable

FAR = 10.0  # times the bounds of a real number
SLACK = 1e-9  # of a coordinate's range: so far outside counts as a rounding error


class Codec:
    """Vectors, native values and genomes of one space.

    Args:
        space: the space of a campaign.
        founders: genomes of that space; everything that they consist of can be chosen.

    Attributes:
        variables: in the order of coordinates; a choice of one value is no variable.
        bounds: ``(dimension, 2)`` float64, lowest and highest value of each coordinate.

    Raises:
        ConfigError: if there is nothing to choose.
    """

    def __init__(self, space: Space, founders: Sequence[Genome] = ()) -> None:
        self.space = space
        self._codings = {kind: space[kind].coding([founder[kind] for founder in founders]) for kind in space.evolving}
        self.variables: list[Variable | Real] = [v for coding in self._codings.values() for v in coding.variables]
        if not self.variables:
            raise ConfigError(
                "space.prompt: expected something to choose (several founders, demonstrations, verbalizers or "
                "readouts), found one prompt"
            )
        self.bounds = np.array([[variable.low, variable.high] for variable in self.variables])
        self._hard = np.array([isinstance(variable, Variable) for variable in self.variables])  # (dimension,)

    @property
    def dimension(self) -> int:
        """Number of coordinates."""
        return len(self.variables)

    # -- native values -------------------------------------------------------------------------------------

    def genome(self, values: Sequence[Any]) -> Genome:
        """Return the genome of values in the order of ``variables``; it may lie outside the space.

        Raises:
            GenomeError: if there are too many or too few, one is no choice, or a number is not finite or too far out.
        """
        if len(values) != self.dimension:
            raise GenomeError(f"values: expected {self.dimension}, one a variable, found {len(values)}")
        pairs = zip(self.variables, values, strict=True)
        return self.decode(np.array([v.coordinate(x) if isinstance(v, Variable) else float(x) for v, x in pairs]))

    def values(self, genome: Genome) -> list[Any]:
        """Return a genome's values in the order of ``variables``.

        Raises:
            GenomeError: as :meth:`encode`.
        """
        pairs = zip(self.variables, self.encode(genome).tolist(), strict=True)
        return [variable.value(x) if isinstance(variable, Variable) else x for variable, x in pairs]

    # -- vectors -------------------------------------------------------------------------------------------

    def decode(self, vector: Any) -> Genome:
        """Return the genome of a ``(dimension,)`` vector.

        Raises:
            GenomeError: as :meth:`checked`.
        """
        return self.decode_many(self.row(vector))[0]

    def row(self, vector: Any) -> np.ndarray:
        """Return a ``(dimension,)`` vector as ``(1, dimension)``; its length and entries are not checked.

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

    def decode_many(self, vectors: Any) -> list[Genome]:
        """Return the genomes of ``(n, dimension)`` vectors.

        Raises:
            GenomeError: as :meth:`checked`.
        """
        return [self._genome(vector) for vector in self.checked(vectors)]

    def _genome(self, vector: np.ndarray) -> Genome:
        decoded, begin = {}, 0
        for kind, coding in self._codings.items():
            end = begin + len(coding.variables)
            decoded[kind] = coding.decode(vector[begin:end])
            begin = end
        return self.space.completed(decoded)

    def encode(self, genome: Genome) -> np.ndarray:
        """Return the ``(dimension,)`` float64 vector of a genome, choices in the middle of their ranges.

        Raises:
            GenomeError: if it belongs to another space, or holds a value that cannot be chosen, such as an
                instruction that an operator has written.
        """
        self.require(genome)
        return np.concatenate([coding.encode(genome[kind]) for kind, coding in self._codings.items()])

    def require(self, genome: Any) -> None:
        """Raise GenomeError if ``genome`` belongs to another space, or is none."""
        if not is_genome(genome):
            raise GenomeError(f"a genome: expected one of evolm.genomes.Genome, found {type(genome).__name__}")
        if reason := self.space.foreign(genome):
            raise GenomeError(f"a genome: {reason}")

    def checked(self, vectors: Any) -> np.ndarray:
        """Return vectors as ``(n, dimension)`` float64, rounding errors at hard bounds clipped.

        Raises:
            GenomeError: if the shape is another, an entry is NaN or infinite, a choice lies out of bounds, or a
                number further out than ``FAR`` times its bounds.
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
        low, high = self.bounds.T
        reach = np.where(self._hard, SLACK, (FAR - 1) / 2) * (high - low)  # (dimension,)
        outside = np.argwhere((rows < low - reach) | (rows > high + reach))
        if len(outside):
            row, column = outside[0]
            shown = 0.0 if self._hard[column] else reach[column]
            raise GenomeError(
                f"vectors: expected {self.variables[column].name} in [{low[column] - shown:g}, "
                f"{high[column] + shown:g}], found {rows[row, column]:g} in row {row}"
            )
        return np.where(self._hard, np.clip(rows, low, high), rows)


def is_genome(thing: Any) -> bool:
    """Return whether something is a genome, rather than a vector."""
    return isinstance(thing, Genome)
