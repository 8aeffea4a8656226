"""The requests and tokens of a run."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from evolm.models import Cost


@dataclass
class Usage:
    """Counts of the engine's requests and tokens since the run began.

    Attributes:
        requests: requests answered.
        cache_hits: of these, how many the cache or an equal request in the same call answered.
        tokens_charged: their tokens, before caching and sharing.
        generated_charged: of these, tokens that the model wrote.
        requests_charged: HTTP requests for them, before caching; 0 of a local model.
        tokens_forwarded: tokens that passed the model, in units of all layers if they passed only some.
        tokens_padded: the same, with the padding of slabs.
    """

    requests: int = 0
    cache_hits: int = 0
    tokens_charged: int = 0
    tokens_forwarded: float = 0.0
    tokens_padded: float = 0.0
    generated_charged: int = 0
    requests_charged: int = 0

    def charge(self, cost: Cost) -> None:
        """Count what requests cost before caching and sharing."""
        self.tokens_charged += cost.tokens
        self.generated_charged += cost.generated
        self.requests_charged += cost.requests

    @property
    def charged(self) -> Cost:
        """What all requests have cost, before caching and sharing."""
        return Cost(self.tokens_charged, self.generated_charged, self.requests_charged)

    def to_record(self) -> dict[str, int]:
        """Return plain JSON values, rounded to whole tokens."""
        return {name: round(value) for name, value in asdict(self).items()}
