"""What holds for every form that a winner may take beside a single individual."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from evolm.campaign.finals import FORMS
from evolm.export.predictor import saved_prompt
from evolm.report import RunRecord
from evolm.report.page import render_page
from evolm.report.tables import score_rows
from tests.support.committees import committee_run
from tests.support.once import SharedFolder
from tests.support.saved_prompts import task_of
from tests.support.soups import relearnt_run, soup_run
from tests.support.toy_campaign import entries, result_of

RUNS: Mapping[str, Callable[[SharedFolder, Path], Path]] = {
    "soup": soup_run,
    "relearnt": relearnt_run,
    "committee": committee_run,
}


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def run(form: str, shared_folder: SharedFolder, tiny_model_folder: Path) -> Path:
    """A finished run that the form won."""
    return RUNS[form](shared_folder, tiny_model_folder) / "run"


def test_one_form_wins_and_the_journal_has_every_contest(form: str, run: Path) -> None:
    result = result_of(run)
    assert [name for name in FORMS if result[name]] == [form]
    (final,) = entries(run, "validation", "main")
    assert FORMS.keys() <= final.keys() and final[form]["won"]
    json.dumps(final, allow_nan=False)


def test_it_won_on_validation_rows_and_the_single_individual_stands_beside_it(form: str, run: Path) -> None:
    result = result_of(run)
    found = result[form]
    assert (found["log_loss"], -found["validation"]) < (
        found["single"]["log_loss"],
        -found["single"]["validation"],
    )
    assert result["validation"] == {"best": found["validation"], "single": found["single"]["validation"]}
    assert result["dev"]["best"] == found["dev"] and result["expected"] is None
    assert {entry["id"] for entry in entries(run, "individual", "main")} >= {result["best"]["id"]}


@pytest.mark.parametrize("use", ["best", "single"])
def test_what_is_saved_answers_as_the_verdict_says(form: str, run: Path, use: str) -> None:
    with saved_prompt(run, use=use) as opened:
        found = opened.score_items(task_of(run).test)
    assert found.value == pytest.approx(result_of(run)["test"][use])


def test_the_report_tells_of_it(form: str, run: Path) -> None:
    record = RunRecord.read(run)
    assert record.form == result_of(run)[form]
    best = next(row for row in score_rows(record) if row.key == "best")
    assert best.name.endswith(")") and "readout" not in best.name
    page = render_page(record)
    assert "The best single individual beside the founder" in page and "--use single" in page
