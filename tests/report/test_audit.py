"""Scores without gold held against gold, and prompts that give everything the same label."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from evolm.report import RunRecord
from evolm.report.audit import Audit, audits, diverged, one_class, scorers_without_gold
from tests.support.synthetic_run import revise, write_lines, write_outcomes


def record_of(
    directory: Path,
    rows: list[tuple[float | None, float | None]],
    gold: str | None = "audit",
    weight: float = 1.0,
    labels: tuple[str, ...] = ("ham", "spam"),
    **measures: float,
) -> RunRecord:
    """Return a run whose individuals have these (confidence, gold) pairs."""
    scorers = {"confidence": {"weight": weight, "needs_gold": False}}
    task = {"metric": "accuracy", "gold": gold, "labels": list(labels)}
    people: list[dict[str, Any]] = [
        {
            "type": "individual",
            "search": "main",
            "id": number,
            "status": "failed" if score is None else "evaluated",
            "score": right if gold == "use" else score,
            "measures": {} if score is None else {"confidence": score, "gold": right, **measures},
        }
        for number, (score, right) in enumerate(rows)
    ]
    write_lines(directory / "journal.jsonl", [{"type": "run", "task": task, "scorers": scorers}, *people])
    return RunRecord.read(directory)


RANKS = [(0.1, 0.51), (0.2, 0.53), (0.3, 0.52), (0.4, 0.55), (0.5, 0.54)]  # Spearman: 1 - 6 * 4 / (5 * 24)


@pytest.mark.parametrize("gold", ["audit", "use"])
def test_the_rank_correlation_is_that_of_the_score_and_gold_wherever_gold_is_kept(tmp_path: Path, gold: str) -> None:
    [audit] = audits(record_of(tmp_path, RANKS, gold))
    assert audit.correlation == pytest.approx(0.8)
    assert (audit.scorer, audit.metric, len(audit.pairs)) == ("confidence", "accuracy", 5)
    assert (audit.favourite["id"], audit.best["id"]) == (4, 3)


def test_a_score_of_which_less_is_rewarded_is_turned_around(tmp_path: Path) -> None:
    [audit] = audits(record_of(tmp_path, RANKS, weight=-2.0))
    assert audit.correlation == pytest.approx(-0.8)
    assert audit.name == "minus confidence"
    assert audit.favourite["id"] == 0


def test_individuals_that_failed_are_left_out(tmp_path: Path) -> None:
    [audit] = audits(record_of(tmp_path, [*RANKS, (None, None)]))
    assert len(audit.pairs) == 5


@pytest.mark.parametrize(
    "rows", [RANKS[:2], [(0.3, 0.5), (0.3, 0.6), (0.3, 0.7)], [(0.1, 0.5), (0.2, 0.5), (0.3, 0.5)]]
)
def test_no_correlation_is_claimed_of_too_few_or_too_much_alike(
    tmp_path: Path, rows: list[tuple[float, float]]
) -> None:
    [audit] = audits(record_of(tmp_path, rows))
    assert audit.correlation is None
    assert "unknown" in audit.finding
    assert "Too few prompts, or too much alike" in audit.reading


def test_without_gold_nothing_is_audited_but_the_scorer_is_named(tmp_path: Path) -> None:
    record = record_of(tmp_path, RANKS, gold=None)
    assert audits(record) == []
    assert scorers_without_gold(record) == ["confidence"]


def test_scorers_that_read_gold_and_the_length_of_prompts_are_not_audited(pareto: Path) -> None:
    record = RunRecord.read(pareto)
    assert list(record.scorers) == ["label_likelihood", "prompt_length"]
    assert scorers_without_gold(record) == []
    assert audits(record) == []


def test_a_run_in_which_nobody_was_evaluated_has_no_audit(tmp_path: Path) -> None:
    assert audits(record_of(tmp_path, [(None, None)])) == []


@pytest.mark.parametrize(
    ("correlation", "p", "n", "words"),
    [
        (0.9, 0.001, 20, "much as the right answers"),
        (0.5, 0.02, 20, "only roughly"),
        (0.15, 0.01, 300, "hardly follows"),
        (-0.6, 0.001, 20, "pleases itself"),
        (0.4, 0.2, 12, "may be chance"),
        (1.0, 0.0, 5, "may be chance"),
    ],
)
def test_the_correlation_is_put_into_words_that_chance_tempers(
    correlation: float, p: float, n: int, words: str
) -> None:
    pairs = pd.DataFrame({"id": range(n), "score": 0.5, "gold": 0.5})
    assert words in Audit("confidence", "confidence", "accuracy", pairs, correlation, p).reading


def test_a_prompt_that_gives_nearly_everything_one_label_is_flagged(tmp_path: Path) -> None:
    record = record_of(tmp_path, RANKS, largest_share=0.97)
    assert one_class(record) == "The best prompt gives the same label to 97\N{NO-BREAK SPACE}% of the dev items."


def test_the_flag_names_the_label_and_its_true_share_once_test_is_open(tmp_path: Path) -> None:
    write_outcomes(tmp_path, outcomes={"best": [[1, 1, 1, 0]]}, gold=[1, 1, 0, 0])
    said = one_class(record_of(tmp_path, RANKS, largest_share=0.95)).replace("\N{NO-BREAK SPACE}", " ")
    assert said.endswith("; on test it answers “spam” to 75 %, which is right for 50 %.")


@pytest.mark.parametrize("options", [{"largest_share": 0.94}, {}, {"largest_share": 1.0, "labels": ()}])
def test_prompts_that_tell_items_apart_and_tasks_without_labels_are_not_flagged(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    assert one_class(record_of(tmp_path, RANKS, **options)) == ""


def test_it_is_the_winner_of_the_verdict_that_is_flagged(audited: Path) -> None:
    assert one_class(RunRecord.read(audited)) == ""
    best = json.loads((audited / "result.json").read_text(encoding="utf-8"))["best"]["id"]

    def one_sided(entry: dict[str, Any]) -> dict[str, Any]:
        return {"measures": {**entry["measures"], "largest_share": 1.0 if entry["id"] == best else 0.5}}

    revise(audited, individual=one_sided)
    assert "100\N{NO-BREAK SPACE}% of the dev items" in one_class(RunRecord.read(audited))


def search_of(directory: Path, name: str, *generations: list[float | None], **settings: Any) -> RunRecord:
    """Return a run whose start, and the generations after it, have these scores."""
    rows = [(number, score) for number, scores in enumerate(generations) for score in scores]
    people = [
        {"type": "individual", "search": "main", "id": id, "generation": number, "score": score}
        | {"parents": [0] if id else [], "status": "failed" if score is None else "evaluated"}
        for id, (number, score) in enumerate(rows)
    ]
    head = {"type": "run", "strategy": {"name": name, **settings}, "task": {"metric": "accuracy"}}
    write_lines(directory / "journal.jsonl", [head, *people])
    return RunRecord.read(directory)


@pytest.mark.parametrize("bad", [[0.3, 0.1], [None, 0.5], [None, None]])
def test_a_search_that_ends_below_its_start_diverged(tmp_path: Path, bad: list[float | None]) -> None:
    record = search_of(tmp_path, "es", [0.6, 0.7], [0.5, 0.9], bad, bad, sigma=300.0)
    assert diverged(record) == (
        "The search diverged: all 4 individuals of its last 2 generations are worse than its start, 0.600; try "
        "smaller steps (strategy.sigma = 300)."
    )


@pytest.mark.parametrize(
    ("name", "generations"),
    [
        ("es", ([0.6, 0.7], [0.1, 0.2], [0.1, 0.6])),
        ("es", ([0.6, 0.7], [0.1, 0.2])),
        ("es", ([None, 0.7], [0.1, 0.2], [0.1, 0.2])),
        ("genetic", ([0.6, 0.7], [0.1, 0.2], [0.1, 0.2])),
    ],
)
def test_other_searches_are_not_said_to_diverge(
    tmp_path: Path, name: str, generations: tuple[list[float | None], ...]
) -> None:
    assert diverged(search_of(tmp_path, name, *generations)) == ""
