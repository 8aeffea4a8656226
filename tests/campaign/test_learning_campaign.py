"""Campaigns whose individuals learn by gradient: they get better, resume exactly, and pay for what they learn."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from evolm.campaign import build, continue_run
from evolm.campaign.campaign import Campaign
from evolm.campaign.preview import preview
from evolm.errors import ConfigError
from evolm.export.predictor import saved_prompt
from evolm.storage import RunLayout
from tests.support.crashes import Crash, CrashAfterGeneration
from tests.support.tiers import slow
from tests.support.toy_campaign import DEV, FOUNDERS, ToyCampaign, bytes_of, entries, quick, result_of, write_campaign

DELTA = {"layers": "last:1", "target_modules": ["q_proj", "v_proj", "o_proj"], "encoding": "lowrank", "rank": 2}
MEMETIC = {"name": "memetic", "population_size": 3, "gradient_steps": 3, "batch_size": 6, "learning_rate": 0.05}
ADAM = {"name": "adam", "learning_rates": [0.01, 0.1], "grid_steps": 4, "gradient_steps": 3, "batch_size": 6}
HYBRID = {"prompt": {"demonstrations": [0, 2], "max_tokens": 240}, "delta": DELTA}
STRATEGIES: dict[str, dict[str, Any]] = {
    "memetic": {"strategy": MEMETIC, "space": {"delta": DELTA}},
    "adam": {"strategy": ADAM, "space": {"delta": DELTA}},
    "memetic hybrid": {"strategy": MEMETIC, "space": HYBRID},
    "adam hybrid": {"strategy": ADAM, "space": HYBRID},
}
COMPARED = "memetic hybrid"  # with fine-tuning


def campaign(folder: Path, model: Path, name: str, **changes: Any) -> ToyCampaign:
    compared = {"baselines__fine_tuning": name == COMPARED}
    toy = write_campaign(folder, model, **{"budget__evaluations": 9, **compared, **changes})
    toy.tables.update(STRATEGIES[name])
    (folder / "founders.jsonl").write_text(json.dumps(FOUNDERS[0]) + "\n", encoding="utf-8")
    return toy


@pytest.fixture(scope="module", params=STRATEGIES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def run(name: str, finished_run: Callable[..., Path]) -> Path:
    """A finished run of that strategy, changed by no test."""
    return finished_run(name, write=campaign)


def learning_of(entry: dict[str, Any]) -> dict[str, Any] | None:
    genome = entry["genome"]
    return genome["delta"]["learning"]


def test_learning_makes_individuals_better(run: Path) -> None:
    individuals = entries(run, "individual", "main")
    first, *others = individuals
    assert learning_of(first) is None
    assert all("gradient_step" in each["operators"] and learning_of(each) for each in others)
    better = [each for each in others if each["fitness"] > first["fitness"]]
    assert len(better) > len(others) / 2
    rates = entries(run, "operators", "main")[0]["rates"]["gradient_step"]
    assert rates["accepted"] == rates["evaluated"] == len(others)
    assert result_of(run)["dev"]["best"] >= first["score"]


def test_what_is_learnt_is_inherited(run: Path, name: str) -> None:
    known = {each["id"]: each for each in entries(run, "individual", "main")}
    grown = [each for each in known.values() if each["parents"] and learning_of(known[each["parents"][0]])]
    assert grown
    for each in grown:
        before, after = learning_of(known[each["parents"][0]]), learning_of(each)
        assert before is not None and after is not None
        assert after["count"] == before["count"] + after["steps"]
        assert (after["rate"] == before["rate"]) == name.startswith("adam")


def test_the_tokens_of_learning_are_charged_three_times(run: Path) -> None:
    generations = entries(run, "generation", "main")
    spent = [after["tokens"] - before["tokens"] for before, after in pairwise(generations)]
    alone = generations[0]["tokens"] / len(entries(run, "individual", "main"))
    assert all(tokens > alone for tokens in spent)


def test_fine_tuning_is_the_rival_at_equal_tokens(finished_run: Callable[..., Path]) -> None:
    run = finished_run(COMPARED, write=campaign)
    main, tuned = (entries(run, "generation", search) for search in ("main", "fine_tuning"))
    assert tuned[-2]["tokens"] < main[-1]["tokens"] <= tuned[-1]["tokens"]
    assert tuned[-1]["items"] == tuned[-1]["evaluations"] * DEV
    assert all(learning_of(each) for each in entries(run, "individual", "fine_tuning")[1:])
    assert not entries(run, "individual", "random_search")
    test = result_of(run)["test"]
    assert test["fine_tuning"] is not None and test["random_search"] is None
    with saved_prompt(run, use="fine_tuning") as prompt:
        labels = prompt.predict(pd.DataFrame({"text": ["win a free prize 3", "see you at lunch 8"]}))["label"]
    assert set(labels) <= {"spam", "ham"}


def test_rates_that_are_not_given_are_those_of_the_space(tiny_model_folder: Path, tmp_path: Path) -> None:
    for name, key, multiples in (("adam", "learning_rates", (0.25, 1.0, 2.5)), ("memetic", "learning_rate", (1.0,))):
        wide = {**DELTA, "layers": "all", "target_modules": ["all-linear"], "rank": 4}
        toy = campaign(tmp_path / name, tiny_model_folder, name)
        toy.tables["space"] = {"delta": wide}
        toy.tables["strategy"] = {each: value for each, value in toy.tables["strategy"].items() if each != key}
        parts = build(toy.config, toy.folder)
        (toy.folder / "run").mkdir()
        (search,) = Campaign(parts, RunLayout(toy.folder / "run")).searches
        usual = parts.space["delta"].learning_rate
        assert 0 < usual < 0.02 and search.strategy.learning_settings().rate == usual * multiples[0]
        if name == "adam":
            assert search.strategy._rates == [each * usual for each in multiples]
        parts.engine.close()


def test_a_campaign_that_fine_tunes_is_not_compared_with_itself(tiny_model_folder: Path, tmp_path: Path) -> None:
    for name, tells in (("adam", False), ("memetic", True)):
        racing = {"racing": "race" if tells else "off", "race_block": 4, "n_jobs": 1}
        toy = campaign(tmp_path / name, tiny_model_folder, name, baselines__fine_tuning=True, evaluation=racing)
        parts = build(toy.config, toy.folder)
        (toy.folder / "run").mkdir()
        searches = Campaign(parts, RunLayout(toy.folder / "run")).searches
        assert [search.race is not None for search in searches] == ([True, False] if tells else [False])
        assert [each.name for each in parts.searching_baselines] == ["fine_tuning"] * tells
        out = StringIO()
        preview(parts, Console(file=out, width=120))
        assert ("fine tuning" in out.getvalue()) == tells


@pytest.mark.parametrize("name", ["adam", "memetic hybrid", slow("adam hybrid"), slow("memetic")], indirect=True)
def test_an_interrupted_run_goes_on_to_the_same_bytes(
    run: Path, name: str, tiny_model_folder: Path, tmp_path: Path
) -> None:
    with quick():
        with pytest.raises(Crash):
            campaign(tmp_path / "c", tiny_model_folder, name).run(
                tmp_path / "run", observers=[CrashAfterGeneration(1)]
            )
        assert not (tmp_path / "run" / "result.json").exists()
        continue_run(tmp_path / "run")
    assert bytes_of(tmp_path / "run") == bytes_of(run)


@pytest.mark.parametrize(
    ("strategy", "changes", "message"),
    [
        (
            "memetic",
            {"space": {"prompt": {}}},
            r"can search this space .*: it needs \[space.delta\]",
        ),
        ("adam", {"task__gold": "audit"}, "expected labelled train items to learn from, found none"),
        (
            "adam",
            {"operators": {"gradient_step": 0.0}},
            "gradient_step: expected a weight above 0.*'adam'",
        ),
        ("adam", {"strategy": {**ADAM, "learning_rates": [0.01, -1.0]}}, "learning_rates.1' is -1.0"),
    ],
)
def test_what_cannot_learn_is_one_sentence(
    strategy: str, changes: dict[str, Any], message: str, tiny_model_folder: Path, tmp_path: Path
) -> None:
    toy = campaign(tmp_path, tiny_model_folder, strategy)
    for key, value in changes.items():
        if "__" in key:
            table, _, last = key.partition("__")
            toy.tables[table][last] = value
            toy.tables["scorers"] = {"margin": 1.0}
        else:
            toy.tables[key] = value
    with pytest.raises(ConfigError, match=message):
        toy.run(tmp_path / "run")
