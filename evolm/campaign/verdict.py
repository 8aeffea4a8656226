"""The verdict: finalists on validation, then the winner and its baselines on the test split, opened once.

Choosing the best of many on dev picks the lucky along with the good. So the finalists meet again on validation
rows that no selection has seen, and the number that counts comes from test rows that nobody has: for the winner,
for the best founder, for that founder's prior-corrected and few-shot forms, and for random search at the same
budget, which goes through the same finals. The gain claimed is over the strongest of these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from evolm.campaign import baselines
from evolm.campaign.build import Components
from evolm.campaign.search import Search
from evolm.evaluation.evaluator import Assessment, Charge
from evolm.individual import Individual
from evolm.scorers import Evaluation
from evolm.statistics import paired_bootstrap
from evolm.tasks import METRICS, Task
from evolm.tasks.metrics import confusion_matrix, per_class
from evolm.wording import signed

SHOWN = 12  # test items of a generation task whose text is kept


@dataclass(frozen=True)
class Final:
    """How a search's finalists fared on validation.

    Attributes:
        winner: the finalist that is best on dev and validation together; the best on dev where there are no
            validation rows.
        entry: what the journal keeps; None without validation rows.
        validation: the winner's score there.
    """

    winner: Individual
    entry: dict[str, Any] | None
    validation: float | None


def run_final(search: Search, parts: Components, winner: Individual | None = None) -> Final | None:
    """Re-score a search's finalists on validation rows; None if the search found nothing valid.

    Args:
        search: whose finalists meet.
        parts: the campaign's objects.
        winner: who wins without a final; None = the best of the finalists.
    """
    if winner is not None:
        return Final(winner, None, _validation_score(winner, parts))
    if search.archive.best is None:
        return None
    rows = parts.task.validation
    finalists = search.archive.finalists
    if not rows or len(finalists) < 2:
        return Final(search.archive.best, None, _validation_score(search.archive.best, parts))
    genomes = [finalist.genome for finalist in finalists]
    alone = _whole(parts.evaluator.assess(genomes, rows))
    pooled = _whole(parts.evaluator.assess(genomes, (*parts.task.dev, *rows)))
    standing = {place: each.fitness for place, each in enumerate(pooled) if each is not None}
    place = list(standing)[search.archive.pick(list(standing.values()))] if standing else 0
    entry = {
        "type": "validation",
        "search": search.name,
        "finalists": [
            {"id": f.id, "dev": f.score, "validation": _score(alone[i]), "pooled": _score(pooled[i])}
            for i, f in enumerate(finalists)
        ],
        "winner": finalists[place].id,
    }
    return Final(finalists[place], entry, _score(alone[place]))


def _validation_score(winner: Individual, parts: Components) -> float | None:
    if not parts.task.validation:
        return None
    return _score(_whole(parts.evaluator.assess([winner.genome], parts.task.validation))[0])


def _whole(results: Sequence[tuple[Assessment | str, Charge]]) -> list[Assessment | None]:
    """Return what was said where no item failed: who was scored on dev may fail on others, such as longer ones."""
    return [None if isinstance(said, str) or said.failures else said for said, _ in results]


def _score(assessment: Assessment | None) -> float | None:
    return assessment.score if assessment else None


@dataclass(frozen=True)
class Verdict:
    """What opening the test split showed.

    Attributes:
        record: the ``test`` record of the result.
        outcomes: the content of ``test.json``: every contestant's answer to every test item.
        applied: the baselines' genomes, which can be taken home instead of the winner (of few-shot, the first draw).
    """

    record: dict[str, Any]
    outcomes: dict[str, Any]
    applied: dict[str, Any]


def run_verdict(parts: Components, main: Search, final: Final, rival: Final | None, openings: int) -> Verdict | None:
    """Open the test split; return None where there is nothing to test on.

    Args:
        parts: the campaign's objects.
        main: gives the best founder.
        final: gives the winner.
        rival: random search's own final, if it ran.
        openings: how often the split has been opened, this time included.
    """
    task = parts.task
    if not task.test or not task.knows_gold:
        return None
    genomes = _contestants(parts, main, final, rival)
    evaluations = _test_evaluations(parts, genomes)
    outcomes = {name: [_outcomes(e, task) for e in each] for name, each in evaluations.items()}
    gold = task.gold_indices(task.test)
    if task.labels:
        majority = baselines.majority_predictions(task.gold_indices(task.dev), len(task.test))
        outcomes["majority"] = [majority]
    record = {"openings": openings, **_record(parts, outcomes, gold)}
    texts = {name: list(e.texts) for name, (e, *_) in evaluations.items() if isinstance(e, Evaluation) and e.texts}
    content = {
        "metric": task.metric,
        "n_labels": task.n_options,
        "items": [item.digest for item in task.test],
        "gold": gold.tolist(),
        "outcomes": {name: [values.tolist() for values in each] for name, each in outcomes.items()},
        "predictions": texts,
    }
    if texts:  # a report shows some of them beside what was wanted
        shown = task.test[:SHOWN]
        content |= {"inputs": [dict(item.fields) for item in shown], "targets": [item.gold for item in shown]}
    return Verdict(record, content, {name: each[0] for name, each in genomes.items() if name != "best"})


def _record(parts: Components, outcomes: dict[str, list[np.ndarray]], gold: np.ndarray) -> dict[str, Any]:
    task = parts.task
    metric = task.metric_function
    scores = {name: float(np.mean([metric(each, gold) for each in several])) for name, several in outcomes.items()}
    rivals = {name: score for name, score in scores.items() if name != "best"}
    strongest = max(rivals, key=lambda name: rivals[name])
    best = outcomes["best"][0]
    record: dict[str, Any] = {
        "items": len(task.test),
        **{name: scores.get(name) for name in NAMES},
        "best": scores["best"],
        "few_shot_draws": [metric(each, gold) for each in outcomes.get("few_shot", [])],
        "strongest_baseline": strongest,
        "gain": scores["best"] - scores[strongest],
        "interval": list(paired_bootstrap(metric, gold, best, outcomes[strongest])),
        "gain_over_founder": scores["best"] - scores["founder"],
        "interval_over_founder": list(paired_bootstrap(metric, gold, best, outcomes["founder"])),
    }
    if task.labels:
        record["confusion"] = confusion_matrix(best, gold, len(task.labels))[:, : len(task.labels)].tolist()
        record["per_class"] = per_class(best, gold, task.labels)
    return record


def _contestants(parts: Components, main: Search, final: Final, rival: Final | None) -> dict[str, list[Any]]:
    """Return name -> one genome, or several whose scores are averaged."""
    settings = parts.config.baselines
    founder = (main.founder or final.winner).genome
    winner, prompt = (parts.space.express(genome).prompt for genome in (final.winner.genome, founder))
    genomes = {"best": [final.winner.genome], "founder": [founder]}
    if settings.prior_corrected and parts.scoring.labels is not None:
        genomes["prior_corrected"] = [parts.space.with_prompt(founder, replace(prompt, calibrated=True))]
    count = baselines.few_shot_count(winner, parts.space.prompts)
    if settings.few_shot and count:
        like = replace(prompt, calibrated=winner.calibrated)
        genomes["few_shot"] = baselines.few_shot_genomes(like, parts.space.prompts, count, parts.config.seed)
    if rival is not None:
        genomes["random_search"] = [rival.winner.genome]
    return genomes


def _test_evaluations(parts: Components, genomes: dict[str, list[Any]]) -> dict[str, list[Evaluation | str]]:
    """Let the task's own scorer judge every contestant on the test split, all in one batch."""
    flat = iter(
        parts.evaluator.task_evaluations([genome for each in genomes.values() for genome in each], parts.task.test)
    )
    return {name: [next(flat) for _ in each] for name, each in genomes.items()}


def _outcomes(evaluation: Evaluation | str, task: Task) -> np.ndarray:
    """Outcomes of an evaluation; the worst there are where a prompt was too long for some item."""
    if isinstance(evaluation, Evaluation) and evaluation.outcomes is not None:
        return evaluation.outcomes
    return np.full(len(task.test), METRICS[task.metric].worst)


NAMES = {
    "majority": "always naming the most frequent label",
    "founder": "the best founder",
    "prior_corrected": "the best founder with calibrated labels",
    "few_shot": "random demonstrations",
    "random_search": "random search",
}


def claim(test: dict[str, Any] | None, metric: str) -> str:
    """Return the verdict's last line."""
    if test is None:
        return "No gold labels on a test split, so no claim is made."
    rival = test["strongest_baseline"]
    low, high = test["interval"]
    figures = f"{test['best']:.3f} against {test[rival]:.3f} {metric.replace('_', ' ')} on {test['items']} test items"
    gain = f"gain {signed(test['gain'])}, 95 % interval [{signed(low)}, {signed(high)}]"
    if low > 0:
        return f"Better than {NAMES[rival]}: {figures}; {gain}."
    over = ""
    if test["interval_over_founder"][0] > 0 and rival != "founder":
        low, high = test["interval_over_founder"]
        gained = signed(test["gain_over_founder"])
        over = f" Over the best founder the gain is {gained} [{signed(low)}, {signed(high)}]."
    return f"No reliable gain: keep {NAMES[rival]} ({figures}; {gain}).{over}"


def finals_of(
    searches: Sequence[Search], parts: Components, winners: Mapping[str, Individual] | None = None
) -> dict[str, Final]:
    """Run the final of every search that found something valid; ``winners`` are those that are given, by search."""
    finals = {search.name: run_final(search, parts, (winners or {}).get(search.name)) for search in searches}
    return {name: final for name, final in finals.items() if final is not None}
