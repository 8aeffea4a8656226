"""The run directory as data: torn files, partial journals, lineages."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evolm.errors import RunError
from evolm.report import RunRecord


def write_journal(directory: Path, *entries: dict[str, Any]) -> RunRecord:
    (directory / "journal.jsonl").write_text("".join(json.dumps(e) + "\n" for e in entries), encoding="utf-8")
    return RunRecord.read(directory)


def born(id: int, generation: int, parents: list[int], score: float | None, *operators: str) -> dict[str, Any]:
    return {
        "type": "individual",
        "search": "main",
        "generation": generation,
        "id": id,
        "parents": parents,
        "operators": list(operators),
        "status": "failed" if score is None else "evaluated",
        "score": score,
        "genome": {"prompt": {"instruction": f"number {id}"}},
    }


def test_a_directory_without_a_journal_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"found no journal\.jsonl in it"):
        RunRecord.read(tmp_path)


@pytest.mark.parametrize("lost", [1, 2, 40, 300])
def test_a_torn_last_line_is_survived_wherever_it_was_cut(run: Path, lost: int) -> None:
    journal = run / "journal.jsonl"
    whole = RunRecord.read(run).entries
    journal.write_bytes(journal.read_bytes() + json.dumps(whole[5]).encode()[:-lost])
    assert RunRecord.read(run).entries == whole


def test_a_line_torn_inside_a_character_is_survived(run: Path) -> None:
    whole = RunRecord.read(run).entries
    with (run / "journal.jsonl").open("ab") as file:
        file.write('{"type":"individual","genome":{"instruction":"£'.encode()[:-1])
    assert RunRecord.read(run).entries == whole


def test_damage_before_the_last_line_of_the_journal_is_refused_with_its_line(run: Path) -> None:
    lines = (run / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    lines[3] = lines[3][:20]
    (run / "journal.jsonl").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(RunError, match="line 4"):
        RunRecord.read(run)


def test_a_torn_line_inside_the_clocks_file_is_survived(run: Path) -> None:
    events = len(RunRecord.read(run).timing)
    file = run / "timing.jsonl"
    file.write_text('{"event":"gen\n' + file.read_text(encoding="utf-8"), encoding="utf-8")
    assert len(RunRecord.read(run).timing) == events


def test_entries_of_unknown_type_are_ignored(tmp_path: Path) -> None:
    record = write_journal(tmp_path, {"type": "weather", "id": 9}, born(1, 0, [], 0.6))
    assert record.individuals("main")["id"].tolist() == [1]


def test_an_empty_journal_gives_empty_tables_with_their_columns(tmp_path: Path) -> None:
    record = write_journal(tmp_path)
    assert record.run == {}
    assert record.best() is None
    assert {"id", "score", "evaluation"} <= set(record.individuals("main").columns)
    assert {"evaluations", "mean"} <= set(record.generations("main").columns)


def test_a_failed_individual_has_no_score_and_is_never_the_best(tmp_path: Path) -> None:
    record = write_journal(tmp_path, born(1, 0, [], None), born(2, 0, [], float("nan")), born(3, 0, [], 0.1))
    assert record.individuals("main")["score"].isna().tolist() == [True, True, False]
    best = record.best()
    assert best is not None
    assert best["id"] == 3


def test_individuals_drawn_at_random_are_no_founders(tmp_path: Path) -> None:
    record = write_journal(tmp_path, born(1, 0, [], 0.5), born(2, 0, [], 0.9, "random"), born(3, 1, [1], 0.8))
    founder, best = record.founder(), record.best()
    assert founder is not None
    assert best is not None
    assert (founder["id"], best["id"]) == (1, 2)


def test_equal_scores_are_decided_by_the_rest_of_the_fitness(tmp_path: Path) -> None:
    lucky, sure = born(1, 0, [], 0.8), born(2, 0, [], 0.8)
    record = write_journal(tmp_path, lucky | {"fitness": [0.8, -0.9]}, sure | {"fitness": [0.8, -0.2]})
    best = record.best()
    assert best is not None
    assert best["id"] == 2


def test_the_archives_best_stands_until_there_is_a_verdict(tmp_path: Path) -> None:
    archived = {"type": "generation", "search": "main", "generation": 0, "best_id": 1}
    record = write_journal(tmp_path, born(1, 0, [], 0.7), born(2, 0, [], 0.8), archived)
    best = record.best()
    assert best is not None
    assert best["id"] == 1


def test_individuals_are_spread_between_the_evaluations_that_generations_recorded(tmp_path: Path) -> None:
    record = write_journal(
        tmp_path,
        born(1, 0, [], 0.5),
        born(2, 0, [], 0.5),
        {"type": "generation", "search": "main", "generation": 0, "evaluations": 4},
        born(3, 1, [1], 0.5),
    )
    assert record.individuals("main")["evaluation"].tolist() == [2.0, 4.0, 5.0]


def test_searches_are_kept_apart(run: Path) -> None:
    record = RunRecord.read(run)
    assert len(record.individuals("main")) == len(record.individuals("random_search")) == 96
    assert len(record.generations("random_search")) == 4


FAMILY = [
    born(1, 0, [], 0.50),
    born(2, 0, [], 0.60),
    born(3, 0, [], None),
    born(4, 1, [1, 2], 0.70, "crossover"),
    born(5, 1, [3], 0.40, "swap"),
    born(6, 2, [4, 5], 0.80, "crossover", "swap"),
    born(7, 2, [1], 0.55, "swap"),
]


def test_the_lineage_holds_every_ancestor_once_oldest_first(tmp_path: Path) -> None:
    lineage = write_journal(tmp_path, *FAMILY).lineage("main", 6)
    assert [a.id for a in lineage] == [1, 2, 3, 4, 5, 6]
    assert lineage[-1].operators == ("crossover", "swap")
    assert lineage[-1].parents == (4, 5)


def test_the_descent_follows_the_better_parent_back_to_a_founder(tmp_path: Path) -> None:
    record = write_journal(tmp_path, *FAMILY)
    assert [(a.id, a.score) for a in record.descent("main", 6)] == [(2, 0.6), (4, 0.7), (6, 0.8)]


@pytest.mark.parametrize(
    ("gold", "combine", "scorers", "scale"),
    [
        ("use", "sum", {"p_true": 1.0}, "macro f1"),
        ("audit", "sum", {"p_true": 1.0}, "p true"),
        (None, "sum", {"p_true": 1.0, "fluency": 0.5}, "p true + 0.5 × fluency"),
        (None, "pareto", {"p_true": 2.0, "fluency": 1.0}, "2 × p true"),
        (None, "sum", {}, "macro f1"),
    ],
)
def test_scores_are_called_by_what_they_are(
    tmp_path: Path, gold: str | None, combine: str, scorers: dict[str, float], scale: str
) -> None:
    head = {
        "type": "run",
        "task": {"metric": "macro_f1", "gold": gold},
        "scorers": {name: {"weight": weight} for name, weight in scorers.items()},
        "fitness": {"combine": combine},
    }
    record = write_journal(tmp_path, head)
    assert (record.scale, record.metric) == (scale, "macro f1")


def test_gold_on_dev_is_the_score_where_the_search_saw_it_and_a_measure_where_it_did_not(tmp_path: Path) -> None:
    seen = born(1, 0, [], 0.7) | {"measures": {"gold": 0.4}}
    for gold, value in (("use", 0.7), ("audit", 0.4), (None, None)):
        record = write_journal(tmp_path, {"type": "run", "task": {"gold": gold}}, seen)
        assert record.metric_on_dev(record.best()) == value
    assert write_journal(tmp_path, {"type": "run"}).metric_on_dev(None) is None
    assert (
        write_journal(tmp_path, {"type": "run", "task": {"gold": "audit"}}).metric_on_dev(born(2, 0, [], 0.5)) is None
    )


def test_a_journal_that_does_not_say_who_saw_gold_is_one_whose_search_did(tmp_path: Path) -> None:
    assert write_journal(tmp_path, {"type": "run", "task": {"metric": "accuracy"}}).gold == "use"


def test_the_front_is_that_of_the_last_generation(pareto: Path) -> None:
    record = RunRecord.read(pareto)
    last = record.last("generation")
    assert last is not None
    assert [entry["id"] for entry in record.front()] == sorted(last["front"])


def test_what_was_answered_on_test_is_read_where_it_was_kept(run: Path) -> None:
    assert RunRecord.read(run).outcomes is None
    (run / "test.json").write_text('{"gold": [0, 1]}', encoding="utf-8")
    assert RunRecord.read(run).outcomes == {"gold": [0, 1]}


def test_a_lineage_with_an_unknown_parent_ends_there(tmp_path: Path) -> None:
    record = write_journal(tmp_path, born(8, 3, [99], 0.5))
    assert [a.id for a in record.lineage("main", 8)] == [8]
    assert record.lineage("main", 1234) == []


def test_the_verdict_in_the_journal_stands_in_for_a_missing_result(run: Path) -> None:
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    (run / "result.json").unlink()
    assert RunRecord.read(run).status == "running"
    with (run / "journal.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"type": "verdict", **result}) + "\n")
    record = RunRecord.read(run)
    assert record.status == "finished"
    assert record.test == result["test"]


def test_a_damaged_result_is_refused(run: Path) -> None:
    (run / "result.json").write_text("{", encoding="utf-8")
    with pytest.raises(RunError, match="damaged"):
        RunRecord.read(run)


def test_an_interrupted_run_says_so(run_factory: Callable[..., Path]) -> None:
    run = run_factory(finished=False)
    with (run / "timing.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"event": "interrupt", "time": "2026-03-02T09:21:00Z"}\n')
    assert RunRecord.read(run).status == "interrupted"


@pytest.mark.parametrize("name", ["tiny-llama", "models/tiny-llama", "C:\\models\\tiny-llama", "org/tiny-llama/"])
def test_the_model_is_named_without_its_folders(tmp_path: Path, name: str) -> None:
    assert write_journal(tmp_path, {"type": "run", "model": {"name": name}}).model == "tiny-llama"
