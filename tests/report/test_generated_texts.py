"""What a generation task's prompts wrote, beside what was wanted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from evolm.report import RunRecord
from evolm.report.differences import Piece
from evolm.report.generated_texts import written_items
from tests.support.synthetic_run import write_outcomes


def write(run: Path, **changes: Any) -> RunRecord:
    content = {
        "inputs": [{"phrase": "one cat"}, {"phrase": "one mouse"}],
        "targets": ["two cats", "two grey mice"],
        "predictions": {
            "best": ["two cats", "two grey mice", "two dogs"],
            "founder": ["two cats", "two grey mouses", ""],
        },
        "outcomes": {"best": [[1.0, 1.0, 0.0]], "founder": [[1.0, 0.71, 0.0]]},
    }
    write_outcomes(run, **{**content, **changes})
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    result["founder"]["digest"] = "another"
    (run / "result.json").write_text(json.dumps(result), encoding="utf-8")
    return RunRecord.read(run)


def test_texts_stand_beside_their_targets_with_the_words_that_differ_marked(run: Path) -> None:
    first, second = written_items(write(run))
    assert first.fields == {"phrase": "one cat"}
    assert first.best.pieces == [Piece("two cats")]
    assert second.target == "two grey mice"
    assert second.founder is not None
    assert [piece.text for piece in second.founder.pieces if piece.mark] == ["mouses"]
    assert second.founder.value == 0.71


def test_a_founder_that_stayed_the_best_is_not_shown_twice(run: Path) -> None:
    record = write(run)
    (run / "result.json").write_text(
        json.dumps({**record.result, "founder": record.result["best"]}), encoding="utf-8"
    )  # type: ignore[index,dict-item]
    assert [item.founder for item in written_items(RunRecord.read(run))] == [None, None]


def test_a_contestant_that_could_not_answer_is_left_out(run: Path) -> None:
    assert all(item.founder is None for item in written_items(write(run, predictions={"best": ["a", "b", "c"]})))
    assert written_items(write(run, predictions={"founder": ["a", "b", "c"]})) == []


def test_tasks_that_write_nothing_have_nothing_to_show(run: Path) -> None:
    assert written_items(RunRecord.read(run)) == []
    assert written_items(write(run, predictions={}, inputs=[], targets=[])) == []
