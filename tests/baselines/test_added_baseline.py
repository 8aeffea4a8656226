"""Baselines that are added as one row: they reach the verdict, the report, comparisons and the preview."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from evolm import named_tables
from evolm.baselines import BASELINES, Baseline, Contest, chosen_baselines, searching_baselines
from evolm.campaign import build
from evolm.campaign.preview import preview
from evolm.errors import ConfigError
from evolm.experiments.comparison import compare_runs
from evolm.report import RunRecord, plots, render_summary
from evolm.report.comparison import group_frame, markdown
from evolm.report.page import render_page
from evolm.report.tables import score_rows
from tests.support.toy_campaign import entries, result_of

SCORE = 13 / 14  # of counting words on the toy test rows


def shared_words(contest: Contest) -> list[np.ndarray]:
    """Predict the label whose train rows share the most words with the item."""
    task = contest.task
    known: dict[str, Counter[str]] = {label: Counter() for label in task.labels}
    for item in task.train:
        known[item.gold or ""].update(item.fields["text"].split())
    shared = [
        [sum(known[label][word] for word in item.fields["text"].split()) for label in task.labels]
        for item in task.test
    ]
    return [np.argmax(shared, axis=1)]


BAG = Baseline(
    name="shared_words",
    title="shared words",
    phrase="counting words",
    summary="the label whose train rows share the most words",
    contestants=shared_words,
    prompts=0,
    compared=True,
)
CLIMB = Baseline(
    name="climber",
    title="hill climber, same budget",
    phrase="climbing a hill",
    summary="hill climbing at the same budget",
    contestants=lambda contest: [contest.finals["climber"]],
    strategy={"name": "hill_climb"},
    default=False,
)


@pytest.fixture(autouse=True)
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BASELINES, BAG.name, BAG)
    monkeypatch.setitem(BASELINES, CLIMB.name, CLIMB)


def text_of(renderable: Any) -> str:
    console = Console(file=StringIO(), width=200)
    console.print(renderable)
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.fixture
def run(toy: Callable[..., Any], tmp_path: Path) -> Path:
    return toy(budget__evaluations=6).run(tmp_path / "run").directory


def test_a_baseline_of_predictions_reaches_verdict_and_claim(run: Path) -> None:
    result = result_of(run)
    assert result["test"]["shared_words"] == SCORE
    assert result["test"]["strongest_baseline"] == "shared_words"
    assert result["test"]["climber"] is None  # off by default
    assert result["claim"].startswith("No reliable gain: keep counting words (")
    assert len(json.loads((run / "test.json").read_text(encoding="utf-8"))["outcomes"]["shared_words"]) == 1
    assert not (run / "baselines" / "shared_words").exists()  # no genome to apply
    assert (run / "baselines" / "random_search" / "prompt.txt").exists()


def test_a_baseline_reaches_the_report_s_tables_and_figures(run: Path) -> None:
    record = RunRecord.read(run)
    (row,) = [row for row in score_rows(record) if row.strongest]
    assert (row.key, row.name, row.score) == ("shared_words", "shared words", SCORE)
    assert "shared words *" in text_of(render_summary(run))
    assert "<td>shared words " in render_page(record)
    figure = plots.gaps(record)
    assert figure is not None
    assert "shared words" in [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert "over counting words;" in figure.axes[0].get_title(loc="left")


def test_a_baseline_reaches_comparisons(run: Path, toy: Callable[..., Any], tmp_path: Path) -> None:
    other = toy(budget__evaluations=6, strategy={"name": "hill_climb"}).run(tmp_path / "other").directory
    record = compare_runs([run, other]).to_record()
    assert [group["baselines"]["shared_words"] for group in record["groups"]] == [SCORE, SCORE]
    assert group_frame(record)["shared_words"].tolist() == [SCORE, SCORE]
    assert "| shared words |" in markdown(record)


def test_a_baseline_that_searches_is_a_search_of_the_run(toy: Callable[..., Any], tmp_path: Path) -> None:
    founding = toy(budget__evaluations=6, baselines={"climber": True, "random_search": False, "bag_of_words": False})
    out = StringIO()
    preview(build(founding.config, founding.folder), Console(file=out, width=120))
    assert "│ climber " in out.getvalue()
    run = founding.run(tmp_path / "run").directory
    assert len(entries(run, "individual", "climber")) == 6
    assert result_of(run)["test"]["climber"] is not None
    assert (run / "baselines" / "climber" / "prompt.txt").exists()
    figure = plots.curves(RunRecord.read(run))
    assert figure is not None
    assert any(text.get_text().startswith("climber ") for text in figure.axes[0].texts)


def test_the_schema_knows_every_baseline_that_can_be_switched() -> None:
    known = named_tables._baselines_table().model_json_schema()["properties"]  # made anew: the rows came after it
    assert set(known) == {
        "prior_corrected",
        "few_shot",
        "probe",
        "random_search",
        "fine_tuning",
        "self_training",
        "bag_of_words",
        "shared_words",
        "climber",
    }
    assert known["climber"]["default"] is False


def test_baselines_are_chosen_by_name() -> None:
    names = [baseline.name for baseline in chosen_baselines({"few_shot": False, "climber": True})]
    assert names == [
        "founder",
        "prior_corrected",
        "probe",
        "random_search",
        "bag_of_words",
        "majority",
        "single",
        "shared_words",
        "climber",
    ]
    searching = searching_baselines({"climber": True}, "random_search")
    assert [baseline.name for baseline in searching] == ["climber"]
    assert searching_baselines({}, "random_search") == []
    assert [baseline.name for baseline in searching_baselines({}, "memetic", learning=[True])] == ["fine_tuning"]


@pytest.mark.parametrize("name", ["few_shots", "founder", "majority"])
def test_what_is_no_baseline_or_cannot_be_switched_is_refused(
    name: str, toy: Callable[..., Any], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=rf"^baselines: expected 'prior_corrected', 'few_shot', .*found '{name}'"):
        toy(baselines={name: False}).run(tmp_path / "run")
