"""Which column is guessed to be what, and what is asked where two are as good."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from evolm.errors import ConfigError, DataError, EvolmError
from evolm.scaffold import Hints
from evolm.scaffold.column_roles import Roles, guess_roles
from evolm.scaffold.columns import columns_of

N = 60
WORDS = ["river", "stone", "cloud", "window", "tiger", "paper", "simple", "morning", "garden", "market"]


def sentence(n: int, length: int = 6) -> str:
    return f"{' '.join(WORDS[(n * 7 + k * k) % len(WORDS)] for k in range(length))} {n}"


def table(**columns: Any) -> pd.DataFrame:
    """A table of ``N`` rows: a column is a list to repeat, or a function of the row's number."""
    return pd.DataFrame(
        {name: [c(n) if callable(c) else c[n % len(c)] for n in range(N)] for name, c in columns.items()}
    )


def roles(frame: pd.DataFrame, **hints: Any) -> Roles:
    return guess_roles(columns_of(frame), Hints(**hints))


def parts(found: Roles) -> tuple[Any, ...]:
    return found.kind, found.label and found.label.name, found.options, tuple(column.name for column in found.texts)


OPTIONS = {"text": ["bank", "shop", "tree"], "label": ["A", "B", "C"]}
FILES: dict[str, tuple[dict[str, Any], tuple[Any, ...]]] = {
    "text messages": (
        {"id": str, "text": sentence, "spam": ["0", "1"]},
        ("classification", "spam", (), ("text",)),
    ),
    "columns without a name": (
        {"v1": ["ham", "spam", "ham"], "v2": sentence},
        ("classification", "v1", (), ("v2",)),
    ),
    "a label in numbers and words": (
        {"text": sentence, "label": ["0", "1"], "label_text": ["negative", "positive"]},
        ("classification", "label_text", (), ("text",)),
    ),
    "two texts": (
        {
            "pairID": lambda n: f"{n}n",
            "premise": sentence,
            "hypothesis": lambda n: sentence(n, 3),
            "gold_label": ["entailment", "neutral", "contradiction"],
            "genre": ["fiction", "travel"],
        },
        ("classification", "gold_label", (), ("premise", "hypothesis")),
    ),
    "stars": (
        {
            "title": lambda n: sentence(n, 2),
            "body": sentence,
            "stars": list("12345"),
            "date": ["2024-01-02", "2024-01-03"],
        },
        ("classification", "stars", (), ("title", "body")),
    ),
    "a list of options": (
        {"question": sentence, "options": [["bank", "shop", "tree"]], "answer": ["0", "1", "2"]},
        ("choice", "answer", ("options",), ("question",)),
    ),
    "a table of options": (
        {"id": lambda n: f"Q{n}", "question": sentence, "choices": [OPTIONS], "answerKey": ["A", "B", "C"]},
        ("choice", "answerKey", ("choices",), ("question",)),
    ),
    "lettered lines": (
        {"question": sentence, "options": ["A. bank\nB. shop"], "correct": ["A", "B"]},
        ("choice", "correct", ("options",), ("question",)),
    ),
    "lettered columns": (
        {"question": sentence, "subject": ["law", "art"], "A": sentence, "B": sentence, "answer": ["A", "B"]},
        ("choice", "answer", ("A", "B"), ("question",)),
    ),
    "numbered columns": (
        {
            "premise": sentence,
            "choice1": sentence,
            "choice2": sentence,
            "question": ["cause", "cause", "effect"],
            "label": ["0", "1"],
        },
        ("choice", "label", ("choice1", "choice2"), ("premise", "question")),
    ),
    "numbered texts are no options": (
        {"sentence1": sentence, "sentence2": sentence, "label": ["0", "1"]},
        ("classification", "label", (), ("sentence1", "sentence2")),
    ),
    "a document and its summary": (
        {"document": lambda n: sentence(n, 30), "summary": sentence},
        ("generation", "summary", (), ("document",)),
    ),
    "a question and its answer": (
        {"question": sentence, "answer": lambda n: str(n * n)},
        ("generation", "answer", (), ("question",)),
    ),
    "an answer and its type": (
        {"question": sentence, "answer": sentence, "answer_type": ["number", "name"]},
        ("generation", "answer", (), ("question",)),
    ),
}


@pytest.mark.parametrize(("columns", "expected"), FILES.values(), ids=FILES.keys())
def test_common_files_are_understood(columns: dict[str, Any], expected: tuple[Any, ...]) -> None:
    assert parts(roles(table(**columns))) == expected


def test_every_guess_and_every_column_left_out_is_said() -> None:
    said = "\n".join(roles(table(**FILES["two texts"][0])).said)
    assert said == (
        "label: 'gold_label', 3 different values (by its name)\n"
        "kind: classification: The answer is one of a fixed set of labels.\n"
        "text: 'premise', 'hypothesis'\n"
        "left out: 'pairID' (an identifier), 'genre' (few different values)"
    )


def test_wishes_win() -> None:
    frame = table(text=sentence, title=sentence, label=["a", "b"], mood=["x", "y", "z"])
    assert parts(roles(frame, label="mood")) == ("classification", "mood", (), ("text", "title"))
    assert parts(roles(frame, text=("title",))) == ("classification", "label", (), ("title",))
    assert parts(roles(frame, labels=("x", "y"))) == ("classification", None, (), ("text", "title"))
    assert parts(roles(frame, label="title", kind="generation")) == ("generation", "title", (), ("text",))
    assert parts(roles(frame, kind="generation", unlabelled=True)) == ("generation", None, (), ("text", "title"))
    pair = table(premise1=sentence, premise2=sentence, text=sentence, label=["1", "2"])
    assert parts(roles(pair, kind="choice")) == ("choice", "label", ("premise1", "premise2"), ("text",))
    assert parts(roles(pair, options=("premise1", "text"), text=("premise2",))) == (
        "choice",
        "label",
        ("premise1", "text"),
        ("premise2",),
    )


def test_what_the_label_says_too_is_kept_from_the_model() -> None:
    found = roles(table(text=sentence, label=["yes", "no"], title=["positive", "negative"]), label="label")
    assert [column.name for column in found.texts] == ["text"]
    assert "'title' (same as the label)" in found.said[-1]


AMBIGUOUS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "two labels": (
        {"text": sentence, "urgent": ["yes", "no"], "lang": ["en", "de", "fr"]},
        {},
        r"label: expected one column, found 'urgent' \(2 values\), 'lang' \(3 values\); choose with --label COLUMN",
    ),
    "a class and an answer": (
        {"instruction": sentence, "response": sentence, "category": ["qa", "chat"]},
        {},
        r"found 'response' \(60 values\), 'category' \(2 values\); choose with --label",
    ),
    "no label": ({"en": sentence, "de": sentence}, {}, r"found none among 'en', 'de'; name it with --label"),
    "no label, but a wish for classes": (
        {"message": sentence},
        {"kind": "classification"},
        r"label: expected .*--labels a,b \(the words of a classification\)",
    ),
    "no text": ({"id": str, "label": ["a", "b"]}, {}, r"text: expected .*--text COLUMN.*'id' \(an identifier\)"),
    "many texts": (
        {"label": ["a", "b"], **dict.fromkeys(("one", "two", "three", "four", "five"), sentence)},
        {},
        r"text: expected 1 to 4 columns of text, found 'one', .*--text",
    ),
    "two lists of options": (
        {"text": sentence, "options": [["a", "b"]], "answers": [["c", "d"]], "label": ["0", "1"]},
        {},
        r"options: expected one place, found 'options' and 'answers'; choose with --options",
    ),
    "no options": (
        {"text": sentence, "label": ["a", "b"]},
        {"kind": "choice"},
        r"options: expected .*--options COLUMN",
    ),
}


@pytest.mark.parametrize(("columns", "hints", "message"), AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_a_guess_that_fails_names_the_option_that_says_it(
    columns: dict[str, Any], hints: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        roles(table(**columns), **hints)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("hints", "message"),
    [
        ({"kind": "classify"}, r"--kind: expected .*'classification'.*; did you mean 'classification'"),
        ({"label": "lable"}, r"--label: .* found 'lable'; did you mean 'label'"),
        ({"text": ("texts",)}, r"--text: .* did you mean 'text'"),
        ({"options": ("A", "B")}, r"--options: expected a column among"),
        ({"text": ("tags",)}, r"--text: expected a column of texts, found 'tags' \(lists or tables\)"),
        ({"label": "text", "text": ("text",)}, r"--label: expected a column of its own"),
        ({"label": "label", "labels": ("a", "b")}, r"--label: expected neither --labels nor --no-label"),
        ({"label": "label", "unlabelled": True}, r"--label: expected neither --labels nor --no-label"),
        ({"labels": ("a", "b"), "kind": "choice"}, r"--labels: expected a classification"),
        ({"options": ("tags",), "kind": "generation"}, r"--options: expected a choice task, found --kind generation"),
        ({"unlabelled": True}, r"--no-label: expected --kind choice or generation, or --labels a,b"),
    ],
)
def test_wishes_that_cannot_be_are_refused(hints: dict[str, Any], message: str) -> None:
    frame = table(text=sentence, label=["a", "b"], tags=[["x", "y"]])
    with pytest.raises((ConfigError, DataError), match=message) as caught:
        roles(frame, **hints)
    assert isinstance(caught.value, EvolmError)
