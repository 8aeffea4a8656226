"""The table of test items: columns, kinds of items, the limit, and the one script that filters it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evolm.report import RunRecord, write_report
from evolm.report import items as module
from evolm.report.items import ALL_WRONG, BEST_WRONG, DIFFERENT, LOST, WON, ItemTable, item_table, realised
from tests.support.synthetic_run import HOSTILE, make_answered, revise


def table_of(run: Path, **changes: Any) -> ItemTable:
    table = item_table(RunRecord.read(make_answered(run, **changes)))
    assert table is not None
    return table


def four_items(**changes: Any) -> dict[str, Any]:
    """Return answers to four items of one label, each of a kind of its own."""
    return {
        "items": 4,
        "gold": [1, 1, 1, 1],
        "outcomes": {"best": [[1, 0, 0, 1]], "random_search": [[1, 0, 1, 0]], "majority": [[0, 0, 0, 0]]},
        "finalists": [],
        **changes,
    }


def written(run: Path, content: dict[str, Any]) -> ItemTable:
    make_answered(run, content.pop("items"))
    kept = json.loads((run / "test.json").read_text(encoding="utf-8"))
    (run / "test.json").write_text(json.dumps(kept | content), encoding="utf-8")
    table = item_table(RunRecord.read(run))
    assert table is not None
    return table


def test_the_best_comes_first_then_finalists_then_baselines_by_falling_score(run: Path) -> None:
    table = table_of(run)
    assert [column.name for column in table.columns] == [
        "best of evolution",
        "finalist #3",
        "random search, same budget",
        "founder with random demonstrations",
        "always the commonest label",
    ]
    assert [row.number for row in table.rows] == list(range(1, 41))
    assert table.rows[0].fields == [("text", "Ok lar... Joking wif u oni... (0)")]
    assert table.rows[0].gold == "ham" and table.rows[0].label == 0
    assert table.cut == ""


def test_an_item_is_of_every_kind_that_its_answers_make_it(run: Path) -> None:
    table = written(run, four_items())
    assert [row.kinds for row in table.rows] == [
        "",
        ALL_WRONG + BEST_WRONG,
        DIFFERENT + BEST_WRONG + LOST,
        DIFFERENT + WON,
    ]
    assert [(key, count) for key, _, count in table.kinds] == [
        (ALL_WRONG, 1),
        (DIFFERENT, 2),
        (BEST_WRONG, 2),
        (LOST, 1),
        (WON, 1),
    ]
    assert [answer.right for answer in table.rows[2].answers] == [False, True, False]


def test_an_item_without_an_answer_is_wrong_and_says_so(run: Path) -> None:
    content = four_items()
    content["outcomes"]["best"] = [[-1, 1, 1, 1]]
    answer = written(run, content).rows[0].answers[0]
    assert (answer.text, answer.right) == (module.NO_ANSWER, False)


def test_options_of_the_row_are_shown_in_the_place_of_labels(run: Path) -> None:
    revise(run, run=lambda entry: {"task": {**entry["task"], "labels": [], "kind": "choice", "metric": "accuracy"}})
    options = [["red", "blue"]] * 4
    table = written(run, four_items(metric="accuracy", options=options))
    assert table.labels == []
    assert [answer.text for answer in table.rows[1].answers] == ["red", "red", "red"]
    assert table.rows[1].gold == "blue"


def test_graded_answers_are_told_apart_by_quartiles(run: Path) -> None:
    revise(run, run=lambda entry: {"task": {**entry["task"], "labels": [], "kind": "generation", "metric": "chrf"}})
    content = four_items(
        metric="chrf",
        gold=[0] * 4,
        outcomes={"best": [[0.9, 0.1, 0.5, 0.6]], "random_search": [[0.8, 0.1, 0.5, 0.2]]},
        predictions={"best": ["w", "x", "y", "z"]},
        targets=["W", "X", "Y", "Z"],
    )
    table = written(run, content)
    assert [row.kinds for row in table.rows] == [WON, ALL_WRONG, "", DIFFERENT + WON]
    assert [answer.text for answer in table.rows[0].answers] == ["w (0.90)", "0.80"]
    assert table.rows[0].gold == "W"
    assert all(answer.right is None for row in table.rows for answer in row.answers)
    assert "graded by chrf" in " ".join(table.notes)


def test_too_many_items_are_cut_to_the_most_telling_and_the_page_says_where_all_are(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 2)
    table = written(run, four_items())
    assert [row.number for row in table.rows] == [2, 3]
    assert table.cut.startswith("2 of 4 test items are shown")
    assert "2 of 4 test items are shown" in write_report(run).read_text(encoding="utf-8")


def test_runs_that_kept_no_texts_show_digests(run: Path) -> None:
    assert table_of(run, inputs=[]).rows[0].fields == []
    html = write_report(run).read_text(encoding="utf-8")
    assert "0000000000000000" in html


def test_a_run_without_answers_has_no_table_and_no_script(run: Path) -> None:
    assert item_table(RunRecord.read(run)) is None
    assert "<script" not in write_report(run).read_text(encoding="utf-8")


def test_the_only_script_is_the_one_that_the_policy_names(run: Path) -> None:
    make_answered(run, inputs=[{HOSTILE: HOSTILE}] * 40)
    html = write_report(run).read_text(encoding="utf-8")
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'" in html
    assert "<script>alert" not in html and "<img" not in html


def test_the_filters_are_hidden_until_the_script_runs_and_have_names(run: Path) -> None:
    make_answered(run)
    html = write_report(run).read_text(encoding="utf-8")
    assert '<form id="item-filters" class="filters" hidden>' in html
    assert re.findall(r'<label>(\w+) <(?:select|input) name="(\w+)"', html) == [
        ("Show", "kind"),
        ("Label", "label"),
        ("Text", "text"),
    ]
    assert 'role="status"' in html and 'tabindex="0" role="region" aria-labelledby="items-title"' in html
    assert html.count('<th scope="row">') == 40


def test_finalists_show_what_they_realised_beside_what_was_expected(run_factory: Callable[..., Path]) -> None:
    run = run_factory()
    validation = next(e for e in RunRecord.read(run).entries if e["type"] == "validation")
    winner, other = validation["winner"], validation["finalists"][1]["id"]
    make_answered(run, finalists=[{"id": other, "score": 0.8125, "outcomes": [0] * 40}])
    assert realised(RunRecord.read(run)) == {winner: 0.881, other: 0.8125}
    html = write_report(run).read_text(encoding="utf-8")
    assert '<th class="n">expected</th><th class="n">test</th>' in html
    assert "0.812" in html or "0.813" in html
