"""Campaigns that learn from rewards of the model's own answers: they resume exactly and pay for what they learn."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from evolm.campaign import build, continue_run
from evolm.errors import ConfigError, Interrupted, ScorerError
from evolm.tasks import Item
from tests.support.crashes import CrashAfterGeneration
from tests.support.kinds_of_campaigns import write_kind
from tests.support.tiers import slow
from tests.support.toy_campaign import ToyCampaign, bytes_of, entries, quick, result_of

DELTA = {"layers": "last:1", "target_modules": ["q_proj", "v_proj", "o_proj"], "encoding": "lowrank", "rank": 2}
REINFORCE = {"name": "reinforce", "learning_rates": [0.02], "gradient_steps": 1, "grid_steps": 1, "batch_size": 4}
MIXED = {"name": "memetic", "population_size": 2, "gradient_steps": 1, "batch_size": 4}
CAMPAIGNS: dict[str, dict[str, Any]] = {
    "texts": {
        "kind": "generation",
        "learning": {"reward": {"fluency": 0.1, "diversity": 1.0}, "samples": 3, "kl": 0.1},
    },
    "labels": {"kind": "classification", "learning": {"kl": 0.1}, "space": {"prompt": {}, "delta": DELTA}},
    "options": {"kind": "choice", "learning": {"reward": "p_true"}},
    "mixed": {
        "kind": "generation",
        "strategy": MIXED,
        "learning": {"reward": "self_consistency"},
        "operators": {"policy_gradient": 1.0},
    },
    "margin": {"kind": "classification", "strategy": MIXED, "learning": {"loss": "margin", "margin": 2.0}},
}


def campaign(folder: Path, model: Path, name: str, **changes: Any) -> ToyCampaign:
    """Write the campaign of that name; four individuals are evaluated."""
    tables: dict[str, Any] = {
        "space": {"delta": DELTA},
        "strategy": REINFORCE,
        "budget": {"evaluations": 4},
        "baselines": {
            "random_search": False,
            "few_shot": False,
            "fine_tuning": False,
            "bag_of_words": False,
            "probe": False,
        },
        **CAMPAIGNS[name],
        **changes,
    }
    return write_kind(folder, model, tables.pop("kind"), **tables)


@pytest.fixture
def run(request: pytest.FixtureRequest, finished_run: Callable[..., Path]) -> Path:
    """A finished run of that campaign, changed by no test."""
    return finished_run(request.param, write=campaign)


every = pytest.mark.parametrize("run", CAMPAIGNS, indirect=True)


@every
def test_individuals_learn_and_their_lessons_are_charged(run: Path) -> None:
    first, *others = entries(run, "individual", "main")
    assert len(others) == 3
    for each in others:
        assert set(each["operators"]) & {"policy_gradient", "gradient_step"}
        assert each["genome"]["delta"]["learning"]["count"] > 0
        assert each["digest"] != first["digest"]
    generations = entries(run, "generation", "main")
    alone = generations[0]["tokens"] / generations[0]["evaluations"]
    assert all(b["tokens"] - a["tokens"] > alone for a, b in pairwise(generations))
    assert result_of(run)["budget"]["evaluations"] == 4


@pytest.mark.parametrize("run", ["mixed"], indirect=True)
def test_a_population_mixes_gold_and_rewards(run: Path) -> None:
    rates = entries(run, "operators", "main")[0]["rates"]
    assert rates["policy_gradient"]["tried"] + rates["gradient_step"]["tried"] >= 3


@pytest.mark.parametrize(
    ("run", "name"), [("texts", "texts"), slow("labels", "labels"), slow("mixed", "mixed")], indirect=["run"]
)
def test_an_interrupted_run_goes_on_to_the_same_bytes(
    run: Path, name: str, tiny_model_folder: Path, tmp_path: Path
) -> None:
    with quick():
        with pytest.raises(Interrupted):
            campaign(tmp_path / "c", tiny_model_folder, name).run(
                tmp_path / "run", observers=[CrashAfterGeneration(1, Interrupted)]
            )
        continue_run(tmp_path / "run")
    assert bytes_of(tmp_path / "run") == bytes_of(run)


@pytest.mark.slow
@pytest.mark.parametrize(("run", "name"), [("texts", "texts"), ("labels", "labels")], indirect=["run"])
def test_two_workers_write_the_same_bytes(run: Path, name: str, tiny_model_folder: Path, tmp_path: Path) -> None:
    campaign(tmp_path / "c", tiny_model_folder, name, evaluation={"n_jobs": 2}).run(tmp_path / "run")
    assert bytes_of(tmp_path / "run") == bytes_of(run)


def test_without_gold_the_model_learns_from_its_own_judgement(tiny_model_folder: Path, tmp_path: Path) -> None:
    toy = campaign(
        tmp_path, tiny_model_folder, "labels", learning={"reward": "p_true"}, scorers={"mutual_information": 1.0}
    )
    toy.tables["task"]["gold"] = "audit"
    del toy.tables["baselines"]["fine_tuning"]
    parts = build(toy.config, toy.folder)
    assert [each.name for each in parts.searching_baselines] == []  # fine-tuning needs gold
    toy.run(tmp_path / "run")
    assert all("policy_gradient" in each["operators"] for each in entries(tmp_path / "run", "individual", "main")[1:])


def constant(item: Item, answer: str, probabilities: Any) -> float:
    return 1.0


def test_a_constant_reward_ends_the_run_in_one_sentence(tiny_model_folder: Path, tmp_path: Path) -> None:
    toy = campaign(tmp_path, tiny_model_folder, "texts", learning={"reward": {"constant": 1.0}})
    with pytest.raises(
        ScorerError, match="learning.reward: expected answers that differ in reward, found that the answers"
    ):
        toy.run(tmp_path / "run", functions={"constant": constant})
    journal = (tmp_path / "run" / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["type"] for line in journal].count("individual") == 1  # the founder is kept
    assert not (tmp_path / "run" / "result.json").exists()


def test_samples_that_are_all_empty_end_the_run_in_one_sentence(tiny_model_folder: Path, tmp_path: Path) -> None:
    everything = ["\N{REPLACEMENT CHARACTER}", *(chr(code) for code in range(1, 256))]
    toy = campaign(tmp_path, tiny_model_folder, "texts", generation={"max_new_tokens": 4, "stop_strings": everything})
    with pytest.raises(ScorerError, match="learning.reward: .*every sampled text is empty"):
        toy.run(tmp_path / "run")


def test_a_margin_needs_wrong_answers(tiny_model_folder: Path, tmp_path: Path) -> None:
    toy = campaign(tmp_path, tiny_model_folder, "mixed", learning={"loss": "margin"})
    with pytest.raises(
        ConfigError, match="learning.loss: expected 'cross_entropy' for a generation task, .*found 'margin'"
    ):
        toy.run(tmp_path / "run")
    assert not (tmp_path / "run").exists()
