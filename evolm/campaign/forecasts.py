"""Forecasts by a two-way model of a search's answers: what finalists will score on new items, and the headroom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy

from evolm.campaign.budget import individuals
from evolm.campaign.item_scores import ItemScores, read_item_scores
from evolm.campaign.search import Search
from evolm.config import BudgetSection
from evolm.headroom import FIRST, headroom
from evolm.individual import Individual
from evolm.scorers.base import ItemTerms
from evolm.storage import read_entries
from evolm.two_way import TwoWayFit, fit_two_way

MOST = 200  # individuals in a model
CONFIDENCE = 0.8
HEADROOM = "headroom"  # type of the journal's entry
DIGITS = 9  # means that are equal on paper differ in their last bits; rounded, they tie as they should


@dataclass(frozen=True)
class Forecast:
    """Expected scores of finalists on new items.

    Attributes:
        fit: the model; the finalists are its last individuals.
        finalists: how many.
    """

    fit: TwoWayFit
    finalists: int

    def mean(self, place: int) -> float:
        """Return the posterior mean of a finalist."""
        return round(float(self.fit.means[place - self.finalists]), DIGITS)

    def error(self, place: int) -> float:
        """Return the posterior standard deviation of a finalist's expected score."""
        return round(float(self.fit.errors[place - self.finalists]), DIGITS)

    def on_test(self, place: int, items: int) -> dict[str, Any]:
        """Return a finalist's expected mean over so many new items, with its interval, as JSON values."""
        mean, individual = self.mean(place), len(self.fit.means) + place - self.finalists
        z = float(scipy.stats.norm.ppf(0.5 + CONFIDENCE / 2))
        half = z * self.fit.forecast_error(individual, items)
        low, high = round(mean - half, DIGITS), round(mean + half, DIGITS)
        return {"score": mean, "interval": [low, high], "confidence": CONFIDENCE}


def forecast_of(
    search: Search, finalists: Sequence[Individual], validation: Sequence[ItemTerms | None]
) -> Forecast | None:
    """Return the forecast for a search's finalists; None if its objective is no mean over items.

    Args:
        search: its journal holds the scores on dev of everything that it tried.
        finalists: their places in the forecast are those in this order.
        validation: of each, its item terms on all validation rows; None for one without.
    """
    if not search.evaluator.decomposable:
        return None
    items = max((len(terms.values) for terms in validation if terms), default=0)
    fresh = np.full((len(finalists), items), np.nan)
    for place, terms in enumerate(validation):
        if terms:
            fresh[place] = terms.values
    return forecast(read_item_scores(search.journal.path, search.name), finalists, fresh)


def forecast(past: ItemScores, finalists: Sequence[Individual], fresh: np.ndarray) -> Forecast | None:
    """Fit the model to all answers; None if a finalist has no item scores.

    Of a long search, the finalists and evenly spaced others are taken: a choice by score would bias the model.

    Args:
        past: scores of all individuals of the search on dev.
        finalists: their places in a forecast are those in this order.
        fresh: ``(finalists, n)`` their scores on validation, NaN for an item without one; ``n`` may be 0.
    """
    places = {digest: place for place, digest in enumerate(past.digests)}
    if any(finalist.digest not in places for finalist in finalists):
        return None
    chosen = [places[finalist.digest] for finalist in finalists]
    others = np.setdiff1d(np.arange(len(places)), chosen)
    room = max(MOST - len(chosen), 0)
    if len(others) > room:
        others = others[np.linspace(0, len(others) - 1, room).round().astype(int)]
    unseen = np.full((len(others), fresh.shape[1]), np.nan)
    scores = np.hstack([past.values[[*others, *chosen]], np.vstack([unseen, fresh])])
    return Forecast(fit_two_way(scores), len(finalists)) if np.sum(~np.isnan(scores)) > 1 else None


def headroom_entry(search: Search, budget: BudgetSection) -> dict[str, Any] | None:
    """Return the journal's entry about a search's headroom in the generation that completes the first individuals.

    None before and after it, without a budget of evaluations or items, and if the objective is no mean over items.
    """
    scored = search.ledger.evaluations + search.ledger.free
    if not search.evaluator.decomposable or not scored - len(search.asked) < FIRST <= scored:
        return None
    known = read_item_scores(search.journal.path, search.name)
    founders = [place for place, founder in enumerate(known.founders) if founder]
    found = headroom(known.values, founders, individuals(budget, len(search.items)))
    return {"type": HEADROOM, "search": search.name, **found.to_record()} if found else None


def known_headroom(journal: Path) -> dict[str, Any] | None:
    """Return the main search's headroom from a run's journal; None if it has none."""
    for entry in read_entries(journal):
        if entry.get("type") == HEADROOM:
            return {name: value for name, value in entry.items() if name not in ("type", "search")}
    return None
