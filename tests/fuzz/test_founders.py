"""Files of founders, their arrays, and founding populations with any content: founders, or one sentence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from evolm.campaign import build
from evolm.campaign.build import Components
from evolm.founders.loading import load_founders
from evolm.founders.sources import read_source
from evolm.genomes import DELTA, PROMPT
from tests.support.delta_campaigns import write_delta_campaign
from tests.support.mutations import VALUES, altered, changed, fuzz
from tests.support.sealed import works_or_refuses
from tests.support.tiers import slow

TIERS = (40, slow(150))
FILES = ("founders.jsonl", "deltas.safetensors")


@pytest.fixture(scope="module")
def own(finished_run: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A founding population of a hybrid run, its files changed and written again by the tests of this module."""
    run = finished_run("hybrid", write=write_delta_campaign)
    folder = tmp_path_factory.mktemp("founders") / "own"
    folder.mkdir()
    (folder.parent / "secret").mkdir()
    (folder.parent / "secret" / "founders.jsonl").write_text('{"instruction": "secret"}', encoding="utf-8")
    from evolm.export.export import export

    export(run, folder / "population", "population", copy=True)
    return folder / "population"


@pytest.fixture(scope="module")
def parts(own: Path, tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Components]:
    toy = write_delta_campaign(tmp_path_factory.mktemp("parts") / "toy", tiny_model_folder, "hybrid")
    found = build(toy.config, toy.folder)
    yield found
    found.engine.close()


@pytest.fixture
def use(own: Path, parts: Components) -> Iterator[Callable[[], str]]:
    """Return a function that reads the population's founders into a campaign's space, and gives files back after."""
    before = {path: path.read_bytes() for path in own.iterdir() if path.is_file()}
    config = parts.config.model_copy(update={"founders": [str(own / FILES[0])]})

    def read() -> None:
        load_founders(config, parts.task, parts.space.parts, (PROMPT, DELTA))

    yield lambda: works_or_refuses(read, own)
    for path, content in before.items():
        path.write_bytes(content)


def test_unaltered_they_are_read(own: Path) -> None:
    """Else the tests below would show nothing."""
    assert any(isinstance(record.get(DELTA), dict) for record, _ in read_source(own / FILES[0], "own").records)


@pytest.mark.parametrize("examples", TIERS)
def test_changed_records_are_read_or_refused(own: Path, use: Callable[[], str], examples: int) -> None:
    lines = (own / FILES[0]).read_text(encoding="utf-8").splitlines()

    @fuzz(examples)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        number = data.draw(st.integers(0, len(lines) - 1))
        line = json.dumps(data.draw(changed(json.loads(lines[number])) | VALUES))
        content = "".join(f"{each}\n" for each in [*lines[:number], line, *lines[number + 1 :]])
        (own / FILES[0]).write_text(content, encoding="utf-8")
        use()

    check()


@pytest.mark.parametrize("examples", TIERS)
@pytest.mark.parametrize("name", FILES)
def test_altered_bytes_are_read_or_refused(own: Path, use: Callable[[], str], name: str, examples: int) -> None:
    @fuzz(examples)
    @given(altered((own / name).read_bytes()))
    def check(content: bytes) -> None:
        (own / name).write_bytes(content)
        use()

    check()


PLACES = st.sampled_from(
    [
        "founders.jsonl",
        ".",
        "..",
        "../secret",
        "../secret/founders.jsonl",
        "/etc/passwd",
        "inner",
        "",
        "~",
        "a\0b",
        "link",
    ]
)


@pytest.mark.parametrize("examples", TIERS)
def test_a_population_reads_founders_of_its_own_folder_alone(own: Path, examples: int) -> None:
    inner, text = own / "inner", (own / "campaign.toml").read_text(encoding="utf-8")
    inner.mkdir(exist_ok=True)
    (own / "link").unlink(missing_ok=True)
    (own / "link").symlink_to(own.parent / "secret" / "founders.jsonl")

    @fuzz(examples)
    @given(st.lists(PLACES, max_size=4) | VALUES, st.lists(PLACES, max_size=4))
    def check(places: Any, inside: list[str]) -> None:
        for folder, named in ((own, places), (inner, inside)):
            try:
                tables = tomlkit.dumps({"founders": named})
            except (ValueError, TypeError, OverflowError):  # null, which TOML has not
                return
            (folder / "campaign.toml").write_text(tables, encoding="utf-8", errors="replace")
        works_or_refuses(lambda: read_source(own, "own"), own)

    try:
        check()
    finally:
        (own / "campaign.toml").write_text(text, encoding="utf-8")
        (own / "link").unlink()
        shutil.rmtree(inner)
