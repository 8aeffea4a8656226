"""The verdict: finalists on validation, then the winner and its baselines on the test split, opened once.

Choosing the best of many on dev picks the lucky along with the good. So the finalists meet again on validation
rows that no selection has seen, and the number that counts comes from test rows that nobody has: for the winner,
for the best founder, for that founder's prior-corrected and few-shot forms, and for random search at the same
budget, which goes through the same finals. The gain claimed is over the strongest of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evolm.campaign import baselines
from evolm.campaign.build import Parts
from evolm.campaign.search import Search
from evolm.campaign.statistics import paired_bootstrap
from evolm.population import Individual
from evolm.scorers import Evaluation
from evolm.tasks import CLASSIFICATION_METRICS
from evolm.tasks.metrics import confusion_matrix, per_class


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


def run_final(search: Search, parts: Parts) -> Final | None:
    """Re-score a search's finalists on validation rows; None if the search found nothing valid."""
    if search.archive.best is None:
        return None
    rows = parts.task.validation
    finalists: list[Individual] = sorted(search.archive, key=lambda i: (i.fitness.values, -i.id), reverse=True)
    if not rows or len(finalists) < 2:
        return Final(search.archive.best, None, _validation_score(search.archive.best, parts))
    genomes = [finalist.genome for finalist in finalists]
    alone = [_evaluation(e) for e, _ in parts.evaluator.assess(genomes, rows)]
    pooled = [_evaluation(e) for e, _ in parts.evaluator.assess(genomes, (*parts.task.dev, *rows))]
    order = range(len(finalists))
    winner = max(order, key=lambda i: (pooled[i].objective, pooled[i].tie_break, -i))
    entry = {
        "type": "validation",
        "search": search.name,
        "finalists": [
            {"id": f.id, "dev": f.score, "validation": alone[i].score, "pooled": pooled[i].score}
            for i, f in enumerate(finalists)
        ],
        "winner": finalists[winner].id,
    }
    return Final(finalists[winner], entry, alone[winner].score)


def _validation_score(winner: Individual, parts: Parts) -> float | None:
    if not parts.task.validation:
        return None
    return _evaluation(parts.evaluator.assess([winner.genome], parts.task.validation)[0][0]).score


def _evaluation(outcome: Evaluation | str) -> Evaluation:
    if isinstance(outcome, str):  # a finalist was scored on dev before; longer items may still not fit
        nothing = np.array([])
        return Evaluation(nothing, nothing, nothing, -np.inf, float("nan"), -np.inf)
    return outcome


@dataclass(frozen=True)
class Applied:
    """A prompt as it was tested: its genome, and what prior correction takes from its label log-probabilities."""

    genome: Any
    prior: np.ndarray | None = None


def run_verdict(
    parts: Parts, main: Search, final: Final, rival: Final | None, openings: int
) -> tuple[dict[str, Any] | None, dict[str, Applied]]:
    """Open the test split.

    Returns:
        The ``test`` record of the result, or None where there is nothing to test on; and the baselines that can
        be taken home instead of the winner (of few-shot, the first draw).

    Args:
        parts: the campaign's objects.
        main: gives the best founder.
        final: gives the winner.
        rival: random search's own final, if it ran.
        openings: how often the split has been opened, this time included.
    """
    items = parts.task.test
    if not items or not parts.task.has_gold:
        return None, {}
    predictions, applied = _predictions(parts, main, final, rival)
    task = parts.task
    gold = task.gold_indices(items)

    def metric(predicted: np.ndarray, truth: np.ndarray) -> float:
        return CLASSIFICATION_METRICS[task.metric](predicted, truth, len(task.labels))

    scores = {name: float(np.mean([metric(p, gold) for p in each])) for name, each in predictions.items()}
    rivals = {name: score for name, score in scores.items() if name != "best"}
    strongest = max(rivals, key=lambda name: rivals[name])
    best = predictions["best"][0]

    def interval(name: str) -> list[float]:
        return list(paired_bootstrap(metric, gold, best, predictions[name]))

    record = {
        "openings": openings,
        "items": len(items),
        **{
            name: scores.get(name) for name in ("majority", "founder", "prior_corrected", "few_shot", "random_search")
        },
        "best": scores["best"],
        "few_shot_draws": [metric(p, gold) for p in predictions.get("few_shot", [])],
        "strongest_baseline": strongest,
        "gain": scores["best"] - scores[strongest],
        "interval": interval(strongest),
        "gain_over_founder": scores["best"] - scores["founder"],
        "interval_over_founder": interval("founder"),
        "confusion": confusion_matrix(best, gold, len(task.labels))[:, : len(task.labels)].tolist(),
        "per_class": per_class(best, gold, task.labels),
    }
    return record, applied


def _predictions(
    parts: Parts, main: Search, final: Final, rival: Final | None
) -> tuple[dict[str, list[np.ndarray]], dict[str, Applied]]:
    """Return name -> one ``(n,)`` array of test predictions, or several whose scores are averaged; and baselines."""
    settings, items = parts.config.baselines, parts.task.test
    founder = (main.founder or final.winner).genome
    genomes = {"best": [final.winner.genome], "founder": [founder]}
    count = baselines.few_shot_count(final.winner.genome, parts.space)
    if settings.few_shot and count:
        genomes["few_shot"] = baselines.few_shot_genomes(founder, parts.space, count, parts.config.seed)
    if rival is not None:
        genomes["random_search"] = [rival.winner.genome]
    names = [name for name, each in genomes.items() for _ in each]
    outcomes = parts.evaluator.assess([genome for each in genomes.values() for genome in each], items)
    applied = {name: Applied(each[0]) for name, each in genomes.items() if name != "best"}
    found: dict[str, list[np.ndarray]] = {}
    for name, (outcome, _) in zip(names, outcomes, strict=True):
        found.setdefault(name, []).append(_predicted(outcome, len(items)))
        if name == "founder" and settings.prior_corrected and not isinstance(outcome, str):
            prior = baselines.prior_correction(founder, parts.likelihood, parts.engine)
            found["prior_corrected"] = [(outcome.label_logprobs - prior).argmax(axis=1)]
            applied["prior_corrected"] = Applied(founder, prior)
    gold_dev = parts.task.gold_indices(parts.task.dev)
    found["majority"] = [baselines.majority_predictions(gold_dev, len(items))]
    return found, applied


def _predicted(outcome: Evaluation | str, n: int) -> np.ndarray:
    """Predictions of an evaluation; none at all where a prompt was too long for some item."""
    return np.full(n, -1) if isinstance(outcome, str) else outcome.predictions


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
    gain = f"gain {test['gain']:+.3f}, 95 % interval [{low:+.3f}, {high:+.3f}]"
    if low > 0:
        return f"Better than {NAMES[rival]}: {figures}; {gain}."
    over = ""
    if test["interval_over_founder"][0] > 0 and rival != "founder":
        low, high = test["interval_over_founder"]
        over = f" Over the best founder the gain is {test['gain_over_founder']:+.3f} [{low:+.3f}, {high:+.3f}]."
    return f"No reliable gain: keep {NAMES[rival]} ({figures}; {gain}).{over}"


def finals_of(searches: Sequence[Search], parts: Parts) -> dict[str, Final]:
    """Run the final of every search that found something valid."""
    finals = {search.name: run_final(search, parts) for search in searches}
    return {name: final for name, final in finals.items() if final is not None}
