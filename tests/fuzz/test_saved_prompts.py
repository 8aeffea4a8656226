"""The folder of a saved prompt or committee with any content: it is opened, or refused in one sentence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolm.artifacts import find_prompt, read_members, read_readout
from evolm.export.predictor import saved_prompt
from evolm.export.saved_prompt import read_records
from evolm.export.saved_task import task_with_test
from evolm.genomes import Prompt
from tests.support.mutations import VALUES, altered, changed, fuzz
from tests.support.sealed import works_or_refuses
from tests.support.tiers import slow
from tests.support.toy_campaign import toy_rows, write_campaign, write_rows

TIERS = (60, slow(150))


def write_linear(folder: Path, model: Path) -> object:
    """A campaign whose winner reads labels by a fitted map, so that its folder has ``readout.safetensors``."""
    return write_campaign(folder, model, space__readout__kinds=["linear"])


@pytest.fixture(scope="module")
def folder(finished_run: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a saved prompt's folder, whose files the tests of this module change and write again."""
    place = tmp_path_factory.mktemp("saved")
    (place / "secret").mkdir()
    return Path(shutil.copytree(finished_run(write=write_linear) / "best", place / "best"))


@pytest.fixture(autouse=True)
def as_it_was(folder: Path) -> Iterator[None]:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    yield
    shutil.rmtree(folder)
    for path, content in before.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def read(folder: Path) -> None:
    """Read all that is read of a folder before the model is loaded, and the readout beside it."""
    paths = [path for path, _ in read_members(find_prompt(folder))]
    for path, record in zip(paths, read_records(paths), strict=True):
        Prompt.from_record(record.genome)
        labels = task_with_test(record.campaign("prompt.json"), (), gold=False).labels
        if record.readout == "linear":
            read_readout(path.with_name("readout.safetensors"), labels, 32)


def test_unaltered_it_is_read(folder: Path) -> None:
    """Else the tests below would show nothing."""
    assert works_or_refuses(lambda: read(folder), folder) == ""
    assert (folder / "readout.safetensors").exists()


@pytest.mark.parametrize("examples", TIERS)
def test_changed_values_are_read_or_refused(folder: Path, examples: int) -> None:
    @fuzz(examples)
    @given(changed(json.loads((folder / "prompt.json").read_bytes())) | VALUES)
    def check(record: object) -> None:
        (folder / "prompt.json").write_text(json.dumps(record), encoding="utf-8")
        works_or_refuses(lambda: read(folder), folder)

    check()


@pytest.mark.parametrize("examples", TIERS)
@pytest.mark.parametrize("name", ["prompt.json", "readout.safetensors"])
def test_altered_bytes_are_read_or_refused(folder: Path, name: str, examples: int) -> None:
    @fuzz(examples)
    @given(altered((folder / name).read_bytes()))
    def check(content: bytes) -> None:
        (folder / name).write_bytes(content)
        works_or_refuses(lambda: read(folder), folder)

    check()


@pytest.mark.parametrize("examples", TIERS)
def test_any_committee_is_read_or_refused(folder: Path, examples: int) -> None:
    for number in (1, 2):
        shutil.copytree(folder, folder / "members" / str(number), ignore=shutil.ignore_patterns("members"))
    members = [{"folder": f"members/{number}", "weight": 1} for number in (1, 2)]
    places = st.sampled_from(
        ["members/1", "../secret", "members/../../secret", "/etc", "members/2\n", "", "members/1/"]
    )
    named = st.fixed_dictionaries({"folder": places, "weight": st.integers(-1, 2**80)})

    @fuzz(examples)
    @given(
        changed({"schema": 1, "members": members}) | st.builds(lambda m: {"schema": 1, "members": m}, st.lists(named))
    )
    def check(record: object) -> None:
        (folder / "committee.json").write_text(json.dumps(record), encoding="utf-8")
        works_or_refuses(lambda: read(folder), folder)

    check()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["prompt.json", "readout.safetensors"])
def test_an_altered_prompt_predicts_or_is_refused(folder: Path, name: str) -> None:
    write_rows(folder / "rows.csv", toy_rows(3))

    def predict() -> None:
        with saved_prompt(folder) as opened:
            assert len(opened.predict(str(folder / "rows.csv"))) == 3

    strategy = altered((folder / name).read_bytes())
    if name == "prompt.json":
        strategy |= changed(json.loads((folder / name).read_bytes())).map(lambda record: json.dumps(record).encode())

    @fuzz(100)
    @given(strategy)
    def check(content: bytes) -> None:
        (folder / name).write_bytes(content)
        works_or_refuses(predict, folder)

    check()
