"""Headroom: how much a search may still gain, from the item scores of its first individuals.

Individuals are taken for draws from one population, as random search makes them. With the variances of the two-way
model (:mod:`evolm.two_way`), the best of n individuals by their observed means over m rows is expected to be better
than the mean individual by the breeder's equation (Falconer & Mackay 1996, "Introduction to Quantitative Genetics",
chapter 11: response = intensity of selection x accuracy x genetic standard deviation):

    gain(n, m) = e(n) sqrt(r(m)) sd_individuals,   r(m) = var_individuals / (var_individuals + var_noise / m)

``r(m)`` is the reliability of the rows, and ``e(n)`` the expected maximum of n standard normal draws, by Blom 1958
("Statistical Estimates and Transformed Beta-Variables"): the quantile at (n - 3/8) / (n + 1/4). A search that is
better than random search gains more.

Individuals that fail altogether are left out: how far they are below the others says nothing about the best, and a
normal distribution would mirror them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import scipy  # scipy.special and scipy.stats are loaded at their first use

from evolm.two_way import TwoWayFit, fit_two_way, reliability
from evolm.wording import counted, signed

FIRST = 20  # individuals that are looked at
FEWEST = 8  # from which something is said
FAILED = 3.0  # standard deviations below the median at which an individual counts as failed


@dataclass(frozen=True)
class Headroom:
    """What the first individuals say about the rest of a search.

    Attributes:
        individuals: how many were looked at.
        rows: dev rows.
        evaluations: the budget.
        reliability: of those rows, in [0, 1]: the share of the variance of dev scores that is the individuals' own.
        gain: expected gain of the best over the best founder, never below 0.
        error: its standard deviation, from what is known of the individuals' spread and of the founder.
        doubled_rows, doubled_evaluations: what twice the rows, or twice the evaluations, would add to the gain.
    """

    individuals: int
    rows: int
    evaluations: int
    reliability: float
    gain: float
    error: float
    doubled_rows: float
    doubled_evaluations: float

    def to_record(self) -> dict[str, Any]:
        """Return JSON values."""
        return {name: round(value, 6) for name, value in asdict(self).items()}


def headroom(scores: np.ndarray, founders: Sequence[int], evaluations: int) -> Headroom | None:
    """Return the headroom, or None if there are too few individuals or no founder among them.

    Args:
        scores: ``(individuals, rows)`` item scores, the first :data:`FIRST` count; NaN for rows that were not scored.
        founders: places of the founders in it.
        evaluations: the budget, in individuals.
    """
    scores = scores[:FIRST]
    failed = _failed(scores)
    kept = [place for place in range(len(scores)) if not failed[place] or place in founders]
    known = [kept.index(place) for place in founders if place < len(scores)]
    scores = scores[kept]
    if len(scores) < FEWEST or not known or evaluations < 1:
        return None
    fit, rows = fit_two_way(scores), scores.shape[1]
    founder = max(known, key=lambda place: fit.means[place])
    mean, spread = _selected(fit, evaluations, rows)
    ahead = float(fit.means[founder] - fit.means.mean())
    return Headroom(
        individuals=len(scores),
        rows=rows,
        evaluations=evaluations,
        reliability=float(fit.weights @ reliability(fit.spreads**2, fit.var_noise, rows)),
        gain=max(mean - ahead, 0.0),
        error=float(np.hypot(spread, fit.errors[founder])),
        doubled_rows=_selected(fit, evaluations, 2 * rows)[0] - mean,
        doubled_evaluations=_selected(fit, 2 * evaluations, rows)[0] - mean,
    )


def _failed(scores: np.ndarray) -> np.ndarray:
    """Return for each individual whether its mean is far below the others', by the median absolute deviation.

    The deviation is at least the standard error of a mean, so that equal individuals are not told apart by chance.
    """
    if not scores.size:
        return np.zeros(len(scores), bool)
    means = np.nanmean(scores, axis=1)  # (k,)
    chance = float(np.median(np.nanstd(scores, axis=1))) / np.sqrt(scores.shape[1])
    median = np.median(means)
    spread = max(float(scipy.stats.median_abs_deviation(means, scale="normal")), chance)
    return np.asarray(means < median - FAILED * spread)


def expected_maximum(n: int) -> float:
    """Return the expected maximum of n standard normal draws, to 1 % (Blom 1958)."""
    return float(scipy.special.ndtri((n - 0.375) / (n + 0.25)))


def _selected(fit: TwoWayFit, evaluations: int, rows: int) -> tuple[float, float]:
    """Return how much better than the mean individual the selected one is expected to be, and its deviation."""
    accuracy = np.sqrt(reliability(fit.spreads**2, fit.var_noise, rows))  # (k,)
    gains = expected_maximum(evaluations) * accuracy * fit.spreads
    mean = float(fit.weights @ gains)
    return mean, float(np.sqrt(fit.weights @ (gains - mean) ** 2))


def about_headroom(record: Mapping[str, Any]) -> str:
    """Return a headroom's record as sentences."""
    rows, evaluations = signed(record["doubled_rows"]), signed(record["doubled_evaluations"])
    more, less = "evaluations", "dev rows"
    if record["doubled_rows"] > record["doubled_evaluations"]:
        more, less = less, more
    return (
        f"Expected gain over the best founder: {record['gain']:.3f} ± {record['error']:.3f} after "
        f"{counted(record['evaluations'], 'evaluation')}; more {more} would help more than more {less} "
        f"(twice the dev rows {rows}, twice the evaluations {evaluations}). Of the differences between the first "
        f"{record['individuals']} individuals on {counted(record['rows'], 'dev row')}, "
        f"{100 * record['reliability']:.0f} % are their own and the rest is chance."
    )
