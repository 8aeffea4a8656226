"""Guessing numbers: sizes of splits, the longest row, the number of demonstrations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from evolm.config import SplitSection
from evolm.errors import DataError
from evolm.tasks.splitting import sizes_with_room, split_sizes
from evolm.wording import counted

DEV, TRAIN, TEST = 100, 200, 500  # rows beyond which a split costs time and tells little more
TRAIN_FOR_STEPS = 1000  # train rows of texts, which cost nothing until a step of learning draws them
ROWS_IN_ALL_SPLITS, ROWS_IN_TWO_SPLITS = 3, 2  # rows of a label that train, dev and test, or dev and test, show
FEWEST_TO_COUNT = 150  # rows below which fractions of all of them are used
CHARS_PER_TOKEN = 3.0  # of English in small vocabularies, on the safe side
INSTRUCTION_TOKENS = 100
MOST_PROMPT_TOKENS = 1200


def split_counts(n: int, support: Sequence[int] = (), steps_only: bool = False) -> dict[str, int]:
    """Return the rows of train, dev and test for ``n`` usable ones; empty if the default fractions fit better.

    Of the remaining rows, as many as dev has are for validation. Every split has room for one row of each label and,
    if there are enough rows, for two. Without a third row of every label there is no train split.

    Args:
        n: usable rows.
        support: rows of each label, two or more; empty if rows share no labels.
        steps_only: whether no evaluation passes the train rows.
    """
    default = split_sizes(SplitSection(), n, gold=False)
    sizes = {name: default[name] for name in ("train", "dev", "test")}
    if n >= FEWEST_TO_COUNT:
        least = 2 * len(support)
        sizes = {
            "train": min(max(TRAIN, least), n // 5),
            "dev": min(max(DEV, least), n // 4),
            "test": min(max(TEST, least), 2 * n // 5),
        }
        if steps_only:
            left = n - 2 * sizes["dev"] - sizes["test"]
            sizes["train"] = max(sizes["train"], min(TRAIN_FOR_STEPS, left))
    if support and min(support) < ROWS_IN_ALL_SPLITS:
        sizes["train"] = 0
    with_room = sizes_with_room(sizes, len(support))
    return {} if n < FEWEST_TO_COUNT and with_room == sizes else with_room


def skewed(support: Sequence[int]) -> bool:
    """Return whether the rarest label has less than half of the rows that it had if all had as many."""
    return min(support) < sum(support) / len(support) / 2


def rare_labels(support: Mapping[str, int]) -> list[str]:
    """Return the labels to leave out because they have too few rows for train, dev and test, or for dev and test.

    Raises:
        DataError: if fewer than two labels would be left, or fewer than half of the rows.
    """
    for needed in (ROWS_IN_ALL_SPLITS, ROWS_IN_TWO_SPLITS):
        rare = [label for label, number in support.items() if number < needed]
        left = sum(number for number in support.values() if number >= needed)
        if len(support) - len(rare) >= 2 and left >= sum(support.values()) / 2:
            return rare
    raise DataError(
        f"expected at least {ROWS_IN_ALL_SPLITS} rows of each label, found {counted(len(rare), 'label')} of "
        f"{len(support)} with fewer than {needed}"
    )


def length_limit(lengths: Sequence[int]) -> int:
    """Return characters above which rows are outliers, rounded up; 0 if there are none.

    An outlier is half as long again as 99 of 100 rows are at most: a few of them would need a longer context and
    more time than all the others.
    """
    usual = float(np.quantile(lengths, 0.99))
    if max(lengths) <= 1.5 * usual:
        return 0
    step = 10 ** max(1, len(str(int(usual))) - 2)
    return int(-(-usual // step) * step)


def demonstrations_that_fit(longest: int, wanted: int, max_tokens: int) -> tuple[int, int]:
    """Return how many demonstrations a founder may show, and the ``max_tokens`` of a prompt that holds them.

    Args:
        longest: characters of the longest demonstration.
        wanted: most to show.
        max_tokens: the default, raised if fewer than two demonstrations fit.
    """
    each = int(longest / CHARS_PER_TOKEN) + 1
    fitting = min(wanted, (max_tokens - INSTRUCTION_TOKENS) // each)
    if fitting >= 2 or fitting == wanted:
        return fitting, max_tokens
    raised = -(-(2 * each + INSTRUCTION_TOKENS) // 100) * 100
    return (2, raised) if raised <= MOST_PROMPT_TOKENS else (max(0, fitting), max_tokens)


def tokens_of(lengths: Sequence[int]) -> int:
    """Return ``max_new_tokens`` for answers of these numbers of characters: 95 of 100 fit, in steps of 16."""
    needed = float(np.quantile(lengths, 0.95)) / CHARS_PER_TOKEN + 2
    return max(16, int(-(-needed // 16) * 16))
