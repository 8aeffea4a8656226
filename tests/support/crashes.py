"""Observers that end a run like a crash, so that it can be continued."""

from __future__ import annotations

from evolm.observers import Observer, Progress


class Crash(Exception):
    """Ends a run like a crash."""


class CrashAfterGeneration(Observer):
    """Crashes when a generation is told, before it is saved.

    Args:
        first: number of the first generation, of any search, that crashes.
        error: what is raised.
    """

    def __init__(self, first: int = 0, error: type[Exception] = Crash) -> None:
        self.first, self.error = first, error

    def on_generation(self, progress: Progress) -> None:
        if progress.generation >= self.first:
            raise self.error


class CrashAmidRequests(Observer):
    """Crashes when requests were handed to the model so many times."""

    def __init__(self, batches: int) -> None:
        self.left = batches

    def on_requests(self, done: int, total: int, purpose: str) -> None:
        self.left -= 1
        if not self.left:
            raise Crash
