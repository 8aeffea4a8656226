"""Scorers that fail, disks that refuse, prompts that are too long."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evolm.campaign import continue_run
from evolm.errors import ContextExceeded, EvolmError, RunError, ScorerError
from tests.support.tiers import slow
from tests.support.toy_campaign import (
    DEV,
    EVALUATIONS,
    ToyCampaign,
    bytes_of,
    entries,
    result_of,
    toy_rows,
    write_rows,
)

pytestmark = pytest.mark.usefixtures("durable")


def failing(fails: Callable[[int], bool], error: Exception) -> Callable[..., float]:
    """Return a scorer that raises ``error`` at those of its calls, counted from 1, of which ``fails`` is true."""
    calls = itertools.count(1)

    def scorer(item: Any, label: str, probabilities: dict[str, float]) -> float:
        if fails(next(calls)):
            raise error
        return probabilities[item.gold]

    return scorer


def test_an_item_that_a_scorer_fails_on_makes_the_individual_invalid_and_the_campaign_goes_on(
    toy: Callable[..., ToyCampaign], tmp_path: Path
) -> None:
    clumsy = failing(lambda call: call == DEV + 3, KeyError("no such thing"))
    scored = toy(scorers={"clumsy": 1.0}, baselines__random_search=False)
    out = scored.run(tmp_path / "run", functions={"clumsy": clumsy}).directory
    individuals = entries(out, "individual", "main")
    assert len(individuals) == EVALUATIONS
    (failed,) = [e for e in individuals if e["status"] == "failed"]
    assert failed["id"] == 1
    assert failed["score"] is None
    assert failed["fitness"] is None
    assert failed["reason"].startswith(f"1 of {DEV} items failed; item ")
    assert "no such thing" in failed["reason"]
    assert "no such thing" in (out / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, "text"])
def test_a_value_that_is_no_number_fails_like_an_exception(
    toy: Callable[..., ToyCampaign], tmp_path: Path, value: Any
) -> None:
    def odd(item: Any, label: str, probabilities: dict[str, float]) -> Any:
        return value if item.fields["text"].endswith(("1", "3", "5", "7", "9")) else 1.0

    scored = toy(scorers={"odd": 1.0}, baselines__random_search=False)
    with pytest.raises(EvolmError, match=r"found none: \d+ of \d+ items failed; .*journal\.jsonl\)"):
        scored.run(tmp_path / "run", functions={"odd": odd})
    assert {e["status"] for e in entries(tmp_path / "run", "individual")} == {"failed"}


def test_a_scorer_that_fails_for_every_item_stops_the_campaign_and_says_why(
    toy: Callable[..., ToyCampaign], tmp_path: Path
) -> None:
    def broken(item: Any, label: str, probabilities: dict[str, float]) -> float:
        raise ZeroDivisionError("by design")

    with pytest.raises(ScorerError, match="ZeroDivisionError: by design"):
        toy(scorers={"broken": 1.0}).run(tmp_path / "run", functions={"broken": broken})


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("at", [slow(4), 10, slow(15)])
def test_a_disk_that_refuses_is_one_sentence_and_the_run_can_be_resumed(
    toy: Callable[..., ToyCampaign],
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    at: int,
) -> None:
    real, count = getattr(os, call), 0

    def refusing(*arguments: Any, **keywords: Any) -> Any:
        nonlocal count
        count += 1
        if count >= at:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, refusing)
        with pytest.raises(RunError, match="No space left on device"):
            toy().run(tmp_path / "run")
    continue_run(tmp_path / "run")
    assert bytes_of(tmp_path / "run") == bytes_of(finished)


def test_rows_too_long_for_the_context_are_refused_before_anything_is_written(
    toy: Callable[..., ToyCampaign], tmp_path: Path
) -> None:
    long = toy(founders=[])
    write_rows(long.folder / "toy.csv", [(f"{text} {'so ' * 250}", label) for text, label in toy_rows()])
    with pytest.raises(ContextExceeded, match=r"prompt of \d+ tokens is \d+ longer than the context"):
        long.run(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_prompt_that_only_some_item_makes_too_long_fails_alone(
    toy: Callable[..., ToyCampaign], tmp_path: Path
) -> None:
    """The longest demonstrations fill the context; the campaign goes on with shorter prompts."""
    wide = toy(space__prompt__max_tokens=500, space__prompt__demonstrations=[0, 8], baselines__random_search=False)
    write_rows(wide.folder / "toy.csv", [(f"{text} {'so ' * 15}", label) for text, label in toy_rows()])
    individuals = entries(wide.run(tmp_path / "run").directory, "individual", "main")
    failed = [e for e in individuals if e["status"] == "failed"]
    assert failed
    assert all("longer than the context" in e["reason"] for e in failed)
    assert len(individuals) == EVALUATIONS
    assert len(failed) < EVALUATIONS


def test_an_individual_that_fails_on_every_item_fails_alone_once_others_were_scored(
    toy: Callable[..., ToyCampaign], tmp_path: Path
) -> None:
    moody = failing(lambda call: call > DEV * (EVALUATIONS - 1), ValueError("had enough"))
    alone = toy(
        scorers={"moody": 1.0}, strategy={"name": "hill_climb", "neighbours": 1}, baselines__random_search=False
    )
    out = alone.run(tmp_path / "run", functions={"moody": moody}).directory
    *others, last = entries(out, "individual", "main")
    assert len(others) == EVALUATIONS - 1 and {e["status"] for e in others} == {"evaluated"}
    assert last["status"] == "failed" and "had enough" in last["reason"]


@pytest.mark.parametrize(
    "changes",
    [
        {"scorers": {"narrow": 1.0}},
        {
            "scorers": {"narrow": 1.0, "prompt_length": 1.0},
            "fitness": {"combine": "pareto", "pick": "knee"},
            "strategy": {"name": "nsga2", "population_size": 4},
        },
    ],
    ids=["sum", "pareto"],
)
def test_finalists_that_fail_on_validation_have_no_score_there_and_the_verdict_comes(
    toy: Callable[..., ToyCampaign], tmp_path: Path, changes: dict[str, Any]
) -> None:
    known: set[str] = set()

    def narrow(item: Any, label: str, probabilities: dict[str, float]) -> float:
        if len(known) < DEV:
            known.add(item.digest)
        if item.digest not in known:
            raise KeyError("never seen")
        return probabilities[item.gold]

    out = toy(**changes, baselines__random_search=False).run(tmp_path / "run", functions={"narrow": narrow}).directory
    (final,) = entries(out, "validation", "main")
    assert len(final["finalists"]) > 1
    assert all(finalist["validation"] is None and finalist["pooled"] is None for finalist in final["finalists"])
    result = result_of(out)
    assert result["validation"] is None and result["test"]["best"] >= 0
    assert (out / "report.html").exists()


def test_a_baseline_that_the_model_cannot_be_asked_about_is_not_kept_and_the_verdict_comes(
    toy: Callable[..., ToyCampaign], tmp_path: Path
) -> None:
    """Without an instruction, the item without content of contextual calibration leaves no token to ask about."""
    campaign = toy(
        template={"item": "{{ text }}"},
        space={"delta": {"encoding": "lowrank", "layers": "all", "target_modules": ["all-linear"], "rank": 1}},
        strategy={"name": "random_search"},
        budget={"evaluations": 2},
        baselines={"bag_of_words": False, "probe": False, "few_shot": False, "random_search": False},
    )
    (campaign.folder / "founders.jsonl").write_text('{"instruction": ""}\n', encoding="utf-8")
    out = campaign.run(tmp_path / "run").directory
    assert result_of(out)["test"]["prior_corrected"] == 0.0
    assert not (out / "baselines" / "prior_corrected").exists()
    assert (out / "baselines" / "founder").exists()
