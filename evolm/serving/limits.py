"""What clients may ask of the server at a time."""

from __future__ import annotations

from dataclasses import dataclass

from evolm.errors import ConfigError

CONNECTIONS = 64  # beyond those of the requests that wait


@dataclass(frozen=True)
class Limits:
    """Bounds of requests.

    Attributes:
        rows: of one request, and of requests that are answered together.
        body: bytes of one request.
        waiting: requests that wait while others are answered.
        patience: seconds in which a client must have sent its request.

    Raises:
        ConfigError: if one is not positive.
    """

    rows: int = 256
    body: int = 2**20
    waiting: int = 64
    patience: float = 30.0

    def __post_init__(self) -> None:
        for option, value in (("--max-rows", self.rows), ("--max-bytes", self.body), ("--max-waiting", self.waiting)):
            if value < 1:
                raise ConfigError(f"{option}: expected a number of at least 1, found {value}")

    @property
    def connections(self) -> int:
        """Open connections."""
        return self.waiting + CONNECTIONS
