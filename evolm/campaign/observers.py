"""Who may watch a campaign: objects whose methods are called at its events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Progress:
    """Where a search stands after a generation.

    Attributes:
        search: ``"main"``, or the name of a baseline.
        generation: the one that just ended.
        best, mean: the task's metric on dev; NaN while nothing is valid.
        diversity: mean Jaccard distance within the generation, in [0, 1].
        evaluations, evaluations_allowed: spent, and the limit (0 = none).
        usage: the engine's counts since the run began.
        seconds: since the run began, interruptions excluded.
        improved: whether the best is a new one.
        saved: share of items that racing saved so far; None where nobody races.
    """

    search: str
    generation: int
    best: float
    mean: float
    diversity: float
    evaluations: int
    evaluations_allowed: int
    usage: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    improved: bool = False
    saved: float | None = None


class Observer:
    """Base of callbacks; override what you need. Exceptions end the campaign like a crash: resumable."""

    def on_start(self, campaign: Any) -> None:
        """The campaign begins or goes on."""

    def on_requests(self, done: int, total: int) -> None:
        """So many of the requests at hand are answered."""

    def on_phase(self, name: str) -> None:
        """A search, or the verdict, begins."""

    def on_generation(self, progress: Progress) -> None:
        """A generation is evaluated and saved."""

    def on_end(self, result: dict[str, Any]) -> None:
        """The verdict is written."""
