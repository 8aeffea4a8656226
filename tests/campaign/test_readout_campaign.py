"""Campaigns over prompts and readouts: killed and resumed byte for byte, the rivals, and what a user applies."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from evolm.campaign.build import Components, build
from evolm.export.predictor import saved_prompt
from evolm.export.prompt import export_prompt
from evolm.readout_kinds import CALIBRATION
from tests.support.kinds_of_campaigns import write_kind
from tests.support.tiers import slow
from tests.support.toy_campaign import (
    DEV,
    EVALUATIONS,
    ToyCampaign,
    bytes_of,
    entries,
    quick,
    result_of,
    write_campaign,
)

SPACE = {"prompt": {"demonstrations": [0, 2], "max_tokens": 240}, "readout": {"kinds": ["probe", "linear", "words"]}}


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory, tiny_model_folder: Path) -> ToyCampaign:
    folder = tmp_path_factory.mktemp("readouts") / "toy"
    return write_campaign(
        folder, tiny_model_folder, space=SPACE, baselines={"few_shot": False, "prior_corrected": False}
    )


@pytest.fixture(scope="module")
def finished_readouts(campaign: ToyCampaign, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "run"
    with quick():
        campaign.run(out)
    return out


def test_readouts_evolve_beside_prompts_and_the_best_is_saved_with_its_fit(finished_readouts: Path) -> None:
    tried = entries(finished_readouts, "individual", "main")
    kinds = {entry["genome"]["readout"]["kind"] for entry in tried}
    assert {"probe", "linear"} <= kinds <= {"probe", "linear", "words"}
    assert tried[0]["genome"]["readout"]["kind"] == "probe"  # the founders' kind is the first
    assert {name for entry in tried for name in entry["operators"]} & {"readout_gene", "readout_crossover"}
    best = result_of(finished_readouts)["best"]["genome"]["readout"]["kind"]
    assert (finished_readouts / "best" / "readout.safetensors").exists() == (best != "words")


def test_readouts_of_a_scored_prompt_are_not_charged(finished_readouts: Path) -> None:
    last = entries(finished_readouts, "generation", "main")[-1]
    tried = entries(finished_readouts, "individual", "main")
    assert last["evaluations"] == EVALUATIONS == len(tried) - last["free"]
    assert last["items"] == EVALUATIONS * DEV
    assert last["free"] > 0


def test_the_rivals_of_words_are_a_probe_and_a_bag_of_words(finished_run: Callable[..., Path]) -> None:
    off = {"random_search": False, "few_shot": False, "prior_corrected": False}
    run = finished_run(budget__evaluations=4, baselines=off)
    test = result_of(run)["test"]
    assert test["probe"] is not None and test["bag_of_words"] is not None
    assert {entry["genome"]["readout"]["kind"] for entry in entries(run, "individual")} <= set(CALIBRATION)
    rows = pd.DataFrame({"text": ["win a free prize 3", "see you at lunch 8"]})
    for rival in ("probe", "bag_of_words"):
        with saved_prompt(run, use=rival) as prompt:
            assert prompt.fit is not None and prompt.fit.genes.kind == rival
            labels = prompt.predict(rows)["label"].tolist()
        assert set(labels) <= {"spam", "ham"}
    assert labels == ["spam", "ham"]  # a bag of words knows these words; the probe reads a random model


def test_founders_with_a_probe_are_no_rivals_twice(finished_readouts: Path) -> None:
    test = result_of(finished_readouts)["test"]
    assert test["probe"] is None
    record = json.loads((finished_readouts / "baselines" / "founder" / "prompt.json").read_text(encoding="utf-8"))
    assert record["readout"] == "probe"
    assert result_of(finished_readouts)["readout"] is not None


@pytest.mark.parametrize("at", [4, slow(9)])
def test_killed_and_resumed_it_equals_the_undisturbed_run(
    evolm: Any, campaign: ToyCampaign, finished_readouts: Path, tmp_path: Path, at: int
) -> None:
    out = evolm.killed_and_resumed(campaign.folder, tmp_path / "run", at)
    assert bytes_of(out) == bytes_of(finished_readouts)


def test_without_a_table_readouts_evolve_with_prompts_and_are_the_founder_s_under_a_fixed_one(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    def built(name: str, space: dict[str, Any]) -> Components:
        folder = write_kind(tmp_path / name, tiny_model_folder, "calibrated classification", space=space)
        parts = build(folder.config, folder.folder)
        parts.engine.close()
        return parts

    prompts, delta = built("prompts", {"prompt": {}}), built("delta", {"delta": {"layers": "last:1", "dimension": 4}})
    assert prompts.space.evolving == ("prompt", "readout") and prompts.space["readout"].kinds == CALIBRATION
    assert delta.space.evolving == ("delta",)
    rng = np.random.default_rng(0)
    assert {delta.space.random(rng)["readout"].kind for _ in range(4)} == {"contextual"}
    drawn = [prompts.space.random(rng)["readout"].kind for _ in range(40)]
    assert 8 < drawn.count("contextual") < 32
    fixed = built("fixed", {"prompt": {}, "readout": {"kinds": ["contextual"]}})
    assert fixed.space.evolving == ("prompt",) and fixed.space.random(rng)["readout"].kind == "contextual"


def test_a_choice_task_evolves_its_readouts_and_resumes_them(
    evolm: Any, tiny_model_folder: Path, tmp_path: Path
) -> None:
    readouts = {"kinds": ["linear", "contextual", "words"], "strengths": [1.0]}
    tables = {"space": {**SPACE, "readout": readouts}, "budget": {"evaluations": 10}}
    campaign = write_kind(tmp_path / "choice", tiny_model_folder, "choice", **tables)
    campaign.tables["name"] = "choice"  # a command calls a campaign after its folder
    with quick():
        campaign.run(tmp_path / "whole")
    kinds = {entry["genome"]["readout"]["kind"] for entry in entries(tmp_path / "whole", "individual", "main")}
    assert kinds == set(readouts["kinds"])
    assert bytes_of(evolm.killed_and_resumed(campaign.folder, tmp_path / "run", 5)) == bytes_of(tmp_path / "whole")


@pytest.mark.slow
def test_two_workers_write_the_same_run(campaign: ToyCampaign, finished_readouts: Path, tmp_path: Path) -> None:
    tables = {**campaign.tables, "evaluation": {"n_jobs": 2}}
    with quick():
        ToyCampaign(campaign.folder, tables).run(tmp_path / "run")
    assert bytes_of(tmp_path / "run") == bytes_of(finished_readouts)


def test_the_best_of_a_run_with_a_readout_starts_another_campaign(
    campaign: ToyCampaign, finished_readouts: Path, tmp_path: Path
) -> None:
    tables = {**campaign.tables, "founders": [], "seed": 5}
    ToyCampaign(campaign.folder, tables).run(tmp_path / "run", warm_starts=[finished_readouts])
    first = entries(tmp_path / "run", "individual", "main")[0]
    assert first["genome"]["readout"]["kind"] in SPACE["readout"]["kinds"]


def test_the_page_s_snippet_applies_a_probe_without_evolm(
    finished_run: Callable[..., Path], tiny_model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = finished_run("probe readout", write=write_kind)
    export_prompt(run / "best" / "prompt.json", tmp_path / "exported", without_examples=False)
    texts = ["win a free prize 3", "see you at lunch 8", "claim your cash", "happy birthday"]
    with saved_prompt(tmp_path / "exported") as prompt:
        expected = prompt.predict(pd.DataFrame({"text": texts}))["label"].tolist()
    page = (Path(__file__).parents[2] / "docs/recipes/predict-without-evolm.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(code.splitlines()) <= 15
    capsys.readouterr()
    exec(code, {"folder": str(tmp_path / "exported"), "name": str(tiny_model_folder), "texts": texts})
    assert capsys.readouterr().out.split() == expected
