"""What a run asked its model, in requests and tokens."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass
class Usage:
    """What the engine was asked and what it did about it; counts since the run began.

    Attributes:
        requests: requests answered.
        cache_hits: of these, how many the cache or an equal request in the same call answered.
        tokens_charged: their tokens, before caching and sharing.
        tokens_forwarded: tokens that passed all of the model's layers, or as many that passed some of them.
        tokens_padded: the same with the padding of slabs.
    """

    requests: int = 0
    cache_hits: int = 0
    tokens_charged: int = 0
    tokens_forwarded: float = 0.0
    tokens_padded: float = 0.0

    def to_record(self) -> dict[str, int]:
        """Return plain JSON values, rounded to whole tokens."""
        return {name: round(value) for name, value in asdict(self).items()}
