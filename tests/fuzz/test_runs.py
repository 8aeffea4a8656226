"""A run's directory whose files were altered or torn: reports, founders and resuming work, or are refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolm.api import load_result
from evolm.campaign import continue_run
from evolm.founders.sources import read_source
from evolm.objective.replay import Replay
from evolm.report import RunRecord, render_summary, write_report
from evolm.storage import AnswerStore, GeneStore, RunLayout, read_checkpoint, read_entries
from tests.support.delta_campaigns import write_delta_campaign
from tests.support.mutations import altered, changed, fuzz
from tests.support.sealed import works_or_refuses
from tests.support.tiers import slow

TIERS = (30, slow(100))
DATABASES = 30  # SQLite waits for seconds before it gives a damaged log up


@pytest.fixture(scope="module")
def run(finished_run: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a finished hybrid run, whose files the tests of this module change and write again."""
    place = tmp_path_factory.mktemp("runs")
    (place / "secret").mkdir()
    return Path(shutil.copytree(finished_run("hybrid", write=write_delta_campaign), place / "run"))


def genes(run: Path) -> None:
    for path in sorted((run / "genes").glob("*.safetensors")):
        search, _, generation = path.stem.rpartition("-")
        GeneStore(run / "genes").read(search, int(generation))


READERS: dict[str, tuple[Callable[[Path], object], ...]] = {
    "journal.jsonl": (
        RunRecord.read,
        render_summary,
        load_result,
        lambda run: read_source(run, "run"),
        lambda run: list(read_entries(run / "journal.jsonl")),
        lambda run: Replay.read(run / "journal.jsonl", "main"),
    ),
    "result.json": (render_summary, load_result, lambda run: read_source(run, "run")),
    "test.json": (RunRecord.read, render_summary),
    "timing.jsonl": (RunRecord.read, render_summary),
    "items.json": (lambda run: RunLayout(run).read_seen(), lambda run: read_source(run, "run")),
    "checkpoint/state.json": (lambda run: read_checkpoint(run / "checkpoint"),),
    "checkpoint/arrays": (lambda run: read_checkpoint(run / "checkpoint"),),
    "genes/main-00000.safetensors": (genes, lambda run: read_source(run, "run")),
    "answers.sqlite": (lambda run: AnswerStore(run / "answers.sqlite").get([b"0" * 20]),),
}


def file_of(run: Path, name: str) -> Path:
    """Return the file of a run whose path begins with a name; arrays are named after their content."""
    found = [path for path in run.rglob("*") if path.relative_to(run).as_posix().startswith(name) and path.is_file()]
    return min(found, key=lambda path: len(path.name))


def with_content(run: Path, name: str, content: bytes, readers: tuple[Callable[[Path], object], ...]) -> None:
    path = file_of(run, name)
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        for reader in readers:
            works_or_refuses(lambda reader=reader: reader(run), run)
    finally:
        for beside in path.parent.glob(f"{path.name}-*"):
            beside.unlink()
        path.write_bytes(before)


@pytest.mark.parametrize("examples", TIERS)
@pytest.mark.parametrize("name", READERS)
def test_altered_files_are_read_or_refused(run: Path, name: str, examples: int) -> None:
    @fuzz(DATABASES if name.endswith(".sqlite") else examples)
    @given(altered(file_of(run, name).read_bytes()))
    def check(content: bytes) -> None:
        with_content(run, name, content, READERS[name])

    check()


@pytest.mark.parametrize("examples", TIERS)
@pytest.mark.parametrize("name", [name for name in READERS if name.endswith(".json")])
def test_changed_values_are_read_or_refused(run: Path, name: str, examples: int) -> None:
    @fuzz(examples)
    @given(changed(json.loads(file_of(run, name).read_bytes())))
    def check(record: object) -> None:
        with_content(run, name, json.dumps(record).encode(), READERS[name])

    check()


@pytest.mark.parametrize("examples", TIERS)
def test_a_changed_entry_of_the_journal_is_read_or_refused(run: Path, examples: int) -> None:
    lines = file_of(run, "journal.jsonl").read_text(encoding="utf-8").splitlines()

    @fuzz(examples)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        number = data.draw(st.integers(0, len(lines) - 1))
        line = json.dumps(data.draw(changed(json.loads(lines[number]))))
        content = "".join(f"{each}\n" for each in [*lines[:number], line, *lines[number + 1 :]])
        with_content(run, "journal.jsonl", content.encode(), READERS["journal.jsonl"])

    check()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["journal.jsonl", "result.json", "test.json", "timing.jsonl", "campaign.toml"])
def test_an_altered_run_gives_a_page_or_is_refused(run: Path, name: str) -> None:
    @fuzz(60)
    @given(altered(file_of(run, name).read_bytes()))
    def check(content: bytes) -> None:
        with_content(run, name, content, (write_report,))

    check()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["checkpoint/state.json", "journal.jsonl", "campaign.toml", "founders.jsonl"])
def test_an_altered_run_is_resumed_or_refused(run: Path, tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    @fuzz(25)
    @given(altered(file_of(run, name).read_bytes(), most=1))
    def check(content: bytes) -> None:
        place = tmp_path_factory.mktemp("copy")
        (place / "secret").mkdir()
        copy = Path(shutil.copytree(run, place / "run"))
        file_of(copy, name).write_bytes(content)
        works_or_refuses(lambda: continue_run(copy, n_jobs=1), copy)
        shutil.rmtree(place)

    check()
