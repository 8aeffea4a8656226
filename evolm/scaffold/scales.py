"""Ranges for a column of stars, ratings or scores: words for its lower and its upper numbers (``task.bins``)."""

from __future__ import annotations

from collections import Counter

import numpy as np

from evolm.scaffold.columns import Column
from evolm.scaffold.sizes import ROWS_IN_ALL_SPLITS
from evolm.tasks.bins import number_of

SHARE = 0.4  # of the scale, or of the rows, at either end
_OF_OPINION = {"star", "stars", "rating", "ratings", "sentiment", "polarity", "review"}


def proposed_bins(column: Column) -> dict[str, list[float]]:
    """Return words with the lowest and highest number of each; empty if one of them would have hardly any rows.

    Few numbers are steps of a scale: of 1 to 5 stars, 1 and 2 are low, 4 and 5 high; of 1 to 10, 1 to 4 and 7 to 10.
    Of many numbers, the lowest and the highest two fifths of the rows are taken, so that outliers matter little.
    """
    numbers = np.array(column.numbers)
    rows = Counter(number_of(text) for text in column.texts)
    if column.has_classes:
        reach = SHARE * (numbers[-1] - numbers[0])
        low, high = numbers[numbers <= numbers[0] + reach], numbers[numbers >= numbers[-1] - reach]
    else:
        all_rows = np.array(sorted(rows.elements()))
        first, last = all_rows[int(SHARE * (len(all_rows) - 1))], all_rows[-1 - int(SHARE * (len(all_rows) - 1))]
        low, high = numbers[numbers <= first], numbers[numbers >= last]
    if low[-1] >= high[0] or min(sum(rows[number] for number in end) for end in (low, high)) < ROWS_IN_ALL_SPLITS:
        return {}
    words = ("low", "high") if _OF_OPINION.isdisjoint(column.words) else ("negative", "positive")
    return {word: [_plain(end[0]), _plain(end[-1])] for word, end in zip(words, (low, high), strict=True)}


def _plain(number: float) -> float:
    """Return a whole number as an integer, which TOML writes without a point."""
    return int(number) if number == int(number) else float(number)
