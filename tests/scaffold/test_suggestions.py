"""Guesses that are numbers or words, and their reasons."""

from __future__ import annotations

from typing import Any

import pytest

from evolm.scaffold import Guess, sizes
from evolm.scaffold.column_roles import Roles
from evolm.scaffold.columns import Column
from evolm.scaffold.hints import Hints
from evolm.scaffold.suggestions import about_labels, about_texts, field_names, label_words


def column(name: str, *cells: Any) -> Column:
    return Column(name, cells)


@pytest.mark.parametrize(
    ("n", "support", "counts"),
    [
        (40, [20, 20], {}),
        (149, [], {}),
        (300, [150, 150], {"train": 60, "dev": 75, "test": 120}),
        (5000, [2500, 2500], {"train": 200, "dev": 100, "test": 500}),
        (5000, [64] * 77, {"train": 200, "dev": 154, "test": 500}),
        (50_000, [100] * 500, {"train": 1000, "dev": 1000, "test": 1000}),
    ],
)
def test_splits_grow_with_the_rows_up_to_what_is_worth_its_time(
    n: int, support: list[int], counts: dict[str, int]
) -> None:
    assert sizes.split_counts(n, support) == counts
    assert sum(counts.values()) < n


@pytest.mark.parametrize(("n", "train"), [(40, None), (300, 60), (1000, 400), (5000, 1000)])
def test_texts_are_taught_from_the_rows_that_are_left(n: int, train: int | None) -> None:
    assert sizes.split_counts(n, steps_only=True).get("train") == train


@pytest.mark.parametrize(
    ("support", "counts"),
    [
        ([3] * 77, {"train": 77, "dev": 77, "test": 77}),
        ([4] * 77, {"train": 77, "dev": 77, "test": 107}),
        ([3] * 10, {"train": 10, "dev": 10, "test": 10}),
        ([12] * 2, {}),
        ([3, 3], {}),
        ([2] * 5, {"train": 0, "dev": 5, "test": 5}),
    ],
)
def test_every_split_has_a_row_of_every_label(support: list[int], counts: dict[str, int]) -> None:
    assert sizes.split_counts(sum(support), support) == counts


@pytest.mark.parametrize(
    ("support", "rare"),
    [
        ({"a": 9, "b": 8}, []),
        ({"a": 9, "b": 8, "odd": 1}, ["odd"]),
        ({"a": 9, "b": 8, **{f"odd {n}": 1 for n in range(15)}}, [f"odd {n}" for n in range(15)]),
        ({"a": 2, "b": 2, "c": 2, "odd": 1}, ["odd"]),
    ],
)
def test_labels_with_too_few_rows_are_left_out_if_most_rows_stay(support: dict[str, int], rare: list[str]) -> None:
    assert sizes.rare_labels(support) == rare


def test_a_label_with_less_than_half_its_even_share_is_skewed() -> None:
    assert sizes.skewed([87, 13])
    assert sizes.skewed([40, 40, 10])
    assert not sizes.skewed([60, 40])
    assert not sizes.skewed([33, 33, 34])


@pytest.mark.parametrize(
    ("lengths", "limit"),
    [
        ([100] * 99 + [140], 0),
        ([100] * 999 + [5000], 100),
        ([*range(300), 28_000], 300),
        ([1234] * 999 + [9000], 1300),
        ([7] * 999 + [40], 10),
    ],
)
def test_only_outliers_are_cut_off_at_a_round_number(lengths: list[int], limit: int) -> None:
    assert sizes.length_limit(lengths) == limit


@pytest.mark.parametrize(
    ("longest", "wanted", "fitting"),
    [
        (60, 4, (4, 600)),
        (600, 4, (2, 600)),
        (900, 4, (2, 800)),
        (3000, 4, (0, 600)),
        (1400, 1, (1, 600)),
        (30, 0, (0, 600)),
    ],
)
def test_demonstrations_are_as_many_as_fit(longest: int, wanted: int, fitting: tuple[int, int]) -> None:
    assert sizes.demonstrations_that_fit(longest, wanted, 600) == fitting


def test_answers_may_be_as_long_as_nearly_all_targets() -> None:
    assert sizes.tokens_of([3] * 50) == 16
    assert sizes.tokens_of([60] * 50) == 32
    assert sizes.tokens_of([60] * 99 + [9000]) == 32


@pytest.mark.parametrize(
    ("name", "labels", "words"),
    [
        ("spam", ["0", "1"], {"0": "not spam", "1": "spam"}),
        ("is_toxic", ["False", "True"], {"False": "not toxic", "True": "toxic"}),
        ("needsReply", ["no", "yes"], {"no": "not needs reply", "yes": "needs reply"}),
        ("label", ["0", "1"], {"0": "0", "1": "1"}),
        ("stars", ["1", "2", "3"], {"1": "1", "2": "2", "3": "3"}),
        ("label", ["no", "yes"], None),
        ("sentiment", ["negative", "positive"], None),
    ],
)
def test_labels_that_are_no_words_get_some(name: str, labels: list[str], words: dict[str, str] | None) -> None:
    assert [guess.value for guess in label_words(name, labels)] == ([] if words is None else [words])


def test_labels_that_are_too_rare_to_split_are_left_out() -> None:
    label = column("label", *["a", "b"] * 10, "typo (?)")
    roles = Roles("classification", label, (), (), ())
    assert about_labels(roles, Hints(), ["typo (?)"]) == [
        Guess("task.exclude", r"^(?:typo\ \(\?\))$", "1 label with too few rows to be in every split")
    ]


def test_rows_without_a_target_are_left_out() -> None:
    roles = Roles("generation", column("target_summary", "one", None, "two", " "), (), (), ())
    assert about_labels(roles, Hints()) == [Guess("task.exclude", "^$", "2 rows without summary")]


def test_the_longest_text_of_a_row_counts() -> None:
    short, long = column("title", *["x" * 10] * 1000), column("body", *["y" * 50] * 999, "y" * 4000)
    (guess,) = about_texts(Roles("classification", None, (), (short, long), ()))
    assert (guess.key, guess.value) == ("task.max_chars", 50)
    assert guess.why == "leaves out 1 row of 1000, the longest with 4000 characters"


@pytest.mark.parametrize(
    ("columns", "fields"),
    [
        (["Text"], ["text"]),
        (["v2"], ["text"]),
        (["Unnamed: 1"], ["text"]),
        (["review body"], ["review_body"]),
        (["v1", "v2", "text"], ["text", "text_2", "text_3"]),
        (
            ["label", "options", "true", "class", "9th", "Größe"],
            ["text", "text_2", "text_3", "text_4", "text_5", "größe"],
        ),
    ],
)
def test_fields_have_names_that_a_template_can_use(columns: list[str], fields: list[str]) -> None:
    assert list(field_names([column(name) for name in columns])) == fields
