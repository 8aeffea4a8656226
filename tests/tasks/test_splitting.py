"""Splits: sizes, proportions, and what they do and don't depend on."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolm.config import SplitSection
from evolm.errors import ConfigError, DataError
from evolm.tasks import Item
from evolm.tasks.splitting import SPLITS, apportion, sizes_with_room, split_items, split_sizes

LABELS = ("a", "b", "c")


def items_of(*supports: int) -> list[Item]:
    return [
        Item.of("classification", {"text": f"{label} {number}"}, label)
        for label, support in zip(LABELS, supports, strict=False)
        for number in range(support)
    ]


@st.composite
def feasible(draw) -> tuple[list[int], SplitSection]:
    """Supports of two or three labels, and counts that they allow."""
    supports = draw(st.lists(st.integers(4, 60), min_size=2, max_size=3))
    left = sum(supports)
    sizes = {}
    for later, name in ((2, "train"), (1, "dev"), (0, "test")):
        least = max(2, len(supports))
        sizes[name] = draw(st.integers(least, left - later * least))
        left -= sizes[name]
    return supports, SplitSection(**sizes, seed=draw(st.integers(-5, 5)))


@settings(max_examples=60, deadline=None)
@given(feasible(), st.randoms(use_true_random=False))
def test_splits_are_disjoint_exact_stratified_and_blind_to_row_order(case, shuffler: random.Random) -> None:
    supports, section = case
    items = items_of(*supports)
    labels = LABELS[: len(supports)]
    splits = split_items(items, labels, section, gold=True)

    assert [len(splits[name]) for name in ("train", "dev", "test")] == [
        section.train,
        section.dev,
        section.test,
    ]
    chosen = [item for name in SPLITS for item in splits[name]]
    assert len(chosen) == len(set(chosen)) and set(chosen) <= set(items)
    for name in ("train", "dev", "test"):
        assert {item.gold for item in splits[name]} == set(labels)

    shuffled = items.copy()
    shuffler.shuffle(shuffled)
    assert split_items(shuffled, labels, section, gold=True) == splits


@pytest.mark.parametrize("supports", [(700, 300), (60, 25, 15), (997, 13)])
def test_shares_of_labels_follow_the_data(supports: tuple[int, ...]) -> None:
    splits = split_items(items_of(*supports), LABELS[: len(supports)], SplitSection(), gold=True)
    for name in ("train", "dev", "test"):
        for label, support in zip(LABELS, supports, strict=False):
            share = sum(item.gold == label for item in splits[name])
            assert abs(share - support * len(splits[name]) / sum(supports)) < 1.5


@pytest.mark.parametrize(("train", "dev", "test"), [(10, 10, 100), (10, 10, 183), (183, 10, 10)])
def test_a_rare_label_reaches_every_split(train: int, dev: int, test: int) -> None:
    splits = split_items(items_of(200, 3), LABELS[:2], SplitSection(train=train, dev=dev, test=test), gold=True)
    assert [sum(item.gold == "b" for item in splits[name]) for name in ("train", "dev", "test")] == [1, 1, 1]


def test_another_seed_gives_other_splits() -> None:
    items = items_of(50, 50)
    first, second = (split_items(items, LABELS[:2], SplitSection(seed=seed), gold=True) for seed in (0, 1))
    assert set(first["test"]) != set(second["test"])


def test_growing_train_leaves_test_and_dev_as_they_are() -> None:
    items = items_of(60, 40)
    small, large = (
        split_items(items, LABELS[:2], SplitSection(train=train, dev=20, test=30), gold=True) for train in (10, 40)
    )
    assert small["test"] == large["test"] and small["dev"] == large["dev"]
    assert set(small["train"]) < set(large["train"])


def test_a_prefix_of_a_split_is_a_sample_of_it() -> None:
    dev = split_items(items_of(500, 500), LABELS[:2], SplitSection(train=100, dev=800, test=100), gold=True)["dev"]
    first = sum(item.gold == "a" for item in dev[:200])
    assert 70 <= first <= 130  # 100 expected, 4 standard deviations of a random sample are 28
    assert first != 200 and [item.gold for item in dev] != sorted(item.gold or "" for item in dev)


def test_items_without_gold_are_split_without_strata() -> None:
    items = [Item.of("classification", {"text": str(number)}, None) for number in range(10)]
    splits = split_items(items, (), SplitSection(train=0, dev=4, test=6), gold=False)
    assert [len(splits[name]) for name in SPLITS] == [0, 4, 0, 6]


@pytest.mark.parametrize(
    ("section", "n", "gold", "expected"),
    [
        ({}, 10, True, {"train": 3, "dev": 3, "test": 4, "validation": 0}),
        ({"train": 0, "dev": 1, "test": 0}, 7, True, {"train": 0, "dev": 7, "test": 0, "validation": 0}),
        ({"train": 1, "dev": 4, "test": 2}, 7, True, {"train": 1, "dev": 4, "test": 2, "validation": 0}),
        (
            {"train": 0.57, "dev": 0.43, "test": 0},
            100,
            True,
            {"train": 57, "dev": 43, "test": 0, "validation": 0},
        ),
        (
            {"train": 10, "dev": 50, "test": 10},
            89,
            True,
            {"train": 10, "dev": 50, "test": 10, "validation": 0},
        ),
        (
            {"train": 10, "dev": 50, "test": 10},
            90,
            True,
            {"train": 10, "dev": 50, "test": 10, "validation": 20},
        ),
        (
            {"train": 10, "dev": 50, "test": 10},
            900,
            True,
            {"train": 10, "dev": 50, "test": 10, "validation": 50},
        ),
        (
            {"train": 10, "dev": 50, "test": 10},
            900,
            False,
            {"train": 10, "dev": 50, "test": 10, "validation": 0},
        ),
        (
            {"train": 0.25, "dev": 0.25, "test": 0.25, "validation": 0.25},
            8,
            True,
            {"train": 2, "dev": 2, "test": 2, "validation": 2},
        ),
        (
            {"train": 2, "dev": 3, "test": 2, "validation": 1},
            100,
            True,
            {"train": 2, "dev": 3, "test": 2, "validation": 1},
        ),
    ],
)
def test_sizes_are_fractions_or_counts(section: dict, n: int, gold: bool, expected: dict[str, int]) -> None:
    assert split_sizes(SplitSection(**section), n, gold) == expected


@pytest.mark.parametrize(
    ("section", "supports", "error", "named"),
    [
        ({"train": 0.5, "dev": 0.5, "test": 0.5}, (9, 9), ConfigError, "sum to at most 1, found 1.5"),
        ({"train": 0.3, "dev": 100, "test": 100}, (9, 9), ConfigError, "task.split.train: expected a count"),
        ({"train": 0.3, "validation": 50}, (9, 9), ConfigError, "task.split.validation: expected a fraction"),
        ({"train": 5, "dev": 5, "test": 5, "validation": -1}, (9, 9), ConfigError, "task.split.validation"),
        (
            {"train": 10, "dev": 10, "test": 10},
            (9, 9),
            DataError,
            "expected 30 usable rows for the splits, found 18",
        ),
        (
            {"train": 0.01, "dev": 0.5, "test": 0.4},
            (9, 9),
            DataError,
            "task.split: expected rows for train, dev, test, found 18 usable rows in all",
        ),
        (
            {},
            (20, 1),
            DataError,
            "label 'b': expected at least 3 usable rows to split into test, dev, train, found 1",
        ),
        ({"train": 0, "dev": 1, "test": 0}, (20, 1), DataError, "label 'b': expected at least 2"),
        (
            {"train": 1, "dev": 5, "test": 5},
            (9, 9),
            DataError,
            "task.split.train: expected at least one row for each of 2 labels, found 1 row in all; "
            "task.split = { train = 2, dev = 4, test = 5 } has room for them",
        ),
        (
            {"train": 1, "dev": 5, "test": 5, "validation": 1},
            (9, 9),
            DataError,
            "task.split = { train = 2, dev = 4, validation = 2, test = 4 } has room for them",
        ),
        ({}, (1, 1), DataError, "found 2 usable rows in all; add rows, or search without a test: task.split = {"),
    ],
)
def test_impossible_splits_are_refused(section: dict, supports: tuple, error: type[Exception], named: str) -> None:
    with pytest.raises(error) as caught:
        split_items(items_of(*supports), LABELS[:2], SplitSection(**section), gold=True)
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("supports", "advice"),
    [
        ((20, 19, 1), "leave such rows out with task.exclude, or merge labels in task.labels"),
        ((20, 19, 0), "remove it from task.labels"),
        ((20, 1, 1), "(2 labels of 3 have too few); add rows, or merge labels in task.labels"),
    ],
)
def test_a_label_with_too_few_rows_is_refused_with_what_to_change(supports: tuple[int, ...], advice: str) -> None:
    with pytest.raises(DataError) as caught:
        split_items(items_of(*supports), LABELS, SplitSection(), gold=True)
    assert str(caught.value).endswith(advice)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=3, max_size=3).filter(any), st.integers(1, 100))
def test_sizes_with_room_are_near_those_asked(asked: list[int], least: int) -> None:
    sizes = dict(zip(("train", "dev", "test"), asked, strict=True))
    roomy = sizes_with_room(sizes, least)
    assert all(roomy[name] >= least if size else roomy[name] == 0 for name, size in sizes.items())
    assert sum(roomy.values()) == max(sum(asked), least * sum(map(bool, asked)))
    assert min(size for size in asked if size) < least or roomy == sizes


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.data())
def test_apportioned_shares_keep_their_sum_and_bounds(available: list[int], data) -> None:
    rows = np.array(available)
    size = data.draw(st.integers(len(available), int(rows.sum())))
    shares = apportion(size, rows, 1, rows)
    assert shares.sum() == size and (shares >= 1).all() and (shares <= rows).all()
    quotas = size * rows / rows.sum()
    if (quotas >= 1).all():
        assert (np.abs(shares - quotas) < 1).all()


def test_balanced_splits_show_labels_alike_but_the_test_split_keeps_proportions() -> None:
    section = SplitSection(train=40, dev=20, validation=10, test=100, balanced=True)
    splits = split_items(items_of(900, 100), LABELS[:2], section, gold=True)
    rare = {name: sum(item.gold == "b" for item in splits[name]) for name in SPLITS}
    assert rare == {"train": 20, "dev": 10, "validation": 5, "test": 10}


def test_a_balanced_split_takes_others_where_a_label_runs_out() -> None:
    splits = split_items(
        items_of(100, 8), LABELS[:2], SplitSection(train=20, dev=10, test=10, balanced=True), gold=True
    )
    assert len(splits["train"]) == 20 and len(splits["dev"]) == 10
    assert sum(item.gold == "b" for split in splits.values() for item in split) <= 8
