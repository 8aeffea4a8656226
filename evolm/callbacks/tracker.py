"""Base of trackers: which numbers, parameters and texts of a campaign are logged, and when."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

from evolm.baselines import BASELINES
from evolm.errors import TrackerError
from evolm.observers import Observer, Progress, RunInfo
from evolm.searches import MAIN
from evolm.storage import RunLayout

Parameter: TypeAlias = str | int | float | bool


class Tracker(Observer, ABC):
    """An observer that logs a campaign to a tracker of experiments; subclasses know the tracker's package.

    Steps are evaluations spent, so that searches are compared at equal budget. A generation that is evaluated again
    after a kill is logged again, with the same numbers at the same step.

    Attributes:
        place: the tracker's folder or address, for error messages.
        failures: exceptions that its package raises when it cannot write.
        info: the run.
    """

    place: str
    failures: tuple[type[Exception], ...] = (OSError,)
    info: RunInfo

    @abstractmethod
    def begin(self, parameters: Mapping[str, Parameter]) -> None:
        """Log the settings of a campaign that begins or is resumed (``self.info.resumed``)."""

    @abstractmethod
    def log(self, search: str, values: Mapping[str, float], step: int) -> None:
        """Log finite numbers of a search."""

    @abstractmethod
    def show_prompt(self, text: str, step: int) -> None:
        """Log the main search's best prompt so far."""

    @abstractmethod
    def conclude(self, result: Mapping[str, Any], values: Mapping[str, float], step: int) -> None:
        """Log the verdict; ``values`` are its finite numbers."""

    # -- events --------------------------------------------------------------------------------------------

    def on_start(self, info: RunInfo) -> None:
        """Log the settings."""
        self.info = info
        with self._named_failures():
            self.begin(parameters_of(info.settings))

    def on_generation(self, progress: Progress) -> None:
        """Log the state of the search."""
        with self._named_failures():
            self.log(progress.search, numbers_of(progress), progress.evaluations)
            if progress.improved and progress.search == MAIN and self.prompt:
                self.show_prompt(self.prompt, progress.evaluations)

    def on_end(self, result: dict[str, Any]) -> None:
        """Log the verdict."""
        with self._named_failures():
            self.conclude(result, verdict_numbers(result), result["budget"]["evaluations"])

    @property
    def layout(self) -> RunLayout:
        """The files of the run's directory."""
        return RunLayout(self.info.directory)

    @property
    def prompt(self) -> str:
        """The text of ``best/prompt.txt``; ``""`` before it is written (by an objective, at its end)."""
        path = self.layout.prompt
        return path.read_text(encoding="utf-8") if path.exists() else ""

    @contextmanager
    def _named_failures(self) -> Iterator[None]:
        try:
            yield
        except self.failures as error:
            said = " ".join(str(error).split())
            raise TrackerError(
                f"{type(self).__name__}: cannot write to {self.place}: {said}; {self.info.resume_hint}"
            ) from error


def parameters_of(settings: Mapping[str, Any]) -> dict[str, Parameter]:
    """Return a campaign's settings by the dotted keys of campaign.toml.

    Tables within tables are JSON, since their keys may be labels of the task.
    """
    found: dict[str, Parameter] = {}
    for key, value in settings.items():
        inner = {f"{key}.{name}": entry for name, entry in value.items()} if isinstance(value, dict) else {key: value}
        found |= {name: _plain(entry) for name, entry in inner.items() if entry is not None}
    return found


def _plain(value: Any) -> Parameter:
    return value if isinstance(value, Parameter) else json.dumps(value, ensure_ascii=False)


def numbers_of(progress: Progress) -> dict[str, float]:
    """Return a generation's finite numbers: best and mean are NaN while no individual is valid."""
    values = {
        "best": progress.best,
        "mean": progress.mean,
        "diversity": progress.diversity,
        "tokens": progress.tokens,
        "evaluations": progress.evaluations,
        "generation": progress.generation,
    }
    return _finite(values if progress.saved is None else {**values, "items_saved": progress.saved})


def verdict_numbers(result: Mapping[str, Any]) -> dict[str, float]:
    """Return the verdict's finite numbers: scores by split, the gain over the strongest baseline, its interval."""
    values = {f"dev/{name}": score for name, score in result["dev"].items()}
    values |= {f"validation/{name}": score for name, score in (result["validation"] or {}).items()}
    if test := result["test"]:
        values |= {f"test/{name}": test[name] for name in ("best", *BASELINES, "gain", "gain_over_founder")}
        for name, interval in (("gain", "interval"), ("gain_over_founder", "interval_over_founder")):
            values[f"test/{name}_low"], values[f"test/{name}_high"] = test[interval]
    return _finite(values)


def _finite(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if value is not None and math.isfinite(value)}
