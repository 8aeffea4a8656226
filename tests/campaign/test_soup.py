"""Soups of deltas: what they are made of, their contest with the best single individual, the run of one that won."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evolm.api import load_result
from evolm.campaign.build import build
from evolm.campaign.runs import continue_run
from evolm.campaign.soup import ingredients, soup
from evolm.errors import GenomeError
from evolm.export.export import export
from evolm.export.predictor import saved_prompt
from evolm.founders.sources import read_source
from evolm.genomes import DELTA, PROMPT, DeltaGenes, Genome, Prompt
from evolm.individual import Individual
from evolm.models.deltas import LowRank
from evolm.report import RunRecord, render_summary
from evolm.report.forms import soup_rows, soup_sentence
from evolm.report.page import render_page
from evolm.report.tables import score_rows
from evolm.storage import GeneStore, RunLayout
from tests.support.once import SharedFolder
from tests.support.saved_prompts import task_of
from tests.support.soups import soup_run, write_soup_campaign
from tests.support.tiers import slow
from tests.support.toy_campaign import bytes_of, entries, quick, result_of


@pytest.fixture(scope="module")
def folder(shared_folder: SharedFolder, tiny_model_folder: Path) -> Path:
    return soup_run(shared_folder, tiny_model_folder)


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    return folder / "run"


def individual(number: int, prompt: str, *genes: float) -> Individual:
    return Individual(number, Genome({PROMPT: Prompt(prompt), DELTA: DeltaGenes(np.array(genes))}))


def test_only_deltas_under_the_prompt_of_the_best_of_them_are_averaged() -> None:
    ranked = [
        individual(0, "a", 0, 0),  # changes nothing
        individual(1, "b", 1, 0),
        individual(2, "a", 0, 1),
        individual(3, "b", 0, 2),
    ]
    assert [each.id for each in ingredients(ranked)] == [1, 3]
    assert ingredients(ranked[:1]) == []


def changes_of(run: Path, use: str = "best") -> dict[str, Any]:
    with saved_prompt(run, use=use) as opened:
        return dict(opened.require_changes())


def test_the_saved_delta_is_the_average_of_its_members(folder: Path, run: Path) -> None:
    record = result_of(run)["soup"]
    known = {entry["id"]: entry for entry in entries(run, "individual", "main")}
    store = GeneStore(RunLayout(run).genes)
    genes = [store.read("main", known[m["id"]]["generation"])[m["id"]][DELTA]["genes"] for m in record["members"]]
    with saved_prompt(run) as opened:
        space = opened.space
        found = opened.require_changes()
        assert opened.delta is not None and opened.delta.genes.size == len(genes) * space.dimension
    for name, change in found.items():
        each = [space.changes(own)[name] for own in genes]
        average = np.mean([own.up @ own.down for own in each], axis=0)
        np.testing.assert_allclose(change.up @ change.down, average, rtol=1e-4, atol=1e-6)


def test_the_result_has_the_soup_and_the_best_single_individual(run: Path) -> None:
    result = result_of(run)
    found = result["soup"]
    assert found["won"] and 2 <= len(found["members"]) <= 3 and result["committee"] is None
    (journalled,) = (entry["soup"] for entry in entries(run, "validation", "main"))
    assert journalled == {key: found[key] for key in journalled}
    assert found["log_loss"] <= found["single"]["log_loss"]
    assert result["validation"] == {"best": found["validation"], "single": found["single"]["validation"]}
    assert result["dev"]["best"] == found["dev"] and result["expected"] is None
    assert result["test"]["single"] is not None


@pytest.mark.parametrize("use", ["best", "single"])
def test_its_score_on_test_rows_is_that_of_the_verdict(run: Path, use: str) -> None:
    with saved_prompt(run, use=use) as opened:
        found = opened.score_items(task_of(run).test)
    assert found.value == pytest.approx(result_of(run)["test"][use])


def test_it_leaves_as_one_adapter_of_higher_rank(run: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    export(run, tmp_path / "adapter", "peft")
    tensors = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    members = len(result_of(run)["soup"]["members"])
    assert {tensor.shape[0] for name, tensor in tensors.items() if "lora_A" in name} == {2 * members}
    assert all(isinstance(change, LowRank) for change in changes_of(run).values())


def test_an_exported_soup_answers_like_the_run_s(run: Path, tmp_path: Path) -> None:
    export(run, tmp_path / "out")
    with saved_prompt(tmp_path / "out") as opened, saved_prompt(run) as own:
        assert opened.predict(str(run.parent / "toy" / "toy.csv"), root=Path()).equals(
            own.predict(str(run.parent / "toy" / "toy.csv"), root=Path())
        )


def test_a_warm_start_begins_with_the_members(run: Path) -> None:
    records = [record for record, _ in read_source(run, "run").records]
    result = result_of(run)
    ids = dict.fromkeys([result["best"]["id"], *(member["id"] for member in result["soup"]["members"])])
    known = {entry["id"]: entry for entry in entries(run, "individual", "main")}
    norms = [record["delta"]["norm"] for record in records[: len(ids)]]
    assert norms[0] == known[result["best"]["id"]]["genome"]["delta"]["norm"]
    assert set(norms) == {known[id]["genome"]["delta"]["norm"] for id in ids}


def test_the_report_shows_what_it_is_made_of(run: Path) -> None:
    record = RunRecord.read(run)
    rows = soup_rows(record)
    assert [row.id for row in rows] == [member["id"] for member in result_of(run)["soup"]["members"]]
    assert all(row.descent[-1] == row.id for row in rows)
    page = render_page(record)
    assert "<h2>The soup</h2>" in page and soup_sentence(record) in page
    assert "The best single individual beside the founder" in page
    assert next(row for row in score_rows(record) if row.key == "best").name.endswith(f"(soup of {len(rows)})")
    assert "--use single" in soup_sentence(record)
    assert render_summary(run) is not None
    assert load_result(run).prompt


def test_campaigns_without_deltas_or_with_the_switch_off_have_none(folder: Path, tiny_model_folder: Path) -> None:
    from evolm.campaign.soup import allowed

    for changes, expected in (({}, True), ({"finals": {"soup": 1}}, False), ({"space": {}}, False)):
        toy = write_soup_campaign(folder.parent / "switched", tiny_model_folder, **changes)
        if not toy.tables["space"]:
            toy.tables["strategy"] = {"name": "genetic"}
        parts = build(toy.config, toy.folder)
        parts.engine.close()
        assert allowed(parts) == expected


def test_a_soup_of_one_member_is_that_member(folder: Path) -> None:
    toy = folder / "toy"
    from evolm import config as configuration

    parts = build(configuration.load(toy / "campaign.toml"), toy)
    parts.engine.close()
    rng = np.random.default_rng(0)
    genome = parts.founders.genomes[0].with_chromosome(DELTA, parts.space[DELTA].random(rng))
    assert soup([Individual(0, genome)], parts).digest == genome.digest


@pytest.mark.parametrize("left", [1, slow(2), slow(4)])
def test_killed_and_resumed_it_equals_the_undisturbed_run(
    evolm: Any, folder: Path, run: Path, tmp_path: Path, left: int
) -> None:
    out = evolm.killed_near_its_end(folder / "toy", tmp_path / "run", run, left)
    assert bytes_of(out) == bytes_of(run)


def test_a_continued_run_replaces_the_soup_by_what_wins_then(folder: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(folder / "run", tmp_path / "run"))
    with quick():
        result = continue_run(out, add={"evaluations": 4}).result
    assert (out / "baselines" / "single").exists() == (result["soup"] is not None)
    assert (out / "best" / "prompt.json").exists()


def test_a_soup_that_is_cut_short_is_refused(run: Path, tmp_path: Path) -> None:
    from safetensors import safe_open
    from safetensors.numpy import save_file

    best = Path(shutil.copytree(run / "best", tmp_path / "best"))
    path = best / "delta.safetensors"
    with safe_open(path, framework="numpy") as stored:
        metadata, genes = stored.metadata(), stored.get_tensor("genes")
    save_file({"genes": genes[:-1]}, path, metadata)
    with pytest.raises(GenomeError, match=f"{genes.size - 1} genes, expected"):
        saved_prompt(best).__enter__()
