"""Committees: greedy ensemble selection among a search's best individuals.

Caruana et al. 2004, "Ensemble Selection from Libraries of Models", https://doi.org/10.1145/1015330.1015432,
sections 2 and 2.1 (selection with replacement), by the log-loss on dev rows. Unlike there, the committee must then
beat the best single individual on validation rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evolm.archives import BestFound
from evolm.campaign.build import Components
from evolm.campaign.search import Search
from evolm.genomes import Committee
from evolm.individual import Individual
from evolm.scorers import Evaluation
from evolm.scorers.base import FLOOR
from evolm.scorers.likelihood import evaluate_labels
from evolm.tasks import Task

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Contention:
    """The contest of a committee with the best single individual.

    Attributes:
        committee: the committee if it won, else None.
        record: its part of the journal's entry.
    """

    committee: Committee | None
    record: dict[str, Any]


# -- selection -------------------------------------------------------------------------------------------------


def select(probabilities: Floats, row_weights: Floats, seats: int) -> tuple[int, ...]:
    """Select a committee greedily, with replacement: return the number of seats of each candidate.

    Each seat goes to the candidate that gives the committee the lowest log-loss, the first of equals. Of the
    committees with one seat, two seats and so on, the one with the lowest log-loss is returned, the smallest of
    equals.

    Args:
        probabilities: ``(n_candidates, n_items)`` probabilities of the gold label or option.
        row_weights: ``(n_items,)`` weights of the items, not all 0.
        seats: most seats, at least 1.
    """
    total = np.zeros(probabilities.shape[1])
    counts = np.zeros(len(probabilities), dtype=int)
    best, lowest = counts, np.inf
    for size in range(1, seats + 1):
        losses = log_loss((total + probabilities) / size, row_weights)  # (n_candidates,)
        chosen = int(np.argmin(losses))
        total = total + probabilities[chosen]
        counts = counts + (np.arange(len(counts)) == chosen)
        if losses[chosen] < lowest:
            best, lowest = counts, losses[chosen]
    return tuple(best.tolist())


def log_loss(of_gold: Floats, row_weights: Floats) -> Floats:
    """Return the weighted mean over items of minus the log-probability (nats) of gold, at most ``-FLOOR`` an item.

    Losses that are equal on paper differ in their last bits; rounded, they tie as they should.

    Args:
        of_gold: ``(..., n_items)`` probabilities of gold.
        row_weights: ``(n_items,)`` weights.
    """
    floored = np.log(np.maximum(of_gold, np.exp(FLOOR)))
    return np.round(-(floored * row_weights).sum(axis=-1) / row_weights.sum(), 12)


# -- the contest -----------------------------------------------------------------------------------------------


def contend(search: Search, parts: Components, single: Individual) -> Contention | None:
    """Select a committee on dev rows and compare it with the best single individual on validation rows.

    The log-loss decides, which is less noisy than the metric on a hundred rows, then the metric; of equals the single
    individual wins. Candidates are not asked about dev
    rows again: their per-item scores are the probabilities of gold.

    Args:
        search: the search whose best individuals are candidates.
        parts: the campaign's objects.
        single: the individual that won the final.

    Returns:
        None if the campaign can have no committee (:func:`allowed`) or none of several individuals was selected.
    """
    if not allowed(parts):
        return None
    task = parts.task
    assert isinstance(search.archive, BestFound)  # there is one objective
    candidates = search.archive.ranked
    candidates += [single] if all(single.digest != each.digest for each in candidates) else []
    if len(candidates) < 2:
        return None
    counts = select(_of_gold(candidates, parts), task.row_weights(task.dev), parts.config.finals.committee)
    seats = [(each, count) for each, count in zip(candidates, counts, strict=True) if count]
    return _contest(seats, parts, single) if len(seats) > 1 else None


def allowed(parts: Components) -> bool:
    """Return whether the winner of a search may be a committee.

    Answers must be distributions over labels or options, the search must maximise the task's metric, and there must
    be validation rows.
    """
    return (
        parts.config.finals.committee > 1
        and parts.scoring.labels is not None
        and parts.task.has_gold
        and bool(parts.task.validation)
        and parts.evaluator.maximises_metric
    )


def _of_gold(candidates: Sequence[Individual], parts: Components) -> Floats:
    """Return the ``(n_candidates, n_dev)`` probabilities of gold; those of a replayed individual are asked again."""
    replayed = [each for each in candidates if each.cases is None]
    said = parts.evaluator.task_evaluations([each.genome for each in replayed], parts.task.dev) if replayed else []
    again = iter(each.scores for each in said if isinstance(each, Evaluation))
    return np.stack([next(again) if each.cases is None else each.cases for each in candidates])


def _contest(seats: Sequence[tuple[Individual, int]], parts: Components, single: Individual) -> Contention | None:
    """Compare a committee with a single individual; return None if it cannot answer every row."""
    task = parts.task
    committee = Committee(tuple(each.genome for each, _ in seats), tuple(weight for _, weight in seats))
    rows = (*task.dev, *task.validation)
    said = parts.evaluator.task_evaluations([committee, single.genome, *committee.members], rows)
    jointly, alone, *members = map(_whole, said)
    if jointly is None:
        return None
    mine, other = _standing(jointly, task), _standing(alone, task)
    record = {
        "members": [
            {
                "id": each.id,
                "digest": each.digest,
                "weight": weight,
                "dev": each.score,
                "validation": _standing(member, task)[1] if member else None,
            }
            for (each, weight), member in zip(seats, members, strict=True)
        ],
        "dev": evaluate_labels(task, _logprobs(jointly)[: len(task.dev)], task.dev).score,
        **_scores(mine),
        "single": _scores(other) if alone else dict.fromkeys(("validation", "log_loss")),
        "won": mine > other,
    }
    return Contention(committee if mine > other else None, record)


def _scores(standing: tuple[float, float]) -> dict[str, float]:
    return {"validation": standing[1], "log_loss": -standing[0]}


def _whole(said: Evaluation | str) -> Evaluation | None:
    """Return an evaluation in which no item failed, else None."""
    return None if isinstance(said, str) or said.failures else said


def _logprobs(evaluation: Evaluation) -> Floats:
    assert evaluation.label_logprobs is not None
    return evaluation.label_logprobs


def _standing(evaluation: Evaluation | None, task: Task) -> tuple[float, float]:
    """Return minus the log-loss on validation rows and the metric there; the greater is better.

    Args:
        evaluation: on dev and validation rows; None = worse than any.
        task: the task.
    """
    if evaluation is None:
        return -np.inf, -np.inf
    rows, logprobs = task.validation, _logprobs(evaluation)[len(task.dev) :]
    of_gold = np.exp(logprobs[np.arange(len(rows)), task.gold_indices(rows)])
    return -float(log_loss(of_gold, task.row_weights(rows))), evaluate_labels(task, logprobs, rows).score
