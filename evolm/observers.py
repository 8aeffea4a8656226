"""Observers: objects whose methods are called at the events of a campaign.

The contract of this seam:

- An event carries plain data. An observer reaches into no search, archive or strategy, and changes nothing that it is
  given; the ``Individual`` of ``on_evaluation`` is the search's own object.
- The order is ``on_start``; for each search, and each stage of the main one, ``on_phase``, then for each generation
  ``on_requests`` (any number), ``on_evaluation`` (one per individual, in the order of asking), ``on_generation``,
  ``on_saved``; then ``on_phase`` with the name ``"verdict"``, ``on_requests``, ``on_end``. ``on_error`` comes instead
  of ``on_end`` if the campaign fails or is interrupted.
- Observers are called one after another, in the order in which they were given, in the campaign's process and thread.
- A generation is announced before it is saved. A run that is killed in between announces that generation again when
  it is resumed, and no other generation twice. An observer that decides by what it is told ends a resumed run where
  it ends an undisturbed one, byte for byte; an observer that counts its calls starts from zero.
- An exception in an observer ends the campaign like a crash: the run stays resumable, and a note on the exception
  names the observer. Only exceptions of ``on_error`` are logged and dropped, so that the first error is the one
  raised.
- An :class:`evolm.Objective` has no checkpoints: a call is a generation, and ``on_saved`` is never told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evolm.searches import MAIN
from evolm.wording import words

if TYPE_CHECKING:
    from evolm.individual import Individual

VERDICT = "verdict"  # the phase after all searches
OPERATORS, SCORING = "operators", "scoring"  # purposes of requests

_TITLES = {MAIN: "search", VERDICT: "verdict: finals and test split"}


def title_of(phase: str, stage: str = "") -> str:
    """Return the title of a phase, by its name; a baseline's search has the baseline's name as its title."""
    return stage or _TITLES.get(phase, words(phase))


@dataclass(frozen=True)
class RunInfo:
    """What is known of a run when it starts.

    Attributes:
        directory: the run's directory.
        name: the campaign's name.
        settings: the tables of campaign.toml, the strategy's defaults included; JSON values.
        budget: the main search's limits, by the names of ``[budget]`` (0 = none).
        resumed: whether an earlier process began the run.
        finished: whether the verdict is written already.
        seconds: spent by earlier processes.
        outlook: sentences about the splits, the gains that they can show, and how the rows were read.
        resume_hint: what becomes of the run after an error, and how to continue it; part of error messages.
        stop: ends the main search after the current generation; see
            :meth:`evolm.campaign.stopping.SearchStop.request`.
    """

    directory: Path
    name: str
    settings: Mapping[str, Any]
    budget: Mapping[str, float]
    resumed: bool
    finished: bool
    seconds: float
    outlook: tuple[str, ...]
    resume_hint: str
    stop: Callable[[str], None]


@dataclass(frozen=True)
class Phase:
    """A search or the verdict, at its beginning.

    Attributes:
        name: ``"main"``, the name of a baseline's search, or ``"verdict"``.
        evaluations: spent in this search before the phase; 0 for the verdict.
        budget: the search's limits, by the names of ``[budget]`` (0 = none); empty for the verdict.
        seconds: spent by the run so far.
        stage: of a main search in stages, the stage in words; else ``""``.
    """

    name: str
    evaluations: int = 0
    budget: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    stage: str = ""

    @property
    def title(self) -> str:
        """The phase in words."""
        return title_of(self.name, self.stage)


@dataclass(frozen=True)
class Progress:
    """The state of a search after a generation.

    Attributes:
        search: the phase: ``"main"``, or the name of a baseline's search.
        generation: number of the generation that just ended.
        best, mean: the task's metric on dev; NaN while no individual is valid.
        diversity: mean Jaccard distance within the generation, in [0, 1].
        evaluations, evaluations_allowed: spent, and the limit (0 = none).
        usage: the engine's counts since the run began.
        seconds: since the run began, interruptions excluded.
        improved: whether the best is a new one.
        saved: share of items that racing saved so far; None without racing.
        tokens: spent by this search, before caching and sharing.
        front_size: individuals on the Pareto front; None with a single objective.
        headroom: what the main search may still gain, in sentences; told once, when enough individuals are known.
        stage: of a main search in stages, the stage in words; else ``""``.
    """

    search: str
    generation: int
    best: float
    mean: float
    diversity: float
    evaluations: int
    evaluations_allowed: int
    usage: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    improved: bool = False
    saved: float | None = None
    tokens: int = 0
    front_size: int | None = None
    headroom: str = ""
    stage: str = ""

    @property
    def title(self) -> str:
        """The search in words."""
        return title_of(self.search, self.stage)


class Observer:
    """Base class of observers: every event does nothing. See this module's docstring for the contract.

    To end the search, an observer keeps the ``info`` of ``on_start`` and calls ``info.stop("reason")`` at any event
    before the verdict.
    """

    def on_start(self, info: RunInfo) -> None:
        """The campaign begins or is resumed (``info.resumed``)."""

    def on_phase(self, phase: Phase) -> None:
        """A search, or the verdict, begins."""

    def on_requests(self, done: int, total: int, purpose: str) -> None:
        """``done`` of ``total`` requests are answered.

        ``purpose`` is ``"operators"`` if operators ask the model for new genomes, otherwise ``"scoring"``.
        """

    def on_evaluation(self, individual: Individual) -> None:
        """An individual was evaluated, has failed or was dropped (``individual.status``)."""

    def on_generation(self, progress: Progress) -> None:
        """All individuals of a generation are evaluated, and ``best/`` holds the best so far."""

    def on_saved(self) -> None:
        """A checkpoint is written: a run that is killed from now on continues after the last generation."""

    def on_error(self, error: Exception) -> None:
        """The campaign ends without a verdict: ``error`` will be raised; after Ctrl-C it is ``Interrupted``."""

    def on_end(self, result: dict[str, Any]) -> None:
        """The verdict is written. A finished run that is resumed tells its verdict again."""
