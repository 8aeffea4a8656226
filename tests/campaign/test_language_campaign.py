"""Campaigns in which the model writes: resumed, spread over workers and paid for like all others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evolm.campaign import continue_run
from evolm.errors import ConfigError
from evolm.operators import OPERATORS
from tests.support.crashes import Crash, CrashAfterGeneration, CrashAmidRequests
from tests.support.tiers import slow
from tests.support.toy_campaign import ToyCampaign, bytes_of, entries, merged, quick, write_campaign

SPEAKING = [name for name, operator in OPERATORS.items() if operator.asks_model and operator.chromosome == "prompt"]


@pytest.fixture(scope="module")
def talkative(tmp_path_factory: pytest.TempPathFactory, talkative_model_folder: Path) -> ToyCampaign:
    """A campaign whose children are mostly written by the model, through its chat template where prompts go."""
    return write_campaign(
        tmp_path_factory.mktemp("talkative") / "campaign",
        talkative_model_folder,
        model__chat_template="on",
        operators=dict.fromkeys(SPEAKING, 20.0),
        space__readout__kinds=["words"],  # another best may ask for what is saved with it
        baselines__random_search=False,
        budget__evaluations=15,
    )


@pytest.fixture(scope="module")
def undisturbed(talkative: ToyCampaign, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with quick():
        return talkative.run(tmp_path_factory.mktemp("runs") / "undisturbed").directory


def test_the_model_writes_children_and_the_rates_say_so(undisturbed: Path) -> None:
    individuals = entries(undisturbed, "individual")
    written = [e for e in individuals if set(e["operators"]) & set(SPEAKING)]
    (rates,) = (e["rates"] for e in entries(undisturbed, "operators"))
    assert written
    for name in SPEAKING:
        rate = rates[name]
        assert rate["tried"] >= rate["fallback"] + rate["accepted"]
        assert rate["accepted"] == sum(name in e["operators"] for e in individuals)
    assert sum(rates[name]["tried"] for name in SPEAKING) > sum(rates[name]["fallback"] for name in SPEAKING) > 0


def test_what_operators_ask_is_charged_to_the_search(undisturbed: Path) -> None:
    generations = entries(undisturbed, "generation")
    timing = [json.loads(line) for line in (undisturbed / "timing.jsonl").read_text(encoding="utf-8").splitlines()]
    charged = [entry["tokens_charged"] for entry in timing if entry["event"] == "generation"]
    assert [entry["tokens"] for entry in generations] == charged
    assert len(charged) >= 3


def test_a_run_that_crashes_after_every_generation_ends_as_the_undisturbed_one(
    talkative: ToyCampaign, undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    with pytest.raises(Crash):
        talkative.run(out, observers=[CrashAfterGeneration()])
    for _ in entries(undisturbed, "generation")[1:]:
        with pytest.raises(Crash):
            continue_run(out, observers=[CrashAfterGeneration()])
    continue_run(out)
    assert bytes_of(out) == bytes_of(undisturbed)


@pytest.mark.parametrize("batches", [7, slow(13)])
def test_a_run_that_crashes_amid_a_conversation_ends_as_the_undisturbed_one(
    batches: int, talkative: ToyCampaign, undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    with pytest.raises(Crash):
        talkative.run(out, observers=[CrashAmidRequests(batches)])
    assert not (out / "result.json").exists()
    continue_run(out)
    assert bytes_of(out) == bytes_of(undisturbed)


@pytest.mark.slow
def test_two_workers_write_the_same_run(talkative: ToyCampaign, undisturbed: Path, tmp_path: Path) -> None:
    two = ToyCampaign(talkative.folder, merged(talkative.tables, {"evaluation.n_jobs": 2}))
    assert bytes_of(two.run(tmp_path / "run").directory) == bytes_of(undisturbed)


def test_operators_that_need_gold_are_refused_where_the_search_has_none(
    talkative: ToyCampaign, tmp_path: Path
) -> None:
    tables = merged(talkative.tables, {"task.gold": "audit", "scorers": {"mutual_information": 1.0}})
    with pytest.raises(ConfigError, match=r"operators.language_feedback: expected labelled train items"):
        ToyCampaign(talkative.folder, tables).run(tmp_path / "run")
