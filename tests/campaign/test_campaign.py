"""Whole campaigns on the tiny model: the result, the budget, the journal, the files that are left."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from evolm.campaign import Observer, Phase, RunInfo
from evolm.errors import EvolmError
from evolm.evaluation.evaluator import Evaluator
from tests.support.tiers import slow
from tests.support.toy_campaign import (
    DEV,
    EVALUATIONS,
    TEST,
    ToyCampaign,
    bytes_of,
    entries,
    result_of,
    without_clock,
)

BASELINES = ("majority", "founder", "prior_corrected", "few_shot", "random_search")


def test_the_result_has_every_number_a_reader_needs(finished: Path, tiny_model_folder: Path) -> None:
    result = result_of(finished)
    assert result["seed"] == 0
    assert result["model"]["name"] == str(tiny_model_folder)
    assert result["model"]["dtype"] == "float32"
    assert len(result["model"]["fingerprint"]) == 64
    assert result["task"]["name"] == "toy"
    assert result["task"]["metric"] == "balanced_accuracy"
    assert result["task"]["splits"] == {"train": 10, "dev": DEV, "validation": 8, "test": TEST}
    assert result["budget"].keys() == {"evaluations", "items", "tokens", "writer_tokens", "seconds"}
    assert result["dev"].keys() >= {"founder", "best"}
    test = result["test"]
    assert test.keys() >= {*BASELINES, "openings", "best", "gain", "interval", "gain_over_founder"}
    assert all(0 <= test[name] <= 1 for name in (*BASELINES, "best"))
    assert test["openings"] == 1
    assert test["majority"] == 0.5
    for gain, interval in (("gain", "interval"), ("gain_over_founder", "interval_over_founder")):
        low, high = test[interval]
        assert low <= test[gain] <= high
    assert result["best"]["genome"].keys() == {"prompt", "readout"}


def test_the_gain_is_over_the_strongest_baseline(finished: Path) -> None:
    test = result_of(finished)["test"]
    assert test["gain"] == pytest.approx(test["best"] - max(test[name] for name in BASELINES))
    assert test[test["strongest_baseline"]] == max(test[name] for name in BASELINES)
    assert test["gain_over_founder"] == pytest.approx(test["best"] - test["founder"])


def test_the_budget_of_evaluations_is_spent_exactly_by_both_searches(finished: Path) -> None:
    spent = result_of(finished)["budget"]
    assert (spent["evaluations"], spent["items"]) == (EVALUATIONS, EVALUATIONS * DEV)
    for search in ("main", "random_search"):
        assert len(entries(finished, "individual", search)) == EVALUATIONS
        last = entries(finished, "generation", search)[-1]
        assert (last["evaluations"], last["items"]) == (EVALUATIONS, EVALUATIONS * DEV)
    assert spent["tokens"] == entries(finished, "generation", "main")[-1]["tokens"] > 0


def test_no_genome_is_evaluated_twice_in_a_search(finished: Path) -> None:
    for search in ("main", "random_search"):
        digests = [e["digest"] for e in entries(finished, "individual", search)]
        assert len(set(digests)) == len(digests)


def test_random_search_starts_with_the_main_searchs_first_generation(finished: Path) -> None:
    main = [e["digest"] for e in entries(finished, "individual", "main") if e["generation"] == 0]
    drawn = [e["digest"] for e in entries(finished, "individual", "random_search")]
    assert len(main) == 5 and drawn[:5] == main
    assert set(drawn[5:]).isdisjoint(main)


def test_the_journal_follows_the_order_of_asking_and_holds_no_clock(finished: Path) -> None:
    for search in ("main", "random_search"):
        individuals = entries(finished, "individual", search)
        assert [e["id"] for e in individuals] == list(range(EVALUATIONS))
        known: set[int] = set()
        for entry in individuals:
            assert known.issuperset(entry["parents"])
            known.add(entry["id"])
    kinds = [e["type"] for e in entries(finished)]
    assert kinds[0] == "run"
    assert kinds[-1] == "verdict"
    verdict = entries(finished, "verdict")[0]
    assert "seconds" not in verdict["budget"]
    clocked = {"time", "seconds", "host", "date", "n_jobs"}
    assert not [e for e in entries(finished) if clocked & e.keys()]


def test_the_journal_and_the_result_agree(finished: Path) -> None:
    verdict = entries(finished, "verdict")[0]
    result = result_of(finished)
    assert {**result, "type": "verdict", "budget": verdict["budget"]} == verdict
    best = next(e for e in entries(finished, "individual", "main") if e["id"] == result["best"]["id"])
    assert (best["digest"], best["genome"], best["score"]) == (
        result["best"]["digest"],
        result["best"]["genome"],
        result["dev"]["best"],
    )
    founders = [e for e in entries(finished, "individual", "main") if e["operators"][0].startswith("founders.jsonl")]
    assert len(founders) == 2
    assert result["dev"]["founder"] == max(e["score"] for e in founders)


def test_the_best_prompt_and_the_report_are_written(finished: Path) -> None:
    record = json.loads((finished / "best" / "prompt.json").read_text(encoding="utf-8"))
    result = result_of(finished)
    assert record["genome"] == result["best"]["genome"]["prompt"]
    assert record["model"] == result["model"]
    assert set(record["answers"]) == {"ham", "spam"}
    assert record["chat_template"] is False
    word = result["best"]["genome"]["prompt"]["verbalizers"].get("ham", "ham")
    assert record["answers"]["ham"] == f" {word}"
    text = (finished / "best" / "prompt.txt").read_text(encoding="utf-8")
    assert text.startswith(result["best"]["genome"]["prompt"]["instruction"])
    assert text.endswith(record["item"])
    for shown in result["best"]["genome"]["prompt"]["demonstrations"]:
        answer = word if shown["label"] == "ham" else shown["label"]
        assert f"Text: {shown['fields']['text']}\nLabel: {answer}\n\n" in text
    assert not (finished / "best" / "messages.json").exists()
    assert "<html" in (finished / "report.html").read_text(encoding="utf-8")


def test_with_a_chat_template_the_messages_are_written_too(toy: Callable[..., ToyCampaign], tmp_path: Path) -> None:
    out = toy(model__chat_template="on", template__system="You sort mail.").run(tmp_path / "run").directory
    messages = json.loads((out / "best" / "messages.json").read_text(encoding="utf-8"))
    assert messages == [
        {"role": "system", "content": "You sort mail."},
        {"role": "user", "content": messages[1]["content"]},
    ]
    exact = (out / "best" / "prompt.txt").read_text(encoding="utf-8")
    assert messages[1]["content"] in exact
    assert exact.startswith("<|im_start|>system\nYou sort mail.")
    assert exact.endswith("<|im_start|>assistant\n")
    assert json.loads((out / "best" / "prompt.json").read_text(encoding="utf-8"))["chat_template"] is True


def test_the_same_seed_gives_the_same_journal_and_another_seed_another(
    toy: Callable[..., ToyCampaign], finished: Path, tmp_path: Path
) -> None:
    same = toy().run(tmp_path / "same").directory
    assert bytes_of(same) == bytes_of(finished)
    assert without_clock(result_of(same)) == without_clock(result_of(finished))
    other = toy(seed=1).run(tmp_path / "other").directory
    mine, theirs = ([e["digest"] for e in entries(run, "individual", "main")] for run in (same, other))
    assert mine != theirs
    heads = [entries(run, "run")[0]["task"]["fingerprint"] for run in (same, other)]
    assert heads[0] == heads[1]  # the split does not depend on the seed of the search


@pytest.mark.slow
def test_in_bfloat16_two_workers_give_the_bytes_of_one(toy: Callable[..., ToyCampaign], tmp_path: Path) -> None:
    changes: dict[str, Any] = {"model__dtype": "bfloat16", "baselines__random_search": False}
    one = toy(**changes).run(tmp_path / "one").directory
    two = toy(**changes, evaluation__n_jobs=2).run(tmp_path / "two").directory
    assert bytes_of(one) == bytes_of(two)


@pytest.mark.parametrize("items", [50, 59])
def test_the_budget_of_items_is_never_exceeded(toy: Callable[..., ToyCampaign], tmp_path: Path, items: int) -> None:
    small = toy(budget={"evaluations": 0, "items": items}, baselines={"random_search": False})
    assert small.run(tmp_path / "run").result["budget"]["items"] == 50


def generations(run: Path) -> list[dict[str, Any]]:
    return entries(run, "generation", "main")


OVERLAPPING = {"name": "genetic", "population_size": 4, "asynchronous": 2}


@pytest.mark.parametrize("strategy", [{"name": "genetic"}, {"name": "random_search"}, OVERLAPPING], ids=str)
def test_a_search_ends_with_the_individual_that_exceeds_the_budget_of_tokens(
    strategy: dict[str, Any], toy: Callable[..., ToyCampaign], tmp_path: Path
) -> None:
    limited = toy(budget={"evaluations": 0, "tokens": 20_000}, strategy=strategy, baselines={"random_search": False})
    out = limited.run(tmp_path / "run").directory
    spent = [(g["evaluations"], g["tokens"]) for g in generations(out)]
    costs = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise([(0, 0), *spent])]
    assert len(spent) > 1
    assert spent[-2][1] < 20_000 <= spent[-1][1] < 20_000 + max(costs)
    assert spent[-1][0] == spent[-2][0] + 1


@pytest.mark.parametrize("at", [12, slow(6), slow(22)])
def test_killed_within_a_generation_that_the_budget_of_tokens_cuts_and_resumed_it_equals_the_undisturbed_run(
    evolm: Any, toy: Callable[..., ToyCampaign], tmp_path: Path, at: int
) -> None:
    limited = toy(budget={"evaluations": 0, "tokens": 20_000}, baselines={"random_search": False})
    undisturbed = limited.run(tmp_path / "undisturbed").directory
    out = evolm.killed_and_resumed(limited.folder, tmp_path / "run", at)
    assert bytes_of(out) == bytes_of(undisturbed)
    numbers = [g["generation"] for g in generations(out)]
    assert len(numbers) > len(set(numbers))


def test_the_budget_of_seconds_leaves_one_generation_at_least(
    toy: Callable[..., ToyCampaign], tmp_path: Path
) -> None:
    limited = toy(budget={"evaluations": 0, "seconds": 0.001}, baselines={"random_search": False})
    out = limited.run(tmp_path / "run").directory
    assert len(generations(out)) == 1
    assert result_of(out)["budget"]["seconds"] > 0.001


def test_a_generation_is_cut_to_the_time_that_is_left(
    toy: Callable[..., ToyCampaign], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that moves a second with every individual."""
    clock = Mock(monotonic=lambda: float(clock.scored))
    clock.scored = 0
    score = Evaluator.score_individuals

    def scored_in_seconds(self: Evaluator, asked: Sequence[Any], *rest: Any, **options: Any) -> Any:
        clock.scored += len(asked)
        return score(self, asked, *rest, **options)

    monkeypatch.setattr("evolm.campaign.recorder.time", clock)
    monkeypatch.setattr(Evaluator, "score_individuals", scored_in_seconds)
    limited = toy(
        budget={"evaluations": 0, "seconds": 21},
        strategy={"name": "random_search", "population_size": 8},
        baselines={"random_search": False},
    )
    out = limited.run(tmp_path / "run").directory
    assert [g["evaluations"] for g in generations(out)] == [8, 16, 21]


def test_a_plateau_ends_the_search(toy: Callable[..., ToyCampaign], tmp_path: Path) -> None:
    limited = toy(budget={"evaluations": 0, "plateau": 2}, baselines={"random_search": False})
    found = generations(limited.run(tmp_path / "run").directory)
    assert len({g["best_id"] for g in found[-3:]}) == 1
    assert all(len({g["best_id"] for g in found[i : i + 3]}) > 1 for i in range(len(found) - 3))


def test_a_space_with_nothing_new_in_it_ends_the_search(toy: Callable[..., ToyCampaign], tmp_path: Path) -> None:
    space = {"prompt": {"instruction": False, "demonstrations": [0, 0]}, "readout": {"kinds": ["words"]}}
    tiny = toy(space=space, founders=[], strategy={"name": "random_search"})
    result = tiny.run(tmp_path / "run", instructions=["Spam or ham?", "Ham or spam?"]).result
    assert result["budget"]["evaluations"] == 2


def test_baselines_can_be_switched_off(toy: Callable[..., ToyCampaign], tmp_path: Path) -> None:
    off = dict.fromkeys(("random_search", "few_shot", "prior_corrected", "probe", "bag_of_words"), False)
    out = toy(baselines=off).run(tmp_path / "run").directory
    test = result_of(out)["test"]
    assert [test[name] for name in off] == [None] * len(off)
    assert {e.get("search") for e in entries(out)} == {"main", None}
    assert test["gain"] == pytest.approx(test["best"] - max(test["majority"], test["founder"]))


def test_observers_hear_of_every_event_in_order(toy: Callable[..., ToyCampaign], tmp_path: Path) -> None:
    heard: list[Any] = []

    class Listener(Observer):
        def on_start(self, info: RunInfo) -> None:
            heard.append("start")

        def on_phase(self, phase: Phase) -> None:
            heard.append(phase.name)

        def on_generation(self, progress: Any) -> None:
            heard.append((progress.search, progress.evaluations))

        def on_requests(self, done: int, total: int, purpose: str) -> None:
            assert 0 <= done <= total

        def on_end(self, result: dict[str, Any]) -> None:
            heard.append("end")

    toy().run(tmp_path / "run", observers=[Listener()])
    main = [("main", 5), ("main", 10), ("main", 14)]
    others = [("random_search", 14)]
    assert heard == ["start", "main", *main, "random_search", *others, "verdict", "end"]


def test_an_exception_in_an_observer_leaves_a_run_that_can_be_resumed(
    toy: Callable[..., ToyCampaign], finished: Path, tmp_path: Path
) -> None:
    from evolm.campaign import continue_run

    class Clumsy(Observer):
        def on_generation(self, progress: Any) -> None:
            raise RuntimeError("an observer's own fault")

    with pytest.raises(RuntimeError, match="own fault"):
        toy().run(tmp_path / "run", observers=[Clumsy()])
    continue_run(tmp_path / "run")
    assert bytes_of(tmp_path / "run") == bytes_of(finished)


def test_a_budget_without_any_limit_is_refused(toy: Callable[..., ToyCampaign], tmp_path: Path) -> None:
    class Patience(Observer):
        def on_generation(self, progress: Any) -> None:
            if progress.evaluations > 30:
                raise RuntimeError("a search without an end")

    with pytest.raises(EvolmError, match="budget"):
        toy(budget={"evaluations": 0}).run(tmp_path / "run", observers=[Patience()])
