"""Reports of real runs: what each kind of campaign leaves behind is what the page and the summary read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from evolm.report import RunRecord, page, render_summary, views, write_report
from evolm.report.svg import render
from tests.support.kinds_of_campaigns import write_kind
from tests.support.toy_campaign import ToyCampaign, bytes_of, entries, quick

ALONE = {"baselines__random_search": False, "baselines__few_shot": False}


@pytest.fixture(autouse=True)
def quick_campaigns() -> Iterator[None]:
    """Draw no figures while a campaign runs; ``report`` draws them."""
    with quick():
        yield


def report(directory: Path) -> tuple[str, str]:
    """Return the page, drawn in full, and the summary in one line."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (page, views):
            patch.setattr(module, "render", render)
        html = write_report(directory).read_text(encoding="utf-8")
    console = Console(width=160)
    with console.capture() as capture:
        console.print(render_summary(directory))
    return html, " ".join(capture.get().split())


def test_a_generation_task_keeps_its_items_and_the_page_shows_what_was_written(
    tmp_path: Path, tiny_model_folder: Path
) -> None:
    split = {"train": 10, "dev": 8, "test": 14, "validation": 0}
    campaign = write_kind(tmp_path / "campaign", tiny_model_folder, "generation", task__split=split)
    run = campaign.run(tmp_path / "run").directory
    kept = json.loads((run / "test.json").read_text(encoding="utf-8"))
    assert len(kept["inputs"]) == len(kept["targets"]) == 14
    assert [len(each["predictions"]) for each in kept["finalists"]] == [14] * len(kept["finalists"])
    assert len(kept["items"]) == len(kept["predictions"]["best"]) == 14
    animal, number = kept["targets"][0].split()
    assert kept["inputs"][0] == {"text": f"a {animal} and {number} more"}
    html, summary = report(run)
    assert "<h2>What the best writes</h2>" in html
    assert '<p class="note">The first 12 test items.' in html
    assert kept["targets"][13] in html
    assert "Answers are graded by chrf" in html
    assert "Where the best is right and wrong" not in html
    assert "chrf, 14 test items" in summary
    assert "commonest label" not in summary


@pytest.mark.parametrize(("kind", "metric"), [("choice", "accuracy"), ("perplexity", "perplexity")])
def test_a_task_without_labels_or_texts_is_reported_without_their_sections(
    tmp_path: Path, tiny_model_folder: Path, kind: str, metric: str
) -> None:
    run = write_kind(tmp_path / "campaign", tiny_model_folder, kind).run(tmp_path / "run").directory
    kept = json.loads((run / "test.json").read_text(encoding="utf-8"))
    assert len(kept["inputs"]) == 12 and ("options" in kept) == (kind == "choice")
    html, summary = report(run)
    assert html.count('<th scope="row">') == 12
    assert f"{metric}, 12 test items" in summary
    assert "What the best writes" not in html
    assert "Where the best is right and wrong" not in html
    assert "Warning" not in summary


def test_a_founder_that_is_read_otherwise_is_called_so(tmp_path: Path, tiny_model_folder: Path) -> None:
    run = write_kind(tmp_path / "campaign", tiny_model_folder, "calibrated choice").run(tmp_path / "run").directory
    html, summary = report(run)
    assert "best of evolution (contextual readout)" in summary
    assert "read by: contextual calibration</p>" in html


def test_a_search_that_sees_no_gold_is_audited_with_what_was_kept_for_it(
    toy: Callable[..., ToyCampaign], tmp_path: Path
) -> None:
    run = toy(task__gold="audit", scorers={"mutual_information": 1.0}, **ALONE).run(tmp_path / "run").directory
    record = RunRecord.read(run)
    assert record.scale == "mutual information"
    golds = [record.metric_on_dev(entry) for entry in entries(run, "individual")]
    assert all(gold is not None and 0 <= gold <= 1 for gold in golds)
    html, summary = report(run)
    assert "a model can become confident in wrong answers" in html
    assert "mutual information (needs no gold)" in html
    assert "mutual information against gold on dev: rank correlation" in summary


def test_a_task_without_gold_ends_with_a_page_that_claims_nothing(
    toy: Callable[..., ToyCampaign], tmp_path: Path
) -> None:
    campaign = toy(task__labels=["ham", "spam"], scorers={"mutual_information": 1.0}, **ALONE)
    del campaign.tables["task"]["columns"]["label"]
    (campaign.folder / "founders.jsonl").write_text('{"instruction": "Is it spam, or ham?"}\n', encoding="utf-8")
    html, summary = report(campaign.run(tmp_path / "run").directory)
    assert "none to compare with" in html
    assert "mutual information on dev" in summary
    assert "no claim is made" in summary


def test_several_objectives_are_reported_as_a_front(toy: Callable[..., ToyCampaign], tmp_path: Path) -> None:
    changes = {
        "scorers": {"label_likelihood": 1.0, "prompt_length": 1.0},
        "fitness__combine": "pareto",
        "strategy": {"name": "nsga2", "population_size": 4},
    }
    run = toy(**changes, **ALONE).run(tmp_path / "run").directory
    front = json.loads((run / "result.json").read_text(encoding="utf-8"))["front"]
    assert [e["id"] for e in RunRecord.read(run).front()] == [member["id"] for member in front["members"]]
    html, summary = report(run)
    assert f"<h2>The front: {len(front['members'])} prompt" in html
    assert f"Front: {len(front['members'])} prompt" in summary
    assert html.count('<tr class="more">') == len(front["members"])


def test_precision_recall_and_f1_stand_beside_the_verdict(finished: Path) -> None:
    html, summary = report(finished)
    averages = json.loads((finished / "result.json").read_text(encoding="utf-8"))["test"]["averages"]
    assert averages.keys() > {"best", "founder", "majority"}
    best = averages["best"]
    told = " ".join(f"{best[rate]:.3f}" for rate in ("accuracy", "precision", "recall", "f1"))
    assert told in summary
    assert "accuracy precision recall F1" in summary
    assert all(f">{best[rate]:.3f}<" in html for rate in best)


def test_finalists_answer_the_test_items_and_decide_nothing(toy: Callable[..., ToyCampaign], tmp_path: Path) -> None:
    runs = {most: toy(finals__on_test=most, **ALONE).run(tmp_path / f"run-{most}").directory for most in (0, 2)}
    kept = {most: json.loads((run / "test.json").read_text(encoding="utf-8")) for most, run in runs.items()}
    assert kept[0].pop("finalists") == []
    finalists = kept[2].pop("finalists")
    assert kept[0] == kept[2]
    assert bytes_of(runs[0]) == bytes_of(runs[2])
    (entry,) = entries(runs[2], "validation", "main")
    others = [row for row in entry["finalists"] if row["id"] != entry["winner"]]
    others.sort(key=lambda row: -row["expected"])
    assert [each["id"] for each in finalists] == [row["id"] for row in others[:2]]
    for each in finalists:
        labels = {0: [], 1: []}  # type: ignore[var-annotated]
        for outcome, gold in zip(each["outcomes"], kept[2]["gold"], strict=True):
            labels[gold].append(outcome == gold)
        assert each["score"] == pytest.approx(sum(sum(hits) / len(hits) for hits in labels.values()) / 2)
