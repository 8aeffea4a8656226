"""What trackers have in common: which numbers, parameters and texts of a campaign they are told, and when."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

from evolm.baselines import BASELINES
from evolm.campaign.campaign import Campaign
from evolm.campaign.observers import Observer, Progress
from evolm.errors import TrackerError
from evolm.searches import MAIN

Parameter: TypeAlias = str | int | float | bool


class Tracker(Observer, ABC):
    """A callback that tells a tracker of experiments about a campaign; subclasses know how one is told.

    Steps are evaluations spent, so that searches are compared at equal budget. A generation that is evaluated again
    after a kill is told again, with the same numbers at the same step.

    Attributes:
        place: where the tracker writes, for people.
        failures: what its package raises when it cannot write.
    """

    place: str
    failures: tuple[type[Exception], ...] = (OSError,)
    campaign: Campaign

    @abstractmethod
    def begin(self, parameters: Mapping[str, Parameter]) -> None:
        """The campaign begins, or goes on (``self.campaign.resumed``)."""

    @abstractmethod
    def log(self, search: str, values: Mapping[str, float], step: int) -> None:
        """Write finite numbers of a search."""

    @abstractmethod
    def show_prompt(self, text: str, step: int) -> None:
        """Write the main search's best prompt so far."""

    @abstractmethod
    def conclude(self, result: Mapping[str, Any], values: Mapping[str, float], step: int) -> None:
        """Write what the verdict says; ``values`` are its finite numbers."""

    # -- events --------------------------------------------------------------------------------------------

    def on_start(self, campaign: Campaign) -> None:
        """Tell what is run."""
        self.campaign = campaign
        with self._named_failures():
            self.begin(parameters_of(campaign))

    def on_generation(self, progress: Progress) -> None:
        """Tell how the search stands."""
        with self._named_failures():
            self.log(progress.search, numbers_of(progress), progress.evaluations)
            if progress.improved and progress.search == MAIN and self.prompt:
                self.show_prompt(self.prompt, progress.evaluations)

    def on_end(self, result: dict[str, Any]) -> None:
        """Tell the verdict."""
        with self._named_failures():
            self.conclude(result, verdict_numbers(result), result["budget"]["evaluations"])

    @property
    def prompt(self) -> str:
        """The text of ``best/prompt.txt``; ``""`` while there is none: an objective writes it at its end."""
        path = self.campaign.layout.best / "prompt.txt"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    @contextmanager
    def _named_failures(self) -> Iterator[None]:
        try:
            yield
        except self.failures as error:
            said = " ".join(str(error).split())
            raise TrackerError(
                f"{type(self).__name__}: cannot write to {self.place}: {said}; {self.campaign.way_on}"
            ) from error


def parameters_of(campaign: Campaign) -> dict[str, Parameter]:
    """Return a campaign's settings by the dotted keys of campaign.toml, the strategy's defaults included.

    Tables within tables, whose keys may be anybody's labels, are JSON.
    """
    tables = campaign.parts.config.model_dump(by_alias=True, mode="json")
    strategy = tables["strategy"] | campaign.main.strategy.params.model_dump(mode="json")
    tables["strategy"] = {"name": "genetic"} | strategy
    found: dict[str, Parameter] = {}
    for key, value in tables.items():
        inner = {f"{key}.{name}": entry for name, entry in value.items()} if isinstance(value, dict) else {key: value}
        found |= {name: _plain(entry) for name, entry in inner.items() if entry is not None}
    return found


def _plain(value: Any) -> Parameter:
    return value if isinstance(value, Parameter) else json.dumps(value, ensure_ascii=False)


def numbers_of(progress: Progress) -> dict[str, float]:
    """Return a generation's finite numbers: best and mean are unknown while nothing is valid."""
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
