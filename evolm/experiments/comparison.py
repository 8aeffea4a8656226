"""Comparing groups of finished runs on the seeds and the test items that they share."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from evolm.baselines import BASELINES, BEST
from evolm.errors import RunError
from evolm.experiments.finished_runs import TestedRun, grouped, read_run
from evolm.statistics import SeedScores, crossed_bootstrap, draw_items, holm, seed_scores
from evolm.wording import numbered


@dataclass(frozen=True)
class GroupScore:
    """A group's mean test score over the common seeds.

    Attributes:
        name: the group's name.
        score, low, high: the mean and its 95 % interval over seeds and items, in [0, 1].
        seeds: seed -> score.
        baselines: name -> mean score of a baseline that all runs of the group have.
        runs: their directories, in the order of ``seeds``.
    """

    name: str
    score: float
    low: float
    high: float
    seeds: dict[int, float]
    baselines: dict[str, float]
    runs: list[str]


@dataclass(frozen=True)
class Difference:
    """How far one group is above another, paired by seed and item.

    Attributes:
        first, second: names of the groups.
        difference, low, high: of the mean scores, in [-1, 1]; the 95 % interval is not corrected for other pairs.
        p: two-sided.
        p_holm: ``p`` corrected for the number of pairs.
    """

    first: str
    second: str
    difference: float
    low: float
    high: float
    p: float
    p_holm: float


@dataclass(frozen=True)
class Comparison:
    """Groups of runs on the same seeds and test items.

    Attributes:
        metric: the task's.
        items: number of test items.
        seeds: those that all groups have.
        left_out: group -> seeds that not all groups have.
        groups, differences: in the order in which the groups were given.
    """

    metric: str
    items: int
    seeds: list[int]
    left_out: dict[str, list[int]]
    groups: list[GroupScore]
    differences: list[Difference]

    def to_record(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return json.loads(json.dumps(asdict(self)))


def compare_runs(directories: Sequence[Path]) -> Comparison:
    """Compare all pairs of groups among runs.

    Args:
        directories: of the runs, at least one; :func:`evolm.storage.layout.find_runs` returns those inside a folder.

    Raises:
        RunError: if there are fewer than two groups, or they cannot be compared.
    """
    groups = grouped([read_run(directory) for directory in directories])
    if len(groups) < 2:
        ((name, runs),) = groups.items()
        raise RunError(
            f"expected runs that differ in more than the seed, found one group: {name} "
            f"with {numbered('seed', (run.seed for run in runs))}"
        )
    return compare(groups, list(combinations(groups, 2)))


def compare(groups: Mapping[str, Sequence[TestedRun]], pairs: Sequence[tuple[str, str]]) -> Comparison:
    """Compare groups of runs.

    Args:
        groups: name -> runs, one per seed.
        pairs: names of the groups to subtract, first minus second.

    Raises:
        RunError: if the runs have other test items, another metric or other labels, a group has a seed twice, or
            the groups have no seed in common.
    """
    require_comparable([run for runs in groups.values() for run in runs])
    by_seed = {name: _by_seed(name, runs) for name, runs in groups.items()}
    common = sorted(set.intersection(*(set(runs) for runs in by_seed.values())))
    if not common:
        found = "; ".join(f"{name} with {numbered('seed', runs)}" for name, runs in by_seed.items())
        raise RunError(f"expected a seed that all groups have, found none: {found}")
    chosen = {name: [runs[seed] for seed in common] for name, runs in by_seed.items()}
    one = chosen[next(iter(chosen))][0]
    draws = draw_items(len(one.items))
    scores = {
        name: seed_scores(one.metric, one.gold, [run.outcomes[BEST] for run in runs], draws)
        for name, runs in chosen.items()
    }
    return Comparison(
        metric=one.task["metric"],
        items=len(one.items),
        seeds=common,
        left_out={name: sorted(set(runs) - set(common)) for name, runs in by_seed.items() if len(runs) > len(common)},
        groups=[_group_score(name, runs, scores[name]) for name, runs in chosen.items()],
        differences=_differences(scores, pairs),
    )


def require_comparable(runs: Sequence[TestedRun]) -> None:
    """Raise if the runs' test scores are not comparable.

    Raises:
        RunError: naming two runs and the property in which they differ.
    """
    first = runs[0]
    for run in runs[1:]:
        both = f"{first.directory} and {run.directory}"
        for key, value in run.task.items():
            if value != first.task[key]:
                raise RunError(f"{both}: expected one {key} of the task, found {first.task[key]!r} and {value!r}")
        if run.items != first.items:
            strange = len(set(first.items) ^ set(run.items))
            raise RunError(
                f"{both}: expected the same test items, found {strange} that only one of them has, "
                f"of {len(first.items)} and {len(run.items)}"
            )
        if not np.array_equal(run.gold, first.gold):
            strange = int((run.gold != first.gold).sum())
            raise RunError(
                f"{both}: expected the same gold, found {strange} of {len(run.gold)} test items that differ"
            )


def _by_seed(name: str, runs: Sequence[TestedRun]) -> dict[int, TestedRun]:
    found: dict[int, TestedRun] = {}
    for run in runs:
        if run.seed in found:
            both = f"{found[run.seed].directory} and {run.directory}"
            raise RunError(f"{name}: expected every seed once, found seed {run.seed} in {both}")
        found[run.seed] = run
    return found


def _group_score(name: str, runs: Sequence[TestedRun], scores: SeedScores) -> GroupScore:
    mean = crossed_bootstrap(scores)
    known = [baseline for baseline in BASELINES if all(baseline in run.outcomes for run in runs)]
    return GroupScore(
        name=name,
        score=mean.value,
        low=max(mean.low, 0.0),
        high=min(mean.high, 1.0),
        seeds={run.seed: float(score) for run, score in zip(runs, scores.scores, strict=True)},
        baselines={baseline: float(np.mean([run.score(baseline) for run in runs])) for baseline in known},
        runs=[str(run.directory) for run in runs],
    )


def _differences(scores: Mapping[str, SeedScores], pairs: Sequence[tuple[str, str]]) -> list[Difference]:
    estimates = [crossed_bootstrap(scores[first] - scores[second]) for first, second in pairs]
    corrected = holm([estimate.p for estimate in estimates])
    return [
        Difference(*pair, estimate.value, max(estimate.low, -1.0), min(estimate.high, 1.0), estimate.p, p_holm)
        for pair, estimate, p_holm in zip(pairs, estimates, corrected, strict=True)
    ]
