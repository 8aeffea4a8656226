"""Records whose values were changed at random: an answer or an EvolmError, never another exception."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evolm.api import load_result
from evolm.artifacts import PromptRecord
from evolm.campaign import continue_run
from evolm.errors import EvolmError
from evolm.export.export import export
from evolm.export.predictor import saved_prompt
from evolm.founders.sources import read_source
from evolm.genomes import Prompt
from evolm.objective.replay import Replay
from evolm.report import RunRecord, render_summary, write_report
from evolm.storage import read_checkpoint
from tests.support.mutations import VALUES, changed
from tests.support.toy_campaign import toy_rows, write_rows

few = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
many = settings(few, max_examples=100)


@pytest.fixture(scope="module")
def run(finished_run: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a finished run, whose files the tests of this module change and write again."""
    folder = tmp_path_factory.mktemp("changed")
    write_rows(folder / "rows.csv", toy_rows(3))
    return Path(shutil.copytree(finished_run(), folder / "run"))


@contextlib.contextmanager
def file_with(path: Path, content: str) -> Any:
    """Give a file another content for a while."""
    before = path.read_bytes()
    path.write_text(content, encoding="utf-8")
    try:
        yield
    finally:
        path.write_bytes(before)


def answers_or_refuses(action: Callable[[], object]) -> None:
    with contextlib.suppress(EvolmError):
        action()


def a_changed_object(data: st.DataObject, path: Path) -> str:
    return json.dumps(data.draw(changed(json.loads(path.read_bytes()))))


def a_changed_journal(data: st.DataObject, path: Path) -> str:
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    number = data.draw(st.integers(0, len(lines) - 1))
    lines[number] = json.dumps(data.draw(changed(json.loads(lines[number])) | VALUES))
    return "".join(line + "\n" for line in lines)


@given(st.data())
@many
def test_prompt_json_is_read_or_refused(run: Path, data: st.DataObject) -> None:
    path = run / "best" / "prompt.json"

    def read() -> None:
        record = PromptRecord.read(path)
        Prompt.from_record(record.genome)
        record.campaign("prompt.json")

    with file_with(path, a_changed_object(data, path)):
        answers_or_refuses(read)


@pytest.mark.slow
@given(st.data())
@few
def test_a_changed_prompt_predicts_or_is_refused(run: Path, data: st.DataObject) -> None:
    path = run / "best" / "prompt.json"

    def predict() -> None:
        with saved_prompt(run) as opened:
            assert len(opened.predict(str(run.parent / "rows.csv"))) == 3

    with file_with(path, a_changed_object(data, path)):
        answers_or_refuses(predict)


@given(st.data())
@few
def test_result_json_is_reported_or_refused(run: Path, data: st.DataObject) -> None:
    with file_with(run / "result.json", a_changed_object(data, run / "result.json")):
        answers_or_refuses(lambda: load_result(run))
        answers_or_refuses(lambda: render_summary(run))


@given(st.data())
@few
def test_a_changed_journal_is_read_or_refused(run: Path, data: st.DataObject) -> None:
    path = run / "journal.jsonl"
    with file_with(path, a_changed_journal(data, path)):
        answers_or_refuses(lambda: RunRecord.read(run))
        answers_or_refuses(lambda: render_summary(run))
        answers_or_refuses(lambda: load_result(run).history)
        answers_or_refuses(lambda: read_source(run, "run"))
        answers_or_refuses(lambda: Replay.read(path, "main"))


@pytest.mark.slow
@given(st.data())
@settings(few, max_examples=60)
def test_a_changed_run_gives_a_page_and_founders_or_is_refused(run: Path, data: st.DataObject) -> None:
    path = run / data.draw(st.sampled_from(["journal.jsonl", "result.json", "test.json", "timing.jsonl"]))
    content = (a_changed_journal if path.suffix == ".jsonl" else a_changed_object)(data, path)
    with file_with(path, content):
        answers_or_refuses(lambda: write_report(run))
        answers_or_refuses(lambda: export(run, run.parent / "out", "population", copy=True))
        shutil.rmtree(run.parent / "out", ignore_errors=True)


@given(st.data())
@few
def test_a_changed_checkpoint_is_refused_unless_nothing_changed(run: Path, data: st.DataObject) -> None:
    path = run / "checkpoint" / "state.json"
    before = json.loads(path.read_bytes())
    after = data.draw(changed(before, most=1))
    with file_with(path, json.dumps(after)):
        try:
            found = read_checkpoint(run / "checkpoint")
        except EvolmError:
            return
        assert found is not None and (after["state"] == before["state"] or "digest" not in after)


@pytest.mark.slow
@given(st.data())
@few
def test_a_changed_checkpoint_without_a_digest_is_continued_or_refused(
    run: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """As those of earlier versions."""
    path = run / "checkpoint" / "state.json"
    record = json.loads(path.read_bytes())
    record["state"] = data.draw(changed(record["state"], most=1))
    del record["digest"]
    copy = Path(shutil.copytree(run, tmp_path_factory.mktemp("copy") / "run"))
    (copy / "checkpoint" / "state.json").write_text(json.dumps(record), encoding="utf-8")
    answers_or_refuses(lambda: continue_run(copy))


@given(st.data())
@many
def test_founders_of_a_run_are_read_or_refused(run: Path, data: st.DataObject) -> None:
    path = run / "founders.jsonl"
    with file_with(path, a_changed_journal(data, path)):
        answers_or_refuses(lambda: read_source(path, "founders.jsonl"))


@given(st.data())
@few
def test_the_items_that_a_run_has_seen_are_read_or_refused(run: Path, data: st.DataObject) -> None:
    path = run / "items.json"
    with file_with(path, json.dumps(data.draw(changed(json.loads(path.read_bytes())) | VALUES))):
        answers_or_refuses(lambda: read_source(run, "run"))
