"""``task.bins``: words for ranges of a numeric label, such as stars or scores."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import TypeAlias

from evolm.errors import ConfigError, DataError
from evolm.tasks.items import Row

# Word -> lowest and highest number that it stands for, both included.
Bins: TypeAlias = Mapping[str, tuple[float, float]]

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def check_bins(bins: Bins) -> None:
    """Check the ranges.

    Raises:
        ConfigError: if there is one bin only, or a range is empty or overlaps another one.
    """
    if len(bins) < 2:
        raise ConfigError(f"task.bins: expected at least two words, found {len(bins)}")
    for word, (low, high) in bins.items():
        if low > high:
            raise ConfigError(f"task.bins.{word}: expected [lowest, highest], found [{low:g}, {high:g}]")
    in_order = sorted(bins.items(), key=lambda item: item[1])
    for (one, (_, end)), (other, (begin, _)) in pairwise(in_order):
        if begin <= end:
            raise ConfigError(
                f"task.bins: expected ranges apart from each other, both ends included, found {begin:g} in "
                f"{one!r} and {other!r}"
            )


def number_of(label: str) -> float:
    """Return a label as a number.

    Raises:
        ValueError: if it is none, or not finite.
    """
    number = float(label) if _NUMBER.fullmatch(label) else math.nan
    if not math.isfinite(number):
        raise ValueError(f"expected a number, found {label!r}")
    return number


def binned(bins: Bins, row: Row) -> str | None:
    """Return the word for a row's label: that of the range which holds it, or the label if it is such a word.

    Returns:
        None if the label lies between the ranges or beyond them.

    Raises:
        DataError: if the label is neither a number nor a word of ``bins``.
    """
    label = row.label or ""
    if label in bins:
        return label
    try:
        number = number_of(label)
    except ValueError as error:
        raise DataError(
            f"{row.source}: {error} as the label of row {row.number}, which task.bins needs; "
            "task.exclude leaves out rows whose label or text it matches"
        ) from None
    return next((word for word, (low, high) in bins.items() if low <= number <= high), None)
