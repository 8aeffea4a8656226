"""Who may watch a campaign, and end its search: objects whose methods are called at its events.

What is heard of a generation is heard before that generation is saved. So a search that a callback stops has its
end in the same checkpoint, and a run that is killed in between hears of that generation again, and of no other one
twice. A callback that decides by what it is told ends a resumed run where it ends an undisturbed one, byte for byte;
one that counts its own calls begins to count anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from evolm.individual import Individual


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
        tokens: spent by this search, before caching and sharing.
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
    tokens: int = 0


class Observer:
    """Base of callbacks; override what you need. Exceptions end the campaign like a crash: resumable.

    Whoever wants the search to end keeps the campaign of ``on_start`` and calls ``campaign.stop("reason")``, at any
    event before the verdict; see :meth:`evolm.campaign.campaign.Campaign.stop`.
    """

    def on_start(self, campaign: Any) -> None:
        """The campaign begins or goes on; ``campaign.resumed`` says which."""

    def on_requests(self, done: int, total: int) -> None:
        """So many of the requests at hand are answered."""

    def on_phase(self, name: str) -> None:
        """A search, or the verdict, begins."""

    def on_evaluation(self, individual: Individual) -> None:
        """An individual is evaluated, or has failed or was dropped: all of a generation, in the order of asking.

        It is the search's own; nothing of it may be changed.
        """

    def on_generation(self, progress: Progress) -> None:
        """A generation is evaluated, and ``best/`` holds the best so far; saved it is when all callbacks returned."""

    def on_end(self, result: dict[str, Any]) -> None:
        """The verdict is written, or was written by an earlier process: a run that is over tells it again."""
