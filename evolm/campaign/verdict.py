"""The verdict: the winner and its baselines on the test split, which is opened once.

Test rows have decided nothing before. Readouts, the winner's and those of baselines, are fitted once more on all
other rows. The claimed gain is over the strongest of the baselines (:mod:`evolm.baselines`), with a paired bootstrap
interval.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evolm.baselines import BASELINES, BEST, Contest, Contestant, is_outcomes
from evolm.baselines.founder import BEST_FOUNDER
from evolm.campaign.build import Components
from evolm.campaign.finals import Final
from evolm.campaign.search import Search
from evolm.genomes import Winner
from evolm.individual import Individual
from evolm.readouts import refitted, refitted_winner
from evolm.scorers import Evaluation
from evolm.searches import MAIN
from evolm.statistics import paired_bootstrap
from evolm.tasks import METRICS, Task
from evolm.tasks.metrics import averages, confusion_matrix, per_class
from evolm.wording import signed

FINALISTS = "finalists"  # key of ``test.json``
TEXT = 1000  # characters of a test item's field that are kept for people


@dataclass(frozen=True)
class Verdict:
    """The outcome of the test.

    Attributes:
        record: the ``test`` record of the result.
        outcomes: the content of ``test.json``: every contestant's answer to every test item.
        applied: name of a baseline that could be evaluated -> its genome or committee, which can be applied instead
            of the winner; of several draws the first.
    """

    record: dict[str, Any]
    outcomes: dict[str, Any]
    applied: dict[str, Winner]


def run_verdict(parts: Components, main: Search, finals: Mapping[str, Final], openings: int) -> Verdict | None:
    """Open the test split; return None if there are no labelled test rows.

    Args:
        parts: the campaign's objects.
        main: the main search, which knows the best founder.
        finals: name of a search -> its final; the main search's is among them.
        openings: how often the split has been opened, this time included.
    """
    task = parts.task
    if not task.test or not task.knows_gold:
        return None
    contestants = _contestants(parts, main, finals)
    genomes = {name: each for name, each in contestants.items() if not is_outcomes(each[0])}
    finalists = runners_up(main, finals[MAIN], parts.config.finals.on_test)
    evaluations = _evaluations(parts, {**genomes, FINALISTS: [refitted(each.genome) for each in finalists]})
    of_finalists = evaluations.pop(FINALISTS)
    outcomes = {
        name: [_outcomes(e, task) for e in evaluations[name]] if name in evaluations else list(each)
        for name, each in contestants.items()
    }
    gold = task.gold_indices(task.test)
    record = {"openings": openings, **_record(task, outcomes, gold)}
    texts = {name: list(e.texts) for name, (e, *_) in evaluations.items() if isinstance(e, Evaluation) and e.texts}
    content = {
        "metric": task.metric,
        "n_labels": task.n_options,
        "items": [item.digest for item in task.test],
        "gold": gold.tolist(),
        "outcomes": {name: [values.tolist() for values in each] for name, each in outcomes.items()},
        "predictions": texts,
        FINALISTS: [
            _finalist(finalist, evaluation, task)
            for finalist, evaluation in zip(finalists, of_finalists, strict=True)
        ],
        **_shown(task),
    }
    answered = [name for name, each in evaluations.items() if isinstance(each[0], Evaluation)]
    return Verdict(record, content, {name: genomes[name][0] for name in answered if name != BEST})


def runners_up(main: Search, final: Final, most: int) -> list[Individual]:
    """Return the finalists beside the winner that answer the test items too, by falling expected score.

    Args:
        main: the main search.
        final: its final.
        most: how many, at most.
    """
    expected = {row["id"]: row["expected"] for row in (final.entry or {}).get("finalists", [])}
    others = [finalist for finalist in main.archive.finalists if finalist.id != final.winner.id]
    others.sort(key=lambda finalist: expected.get(finalist.id) or -math.inf, reverse=True)  # stable: else as on dev
    return others[:most]


def _finalist(finalist: Individual, evaluation: Evaluation | str, task: Task) -> dict[str, Any]:
    """Return a finalist's answers to the test items, which decide nothing."""
    outcomes = _outcomes(evaluation, task)
    texts = list(evaluation.texts) if isinstance(evaluation, Evaluation) else []
    score = float(task.metric_function(outcomes, task.gold_indices(task.test)))
    found = {"id": finalist.id, "score": score, "outcomes": outcomes.tolist()}
    return {**found, "predictions": texts} if texts else found


def _shown(task: Task) -> dict[str, Any]:
    """Return what a report shows of the test items: fields, their own options, targets without labels."""
    inputs = [{name: _cut(text) for name, text in item.fields.items()} for item in task.test]
    if task.labels:
        return {"inputs": inputs}
    if any(item.options for item in task.test):
        return {"inputs": inputs, "options": [list(map(_cut, item.options)) for item in task.test]}
    return {"inputs": inputs, "targets": [item.gold for item in task.test]}


def _cut(text: str) -> str:
    return text if len(text) <= TEXT else text[: TEXT - 1] + "…"


def _contestants(parts: Components, main: Search, finals: Mapping[str, Final]) -> dict[str, Sequence[Contestant]]:
    """Return the winner, as ``"best"``, and the baselines that take part, by name."""
    winner = finals[MAIN].winner
    contest = Contest(
        task=parts.task,
        space=parts.space,
        scoring=parts.scoring,
        founder=(main.founder or winner).genome,
        winner=winner.genome,
        finals={name: final.best for name, final in finals.items()},
        seed=parts.config.seed,
    )
    entered = {baseline.name: baseline.contestants(contest) for baseline in parts.baselines}
    all_entered = {BEST: [finals[MAIN].best], **{name: each for name, each in entered.items() if each}}
    return {
        name: [each if is_outcomes(each) else refitted_winner(each) for each in all_entered[name]]
        for name in all_entered
    }


def _evaluations(parts: Components, genomes: Mapping[str, Sequence[Any]]) -> dict[str, list[Evaluation | str]]:
    """Score every genome on the test split by the task's own scorer, all in one batch."""
    flat = iter(
        parts.evaluator.task_evaluations([genome for each in genomes.values() for genome in each], parts.task.test)
    )
    return {name: [next(flat) for _ in each] for name, each in genomes.items()}


def _outcomes(evaluation: Evaluation | str, task: Task) -> np.ndarray:
    """Return ``(n_test,)`` outcomes; the worst possible ones if the prompt was too long for an item."""
    if isinstance(evaluation, Evaluation) and evaluation.outcomes is not None:
        return evaluation.outcomes
    return np.full(len(task.test), METRICS[task.metric].worst)


def _record(task: Task, outcomes: Mapping[str, Sequence[np.ndarray]], gold: np.ndarray) -> dict[str, Any]:
    metric, best = task.metric_function, outcomes[BEST][0]
    draws = {name: [metric(each, gold) for each in several] for name, several in outcomes.items()}
    scores = {name: float(np.mean(each)) for name, each in draws.items()}
    rivals = [name for name in scores if name != BEST and BASELINES[name].rival]
    strongest = max(rivals, key=lambda name: scores[name])
    record: dict[str, Any] = {
        "items": len(task.test),
        **{name: scores.get(name) for name in BASELINES},
        BEST: scores[BEST],
        "draws": {name: each for name, each in draws.items() if len(each) > 1},
        "strongest_baseline": strongest,
        "gain": scores[BEST] - scores[strongest],
        "interval": list(paired_bootstrap(metric, gold, best, outcomes[strongest])),
        "gain_over_founder": scores[BEST] - scores[BEST_FOUNDER.name],
        "interval_over_founder": list(paired_bootstrap(metric, gold, best, outcomes[BEST_FOUNDER.name])),
    }
    if task.labels:
        record["confusion"] = confusion_matrix(best, gold, len(task.labels))[:, : len(task.labels)].tolist()
        record["per_class"] = per_class(best, gold, task.labels)
        record["averages"] = {name: _averages(each, gold, task) for name, each in outcomes.items()}
    return record


def _averages(draws: Sequence[np.ndarray], gold: np.ndarray, task: Task) -> dict[str, float]:
    """Return a contestant's accuracy, precision, recall and F1, means over its draws."""
    each = [averages(outcomes, gold, len(task.labels)) for outcomes in draws]
    return {rate: float(np.mean([one[rate] for one in each])) for rate in each[0]}


def claim(test: dict[str, Any] | None, metric: str) -> str:
    """Return the verdict's last line.

    Args:
        test: the ``test`` record of the result; None if there was no test.
        metric: name of the task's metric.
    """
    if test is None:
        return "No gold labels on a test split, so no claim is made."
    strongest = test["strongest_baseline"]
    phrase = BASELINES[strongest].phrase
    scores = f"{test[BEST]:.3f} against {test[strongest]:.3f} {metric.replace('_', ' ')}"
    figures = f"{scores} on {test['items']} test items"
    low, high = test["interval"]
    gain = f"gain {signed(test['gain'])}, 95 % interval [{signed(low)}, {signed(high)}]"
    if low > 0:
        return f"Better than {phrase}: {figures}; {gain}."
    over = ""
    if test["interval_over_founder"][0] > 0 and strongest != BEST_FOUNDER.name:
        low, high = test["interval_over_founder"]
        gained = signed(test["gain_over_founder"])
        over = f" Over {BEST_FOUNDER.phrase} the gain is {gained} [{signed(low)}, {signed(high)}]."
    return f"No reliable gain: keep {phrase} ({figures}; {gain}).{over}"
