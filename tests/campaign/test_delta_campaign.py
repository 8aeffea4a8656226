"""Campaigns that evolve changes of the weights, alone and together with prompts, on the tiny model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors import safe_open
from safetensors.numpy import save

from evolm import config as configuration
from evolm.artifacts.delta import read_delta
from evolm.campaign.build import build
from evolm.campaign.checks import check_trunk
from evolm.errors import ConfigError, EvolmError
from evolm.export.predictor import saved_prompt
from evolm.models import PassSettings
from evolm.storage import GeneStore
from tests.support.delta_campaigns import KINDS, changing, write_delta_campaign
from tests.support.kinds_of_campaigns import components_of
from tests.support.tiers import slow
from tests.support.toy_campaign import FOUNDERS, bytes_of, entries, quick, result_of


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def run(kind: str, finished_run: Callable[..., Path]) -> Path:
    """A finished run of either kind, changed by no test."""
    return changing(lambda seed: finished_run(kind, write=write_delta_campaign, seed=seed))


def test_a_campaign_finds_changes_that_are_better_than_none(run: Path, kind: str) -> None:
    result = result_of(run)
    assert result["best"]["genome"].keys() == {"prompt", "delta", "readout"}
    individuals = entries(run, "individual", "main")
    assert len(individuals) == 14
    fitness = [tuple(i["fitness"]) for i in individuals]
    assert len(set(fitness)) > 5
    assert max(fitness) > fitness[0]
    assert result["test"]["founder"] is not None and result["test"]["prior_corrected"] is not None


def test_the_journal_names_vectors_and_the_gene_store_has_them(run: Path, kind: str) -> None:
    for search in ("main", "random_search"):
        for entry in entries(run, "individual", search):
            record = entry["genome"]["delta"]
            assert "genes" not in record
            genes = GeneStore(run / "genes").read(search, entry["generation"])[entry["id"]]["delta"]["genes"]
            assert genes.shape == (6,)
            assert np.linalg.norm(genes.astype(float)) == pytest.approx(record["norm"])


@pytest.mark.parametrize("kind", [slow("delta"), slow("hybrid")], indirect=True)
def test_the_same_campaign_gives_the_same_run_at_two_workers(
    run: Path, kind: str, tiny_model_folder: Path, tmp_path: Path
) -> None:
    changes = {"seed": configuration.load(run / "campaign.toml").seed, "evaluation__n_jobs": 2}
    with quick():
        write_delta_campaign(tmp_path / "c", tiny_model_folder, kind, **changes).run(tmp_path / "run")
    assert bytes_of(tmp_path / "run") == bytes_of(run)
    ours, theirs = (sorted((each / "genes").iterdir()) for each in (tmp_path / "run", run))
    assert [path.read_bytes() for path in ours] == [path.read_bytes() for path in theirs]


def test_predictions_of_the_saved_best_are_those_of_the_campaign(run: Path, tmp_path: Path) -> None:
    parts = components_of(run)
    test = parts.task.test
    content = json.loads((run / "test.json").read_text(encoding="utf-8"))
    frame = pd.DataFrame([dict(item.fields) for item in test])
    with saved_prompt(run) as saved:
        assert saved.delta is not None
        predicted = saved.predict(frame)
    labels = list(parts.task.labels)
    assert [labels.index(label) for label in predicted["label"]] == content["outcomes"]["best"][0]
    assert content["outcomes"]["best"] != content["outcomes"]["founder"]


def test_the_best_delta_is_read_back_over_its_model_and_no_other(run: Path, tmp_path: Path) -> None:
    parts = components_of(run)
    space, genome = read_delta(run / "best" / "delta.safetensors", parts.model)
    assert space.settings.dimension == 6 and genome.genes.any()
    object.__setattr__(parts.model.prepared, "fingerprint", "0" * 64)
    with pytest.raises(EvolmError, match="was made for the model"):
        read_delta(run / "best" / "delta.safetensors", parts.model)


@pytest.mark.parametrize(
    ("genes", "message"),
    [([1.0, float("nan"), 0, 0, 0, 0], "1 genes are NaN or infinite"), ([1.0, 2.0], "2 genes, expected 6")],
)
def test_damaged_genes_are_one_sentence(run: Path, genes: list[float], message: str, tmp_path: Path) -> None:
    shutil.copytree(run / "best", tmp_path / "best")
    file = tmp_path / "best" / "delta.safetensors"
    with safe_open(file, framework="numpy") as stored:
        metadata = stored.metadata()
    file.write_bytes(save({"genes": np.array(genes, dtype=np.float32)}, metadata))
    with pytest.raises(EvolmError, match=message), saved_prompt(tmp_path / "best"):
        pass


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": "last:9"}, "space.delta.layers: expected .* found 'last:9'"),
        ({"layers": [5]}, "indices 0 to 1"),
        ({"target_modules": ["query"]}, "'query' matches nothing, expected some of .*q_proj"),
        ({"rank": 99}, "space.delta.rank: expected at most 32 for 'q_proj' .*found 99"),
        ({"encoding": "lora"}, "'lora' is unknown, expected one of 'lowrank'"),
        ({"target_modules": ["input_layernorm"]}, "changes linear modules, found 'input_layernorm'"),
    ],
)
def test_a_space_that_does_not_fit_the_model_is_one_sentence(
    changes: dict[str, Any], message: str, tiny_model_folder: Path, tmp_path: Path
) -> None:
    toy = write_delta_campaign(tmp_path, tiny_model_folder, "delta")
    toy.tables["space"]["delta"].update(changes)
    with pytest.raises(ConfigError, match=message):
        toy.run(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_deltas_alone_need_one_prompt(tiny_model_folder: Path, tmp_path: Path) -> None:
    toy = write_delta_campaign(tmp_path, tiny_model_folder, "delta")
    (tmp_path / "founders.jsonl").write_text(
        "".join(json.dumps(founder) + "\n" for founder in FOUNDERS), encoding="utf-8"
    )
    with pytest.raises(ConfigError, match="founders with 2 different prompts"):
        toy.run(tmp_path / "run")
    run = write_delta_campaign(tmp_path / "written", tiny_model_folder, "delta", founders=[], budget__evaluations=4)
    with quick():
        assert run.run(tmp_path / "written" / "run").result["best"]["genome"].keys() == {"prompt", "delta", "readout"}


def test_a_memory_limit_too_small_for_one_item_is_refused(tiny_model_folder: Path, tmp_path: Path) -> None:
    toy = write_delta_campaign(tmp_path, tiny_model_folder, "delta")
    parts = build(toy.config, toy.folder)
    parts.model.passes = PassSettings(trunk_bytes=100)
    with pytest.raises(ConfigError, match="evaluation.trunk_mb: expected at least 1 for the longest item"):
        check_trunk(parts.evaluator, parts.founders, parts.space)


def test_a_resolved_campaign_file_reads_back(run: Path, kind: str) -> None:
    config = configuration.load(run / "campaign.toml")
    assert (config.space.prompt is None) == (kind == "delta")
    assert config.space.delta is not None and config.space.delta.dimension == 6
