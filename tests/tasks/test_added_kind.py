"""A kind of task that is added as one row: loaded, searched with founders from its texts, and judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from evolm.config import TaskSection
from evolm.errors import ConfigError
from evolm.scaffold.draft import draft
from evolm.scaffold.hints import Hints
from evolm.schema import campaign_schema
from evolm.tasks import KINDS, Form, Kind
from evolm.tasks.items import Answers, Row
from tests.support.toy_campaign import entries, result_of

YES_NO = Kind(
    name="yes_no",
    summary="The answer is yes or no.",
    form=Form.LABELS,
    metric="accuracy",
    scorer="margin",
    unlabelled_scorer="self_consistency",
    normalization="characters",
    ending="Spam, yes or no?",
    instructions=("", "Say {labels} of the {thing}."),
    answers=lambda section, rows: yes_or_no(section, rows),
)


def yes_or_no(section: TaskSection, rows: Sequence[Row]) -> Answers:
    return Answers(("no", "yes"), lambda row: "yes" if row.label == "spam" else "no")


@pytest.fixture(autouse=True)
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "yes_no", YES_NO)


def test_a_campaign_runs_on_a_kind_of_task_that_is_one_row(toy: Callable[..., Any], tmp_path: Any) -> None:
    changes = {"task__kind": "yes_no", "founders": [], "budget__evaluations": 6, "space__prompt__verbalizers": {}}
    run = toy(**changes).run(tmp_path / "run")
    (head,) = entries(run.directory, "run")
    assert (head["task"]["kind"], head["task"]["metric"], head["task"]["labels"]) == (
        "yes_no",
        "accuracy",
        ["no", "yes"],
    )
    assert list(head["scorers"]) == ["margin"]
    assert head["normalization"] == "characters"
    told = {
        entry["genome"]["prompt"]["instruction"]
        for entry in entries(run.directory, "individual")
        if not entry["parents"]
    }
    assert "Say no or yes of the text." in told
    assert (run.directory / "best" / "prompt.txt").read_text(encoding="utf-8").endswith("Spam, yes or no?")
    assert result_of(run.directory)["test"]["majority"] is not None


def test_schema_and_messages_know_an_added_kind(toy: Callable[..., Any], tmp_path: Any) -> None:
    assert "yes_no" in campaign_schema()["$defs"]["TaskSection"]["properties"]["kind"]["enum"]
    with pytest.raises(
        ConfigError, match=r"'classification', 'choice', 'generation', 'yes_no', found 'yes_on'; .*'yes_no'"
    ):
        toy(task__kind="yes_on").run(tmp_path / "run")


def test_evolm_init_drafts_a_campaign_of_an_added_kind(toy: Callable[..., Any]) -> None:
    data = str(toy().folder / "toy.csv")
    drafted = draft(data, "toy.csv", Hints(kind="yes_no", label="label"), "tiny", {})
    assert drafted.tables["task"]["kind"] == "yes_no"
    assert drafted.tables["task"]["metric"] == "accuracy"
    assert drafted.tables["scorers"] == {"margin": 1.0}
    assert drafted.founders[1]["instruction"] == "Say no or yes of the text."
    assert "kind: yes_no: The answer is yes or no." in drafted.said
