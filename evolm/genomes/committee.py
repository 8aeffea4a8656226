"""A committee: several genomes that answer together, by the weighted mean of their label probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from evolm.genomes.chromosome import content_digest
from evolm.genomes.genome import Genome


@dataclass(frozen=True)
class Committee:
    """Genomes that answer together; never changed.

    Attributes:
        members: different genomes, at least two.
        weights: of each member, at least 1; a member's share is its weight over their sum.
    """

    members: tuple[Genome, ...]
    weights: tuple[int, ...]

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits over members and weights."""
        seats = zip(self.members, self.weights, strict=True)
        return content_digest([[member.digest, weight] for member, weight in seats])

    def changed(self, change: Callable[[Genome], Genome]) -> Committee:
        """Return a committee of the changed members, with the same weights."""
        return Committee(tuple(map(change, self.members)), self.weights)


Winner: TypeAlias = Genome | Committee  # what a search may end with


def members_of(winner: Winner) -> tuple[Genome, ...]:
    """Return a committee's members, or the genome itself."""
    return winner.members if isinstance(winner, Committee) else (winner,)


def mixture(logprobs: Sequence[NDArray[np.floating]], weights: Sequence[int]) -> NDArray[np.float64]:
    """Return ``(n, n_options)`` log-probabilities (nats) of the weighted mean of several distributions.

    Args:
        logprobs: of each member, ``(n, n_options)`` log-probabilities (nats).
        weights: of each member.
    """
    shares = np.log(np.array(weights, dtype=np.float64) / sum(weights))
    return np.logaddexp.reduce(np.stack(logprobs).astype(np.float64) + shares[:, None, None], axis=0)
