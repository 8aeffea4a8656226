"""What columns look like from their cells and names."""

from __future__ import annotations

from typing import Any

import pytest

from evolm.scaffold.columns import FEW_VALUES, Column, say_the_same, series

SENTENCES = tuple(f"the {word} number {n} came home" for n, word in enumerate(["cat", "dog", "hen"] * 10))


def column(cells: Any, name: str = "x") -> Column:
    return Column(name, tuple(cells))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("text", ("text",)),
        ("gold_label", ("gold", "label")),
        ("answerKey", ("answer", "key")),
        ("pairID", ("pair", "id")),
        ("Unnamed: 0", ("unnamed", "0")),
        ("option1", ("option", "1")),
        ("A", ("a",)),
        ("Größe", ("größe",)),
    ],
)
def test_a_name_is_read_word_by_word(name: str, words: tuple[str, ...]) -> None:
    assert column((), name).words == words


def test_missing_and_blank_cells_are_no_texts() -> None:
    cells = column(["a ", None, float("nan"), "  ", "b"])
    assert cells.texts == ("a", "b")
    assert cells.stripped == ("a", "", "", "", "b")
    assert column([["a", "b"], ["c", "d"]]).texts == ()


@pytest.mark.parametrize(
    ("cells", "classes"),
    [
        (["ham", "spam"] * 10, True),
        (["ham", "spam", "spam"], False),
        (["1", "2", "3", "4", "5"] * 3, True),
        (SENTENCES, False),
        (["a"] * 10, False),
        (["x" * 61, "y"] * 10, False),
        ([f"{n}" for n in range(60)] * 2, False),
        ([f"intent {n}" for n in range(60)] * 3, True),
        ([], False),
    ],
)
def test_classes_are_few_short_values_that_repeat(cells: list[str], classes: bool) -> None:
    assert column(cells).has_classes == classes


@pytest.mark.parametrize(
    ("name", "cells", "why"),
    [
        ("text", SENTENCES, ""),
        ("text", [None] * 30, "empty"),
        ("text", [*SENTENCES[:20], *[None] * 10], "often empty"),
        ("lang", ["en"] * 30, "always the same"),
        ("review_id", [f"r{n}" for n in range(30)], "an identifier"),
        ("Unnamed: 0", [str(n) for n in range(30)], "an identifier"),
        ("length", [str(n * 1.5) for n in range(30)], "numbers"),
        ("when", [f"2024-01-{n:02d}" for n in range(1, 31)], "dates"),
        ("when", [f"2024-01-{n:02d}T10:00:00" for n in range(1, 31)], "dates"),
        ("source", [f"https://example.org/{n}" for n in range(30)], "links"),
        ("genre", ["fiction", "travel"] * 15, FEW_VALUES),
        ("tokens", [["a", "b"]] * 30, "lists or tables"),
    ],
)
def test_columns_that_a_model_need_not_read_say_why(name: str, cells: Any, why: str) -> None:
    assert column(cells, name).why_no_text == why


@pytest.mark.parametrize(
    ("cell", "options"),
    [
        (["bank", "library"], True),
        ({"text": ["bank", "library"], "label": ["A", "B"]}, True),
        ("A. bank\nB. library", True),
        ("(A) bank\n(B) library", True),
        (["bank"], False),
        ("A. bank", False),
        ("A cat sat.\nB flat.", False),
        ("bank", False),
        ({"start": 3}, False),
        (None, False),
    ],
)
def test_options_are_lists_or_lettered_lines_of_two_or_more(cell: Any, options: bool) -> None:
    assert column([cell] * 30).has_options == options
    assert not column([cell] * 15 + ["bank"] * 15).has_options


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["question", "A", "B", "C", "D", "answer"], {"": ["A", "B", "C", "D"]}),
        (["q", "a", "b", "c"], {"": ["a", "b", "c"]}),
        (["option2", "text", "option1"], {"option": ["option1", "option2"]}),
        (["ending0", "ending1", "ending2", "label"], {"ending": ["ending0", "ending1", "ending2"]}),
        (["opa", "opb", "opc"], {"op": ["opa", "opb", "opc"]}),
        (
            ["answerA", "answerB", "sentence1", "sentence2"],
            {"answer": ["answerA", "answerB"], "sentence": ["sentence1", "sentence2"]},
        ),
        (["option1", "option3"], {}),
        (["v2", "v3"], {}),
        (["text", "label"], {}),
    ],
)
def test_series_count_from_the_first_without_a_gap(names: list[str], found: dict[str, list[str]]) -> None:
    assert series([column((), name) for name in names]) == found


def test_renamings_of_each_other_say_the_same() -> None:
    numbers, words = column(["0", "1", "0", "1"]), column(["no", "yes", "no", "yes"])
    assert say_the_same(numbers, words)
    assert not say_the_same(numbers, column(["no", "yes", "yes", "yes"]))
    assert not say_the_same(numbers, column(["no", "yes", "no"]))
    assert not say_the_same(numbers, column(["no", "yes", "no", "perhaps"]))
