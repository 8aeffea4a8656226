"""Stratified splits that depend on the content of rows, not on their order.

Rows are ranked by a hash of the split's seed and their own digest, so a split depends neither on the order of the
file nor on the version of a random number generator. Splits are filled one after the other, ``test`` first: a larger
``train`` split leaves ``test`` and ``dev`` as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from evolm.config import SplitSection
from evolm.errors import ConfigError, DataError
from evolm.tasks.items import Item
from evolm.wording import counted

SPLITS = ("train", "dev", "validation", "test")
_FILLED_IN_ORDER = ("test", "dev", "train", "validation")
_FEWEST_LEFT = 20


def split_items(
    items: Sequence[Item], labels: Sequence[str], section: SplitSection, *, gold: bool
) -> dict[str, tuple[Item, ...]]:
    """Split unique items. The items of a split are in random order, so its first items are a sample too.

    Args:
        items: usable items.
        labels: words of the gold labels, the strata; empty if items share none.
        section: ``[task.split]``: fractions of the items if no value is above 1, else counts.
        gold: whether the search sees the items' gold; ``validation = "auto"`` is empty otherwise.

    Returns:
        The items of every name in ``SPLITS``. A label's share of a split is as near as whole rows allow to its share
        of all rows or, if ``balanced``, to an equal share. It is at least one row, except in a
        ``validation = "auto"``, which takes the rows that are left.

    Raises:
        ConfigError: if fractions and counts are mixed, or fractions exceed 1.
        DataError: if there are fewer rows, or fewer of a label, than the splits need.
    """
    sizes = split_sizes(section, len(items), gold)
    firm = [name for name in _FILLED_IN_ORDER if sizes[name] and _is_firm(name, section)]
    strata = _strata(items, labels, section.seed)
    if labels:
        support = {label: len(stratum) for label, stratum in zip(labels, strata, strict=True)}
        _check_support(support, firm)
        _check_room(sizes, firm, len(labels), section)
    splits: dict[str, tuple[Item, ...]] = {}
    for name in _FILLED_IN_ORDER:
        least = 1 if labels and name in firm else 0
        later = len(firm) - firm.index(name) - 1 if labels and name in firm else 0
        available = np.array([len(stratum) for stratum in strata])
        weights = np.ones_like(available) if section.balanced and name != "test" else available
        shares = apportion(sizes[name], weights, least, available - later)
        taken = [item for stratum, share in zip(strata, shares, strict=True) for item in stratum[:share]]
        strata = [stratum[share:] for stratum, share in zip(strata, shares, strict=True)]
        splits[name] = tuple(sorted(taken, key=lambda item: _rank(section.seed, f"order of {name}", item)))
    return {name: splits[name] for name in SPLITS}


def _is_firm(name: str, section: SplitSection) -> bool:
    return name != "validation" or section.validation != "auto"


def _strata(items: Sequence[Item], labels: Sequence[str], seed: int) -> list[list[Item]]:
    """Return the items of each label, ordered by rank; a single list without labels."""
    ranked = sorted(items, key=lambda item: _rank(seed, "split", item))
    return [[item for item in ranked if item.gold == label] for label in labels] or [ranked]


def _rank(seed: int, purpose: str, item: Item) -> bytes:
    return hashlib.sha256(f"{seed}/{purpose}/{item.digest}".encode()).digest()


def split_sizes(section: SplitSection, n: int, gold: bool) -> dict[str, int]:
    """Return the number of rows of each split, of ``n`` usable ones; errors as for :func:`split_items`."""
    asked = {"train": section.train, "dev": section.dev, "test": section.test}
    if section.validation != "auto":
        asked["validation"] = section.validation
    fractional = all(asked[name] <= 1 for name in ("train", "dev", "test"))
    sizes = _from_fractions(asked, n) if fractional else _from_counts(asked, n)
    missing = [name for name, value in asked.items() if value and not sizes[name]]
    if missing:
        fitting = ", ".join(f"{name} = {n if name == 'dev' else 0}" for name in asked)
        raise DataError(
            f"task.split: expected rows for {', '.join(name for name in asked if asked[name])}, "
            f"found {counted(n, 'usable row')} in all; add rows, or search without a test: "
            f"task.split = {{ {fitting} }}"
        )
    left = n - sum(sizes.values())
    if section.validation == "auto":
        sizes["validation"] = min(sizes["dev"], left) if gold and left >= _FEWEST_LEFT else 0
    return sizes


def _from_fractions(asked: Mapping[str, float], n: int) -> dict[str, int]:
    for name, value in asked.items():
        if not 0 <= value <= 1:
            raise ConfigError(f"task.split.{name}: expected a fraction like the other splits, found {value:g}")
    total = sum(asked.values())
    if total > 1 + 1e-9:
        raise ConfigError(f"task.split: expected fractions that sum to at most 1, found {total:g}")
    parts = np.array([*asked.values(), max(0.0, 1 - total)])
    sizes = _nearest_whole(n * parts / parts.sum(), n, np.zeros(len(parts), int), np.full(len(parts), n))
    return {name: int(size) for name, size in zip(asked, sizes, strict=False)}


def _from_counts(asked: Mapping[str, float], n: int) -> dict[str, int]:
    for name, value in asked.items():
        if value < 0 or value != int(value):
            raise ConfigError(f"task.split.{name}: expected a count of rows like the other splits, found {value:g}")
    total = int(sum(asked.values()))
    if total > n:
        raise DataError(f"task.split: expected {counted(total, 'usable row')} for the splits, found {n}")
    return {name: int(value) for name, value in asked.items()}


def sizes_with_room(sizes: Mapping[str, int], least: int) -> dict[str, int]:
    """Return sizes near the given ones, in which every split that has rows has at least ``least``.

    Their sum stays the same if that is possible.
    """
    names = [name for name, size in sizes.items() if size]
    quotas = np.array([sizes[name] for name in names], dtype=float)
    total = max(sum(sizes.values()), least * len(names))
    shares = _nearest_whole(quotas, total, np.full(len(names), least), np.full(len(names), total))
    return {**sizes, **{name: int(share) for name, share in zip(names, shares, strict=True)}}


def _check_support(support: Mapping[str, int], firm: Sequence[str]) -> None:
    needed = max(2, len(firm))
    label = min(support, key=lambda label: support[label])
    if support[label] < needed:
        few = [label for label, number in support.items() if number < needed]
        raise DataError(
            f"label {label!r}: expected at least {counted(needed, 'usable row')} "
            f"to split into {', '.join(firm)}, found {support[label]}{_how_to_mend(support, few)}"
        )


def _how_to_mend(support: Mapping[str, int], few: Sequence[str]) -> str:
    """Return what to change if some labels have too few rows."""
    several = f" ({len(few)} labels of {len(support)} have too few)" if len(few) > 1 else ""
    if len(support) - len(few) < 2:
        return f"{several}; add rows, or merge labels in task.labels"
    if not any(support[label] for label in few):
        return f"{several}; remove it from task.labels"
    return f"{several}; leave such rows out with task.exclude, or merge labels in task.labels"


def _check_room(sizes: Mapping[str, int], firm: Sequence[str], n_labels: int, section: SplitSection) -> None:
    for name in firm:
        if sizes[name] < n_labels:
            asked = {split: sizes[split] for split in SPLITS if _is_firm(split, section)}
            room = ", ".join(f"{split} = {size}" for split, size in sizes_with_room(asked, n_labels).items())
            raise DataError(
                f"task.split.{name}: expected at least one row for each of {n_labels} labels, "
                f"found {counted(sizes[name], 'row')} in all; task.split = {{ {room} }} has room for them"
            )


def apportion(size: int, weights: NDArray[np.int_], least: int, most: NDArray[np.int_]) -> NDArray[np.int_]:
    """Share ``size`` rows among strata in proportion to ``weights``, within bounds.

    By largest remainders: every share is its quota rounded down or up, unless a bound prevents it. Ties go to the
    earlier stratum.

    Args:
        size: rows to share, from ``least * n_strata`` to ``most.sum()``.
        weights: ``(n_strata,)`` rows of each stratum, or ones for equal shares.
        least: smallest share of a stratum.
        most: ``(n_strata,)`` largest share of each stratum.
    """
    quotas = size * weights / max(1, weights.sum())
    return _nearest_whole(quotas, size, np.full(len(weights), least), most)


def _nearest_whole(
    quotas: NDArray[np.float64], total: int, low: NDArray[np.int_], high: NDArray[np.int_]
) -> NDArray[np.int_]:
    """Return whole numbers near ``quotas`` that sum to ``total``, each between its bounds."""
    shares = np.clip(np.floor(quotas).astype(int), low, high)
    while shares.sum() < total:
        shares[np.argmax(np.where(shares < high, quotas - shares, -np.inf))] += 1
    while shares.sum() > total:
        shares[np.argmin(np.where(shares > low, quotas - shares, np.inf))] -= 1
    return shares
