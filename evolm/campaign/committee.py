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
from evolm.scorers.likelihood import joint_evaluation
from evolm.tasks import Item, Task

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Seat:
    """A selected individual, its evaluation on dev rows and its weight."""

    individual: Individual
    on_dev: Evaluation
    weight: int


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


def select(of_gold: Floats, row_weights: Floats, seats: int) -> tuple[int, ...]:
    """Select a committee greedily, with replacement: return the number of seats of each candidate.

    Each seat goes to the candidate that gives the committee the lowest log-loss, the first of equals. Of the
    committees with one seat, two seats and so on, the one with the lowest log-loss is returned, the smallest of
    equals.

    Args:
        of_gold: ``(n_candidates, n_items)`` log-probabilities (nats) of the gold label or option.
        row_weights: ``(n_items,)`` weights of the items, not all 0.
        seats: most seats, at least 1.
    """
    probabilities = np.exp(of_gold)
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

    The metric decides, then the log-loss; of equals the single individual wins. Dev rows were answered during the
    search, so that only states which are no longer in memory are computed again.

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
    answered = parts.evaluator.task_evaluations([each.genome for each in candidates], task.dev)
    known = [(each, on_dev) for each, said in zip(candidates, answered, strict=True) if (on_dev := _whole(said))]
    if len(known) < 2:
        return None
    of_gold = np.stack([_of_gold(on_dev, task, task.dev) for _, on_dev in known])
    counts = select(of_gold, task.row_weights(task.dev), parts.config.finals.committee)
    seats = [Seat(*each, count) for each, count in zip(known, counts, strict=True) if count]
    return _contest(seats, parts, single) if len(seats) > 1 else None


def allowed(parts: Components) -> bool:
    """Return whether the winner of a search may be a committee.

    Answers must be distributions over labels or options, the search must maximise one number that is read from gold
    labels, and there must be validation rows.
    """
    return (
        parts.config.finals.committee > 1
        and parts.scoring.labels is not None
        and parts.task.has_gold
        and bool(parts.task.validation)
        and parts.config.fitness.combine == "sum"
        and all(scorer.needs_gold for scorer, _ in parts.evaluator.scorers.values())
    )


def _contest(seats: Sequence[Seat], parts: Components, single: Individual) -> Contention | None:
    """Compare a committee with a single individual; return None if it cannot answer every row."""
    task, rows = parts.task, parts.task.validation
    weights = tuple(seat.weight for seat in seats)
    committee = Committee(tuple(seat.individual.genome for seat in seats), weights)
    said = parts.evaluator.task_evaluations([committee, single.genome, *committee.members], rows)
    jointly, alone, *members = map(_whole, said)
    if jointly is None:
        return None
    mine, other = _standing(jointly, task, rows), _standing(alone, task, rows) if alone else (-np.inf, -np.inf)
    record = {
        "members": [
            {
                "id": seat.individual.id,
                "digest": seat.individual.digest,
                "weight": seat.weight,
                "dev": seat.on_dev.score,
                "validation": _score(member),
            }
            for seat, member in zip(seats, members, strict=True)
        ],
        "dev": joint_evaluation(task, [seat.on_dev for seat in seats], weights, task.dev).score,
        "validation": jointly.score,
        "log_loss": -mine[1],
        "single": {"validation": _score(alone), "log_loss": -other[1] if alone else None},
        "won": mine > other,
    }
    return Contention(committee if mine > other else None, record)


def _whole(said: Evaluation | str) -> Evaluation | None:
    """Return an evaluation in which no item failed, else None."""
    return None if isinstance(said, str) or said.failures else said


def _score(evaluation: Evaluation | None) -> float | None:
    return evaluation.score if evaluation else None


def _of_gold(evaluation: Evaluation, task: Task, items: Sequence[Item]) -> Floats:
    """Return the ``(n,)`` log-probabilities of the items' gold."""
    assert evaluation.label_logprobs is not None
    return evaluation.label_logprobs[np.arange(len(items)), task.gold_indices(items)]


def _standing(evaluation: Evaluation, task: Task, items: Sequence[Item]) -> tuple[float, float]:
    """Return the metric and minus the log-loss: the greater is better."""
    loss = log_loss(np.exp(_of_gold(evaluation, task, items)), task.row_weights(items))
    return evaluation.score, -float(loss)
