"""The campaign's side of the observers: events are told to all of them, in order."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from evolm.campaign.checks import told_about_texts
from evolm.campaign.recorder import RunRecorder
from evolm.campaign.records import campaign_name, settings_record
from evolm.campaign.search import Search
from evolm.campaign.stopping import SearchStop
from evolm.individual import Individual
from evolm.observers import Observer, Progress, RunInfo
from evolm.tasks.outlook import outlook

logger = logging.getLogger("evolm")


class Notifier:
    """Tells observers about events.

    Args:
        observers: in the order in which they are told.
        resume_hint: what becomes of the run after an error, and how to continue it.
    """

    def __init__(self, observers: Sequence[Observer], resume_hint: str) -> None:
        self._observers = observers
        self.resume_hint = resume_hint
        self.hears_generations = any(_overrides(each, "on_evaluation", "on_generation") for each in observers)

    def tell(self, event: str, *arguments: Any) -> None:
        """Call the method named ``event`` of every observer.

        Raises:
            Exception: from an observer, with a note that names it and says how to continue the run.
        """
        for observer in self._observers:
            try:
                getattr(observer, event)(*arguments)
            except Exception as error:
                error.add_note(f"In the callback {type(observer).__name__}.{event}; {self.resume_hint}")
                raise

    def tell_start(
        self, recorder: RunRecorder, main: Search, stop: SearchStop, *, resumed: bool, finished: bool
    ) -> None:
        """Tell that the campaign begins or is resumed.

        Args:
            recorder: of the run.
            main: the main search.
            stop: ends it early.
            resumed, finished: see :class:`~evolm.observers.RunInfo`.
        """
        parts = recorder.parts
        told = told_about_texts(parts.evaluator, parts.founders)
        info = RunInfo(
            directory=recorder.layout.directory,
            name=campaign_name(parts),
            settings=settings_record(parts, main),
            budget=parts.config.budget.model_dump(),
            resumed=resumed,
            finished=finished,
            seconds=recorder.seconds,
            outlook=(*outlook(parts.task, parts.config.space), *parts.task.notes, *told),
            resume_hint=self.resume_hint,
            stop=stop.request,
        )
        self.tell("on_start", info)

    def tell_generation(self, individuals: Sequence[Individual], progress: Progress) -> None:
        """Tell every individual of a generation, then the generation.

        ``hears_generations`` is False if no observer has a method for either, so that the call can be spared.
        """
        for individual in individuals:
            self.tell("on_evaluation", individual)
        self.tell("on_generation", progress)

    def tell_error(self, error: Exception) -> None:
        """Tell the error that ends the campaign; exceptions of observers are logged, so that ``error`` is raised."""
        for observer in self._observers:
            try:
                observer.on_error(error)
            except Exception as second:  # the campaign's own error is the one to raise
                logger.warning("%s.on_error failed: %s", type(observer).__name__, second)


def _overrides(observer: Observer, *events: str) -> bool:
    return any(getattr(type(observer), event, None) is not getattr(Observer, event) for event in events)
