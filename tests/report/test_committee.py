"""What the report and the terminal say about a committee."""

from __future__ import annotations

import json
import shutil
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from evolm.report import RunRecord, plots, render_summary
from evolm.report.committee import committee_sentence, member_rows
from evolm.report.page import render_page
from evolm.report.tables import score_rows
from tests.support.committees import committee_run, members_of_run
from tests.support.once import SharedFolder
from tests.support.toy_campaign import result_of


@pytest.fixture(scope="module")
def run(shared_folder: SharedFolder, tiny_model_folder: Path) -> Path:
    return committee_run(shared_folder, tiny_model_folder) / "run"


def test_the_page_shows_the_members_and_what_the_single_individual_reaches(run: Path) -> None:
    record, members = RunRecord.read(run), members_of_run(run)
    rows = member_rows(record)
    assert [(row.id, row.weight, row.validation) for row in rows] == [
        (member["id"], member["weight"], member["validation"]) for member in members
    ]
    assert sum(row.share for row in rows) == pytest.approx(1)
    assert all(row.descent[-1] == row.id and row.text for row in rows)
    page = render_page(record)
    assert "<h2>The committee</h2>" in page and "The best single individual beside the founder" in page
    assert committee_sentence(record) in page
    scores = {row.key: row for row in score_rows(record)}
    assert scores["single"].score == result_of(run)["test"]["single"] and not scores["single"].strongest
    assert scores["best"].name.endswith(f"(committee of {len(members)})")


def test_the_figure_of_scores_has_a_row_for_each(run: Path) -> None:
    figure = plots.gaps(RunRecord.read(run))
    assert figure is not None
    names = [label.get_text().replace("\n", " ") for label in figure.axes[0].get_yticklabels()]
    assert "best of evolution" in names and "best single individual" in names


def test_the_terminal_has_one_line_about_it(run: Path) -> None:
    console = Console(file=StringIO(), width=250)
    console.print(render_summary(run))
    lines = [line for line in console.file.getvalue().splitlines() if line.startswith("Committee of")]  # type: ignore[attr-defined]
    assert lines == [committee_sentence(RunRecord.read(run))]
    assert "--use single" in lines[0]


def test_a_committee_that_lost_is_a_sentence_of_the_page_alone(run: Path, tmp_path: Path) -> None:
    lost = shutil.copytree(run, tmp_path / "run")
    result = result_of(run) | {"committee": None}
    (lost / "result.json").write_text(json.dumps(result), encoding="utf-8")
    text = (lost / "journal.jsonl").read_text(encoding="utf-8").replace('"won":true', '"won":false')
    (lost / "journal.jsonl").write_text(text, encoding="utf-8")
    record = RunRecord.read(lost)
    assert "did not win" in committee_sentence(record) and member_rows(record) == []
    console = Console(file=StringIO(), width=250)
    console.print(render_summary(lost))
    assert "ommittee" not in console.file.getvalue()  # type: ignore[attr-defined]
