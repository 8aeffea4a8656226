"""Committees: greedy ensemble selection among a search's best individuals.

Caruana et al. 2004, "Ensemble Selection from Libraries of Models", https://doi.org/10.1145/1015330.1015432,
sections 2 and 2.1 (selection with replacement), by the log-loss on dev and validation rows.

The rows that choose the members do not confirm them: validation rows are cut into folds, and the answers to a fold
are those of the committee that is selected on dev and the other folds (cross-fitting). By these answers the committee
must beat the winner so far, which is measured on rows that chose it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from evolm.campaign.build import Components
from evolm.campaign.contests import (
    Contention,
    Floats,
    Standing,
    answers,
    contestable,
    gold_probabilities,
    log_loss,
)
from evolm.campaign.search import Search
from evolm.genomes import Committee, mixture
from evolm.individual import Individual
from evolm.scorers.likelihood import evaluate_labels
from evolm.tasks import Task

FOLDS: Final = 5  # of the validation rows


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


# -- the contest -----------------------------------------------------------------------------------------------


def contend(
    search: Search, parts: Components, single: Individual, alone: Standing, rival: Standing
) -> Contention | None:
    """Select a committee and compare it with the winner so far on validation rows.

    Args:
        search: the search whose best individuals are candidates.
        parts: the campaign's objects.
        single: the individual that won the final.
        alone: its standing on validation rows.
        rival: the standing of the winner so far.

    Returns:
        None if the campaign can have no committee (:func:`allowed`) or none of several individuals was selected.
    """
    if not allowed(parts) or single.fitness.violation:
        return None
    task = parts.task
    candidates = [each for each in search.candidates if not each.fitness.violation]
    candidates += [single] if all(single.digest != each.digest for each in candidates) else []
    rows = (*task.dev, *task.validation)
    said = answers([each.genome for each in candidates], parts, rows)
    known = [(each, logprobs) for each, logprobs in zip(candidates, said, strict=True) if logprobs is not None]
    if len(known) < 2:
        return None
    logprobs = np.stack([each for _, each in known])  # (n_candidates, n_rows, n_options)
    counts = select(_of_gold(logprobs, task), task.row_weights(rows), parts.config.finals.committee)
    seats = [(place, count) for place, count in enumerate(counts) if count]
    if len(seats) < 2:
        return None
    standing = Standing.of(cross_fitted(logprobs, task, parts.config.finals.committee), task, task.validation)
    members = [known[place][0] for place, _ in seats]
    record = {
        "members": [
            {
                "id": each.id,
                "digest": each.digest,
                "weight": count,
                "dev": each.score,
                "validation": _validated(logprobs[place], task).score,
            }
            for each, (place, count) in zip(members, seats, strict=True)
        ],
        "dev": evaluate_labels(task, joint(logprobs, counts)[: len(task.dev)], task.dev).score,
        **standing.to_record(),
        "single": alone.to_record(),
        "won": standing > rival,
    }
    committee = Committee(tuple(each.genome for each in members), tuple(count for _, count in seats))
    return Contention(committee, standing, record)


def allowed(parts: Components) -> bool:
    """Return whether the winner of a search may be a committee."""
    return parts.config.finals.committee > 1 and contestable(parts)


def cross_fitted(logprobs: Floats, task: Task, seats: int) -> Floats:
    """Return the answers to validation rows of committees that were selected without them.

    Args:
        logprobs: ``(n_candidates, n_dev + n_validation, n_options)`` log-probabilities (nats).
        task: the task.
        seats: most seats.

    Returns:
        ``(n_validation, n_options)`` log-probabilities (nats).
    """
    rows = (*task.dev, *task.validation)
    of_gold, weights = _of_gold(logprobs, task), task.row_weights(rows)
    fold = np.concatenate([np.full(len(task.dev), -1), np.arange(len(task.validation)) % FOLDS])  # -1: in none
    found = np.empty(logprobs.shape[1:])
    for number in range(min(FOLDS, len(task.validation))):
        out = fold == number
        counts = select(of_gold[:, ~out], weights[~out], seats)
        found[out] = joint(logprobs[:, out], counts)
    return found[len(task.dev) :]


def joint(logprobs: Floats, counts: Sequence[int]) -> Floats:
    """Return the ``(n, n_options)`` answers of a committee from those of all candidates and their seats."""
    chosen = [place for place, count in enumerate(counts) if count]
    return mixture([logprobs[place] for place in chosen], [counts[place] for place in chosen])


def _of_gold(logprobs: Floats, task: Task) -> Floats:
    return np.stack([gold_probabilities(each, task, (*task.dev, *task.validation)) for each in logprobs])


def _validated(logprobs: Floats | None, task: Task) -> Standing:
    """Return the standing on validation rows of answers to dev and validation rows."""
    return Standing.of(None if logprobs is None else logprobs[len(task.dev) :], task, task.validation)
