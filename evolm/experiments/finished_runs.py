"""Finished runs for comparisons: the settings that decide their best, and its answers to the test split.

Nothing is computed again: ``test.json`` holds every answer. Runs whose settings differ in nothing but the seed form a
group.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from evolm import config as configuration
from evolm.baselines import BASELINES, BEST
from evolm.errors import RunError
from evolm.report import RunRecord
from evolm.storage import RunLayout
from evolm.storage.damage import damaged
from evolm.tasks import METRICS
from evolm.typed import text_of
from evolm.wording import shell_word

# Settings that do not decide a run's best, or that are read elsewhere than in its campaign file.
APART = (
    "schema",
    "name",
    "seed",
    "task.name",
    "task.data",
    "evaluation.n_jobs",
    "baselines",
    "finals.on_test",
    "founders",
)
FROM_HEAD = ("model", "scorers", "strategy", "operators")
TELLING = ("strategy.name", "model.name", "scorers")  # these come first in a group's name
LONGEST_VALUE = 24


@dataclass(frozen=True)
class TestedRun:
    """A finished run with a labelled test split.

    Attributes:
        directory: the run's directory.
        seed: of its search.
        settings: dotted key -> value of every setting but the seed that decides the run's best.
        task: kind, metric and labels.
        n_labels: number of labels, for the metric's function.
        items: digests of the test items, sorted.
        gold: ``(n_items,)``.
        outcomes: ``"best"`` or a baseline's name -> one ``(n_items,)`` array, or several whose scores are averaged.
    """

    directory: Path
    seed: int
    settings: dict[str, Any]
    task: dict[str, Any]
    n_labels: int
    items: tuple[str, ...]
    gold: np.ndarray
    outcomes: dict[str, list[np.ndarray]]

    @cached_property
    def signature(self) -> str:
        """Equal for runs that differ in nothing but the seed."""
        return json.dumps(self.settings, sort_keys=True)

    def metric(self, outcomes: np.ndarray, gold: np.ndarray) -> float:
        """Return the task's metric of ``(n,)`` outcomes."""
        return METRICS[self.task["metric"]].function(outcomes, gold, self.n_labels)

    def score(self, name: str = BEST) -> float:
        """Return the test score of the best, or of a baseline in ``outcomes``."""
        return float(np.mean([self.metric(array, self.gold) for array in self.outcomes[name]]))


# -- reading -------------------------------------------------------------------------------------------------


def is_finished(directory: Path) -> bool:
    """Return whether a run is finished (:attr:`~evolm.report.RunRecord.finished`) and its result is written."""
    return RunLayout(directory).result.exists() and RunRecord.read(directory).finished


def read_run(directory: Path) -> TestedRun:
    """Read the answers of a finished run to the test split.

    Raises:
        RunError: if it is no run, is not finished, or has no labelled test split.
    """
    layout, record = RunLayout(directory), RunRecord.read(directory)
    if not (layout.result.exists() and record.finished):
        raise RunError(
            f"{directory}: expected a finished run, found one without a verdict ({layout.result.name}); "
            f"go on with 'evolm resume {shell_word(directory)}'"
        )
    if record.test is None:
        raise RunError(f"{directory}: expected a run with a labelled test split, found one without")
    if record.outcomes is None:
        raise RunError(f"{directory}: expected {layout.test.name} with the answers to all test items, found none")
    with damaged(layout.journal, "the run's settings in its first line"):
        task, seed = record.run["task"], record.run["seed"]
        settings = _settings(layout, record.run)
    with damaged(layout.test, "the answers to all test items"):
        return _tested(directory, record.outcomes, seed, settings, task)


def _tested(
    directory: Path, test: Mapping[str, Any], seed: int, settings: dict[str, Any], task: Mapping[str, Any]
) -> TestedRun:
    order = np.argsort(test["items"], kind="stable")
    return TestedRun(
        directory=directory,
        seed=seed,
        settings=settings,
        task={"kind": task["kind"], "metric": test["metric"], "labels": task["labels"]},
        n_labels=test["n_labels"],
        items=tuple(sorted(test["items"])),
        gold=np.asarray(test["gold"])[order],
        outcomes={
            name: [np.asarray(outcomes)[order] for outcomes in test["outcomes"][name]]
            for name in (BEST, *(name for name, baseline in BASELINES.items() if baseline.compared))
            if name in test["outcomes"]
        },
    )


def _settings(layout: RunLayout, head: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that decide a run's best, from its campaign file, founders and the journal's head."""
    tables = configuration.load(layout.campaign).model_dump(by_alias=True, mode="json")
    tables |= {name: head[name] for name in FROM_HEAD}
    with damaged(layout.founders, "the run's founders"):
        founders = [json.loads(line) for line in text_of(layout.founders).split("\n") if line]
        instructions = [founder.get("instruction", "") for founder in founders]
    return {
        **{key: value for key, value in flat(tables).items() if not below(key, APART)},
        "scorers": sorted(head["scorers"]),
        "model.name": PurePath(head["model"]["name"]).name,
        "chat_template": head["chat_template"],
        "data": head["task"]["fingerprint"],
        "founders": len(founders),
        # Their demonstrations are drawn with the run's seed.
        "instructions": instructions,
    }


def flat(tables: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested tables as one table with dotted keys."""
    rows: dict[str, Any] = {}
    for key, value in tables.items():
        rows |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return rows


def below(key: str, tables: Sequence[str]) -> bool:
    """Return whether a dotted key is one of ``tables`` or lies in one."""
    return any(key == table or key.startswith(f"{table}.") for table in tables)


# -- naming --------------------------------------------------------------------------------------------------


def grouped(runs: Sequence[TestedRun]) -> dict[str, list[TestedRun]]:
    """Return runs by the name of their group, in the order of appearance."""
    groups: dict[str, list[TestedRun]] = {}
    for run in runs:
        groups.setdefault(run.signature, []).append(run)
    names = telling_names([members[0].settings for members in groups.values()])
    return dict(zip(names, groups.values(), strict=True))


def telling_names(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a name for each of several different settings: the strategy's, then the settings that differ.

    A key is part of a name only if settings that are equal in all keys before it differ in it.
    """
    known = sorted({key for each in settings for key in each})
    names = [[str(each["strategy.name"])] for each in settings]
    shared: list[tuple[str, ...]] = [()] * len(settings)
    for key in dict.fromkeys((*TELLING, *known)):
        values = [json.dumps(each.get(key), sort_keys=True) for each in settings]
        for place, each in enumerate(settings):
            peers = {value for before, value in zip(shared, values, strict=True) if before == shared[place]}
            if len(peers) > 1 and key != "strategy.name":
                names[place].append(_shown(key, each.get(key), known))
        shared = [(*before, value) for before, value in zip(shared, values, strict=True)]
    return [", ".join(words) for words in names]


def _shown(key: str, value: Any, known: Sequence[str]) -> str:
    """Return a setting for a group's name; of a value that is too long, a few digits of its hash."""
    if key == "model.name":
        return str(value)
    last = key.rpartition(".")[2]
    unique = [other.rpartition(".")[2] for other in known].count(last) == 1
    text = "+".join(map(str, value)) if isinstance(value, list) else str(value)
    if len(text) > LONGEST_VALUE or not text.isprintable():
        text = f"#{hashlib.sha256(json.dumps(value).encode()).hexdigest()[:6]}"
    return f"{last if unique else key}={text}"
