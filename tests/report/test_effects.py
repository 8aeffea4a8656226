"""The effects of a run's choices: which genomes are read, which choices are modelled, what the page says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evolm.report import RunRecord, write_report
from evolm.report import effects as module
from evolm.report.effects import (
    DEMONSTRATION,
    INSTRUCTION,
    LABEL_WORD,
    LAYER,
    POOLING,
    READOUT,
    choices,
    effect_table,
)
from tests.support.synthetic_run import write_lines


def genome(instruction: str, *demonstrations: str, **more: Any) -> dict[str, Any]:
    shown = [{"item": each, "fields": {"text": each}, "label": "ham"} for each in demonstrations]
    return {"prompt": {"instruction": instruction, "demonstrations": shown, "verbalizers": {}}, **more}


def written(directory: Path, *scored: tuple[dict[str, Any], float], items: int = 0) -> RunRecord:
    """Write a journal of individuals with these genomes and scores, and read it."""
    directory.mkdir(exist_ok=True)
    entries: list[dict[str, Any]] = [{"type": "run", "task": {"metric": "accuracy"}}]
    for id, (summary, score) in enumerate(scored):
        entry = {"type": "individual", "search": "main", "id": id, "digest": str(id), "generation": 0, "parents": []}
        entry |= {"operators": [], "genome": summary, "score": score, "fitness": [score], "status": "evaluated"}
        hits = round(score * items)
        entries.append(entry | ({"item_scores": [1] * hits + [0] * (items - hits)} if items else {}))
    write_lines(directory / "journal.jsonl", entries)
    return RunRecord.read(directory)


def alternating(n: int = 40) -> list[tuple[dict[str, Any], float]]:
    """Return genomes of two instructions, half of them with a demonstration that adds 0.1."""
    return [
        (genome(f"instruction {i % 2}", *(["good"] if i % 4 < 2 else ["other"])), 0.5 + 0.1 * (i % 4 < 2))
        for i in range(n)
    ]


def test_a_demonstration_that_helps_is_found(tmp_path: Path) -> None:
    table = effect_table(written(tmp_path, *alternating()))
    assert table is not None and table.genomes == 40
    rows = {row.title: row for _, shown, _ in table.kinds for row in shown}
    good, other = rows["good → ham"], rows["other → ham"]
    assert good.effect - other.effect == pytest.approx(
        0.1, abs=0.01
    )  # they exclude each other by chance, and share it
    assert rows["instruction 0"].effect == pytest.approx(0.0, abs=0.01)
    assert not rows["instruction 0"].clear


def test_intervals_cover_other_rows_if_the_journal_has_the_scores_of_items(tmp_path: Path) -> None:
    without = effect_table(written(tmp_path / "without", *alternating()))
    having = effect_table(written(tmp_path / "having", *alternating(), items=20))
    assert without is not None and having is not None
    assert not without.over_items and having.over_items


def test_individuals_without_a_score_and_genomes_seen_before_do_not_count(tmp_path: Path) -> None:
    record = written(tmp_path, *alternating())
    again = [{**entry, "search": "random_search"} for entry in record.entries[1:]]
    failed = [{**entry, "digest": f"f{entry['id']}", "score": None} for entry in record.entries[1:]]
    write_lines(tmp_path / "journal.jsonl", [*record.entries, *again, *failed])
    assert effect_table(RunRecord.read(tmp_path)) == effect_table(record)


def test_there_is_no_table_without_enough_genomes_or_differences(tmp_path: Path) -> None:
    assert effect_table(written(tmp_path, *alternating(module.LEAST - 1))) is None
    assert effect_table(written(tmp_path, *[(genome("one"), 0.5 + i / 100) for i in range(20)])) is None
    assert effect_table(written(tmp_path, *[(genome(f"i{i % 2}"), 0.5) for i in range(20)])) is None


def test_every_kind_of_choice_is_read_from_a_genome() -> None:
    summary = genome("Say it.", "a", readout={"kind": "probe", "layer": 12, "pooling": "mean"})
    summary["prompt"]["verbalizers"] = {"ham": "fine"}
    assert [(choice.kind, choice.title) for choice in choices(summary)] == [
        (INSTRUCTION, "Say it."),
        (DEMONSTRATION, "a → ham"),
        (LABEL_WORD, "ham → fine"),
        (READOUT, "a linear probe on hidden states"),
        (LAYER, "12"),
        (POOLING, "averaged over the item"),
    ]


def test_the_page_shows_the_effects_and_the_number_of_those_left_out(tmp_path: Path) -> None:
    scored = [(genome(f"instruction {i % 13}", f"d{i % 2}"), 0.5 + (i % 13) / 50) for i in range(78)]
    written(tmp_path, *scored)
    html = write_report(tmp_path).read_text(encoding="utf-8")
    assert "<h2>What each choice adds</h2>" in html
    assert f"({13 - module.SHOWN} others not shown)" in html
    assert "cover other genomes, not other rows. A number" in html
    assert html.count('<span class="track zero">') == module.SHOWN + 2
